"""Both models in NumPy as experts write them: one matrix product forward, one backward, updates in place. The protocol is that of turns.py."""

import numpy as np

import turns

job = turns.read_job()
d, k, batch = job["features"], job["classes"], job["batch"]
float_type = np.dtype(job["precision"]).type
x, labels = turns.rows(job, float_type)
y = labels.astype(float_type)
rate = float_type(job["learning_rate"])
each = np.arange(batch)


def softmax(state):
    w, b = state
    for first in range(0, len(x), batch):
        xs, ys = x[first : first + batch], labels[first : first + batch]
        p = xs @ w
        p += b
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        loss = -np.log(p[each, ys]).mean()
        p[each, ys] -= 1
        p *= rate / batch
        w -= xs.T @ p
        b -= p.sum(axis=0)
    return state, loss


def logistic(state):
    w, b = state
    for first in range(0, len(x), batch):
        xs, ys = x[first : first + batch], y[first : first + batch]
        z = xs @ w
        z += b
        # ln(1 + e^-|z|) + max(z, 0) - y z
        tail = np.exp(-np.abs(z))
        loss = (np.log1p(tail) + np.maximum(z, 0) - ys * z).mean()
        p = np.where(z >= 0, float_type(1), tail) / (1 + tail)
        p -= ys
        p *= rate / batch
        w -= p @ xs
        b -= p.sum()
    return state, loss


if job["model"] == "softmax":
    epoch, shapes = softmax, ((d, k), (k,))
else:
    epoch, shapes = logistic, ((d,), (1,))
turns.serve("NumPy " + np.__version__, lambda: tuple(np.zeros(shape, float_type) for shape in shapes), epoch)

"""The whole protocol of configs/softmax.toml in NumPy: 50 epochs, shuffled, evaluated five times an epoch. Asked by one
JSON document on the first line, answers one: the seconds that it took, reading the files included, the last validation loss, and the most memory in bytes.
"""

import time

import numpy as np

import turns

ask = turns.asked()
start = time.perf_counter()
d, k, batch = ask["features"], ask["classes"], ask["batch"]
float_type = np.dtype(ask["precision"]).type


def read(pixels, labels):
    x = np.fromfile(pixels, np.uint8).reshape(-1, d).astype(float_type)
    x /= float_type(127.5)
    x -= float_type(1)
    return x, np.fromfile(labels, np.uint8)


x, y = read(ask["pixels"], ask["labels"])
x_validation, y_validation = read(ask["validation_pixels"], ask["validation_labels"])
w, b = np.zeros((d, k), float_type), np.zeros(k, float_type)
rate, rows = float_type(ask["learning_rate"]), np.arange(batch)
steps = len(x) // batch
interval = steps // 5

np.random.seed(0)
order = np.arange(len(x))
step, losses, evaluations = 0, [], []
for epoch in range(ask["epochs"]):
    np.random.shuffle(order)
    for first in range(0, steps * batch, batch):
        chosen = order[first : first + batch]
        xs, ys = x[chosen], y[chosen]
        p = xs @ w
        p += b
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        losses.append(-np.log(p[rows, ys]).mean())
        p[rows, ys] -= 1
        p *= rate / batch
        w -= xs.T @ p
        b -= p.sum(axis=0)
        if step % interval == 0:
            z = x_validation @ w
            z += b
            highest = z.max(axis=1, keepdims=True)
            right = (z.argmax(axis=1) == y_validation).mean()
            of_label = z[np.arange(len(z)), y_validation]
            z -= highest
            np.exp(z, out=z)
            loss = (highest[:, 0] + np.log(z.sum(axis=1)) - of_label).astype(np.float64).mean()
            z = x @ w
            z += b
            evaluations.append((loss, right, (z.argmax(axis=1) == y).mean()))
        step += 1
turns.answer(
    version="NumPy " + np.__version__,
    seconds=time.perf_counter() - start,
    loss=float(evaluations[-1][0]),
    peak_bytes=turns.peak_bytes(),
)

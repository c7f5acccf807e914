"""The whole training of configs/softmax.toml in NumPy: 50 epochs, shuffled, with five evaluations per epoch. The first line of the input is the job, as
JSON. The answer is one JSON document: the seconds, with reading the files, the last validation loss, and the peak memory in bytes.
"""

import time

import numpy as np

import turns

job = turns.read_job()
start = time.perf_counter()
d, k, batch = job["features"], job["classes"], job["batch"]
float_type = np.dtype(job["precision"]).type


def read(pixels, labels):
    x = np.fromfile(pixels, np.uint8).reshape(-1, d).astype(float_type)
    x /= float_type(127.5)
    x -= float_type(1)
    return x, np.fromfile(labels, np.uint8)


x, y = read(job["pixels"], job["labels"])
x_validation, y_validation = read(job["validation_pixels"], job["validation_labels"])
w, b = np.zeros((d, k), float_type), np.zeros(k, float_type)
rate, rows = float_type(job["learning_rate"]), np.arange(batch)
steps = len(x) // batch
interval = steps // 5

np.random.seed(0)
order = np.arange(len(x))
step, losses, evaluations = 0, [], []
for epoch in range(job["epochs"]):
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

"""Softmax regression in NumPy as its experts write it: one matrix product forward, one backward, updates in place.

Reads one JSON document from standard input (files, rows, features, classes, batch, learning_rate, epochs, precision) and prints one:
milliseconds of each epoch, the last loss, and the peak memory in bytes. OPENBLAS_NUM_THREADS is set by who calls it.
"""

import json
import resource
import sys
import time

import numpy as np

ask = json.load(sys.stdin)
n, d, k, batch = ask["rows"], ask["features"], ask["classes"], ask["batch"]
float_type = np.dtype(ask["precision"]).type
pixels = np.fromfile(ask["pixels"], np.uint8).reshape(n, d)
labels = np.fromfile(ask["labels"], np.uint8)
x = pixels.astype(float_type)
x /= float_type(127.5)
x -= float_type(1)
w, b = np.zeros((d, k), float_type), np.zeros(k, float_type)
rate = float_type(ask["learning_rate"])
rows = np.arange(batch)

milliseconds = []
for _ in range(ask["epochs"]):
    start = time.perf_counter()
    for first in range(0, n - batch + 1, batch):
        xs, ys = x[first : first + batch], labels[first : first + batch]
        p = xs @ w
        p += b
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        loss = -np.log(p[rows, ys]).mean()
        p[rows, ys] -= 1
        p *= rate / batch
        w -= xs.T @ p
        b -= p.sum(axis=0)
    milliseconds.append(1e3 * (time.perf_counter() - start))
peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
json.dump({"version": "NumPy " + np.__version__, "milliseconds": milliseconds, "loss": float(loss), "peak_bytes": peak}, sys.stdout)

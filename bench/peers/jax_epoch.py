"""Softmax regression in JAX: an epoch is one compiled scan over batches, with donated parameters. Asked and answering as numpy_epoch.py.

The first epoch compiles, and nobody counts it. Threads are bounded by the processors that who calls it allows.
"""

import functools
import json
import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

ask = json.load(sys.stdin)
n, d, k, batch = ask["rows"], ask["features"], ask["classes"], ask["batch"]
if ask["precision"] == "float64":
    jax.config.update("jax_enable_x64", True)
whole = n // batch * batch
pixels = np.fromfile(ask["pixels"], np.uint8).reshape(n, d)[:whole]
x = jnp.asarray((pixels / 127.5 - 1).astype(ask["precision"])).reshape(-1, batch, d)
y = jnp.asarray(np.fromfile(ask["labels"], np.uint8)[:whole].astype(np.int32)).reshape(-1, batch)
rate = ask["learning_rate"]


def step(parameters, rows):
    w, b = parameters
    xs, ys = rows
    logits = xs @ w + b
    loss = -jnp.take_along_axis(jax.nn.log_softmax(logits), ys[:, None], 1).mean()
    residual = (jax.nn.softmax(logits) - jax.nn.one_hot(ys, k, dtype=w.dtype)) * (rate / batch)
    return (w - xs.T @ residual, b - residual.sum(0)), loss


@functools.partial(jax.jit, donate_argnums=0)
def epoch(parameters, x, y):
    return jax.lax.scan(step, parameters, (x, y))


parameters = (jnp.zeros((d, k), x.dtype), jnp.zeros(k, x.dtype))
milliseconds = []
for _ in range(ask["epochs"]):
    start = time.perf_counter()
    parameters, losses = epoch(parameters, x, y)
    losses.block_until_ready()
    milliseconds.append(1e3 * (time.perf_counter() - start))
peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
json.dump(
    {"version": "JAX " + jax.__version__, "milliseconds": milliseconds, "loss": float(losses[-1]), "peak_bytes": peak}, sys.stdout
)

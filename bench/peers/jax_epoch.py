"""Both models in JAX: an epoch is one compiled scan over batches, with donated parameters. The protocol is that of turns.py.

The first epoch compiles and is not counted. The caller limits the threads by the processors that it allows.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import turns

job = turns.read_job()
d, k, batch = job["features"], job["classes"], job["batch"]
if job["precision"] == "float64":
    jax.config.update("jax_enable_x64", True)
x, labels = turns.rows(job, np.dtype(job["precision"]).type)
x, y = jnp.asarray(x).reshape(-1, batch, d), jnp.asarray(labels.astype(np.int32)).reshape(-1, batch)
rate = job["learning_rate"]


def softmax_step(parameters, rows):
    w, b = parameters
    xs, ys = rows
    logits = xs @ w + b
    loss = -jnp.take_along_axis(jax.nn.log_softmax(logits), ys[:, None], 1).mean()
    residual = (jax.nn.softmax(logits) - jax.nn.one_hot(ys, k, dtype=w.dtype)) * (rate / batch)
    return (w - xs.T @ residual, b - residual.sum(0)), loss


def logistic_step(parameters, rows):
    w, b = parameters
    xs, ys = rows
    z = xs @ w + b
    loss = (jax.nn.softplus(z) - ys * z).mean()
    residual = (jax.nn.sigmoid(z) - ys) * (rate / batch)
    return (w - residual @ xs, b - residual.sum()), loss


if job["model"] == "softmax":
    step, shapes = softmax_step, ((d, k), (k,))
else:
    step, shapes = logistic_step, ((d,), ())


@functools.partial(jax.jit, donate_argnums=0)
def compiled(parameters, x, y):
    return jax.lax.scan(step, parameters, (x, y))


def epoch(parameters):
    parameters, losses = compiled(parameters, x, y)
    losses.block_until_ready()
    return parameters, losses[-1]


turns.serve("JAX " + jax.__version__, lambda: tuple(jnp.zeros(shape, x.dtype) for shape in shapes), epoch)

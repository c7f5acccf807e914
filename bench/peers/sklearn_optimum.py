"""Softmax regression by scikit-learn's lbfgs, to the optimum of mean cross-entropy + l2/2 sum w^2. If the bias is penalised, it is the weight of a
feature that is always 1.

The job is one JSON document, and so is the answer: for each iterate, the seconds since `fit` was called. The parameters are in a file: for each iterate
W `[d, k]` row by row, then b `[k]`, as f64. A tolerance would stop at one of the iterates. The benchmark selects the first that is near enough, as the best
possible tolerance would.
"""

import time
import warnings

import numpy as np
import scipy.optimize
import sklearn
from sklearn.linear_model import LogisticRegression

import turns

job = turns.read_job()
x, y = turns.rows({**job, "batch": 1}, np.dtype(job["precision"]).type)
d, k = job["features"], job["classes"]
minimize, iterates, seconds = scipy.optimize.minimize, [], []


def recording(*arguments, callback=None, **options):
    def record(intermediate_result):
        seconds.append(time.perf_counter() - start)
        iterates.append(intermediate_result.x.copy())
        if callback is not None:
            callback(intermediate_result)

    return minimize(*arguments, **options, callback=record)


scipy.optimize.minimize = recording
if job["penalize_bias"]:
    x = np.hstack([x, np.ones((len(x), 1), x.dtype)])
model = LogisticRegression(
    C=1 / (job["l2"] * len(x)), tol=job["tolerance"], max_iter=1000, fit_intercept=not job["penalize_bias"]
)
start = time.perf_counter()
model.fit(x, y)
whole = time.perf_counter() - start
# scikit-learn's order: all classes of the first feature, of the second and so on, then of the bias.
parameters = np.array(iterates, np.float64).reshape(-1, d + 1, k)
assert np.allclose(parameters[-1, : model.coef_.shape[1]].T, model.coef_, atol=1e-5), "the order of the parameters"
parameters.tofile(job["parameters"])
turns.answer(
    version="scikit-learn " + sklearn.__version__, seconds=seconds, whole=whole, peak_bytes=turns.peak_bytes()
)

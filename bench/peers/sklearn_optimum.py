"""Softmax regression by scikit-learn's lbfgs, to the optimum of mean cross-entropy + l2/2 sum w^2. Where the bias is penalised, too, it is the weight of a
feature that is always 1.

Asked by one JSON document, answers one, too: for each iterate the seconds since `fit` was called, and its parameters, in a file: of each iterate W `[d, k]`
row by row, then b `[k]`, as f64. A tolerance stops at some iterate; whoever asked picks the first that is near enough, which is what the best of all
tolerances would have given.
"""

import time
import warnings

import numpy as np
import scipy.optimize
import sklearn
from sklearn.linear_model import LogisticRegression

import turns

ask = turns.asked()
x, y = turns.rows({**ask, "batch": 1}, np.dtype(ask["precision"]).type)
d, k = ask["features"], ask["classes"]
minimize, iterates, seconds = scipy.optimize.minimize, [], []


def watched(*arguments, callback=None, **options):
    def note(intermediate_result):
        seconds.append(time.perf_counter() - start)
        iterates.append(intermediate_result.x.copy())
        if callback is not None:
            callback(intermediate_result)

    return minimize(*arguments, **options, callback=note)


scipy.optimize.minimize = watched
if ask["penalize_bias"]:
    x = np.hstack([x, np.ones((len(x), 1), x.dtype)])
model = LogisticRegression(
    C=1 / (ask["l2"] * len(x)), tol=ask["tolerance"], max_iter=1000, fit_intercept=not ask["penalize_bias"]
)
start = time.perf_counter()
model.fit(x, y)
whole = time.perf_counter() - start
# scikit-learn's order: for each feature, and then the bias, all classes together.
parameters = np.array(iterates, np.float64).reshape(-1, d + 1, k)
assert np.allclose(parameters[-1, : model.coef_.shape[1]].T, model.coef_, atol=1e-5), "the order of the parameters"
parameters.tofile(ask["parameters"])
turns.answer(
    version="scikit-learn " + sklearn.__version__, seconds=seconds, whole=whole, peak_bytes=turns.peak_bytes()
)

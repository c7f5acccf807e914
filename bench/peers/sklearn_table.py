"""Logistic or softmax regression on a table by a solver of scikit-learn, to the minimum of mean cross-entropy + l2/2 sum w^2 without a penalty on
the bias. Categories are one-hot features in a CSR matrix, and so are words.

The first line of the input is the job, as JSON. Each further line is a tolerance to fit with. The answer is one line of JSON: the seconds of `fit`, its
iterations, the parameters W `[d, k]` row by row and then b `[k]`, and the peak memory in bytes before and in the fit.
"""

import os
import sys
import time

import numpy as np
import scipy.sparse
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

import turns

job = turns.read_job()
n, levels, float_type = job["rows"], job["levels"], np.dtype(job["precision"]).type


def read(name, file_type):
    return np.fromfile(os.path.join(job["folder"], name), file_type)


x = read("numbers", "<f4").reshape(n, -1).astype(float_type, copy=False)
y = read("labels", "<u4").astype(np.int64)
if levels:
    codes = read("codes", "<u4").reshape(n, -1)
    encoder = OneHotEncoder(categories=[np.arange(count) for count in levels], dtype=float_type)
    x = scipy.sparse.hstack([scipy.sparse.csr_matrix(x), encoder.fit_transform(codes)]).tocsr()
    del codes, encoder
if job["words"]:
    words, ends = read("words", "<u4").astype(np.int32), read("ends", "<u4").astype(np.int32)
    ones = np.ones(len(words), float_type)
    words = scipy.sparse.csr_matrix((ones, words, np.concatenate([[0], ends])), shape=(n, job["words"]))
    x = scipy.sparse.hstack([scipy.sparse.csr_matrix(x), words]).tocsr() if job["numbers"] or levels else words
turns.answer(version="scikit-learn " + sklearn.__version__)
for line in sys.stdin:
    # LIBLINEAR penalises the bias, as the weight of a feature. If that is large, the penalty is negligible.
    scaling = 100 if job["solver"] == "liblinear" else 1
    model = LogisticRegression(
        C=1 / (job["l2"] * n), solver=job["solver"], tol=float(line), max_iter=1000, intercept_scaling=scaling
    )
    turns.reset_peak()
    before, begin = turns.peak_bytes(), time.perf_counter()
    model.fit(x, y)
    seconds, peak_bytes = time.perf_counter() - begin, [before, turns.peak_bytes()]
    parameters = [*model.coef_.T.ravel().tolist(), *model.intercept_.tolist()]
    iterate = {"seconds": seconds, "iterations": int(max(model.n_iter_)), "parameters": parameters}
    turns.answer(iterates=[iterate], peak_bytes=peak_bytes)

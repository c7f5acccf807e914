"""Logistic regression on a table by a solver of glum, to the minimum of mean cross-entropy + l2/2 sum w^2 without a penalty on the bias. Categories
stay codes (tabmat), and words are a sparse matrix. glum has no softmax regression.

The input and the answers are those of `sklearn_table.py`.
"""

import os
import sys
import time

import glum
import numpy as np
import scipy.sparse
import tabmat
from glum import GeneralizedLinearRegressor

import turns

job = turns.read_job()
n, levels, float_type = job["rows"], job["levels"], np.dtype(job["precision"]).type


def read(name, file_type):
    return np.fromfile(os.path.join(job["folder"], name), file_type)


parts = []
if job["numbers"]:
    parts.append(tabmat.DenseMatrix(read("numbers", "<f4").reshape(n, -1).astype(float_type, copy=False)))
if levels:
    codes = read("codes", "<u4").astype(np.int32).reshape(n, -1)
    parts += [tabmat.CategoricalMatrix(codes[:, j], categories=np.arange(count), dtype=float_type) for j, count in enumerate(levels)]
if job["words"]:
    words, ends = read("words", "<u4").astype(np.int32), read("ends", "<u4").astype(np.int32)
    ones = np.ones(len(words), float_type)
    rows = scipy.sparse.csr_matrix((ones, words, np.concatenate([[0], ends])), shape=(n, job["words"]))
    parts.append(tabmat.SparseMatrix(rows.tocsc()))
x = parts[0] if len(parts) == 1 else tabmat.SplitMatrix(parts)
y = read("labels", "<u4").astype(float_type)
turns.answer(version="glum " + glum.__version__)
for line in sys.stdin:
    model = GeneralizedLinearRegressor(family="binomial", alpha=job["l2"], l1_ratio=0, solver=job["solver"], gradient_tol=float(line), max_iter=1000)
    turns.reset_peak()
    before, begin = turns.peak_bytes(), time.perf_counter()
    model.fit(x, y)
    seconds, peak_bytes = time.perf_counter() - begin, [before, turns.peak_bytes()]
    parameters = [*np.asarray(model.coef_, float).tolist(), float(model.intercept_)]
    iterate = {"seconds": seconds, "iterations": int(model.n_iter_), "parameters": parameters}
    turns.answer(iterates=[iterate], peak_bytes=peak_bytes)

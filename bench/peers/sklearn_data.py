"""Writes a real table that scikit-learn has, in the files of the benchmark's own tables.

The line of the input is a name and a folder, as JSON. The numbers are standardised; features with a single value are left out. The answer is one line
of JSON that describes the table.
"""

import json
import os
import sys

import numpy as np
from sklearn import datasets

import turns

name, folder = json.loads(sys.stdin.readline())
load = {"digits": datasets.load_digits, "breast cancer": datasets.load_breast_cancer}[name]
x, y = load(return_X_y=True)
x = x[:, x.std(axis=0) > 0]
x = (x - x.mean(axis=0)) / x.std(axis=0)
files = {"numbers": x.astype("<f4"), "labels": y.astype("<u4")}
for file in ["numbers", "codes", "words", "ends", "labels"]:
    files.get(file, np.empty(0, "<u4")).tofile(os.path.join(folder, file))
title = f"{name}, a real table: {x.shape[1]} numbers and {len(set(y))} classes"
turns.answer(title=title, rows=len(x), numbers=x.shape[1], classes=len(set(y)))

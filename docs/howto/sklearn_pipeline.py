"""Makes scikit-learn's pipeline of a model of a table that `chainrule export` wrote as JSON.

    python docs/howto/sklearn_pipeline.py MODEL.json TABLE.csv

prints the class and the probabilities of each row. From Python:

    from sklearn_pipeline import pipeline, read
    model = pipeline("model.json")
    probabilities = model.predict_proba(read("table.csv"))

The pipeline is a ColumnTransformer (impute, one-hot), a StandardScaler and a LogisticRegression. Its
rows are a data frame of texts, as `read` returns it. Needs numpy, pandas and scikit-learn.
"""

import datetime
import functools
import json
import sys

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

# The usual marks of a missing value, besides the empty text.
MISSING = ["", "NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan", "NULL", "null", "?", ".", "-"]


def read(file):
    """Reads a CSV file as texts, because the recipe decides what a text is."""
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def number(text):
    """Returns the number that a text is, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def is_missing(text, marks):
    same = lambda mark: number(mark) is not None and number(mark) == number(text)
    return text in MISSING or any(mark.strip() == text or same(mark) for mark in marks)


def days(text):
    """Returns the days since 1970-01-01 of an ISO date, in UTC."""
    date = datetime.datetime.fromisoformat(text)
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.timezone.utc)
    return (date - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) / datetime.timedelta(days=1)


def numbers(frame, parse, marks):
    """Returns the numbers of a column, with NaN where one is missing."""
    value = lambda text: np.nan if is_missing(text.strip(), marks) else parse(text.strip())
    return np.array([[value(text) for text in row] for row in frame.to_numpy()], float)


def positions(frame, column, marks):
    """Returns the position of each value's feature, or -1 if it has none."""
    levels = column["levels"]
    of_text = {level: i for i, level in enumerate(levels)}
    # A level that is a number has any form: 1, 1.0 or 01. If two levels are the same number, only the exact text counts.
    forms = [number(level) for level in levels]
    of_number = {x: i for i, x in enumerate(forms) if x is not None and forms.count(x) == 1}
    other = len(levels) if column.get("other") else -1
    missing = len(levels) + bool(column.get("other")) if column.get("missing") else -1

    def position(text):
        if text in of_text:
            return of_text[text]
        return missing if is_missing(text, marks) else of_number.get(number(text), other)

    return np.array([[position(text.strip()) for text in row] for row in frame.to_numpy()])


def encoder(column, marks):
    """Returns the transformer of a column, and two texts to fit it to: the second is missing."""
    if column["kind"] == "sparse":
        sys.exit("a model of sparse rows has no columns to transform; use its npz")
    if column["kind"] == "category":
        n = len(column["levels"]) + bool(column.get("other")) + bool(column.get("missing"))
        one_hot = OneHotEncoder(categories=[range(n)], handle_unknown="ignore", sparse_output=False)
        return make_pipeline(FunctionTransformer(functools.partial(positions, column=column, marks=marks)), one_hot)
    parse = days if column["kind"] == "date" else float
    fill = column.get("fill", np.nan)
    has_indicator = column.get("missing_feature", False)
    impute = SimpleImputer(strategy="constant", fill_value=fill, add_indicator=has_indicator)
    return make_pipeline(FunctionTransformer(functools.partial(numbers, parse=parse, marks=marks)), impute)


def features(model):
    """Returns the ColumnTransformer from a row to the features."""
    names = model["row"]["numbers"]["names"]
    # Without a recipe each feature is a column of numbers.
    recipe = model.get("recipe") or {"columns": [{"name": name, "kind": "number"} for name in names]}
    columns, marks = recipe["columns"], recipe.get("missing", [])
    transformer = ColumnTransformer([(f"{i}", encoder(one, marks), [one["name"]]) for i, one in enumerate(columns)])
    # What is learnt is known already. This only says which columns have an indicator.
    row = {one["name"]: ["2026-11-29" if one["kind"] == "date" else "0", ""] for one in columns}
    return transformer.fit(pd.DataFrame(row))


def pipeline(file):
    """Returns the pipeline of a model."""
    with open(file) as lines:
        model = json.load(lines)
    if model["kind"] not in ["logistic", "softmax"]:
        sys.exit(f"{file}: scikit-learn's LogisticRegression is no {model['kind']} model; use the formula in the file")
    weight, bias, d = np.array(model["weight"]), np.array(model["bias"]), len(model["weight"][0])
    if len(weight) == 2:
        # Of two classes it has the difference, since softmax(a, b) = softmax(0, b - a).
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    scaler = StandardScaler()
    scaler.mean_, scaler.scale_ = (np.broadcast_to(model[key], d) for key in ["mean", "scale"])
    scaler.var_, scaler.n_features_in_ = scaler.scale_**2, d
    classifier = LogisticRegression()
    classifier.coef_, classifier.intercept_ = weight, bias
    classifier.classes_, classifier.n_features_in_ = np.array(model["classes"]), d
    return make_pipeline(features(model), scaler, classifier)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    model = pipeline(sys.argv[1])
    print("class", *model.classes_, sep=",")
    for p in model.predict_proba(read(sys.argv[2])):
        print(model.classes_[p.argmax()], *p.tolist(), sep=",")

"""Compares the probabilities of exported ONNX models with those of `chainrule predict` on tables.

    python bench/onnx_tables.py CHAINRULE FOLDER

CHAINRULE is the program, and FOLDER has tables and a `reference.json` that names their label columns.
Each model is trained on a table. The rows to predict are those of the table and as many with missing
values and levels that no training row has. Needs numpy, onnx and onnxruntime.
"""

import csv
import datetime
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

# The texts that the program reads as a missing number, besides its recipe's own.
MISSING = ["", "NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan", "NULL", "null", "?", ".", "-"]


def program(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def damaged(rows, names, label, seed):
    """Returns copies of the rows with missing values, and with new levels in columns of texts."""
    draw = random.Random(seed)
    has_texts = {
        name for name in names if any(row[name] not in MISSING and days_or_number(row[name]) is None for row in rows)
    }
    copies = []
    for row in rows:
        copy = dict(row)
        for name in names:
            if name != label and draw.random() < 0.2:
                copy[name] = draw.choice(["", "NA", "?"])
            elif name in has_texts and name != label and draw.random() < 0.1:
                copy[name] = f"never seen {draw.randrange(9)}"
        copies.append(copy)
    return copies


def days_or_number(text):
    """Returns a number, or the days of an ISO date since 1970-01-01, or None for other texts."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        date = datetime.datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None
    return (date - datetime.datetime(1970, 1, 1)) / datetime.timedelta(days=1)


def feeds(session, description, rows):
    """Returns the inputs of a session for rows of texts."""
    marks = set(MISSING) | set(description.get("recipe", {}).get("missing", []))
    number = lambda text: np.nan if text in marks else days_or_number(text)
    types = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": object}
    inputs = session.get_inputs()
    if [one.name for one in inputs] == ["input"] and inputs[0].shape[1] != 1:
        names = description["row"]["numbers"]["names"]
        return {"input": np.array([[number(row[name]) for name in names] for row in rows], types[inputs[0].type])}
    columns = {}
    for one in inputs:
        assert one.shape[1] == 1, one.shape
        values = [[row[one.name] if one.type == "tensor(string)" else number(row[one.name])] for row in rows]
        columns[one.name] = np.array(values, types[one.type])
    return columns


def compare(chainrule, table, label):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        program(chainrule, "train", "--data", table, "--label", label, "--out", folder / "run", "--quiet")
        program(chainrule, "export", folder / "run", "--out", folder / "model.onnx")
        with open(table, newline="") as file:
            reader = csv.DictReader(file)
            rows, names = list(reader), reader.fieldnames
        rows += damaged(rows, names, label, 7)
        with open(folder / "rows.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        answer = json.loads(program(chainrule, "predict", folder / "run", folder / "rows.csv", "--json", "--quiet"))
        model = onnx.load(folder / "model.onnx")
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(folder / "model.onnx")
        description = json.loads({entry.key: entry.value for entry in model.metadata_props}["chainrule"])
        columns = feeds(session, description, rows)
        p, labels = session.run(None, columns)
        expected = np.array([one["probabilities"] for one in answer["predictions"]])
        one, _ = session.run(None, {name: values[:1] for name, values in columns.items()})
        none, _ = session.run(None, {name: values[:0] for name, values in columns.items()})
        assert p.shape == expected.shape and none.shape == (0, p.shape[1])
        # A single row may be computed in another order.
        assert np.abs(one[0] - p[0]).max() < 1e-12
        # The classes of equal probabilities may differ by rounding.
        clear = np.sort(expected, axis=1)[:, -1] - np.sort(expected, axis=1)[:, -2] > 1e-9
        classes = np.array([str(one["class"]) for one in answer["predictions"]])
        assert (labels.astype(str) == classes)[clear].all()
        return len(rows), len(session.get_inputs()), np.abs(p - expected).max()


def main():
    chainrule, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    references = json.loads((folder / "reference.json").read_text())
    worst = 0.0
    print(f"{'table':<26}{'rows':>7}{'inputs':>8}{'largest difference':>20}")
    for name, reference in references.items():
        n, inputs, difference = compare(chainrule, folder / f"{name}.csv", reference["label"])
        print(f"{name:<26}{n:>7}{inputs:>8}{difference:>20.1e}")
        worst = max(worst, difference)
    sys.exit(0 if worst < 1e-6 else 1)


main()

"""How a peer is asked: one JSON document on the first line says what to train on; then each line says how many epochs to make, from parameters that
are 0, and gets one line of JSON: the milliseconds of each, the loss of the last batch, and the most memory that was held, in bytes.

It is told the number of threads twice, in its environment and in what it is asked: not every library listens to both.
"""

import json
import resource
import sys
import time

import numpy as np


def asked():
    return json.loads(sys.stdin.readline())


def rows(ask, float_type):
    """Features `[n, d]`, scaled to -1 to 1, and labels `[n]`, of the rows that fill whole batches."""
    n, d = ask["rows"] // ask["batch"] * ask["batch"], ask["features"]
    x = np.fromfile(ask["pixels"], np.uint8, count=n * d).reshape(n, d).astype(float_type)
    x /= float_type(127.5)
    x -= float_type(1)
    return x, np.fromfile(ask["labels"], np.uint8, count=n)


def answer(**what):
    print(json.dumps(what), flush=True)


def peak_bytes():
    """The most memory that this program held. `ru_maxrss` alone would count what its parent held when it was forked."""
    try:
        with open("/proc/self/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def take(version, start, epoch):
    """Answers until nobody asks any more. `start()` gives the first state, `epoch(state)` the next, and the loss of its last batch."""
    answer(version=version)
    for line in sys.stdin:
        state, milliseconds = start(), []
        for _ in range(int(line)):
            begin = time.perf_counter()
            state, loss = epoch(state)
            milliseconds.append(1e3 * (time.perf_counter() - begin))
        answer(milliseconds=milliseconds, loss=float(loss), peak_bytes=peak_bytes())

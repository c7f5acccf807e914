"""The protocol of the peers. The first line of the input is the job, as JSON. Each further line is a number of epochs to train, from zero
parameters. The peer answers each of these with one line of JSON: the milliseconds of each epoch, the loss of the last batch, and the peak memory in
bytes.

The number of threads is in the environment and in the job, because some libraries use only one of the two.
"""

import json
import resource
import sys
import time

import numpy as np


def read_job():
    return json.loads(sys.stdin.readline())


def rows(job, float_type):
    """Returns features `[n, d]`, scaled to -1 to 1, and labels `[n]` of the rows of complete batches."""
    n, d = job["rows"] // job["batch"] * job["batch"], job["features"]
    x = np.fromfile(job["pixels"], np.uint8, count=n * d).reshape(n, d).astype(float_type)
    x /= float_type(127.5)
    x -= float_type(1)
    return x, np.fromfile(job["labels"], np.uint8, count=n)


def answer(**fields):
    print(json.dumps(fields), flush=True)


def peak_bytes():
    """Returns the peak memory of this process. `ru_maxrss` would include the memory of the parent at the fork."""
    try:
        with open("/proc/self/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reset_peak():
    """Sets the peak memory to the memory in use, if the system can."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def serve(version, start, epoch):
    """Answers until the input ends. `start()` returns the initial state, `epoch(state)` the next state and the loss of its last batch."""
    answer(version=version)
    for line in sys.stdin:
        state, milliseconds = start(), []
        for _ in range(int(line)):
            begin = time.perf_counter()
            state, loss = epoch(state)
            milliseconds.append(1e3 * (time.perf_counter() - begin))
        answer(milliseconds=milliseconds, loss=float(loss), peak_bytes=peak_bytes())

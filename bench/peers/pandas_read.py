"""Reads a table with pandas. The first line of the input is the job, as JSON, and each further line asks for a reading. The answer is one line of
JSON: the number of rows, the seconds, those of processor time, and the peak memory in bytes before and after."""

import sys
import time

import pandas as pd

import turns

job = turns.read_job()
turns.answer(version="pandas " + pd.__version__)
for _ in sys.stdin:
    before = turns.peak_bytes()
    begin, used = time.perf_counter(), time.process_time()
    table = pd.read_csv(job["file"])
    seconds, processor_seconds = time.perf_counter() - begin, time.process_time() - used
    turns.answer(rows=len(table), seconds=seconds, processor_seconds=processor_seconds, peak_bytes=[before, turns.peak_bytes()])

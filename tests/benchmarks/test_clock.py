"""Seconds of processors: those of this process, and of the children that ended."""

import subprocess
import sys
import time

from benchmarks.common.clock import clock, since, timed

BUSY = "import time\nwhile time.process_time() < 0.2: pass"


def test_a_child_counts_once_it_ended():
    start, own = clock(), time.process_time()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    own = time.process_time() - own
    spent = since(start)
    assert spent["cpu_seconds"] > own + 0.15 and spent["seconds"] > 0


def test_what_this_process_does_counts():
    def work():
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass

    _, cpu_seconds = timed(work)
    assert cpu_seconds >= 0.05

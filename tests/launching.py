"""Scripts in several processes that know of each other."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
HERE = f"import sys\nsys.path[:0] = [{str(TESTS)!r}]\n"  # where the toys are


def torchrun(arguments, processes=2, timeout=300):
    """Run a script, or "-m" a module, with its arguments by torchrun; what it wrote and returned."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS.parent)}
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=timeout, env=environment)

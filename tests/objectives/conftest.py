"""Lets the tests here import `value_toys`, and the families and oracles of the benchmarks."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "benchmarks")]

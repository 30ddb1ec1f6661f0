"""Lets the tests here import `mixture_toys` and `linear_gaussian_toys`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

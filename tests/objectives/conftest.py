"""Lets the tests here import `value_toys` and the other toys."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

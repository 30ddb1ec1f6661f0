"""Lets the tests here import `rollout_toys`, which a process of their own imports as well."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

"""Where studies read and write."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "benchmarks"
RESULTS = STUDIES / "results"  # measured, and committed
PAGES = ROOT / "docs/leaderboards"  # written from the results
RUNS = ROOT / "runs"  # what is trained and collected on the way; not committed

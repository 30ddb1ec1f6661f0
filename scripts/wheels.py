"""Which Pythons svlearn can be installed on without a compiler: a table of Python by extra, from the package index.

    python scripts/wheels.py                               # Python 3.12 to 3.14, every extra, at the pinned versions
    python scripts/wheels.py --pythons 3.14 --extras core images
    python scripts/wheels.py --free                        # at any version that pyproject.toml allows

pip resolves each set for that Python from wheels alone, and installs nothing; a cell says "yes", or what has no wheel.
Markers of dependencies are read by the Python that runs this, which pip does not do otherwise.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.12", "3.13", "3.14")
TOOLS = ("dev", "docs", "release")  # of those who change svlearn, not of those who use it
LACKS = re.compile(r"No matching distribution found for ([\w.-]+[^\s(]*)")
CONFLICT = re.compile(r"Cannot install .*|ResolutionImpossible.*")


def wanted() -> dict[str, list[str]]:
    """The requirements of the core and, with them, of each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: each for name, each in project["optional-dependencies"].items() if name not in TOOLS}
    return {"core": project["dependencies"]} | {name: project["dependencies"] + each for name, each in extras.items()}


def resolved(requirements: list[str], python: str, pinned: bool) -> str:
    """ "yes", or what stands in the way."""
    limits = ["--constraint", str(ROOT / "constraints.txt")] if pinned else []
    with tempfile.TemporaryDirectory() as folder:
        words = [
            "--dry-run",
            "--ignore-installed",
            "--only-binary=:all:",
            "--python-version",
            python,
            "--target",
            folder,
        ]
        command = [sys.executable, "-m", "pip", "install", "--quiet", *words, *limits, *requirements]
        run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode == 0:
        return "yes"
    found = LACKS.search(run.stderr) or CONFLICT.search(run.stderr)
    return (found[1] if found and found.re is LACKS else found[0] if found else run.stderr.strip()[-200:]).strip()


def main() -> None:
    known = wanted()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", nargs="+", default=list(PYTHONS), metavar="VERSION")
    parser.add_argument("--extras", nargs="+", choices=known, default=list(known), metavar="NAME")
    parser.add_argument("--free", action="store_true", help="at any version that pyproject.toml allows")
    options = parser.parse_args()
    header = f"| with the core | {' | '.join(options.pythons)} |\n| --- |{' --- |' * len(options.pythons)}\n"
    sys.stdout.write(header)
    for extra in options.extras:
        cells = [resolved(known[extra], python, not options.free) for python in options.pythons]
        sys.stdout.write(f"| {extra} | {' | '.join(cells)} |\n")
        sys.stdout.flush()  # a row takes a minute or more


if __name__ == "__main__":
    main()

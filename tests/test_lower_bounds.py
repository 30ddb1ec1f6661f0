"""The lower bounds of pyproject.toml are the versions that constraints-lowest.txt names, and those alone are tested."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
USED = [
    *PROJECT["dependencies"],
    *(each for extra in EXTRAS if extra not in ("dev", "docs", "release") for each in EXTRAS[extra]),
]


def versions(lines, sign):
    """The version behind the sign of each distribution, its last zeros left out."""
    bounds = {}
    for line in lines:
        name, version = re.match(rf"([\w.-]+)(?:\[\w+\])?{sign}([\d.]+)", line).groups()
        bounds[name.lower()] = re.sub(r"(\.0+)+$", "", version)
    return bounds


LINES = (line for line in (ROOT / "constraints-lowest.txt").read_text().splitlines() if "==" in line)
LOWEST = versions(LINES, "==")


@pytest.mark.parametrize(("name", "bound"), versions(USED, ">=").items())
def test_a_lower_bound_is_a_version_that_was_tested(name, bound):
    assert LOWEST.get(name) == bound


@pytest.mark.parametrize(("name", "bound"), versions(EXTRAS["dev"], ">=").items())
def test_a_tool_of_the_tests_is_tested_at_its_lower_bound(name, bound):
    assert LOWEST.get(name, bound) == bound

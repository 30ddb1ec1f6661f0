"""The examples of docs/advise.md run as they stand, and the page says what the code does."""

import re
from pathlib import Path

from svlearn.advising import making, pilot

PAGE = (Path(__file__).parents[2] / "docs/advise.md").read_text()


def test_the_examples_run(capsys):
    names = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(code, "docs/advise.md", "exec"), names)
    text, dear, numbers = capsys.readouterr().out.strip().split("\n")
    assert text.startswith("Use ") and "ridge" in dear and sum(map(int, re.findall(r"\d+", numbers))) == 16
    assert len(names["samples"].rewards) == 16


def test_the_shares_are_those_of_the_code():
    shares = {"pilot of plain samples": pilot.SHARE, "training": making.TRAINING, "foresight": making.GAINS}
    shares["race"] = making.RACE
    assert f"{pilot.SHARE:.0%}, or {pilot.TAUGHT:.0%} where something learns from it".replace("%", " %") in PAGE
    for part, share in shares.items():
        assert f"| {part} | {share:.0%}".replace("%", " %") in PAGE
    assert f"below what {pilot.NEEDED} plain samples cost" in PAGE

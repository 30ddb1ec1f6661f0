"""The examples of docs/language.md run as they stand, in their order."""

import os
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs/language.md"


@pytest.mark.skipif(not os.environ.get("SVLEARN_ASSETS"), reason="needs the public files of stories260k")
def test_the_examples_run(capsys):
    names = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert "Once upon a time |" in printed and "best of 8" in printed

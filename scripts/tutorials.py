"""Run docs/tutorials and docs/concepts.md, and write into each page what its code prints and draws.

    python scripts/tutorials.py            every page
    python scripts/tutorials.py choosing_alpha first_value

The blocks of a page run in their order, in one namespace and in an empty folder. What a block prints stands below it
between two comments; a figure that it saves as an SVG is put beside the page. Nothing there is typed by hand.
"""

import argparse
import contextlib
import io
import math
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs/tutorials"
BEGIN, END = "<!-- output -->", "<!-- /output -->"
EXAMPLES = "<!-- output: examples -->"  # samples, which another CPU draws differently: shown, and held to their lines
BLOCK = re.compile(
    r"```python\n(?P<code>.*?)```\n(?P<rest>(?:\n</details>\n)?)"
    rf"(?:\n(?P<kind>{BEGIN}|{EXAMPLES})\n(?P<shown>.*?){END}\n)?",
    re.DOTALL,
)
NUMBER = r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
WITH_ERROR = re.compile(rf"(?P<value>{NUMBER}) ± (?P<error>{NUMBER})")
CLOCK = re.compile(rf"{NUMBER}(?= (?:of its |times its )?(?:s|seconds)\b)")
ROUNDING = 1e-9  # of the difference itself
STANDARD_ERRORS = 4.0  # between two runs that differ in nothing but the rounding of another CPU


@dataclass(frozen=True)
class Run:
    """What one block of a page printed, and what the page shows of it; examples: of samples."""

    code: str
    printed: str
    shown: str | None
    examples: bool


def pages() -> list[Path]:
    """Those whose outputs are written here: the tutorials, and the concepts."""
    return sorted([*FOLDER.glob("*.md"), FOLDER.parent / "concepts.md"])


def run(page: Path, folder: Path) -> list[Run]:
    """Run the blocks of a page in `folder`, where their figures then lie."""
    names: dict = {"__name__": f"tutorial_{page.stem}"}
    runs, text = [], page.read_text()
    with _in_folder(folder):
        for match in BLOCK.finditer(text):
            out = io.StringIO()
            line = text[: match.start("code")].count("\n")
            with contextlib.redirect_stdout(out):
                exec(compile("\n" * line + match["code"], str(page), "exec"), names)
            shown = None if match["shown"] is None else _unfenced(match["shown"])
            runs.append(Run(match["code"], out.getvalue(), shown, match["kind"] == EXAMPLES))
    return runs


def written(page: Path, runs: list[Run]) -> str:
    """The text of the page with what was printed."""
    left = iter(runs)

    def with_output(match: re.Match) -> str:
        each = next(left)
        block = f"```python\n{match['code']}```\n{match['rest']}"
        if not each.printed:
            return block
        return f"{block}\n{EXAMPLES if each.examples else BEGIN}\n{_fenced(each.printed)}{END}\n"

    return BLOCK.sub(with_output, page.read_text())


def differences(shown: str, printed: str) -> list[str]:
    """What a page shows and its code does not print, line by line.

    x ± e agrees with y ± f where |x - y| <= 4 √(e² + f²); seconds are those of a machine, also as a column of a table;
    all else is literal, the blanks that align it apart.
    """
    lines = [_without_clock(text) for text in (shown, printed)]
    if len(lines[0]) != len(lines[1]):
        return [f"{len(lines[0])} lines are shown, {len(lines[1])} are printed"]
    return [f"{old!r} is shown, {new!r} is printed" for old, new in zip(*lines) if not _agree(old, new)]


def _without_clock(text: str) -> list[str]:
    """The lines; of tables without the rule and the columns of seconds."""
    lines = []
    timed: set[int] = set()
    for line in text.strip("\n").splitlines():
        if not line.startswith("|"):
            lines.append(CLOCK.sub("…", line))
        elif set(line) - set("|:- "):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)]
            timed = timed or {place for place, cell in enumerate(cells) if cell.startswith("Seconds")}
            lines.append("|".join(cell for place, cell in enumerate(cells) if place not in timed))
    return lines


def _agree(shown: str, printed: str) -> bool:
    pairs = [list(WITH_ERROR.finditer(text)) for text in (shown, printed)]
    words = [WITH_ERROR.sub("…", text).split() for text in (shown, printed)]
    if words[0] != words[1] or len(pairs[0]) != len(pairs[1]):
        return False
    for old, new in zip(*pairs):
        values, errors = ([_number(each[name]) for each in (old, new)] for name in ("value", "error"))
        if abs(values[0] - values[1]) > STANDARD_ERRORS * math.hypot(*errors) + ROUNDING:
            return False
    return True


def _number(text: str) -> float:
    return float(text.replace("−", "-"))


def _fenced(text: str) -> str:
    whole = text.rstrip("\n") + "\n"
    return f"\n{whole}\n" if whole.startswith("|") else f"```text\n{whole}```\n"


def _unfenced(text: str) -> str:
    return re.sub(r"^```text\n|```\n$", "", text) if text.startswith("```") else text.strip("\n") + "\n"


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """Work there, draw without a screen, and write figures that do not change from run to run."""
    import matplotlib
    from matplotlib import pyplot

    here, dated, searched = os.getcwd(), os.environ.get("SOURCE_DATE_EPOCH"), list(sys.path)
    os.chdir(folder)
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    style: Any = {
        "backend": "agg",
        "svg.hashsalt": "svlearn",
        "svg.fonttype": "none",
        "figure.constrained_layout.use": True,
    }
    try:
        with matplotlib.rc_context(style | {"axes.spines.top": False, "axes.spines.right": False}):
            yield
    finally:
        pyplot.close("all")
        os.chdir(here)
        sys.path[:] = searched
        os.environ.pop("SOURCE_DATE_EPOCH")
        if dated is not None:
            os.environ["SOURCE_DATE_EPOCH"] = dated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="pages, without .md; default: all")
    known = {page.stem: page for page in pages()}
    names = parser.parse_args().names or list(known)
    for name in names:
        if name not in known:
            parser.error(f"names: expected some of {', '.join(known)}, got {name!r}")
        page, start = known[name], time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            runs = run(page, Path(folder))
            for figure in sorted(Path(folder).glob("*.svg")):
                shutil.copy(figure, page.parent / figure.name)
        page.write_text(written(page, runs))
        sys.stderr.write(f"{page.name}: {time.process_time() - start:.0f} CPU seconds\n")


if __name__ == "__main__":
    main()

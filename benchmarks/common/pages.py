"""Pages that are written from results, and never by hand: Markdown tables, and parts of a page between two marks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from svlearn.files import write


def write_pages(pages: Mapping[Path, str]) -> None:
    """Write each text to its path."""
    for path, text in pages.items():
        write(path, text)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table in Markdown, of which all but the first `left` columns stand to the right; ends with a line break."""
    rule = [*["---"] * left, *["--:"] * (len(header) - left)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *rows))


def quote(page: str, mark: str, quotation: str) -> str:
    """The page with the quotation in the place of what stands between <!-- mark --> and <!-- /mark -->.

    Raises ValueError where the page does not have both marks.
    """
    before, start, rest = page.partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition(f"<!-- /{mark} -->")
    if not start or not end:
        raise ValueError(f"page: expected <!-- {mark} --> and <!-- /{mark} --> in it, got {page!s:.100}")
    return f"{before}{start}{quotation}{end}{after}"


def opening(title: str, finding: str, figures: Mapping[str, str] | None = None) -> str:
    """The head of a leaderboard: its title, what was found, and the figures, what each shows by its file name."""
    pictures = [f"![{shows}]({name})\n" for name, shows in (figures or {}).items()]
    return "\n".join([f"# {title}\n", f"{finding.rstrip()}\n", *pictures])


def folded(summary: str, text: str) -> str:
    """A part of a page that opens when it is asked for: what is of lesser use."""
    return f'<details markdown="1"><summary>{summary}</summary>\n\n{text.strip()}\n\n</details>\n'


TOLD = {"date", "git_commit", "cpu", "gpu", "cores"}  # by a provenance


def reproduce(studies: str | Sequence[str], held: Any, more: str = "") -> str:
    """How a page is measured and written again, and when, from which code and on what its results were measured.

    studies: whose results are benchmarks/results/<study>.json; held: those results, with the `provenance` of each part.
    """
    names = [studies] if isinstance(studies, str) else list(studies)
    commands = " and ".join(f"`python -m benchmarks {name}`" for name in names)
    files = " and ".join(f"`benchmarks/results/{name}.json`" for name in names)
    lines = ["## How to reproduce\n", f"{commands}: measures what {files} {lacks(names)}, and writes this page;"]
    lines.append("`--quote` writes it from what is there, `--help` tells the rest." + (f" {more}" if more else ""))
    return "\n".join([*lines, *measured_at(held)]) + "\n"


def lacks(names: Sequence[str]) -> str:
    return "lacks" if len(names) == 1 else "lack"


def measured_at(held: Any) -> list[str]:
    """A sentence of when, from which code and on what results were measured; none where they do not say."""
    origins = [each for each in provenances(held) if each.keys() >= TOLD]
    if not origins:
        return []
    days = sorted({origin["date"][:10] for origin in origins})
    commits = {str(origin["git_commit"])[:12] for origin in origins}
    machines = sorted({f"{origin['gpu'] or origin['cpu']}, {origin['cores']} cores" for origin in origins})
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    code = f"commit {commits.pop()}" if len(commits) == 1 else f"{len(commits)} commits, which the results name"
    changed = sum(str(origin["git_commit"]).endswith("+changes") for origin in origins)
    edits = f", {changed} of {len(origins)} parts with changes not yet committed" if changed else ""
    return [f"Measured {span} at {code}{edits}, on {'; '.join(machines)}."]


def provenances(held: Any) -> Iterator[dict[str, Any]]:
    """Every provenance within results."""
    if isinstance(held, dict):
        if isinstance(own := held.get("provenance"), dict):
            yield own
        for name, part in held.items():
            if name != "provenance":
                yield from provenances(part)
    elif isinstance(held, list):
        for part in held:
            yield from provenances(part)


def not_measured(title: str, study: str) -> str:
    """The page of a study that has no results yet."""
    return f"# {title}\n\nNot yet measured: run `python -m benchmarks {study}`.\n"

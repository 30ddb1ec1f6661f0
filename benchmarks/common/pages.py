"""Pages that are written from results, and never by hand: Markdown tables, and parts of a page between two marks."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

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


def not_measured(title: str, study: str) -> str:
    """The page of a study that has no results yet."""
    return f"# {title}\n\nNot yet measured: run `python -m benchmarks {study}`.\n"

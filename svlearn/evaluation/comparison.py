"""A comparison of samplers, as it is read, written and drawn."""

from pathlib import Path

from svlearn.evaluation.findings import Findings
from svlearn.evaluation.report import html, tables
from svlearn.files import write

MOST_PRINTED = 8  # conditions


class Comparison(Findings):
    """What `compare` found, and the files that tell of it."""

    def to_html(self, path: str | Path, *, title: str = "Comparison of samplers") -> Path:
        """Write the report, one self-contained file."""
        return write(path, html.render(self, title))

    def to_json(self, path: str | Path) -> Path:
        """Write all figures and rewards, the provenance too. NaN is null, -inf the string "-inf" (strict JSON)."""
        return write(path, tables.to_json(self))

    def to_csv(self, path: str | Path) -> Path:
        """Write `table`; a name that begins as a formula does has an apostrophe before it."""
        return write(path, tables.to_csv(self.table))

    def to_markdown(self) -> str:
        """A compact table for terminals and READMEs."""
        return tables.to_markdown(self.table)

    def __str__(self) -> str:
        """The compact table, and under it the notes. Of many conditions the table is of all together."""
        if len(self.by_condition) <= MOST_PRINTED:
            return "\n".join([self.to_markdown(), *self.notes]).rstrip()
        more = f"Of {len(self.by_condition)} conditions together; `table` and the page have each."
        return "\n".join([tables.to_markdown(self.overall_table), more, *self.notes])

    def __repr__(self) -> str:
        return str(self)

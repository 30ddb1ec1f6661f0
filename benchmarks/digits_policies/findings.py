"""What the rows of the study of policies on digits come to."""

from benchmarks.digits.findings import Cell
from benchmarks.digits_policies.rows import ROWS
from benchmarks.digits_policies.trained import POLICIES


def gather(held: dict) -> list[Cell]:
    """All that is measured, in the order of the rows."""
    cells = []
    for name, row in ROWS.items():
        for key, own in sorted(held["cells"].items(), key=lambda item: -float(item[0].rpartition("/")[2])):
            if key.rpartition("/")[0] == name:
                cells.append(Cell(name, None if row.fixed else float(key.rpartition("/")[2]), own))
    return cells


def of(cells: list[Cell], name: str) -> list[Cell]:
    """Those of a row, from the largest alpha to the smallest."""
    return [cell for cell in cells if cell.name == name]


def is_policy(cell: Cell) -> bool:
    return cell.name in POLICIES


def kl(cell: Cell) -> tuple[float, float]:
    """KL(q || p_ref) of a policy, nats, with its standard error."""
    mean, error = cell.held["kl"]
    return mean, error


def calls(cell: Cell) -> float:
    """Of the denoiser, an image. A policy's own step, some blurs of a gradient, is metered as a call too: as one of the
    reference where it draws alone, beside them where it proposes."""
    metered = cell.held["per_image"]["reference_calls"]
    return metered / 2 if is_policy(cell) else metered

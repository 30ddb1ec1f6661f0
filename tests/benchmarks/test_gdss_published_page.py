"""The page of the published rows of GDSS, on figures that are worked out by hand."""

import pytest

from benchmarks.gdss_published import page as pages
from benchmarks.gdss_table.batches import RESULTS as TABLE

OTHERS, OWN = pages.MASKS


def batch(mean, atoms=20):
    """Rewards of mean `mean` ± 0.1/sqrt(3), of three molecules that began with 18 atoms."""
    rewards = [mean - 0.1, mean, mean + 0.1]
    return {
        "rewards": rewards, "smiles": ["C", "CC", "CC"], "valid": [True, True, False], "atoms": [atoms] * 3,
        "asked": [18] * 3, "cpu_seconds": 2.5,
    }  # fmt: skip


@pytest.fixture
def held():
    batches = {f"reward/{OTHERS}/0": batch(0.8, 24), f"reward/{OWN}/0": batch(0.5, 18)}
    batches |= {f"ori/{OTHERS}/0": batch(0.4, 22), f"ori/{OWN}/0": batch(0.3), f"ori/{OWN}/1": batch(0.3)}
    return {"batches": batches, "training": {"ori": {"own": 0.25, "final": 0.5, "cpu_seconds": 20.4}}}


def test_differences_by_hand(held):
    """0.3 and 0.1, each ± 0.0816 but for the second, of which one side has six molecules."""
    text = pages.page(held, {"batches": {}})
    assert (
        "- **The fault, by the reward of the noisy graph**: +0.30 ± 0.08 in mean QED, and +6.0 atoms a molecule."
        in text
    )
    assert "final reward**: +0.10 ± 0.07, not told from none at 95 % in mean QED, and +2.0 atoms" in text
    assert "- **The fault, over the 2 choices**: +0.20 ± 0.05 in mean QED." in text
    assert "the largest quantiles are those of the reward of the noisy graph with masks of others, 0.860" in text
    assert "| a network of the final reward | 0.25 | 0.50 | 20 |" in text
    assert "24.0 (18.0) | 0.67 | 0.67 | 2.5 |" in text and "3 or 6 molecules a row" in text


def test_rows_of_the_table_stand_beside(held):
    known = pages.gather(TABLE.read())["QED"]
    text = pages.page(held, TABLE.read())
    mean = pages.with_error(*known["SVDD-PM"].mean)
    assert f"with their own masks**, against SVDD-PM of the table ({mean}): -0." in text


def test_nothing_is_said_of_what_was_not_drawn(held):
    del held["batches"][f"reward/{OTHERS}/0"]
    text = pages.page(held | {"training": {}}, {"batches": {}})
    assert "as yet: the reward of the noisy graph, masks of others; a network of the reward of the noisy graph," in text
    assert "The fault, by the reward" not in text and "The fault, over" not in text and "## The networks" not in text
    assert "Not yet measured" in pages.page({"batches": {}, "training": {}}, {"batches": {}})


def test_the_figure_has_a_point_a_row_and_a_line_a_row_of_the_table(held):
    text = pages.figure(held, TABLE.read())
    assert all(name in text for name in (*pages.MASKS, "SVDD-PM of the table", "pretrained of the table"))

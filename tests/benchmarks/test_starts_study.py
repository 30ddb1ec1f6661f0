"""The study of starts: its problems, calls and figures against numbers worked out by hand."""

import math

import pytest
import torch

from benchmarks.starts.measured import mean_of_strata, measured, spread
from benchmarks.starts.page import headline
from benchmarks.starts.problems import Mixture
from benchmarks.starts.rows import BY_GRADIENT, BY_NOISE, CALLS, PLAIN, ROWS
from svlearn.inference.samplers import smc
from svlearn.randomness import seeded
from svlearn.values import Zero


class Small(Mixture):
    num_groups = 400


def test_z_of_the_mixture_is_that_of_plain_samples_in_one_dimension():
    class Line(Mixture):
        DIM, WIDTH = 1, 0.8

    line = Line()
    log_z = smc(line.reference, line.target, Zero(), 50_000, 0.0).sample(8, generator=seeded("cpu", 0)).log_normalizer
    ratios = log_z.exp() / line.mean_normalizer()
    assert abs(float(ratios.mean()) - 1) < 4 * float(ratios.std()) / math.sqrt(8) < 0.02


@pytest.mark.parametrize("name", ROWS)
def test_every_row_spends_as_many_calls_and_keeps_z(name):
    found = measured(Small(), ROWS[name])
    spent = found["calls"] + 2 * found["gradients"]
    assert CALLS - found["size"] * 4 <= spent <= CALLS  # SVDD knows v_0 of the start that it keeps
    assert (found["gradients"] > 0) == (ROWS[name].start == BY_GRADIENT)
    mean, error = found["ratio"]
    assert abs(mean - 1) < 4 * error
    assert 1 <= found["effective_starts"][0] <= found["size"]


def test_starts_are_more_effective_in_both_samplers():
    for sampler in ("SMC", "SVDD"):
        rows = {start: measured(Small(), ROWS[f"{sampler}, {start}"]) for start in (PLAIN, BY_NOISE)}
        assert rows[BY_NOISE]["effective_starts"][0] > 3 * rows[PLAIN]["effective_starts"][0]


def test_the_spread_inside_strata_by_hand():
    """Two strata, 0 and 2, 10 and 14: squares 2 and 8, over 4 - 2."""
    log_z, strata = torch.tensor([0.0, 2.0, 10.0, 14.0], dtype=torch.float64), torch.tensor([0, 0, 1, 1])
    value, error = spread(log_z, strata)
    assert value == pytest.approx(math.sqrt(5))
    left = torch.tensor([8.0, 8.0, 2.0, 2.0]).sqrt()  # of one stratum alone, over 3 - 2
    assert error == pytest.approx(math.sqrt(0.75 * float((left - left.mean()).square().sum())))
    mean, error = mean_of_strata(log_z, strata)
    assert mean == 6.5 and error == pytest.approx(math.sqrt(2 / 2 + 8 / 2) / 2)


def test_the_sentence_says_what_the_rows_are():
    def row(effective, deviation):
        return {"effective_starts": [effective, 0.1], "spread": [deviation, 0.1]}

    held = {name: row(2.0, 1.0) for name in ROWS}
    held[f"SMC, {BY_NOISE}"] = row(8.0, 0.5)
    held[f"SMC, {BY_GRADIENT}"] = row(1.0, 1.5)
    said = headline("mixture", held)
    assert "SMC, by noise alone: 4 times as many effective starts, and a spread of log Z smaller" in said
    assert "SMC, along the gradient: 0.5 times as many effective starts, and a spread of log Z larger" in said
    assert said.count("not told apart") == 2

"""The figure of a training's validations."""

import math
import re

from svlearn.evaluation.report.training import validation_curves

ROWS = [
    {"step": 10.0 * k, "reward": k, "judge": -k, "judge_standard_error": 0.1, "kl": 0.5 * k, "diversity": 1 / (1 + k)}
    for k in range(5)
]


def test_reward_and_judge_stand_in_one_panel_with_an_axis_each():
    text = validation_curves(ROWS)
    assert text.startswith("<svg") and "var(--line)" not in text and "xmlns" in text
    words = re.findall(r">([^<>]+)</text>", text)
    assert "reward, mean (reward units)" in words and "judge, mean (reward units)" in words
    assert "KL(q || p_ref) (nats)" in words and {"diversity", "kl"} <= set(words)
    assert "optimiser step" in words


def test_the_kept_step_is_marked_and_what_is_missing_is_left_out():
    plain, marked = validation_curves(ROWS), validation_curves(ROWS, best_step=20.0)
    assert "the weights that were kept" in marked and len(marked) > len(plain)
    alone = validation_curves([{"step": row["step"], "reward": row["reward"]} for row in ROWS])
    assert "judge, mean" not in alone and "nats" not in alone
    assert validation_curves([]) is None and validation_curves([{"step": 1.0, "loss": 2.0}]) is None
    broken = [*ROWS, {"step": 50.0, "reward": -math.inf, "judge": math.nan}]
    assert validation_curves(broken).startswith("<svg")

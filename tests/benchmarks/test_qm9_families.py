"""The leaderboard of families on QM9: its errors by hand."""

import pytest

from benchmarks.qm9_families import page


def test_the_errors_of_the_families_pool_the_spread_of_training():
    """Worked by hand: seed means 0.5, 0.6 and 0.4, 0.4 have a pooled variance of (0.005 + 0) / 2 on 2 degrees."""
    means = {("a", "SVDD"): (0.5, 0.6), ("b", "policy"): (0.4, 0.4), ("baselines", "SVDD-PM"): (0.3, 0.5)}
    rewards = page.Rewards(
        {
            key: [{"mean_reward": mean, "mean_reward_standard_error": 0.01} for mean in each]
            for key, each in means.items()
        }
    )
    assert rewards.mean(("a", "SVDD")) == pytest.approx(0.55)
    assert rewards.error(("a", "SVDD")) == pytest.approx(0.05)  # its own spread, 0.1 / √2, over √2
    assert rewards.error(("b", "policy")) == pytest.approx(0.05 / 2**0.5)  # the pooled one, 0.05, over √2
    assert rewards.error(("baselines", "SVDD-PM")) == pytest.approx(0.01 / 2**0.5)
    assert rewards.quantile(("a", "SVDD")) == pytest.approx(4.3027, abs=1e-4)  # Student's t, 2 degrees
    assert rewards.quantile(("baselines", "SVDD-PM")) == pytest.approx(1.95996, abs=1e-5)

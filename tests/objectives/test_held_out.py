"""What validations say of a policy besides its reward: KL, a judge, and the reference's own figures."""

import math

import pytest
import torch
from control_toys import LinearInX
from distillation_toys import ALPHA, Table, make, markov
from torch import nn

from svlearn.domains.analytic import LinearGaussianChain
from svlearn.inference.samplers import best_of_n
from svlearn.objectives import AdjointMatching, DistributionalPolicyGradient, GroupRelativePolicyGradient
from svlearn.objectives.fit import fit
from svlearn.objectives.held_out import held_out_figures
from svlearn.policies import Controlled
from svlearn.randomness import seeded
from svlearn.targets import NonFiniteError, Target

QUIET = dict(enable_progress_bar=False, limit_val_batches=1, val_check_interval=1)


class Judge(nn.Module):
    """The number of a state, by a parameter that no fit is to train."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.modes = []

    def forward(self, x):
        self.modes.append((self.training, torch.is_grad_enabled()))
        return self.scale * x[:, 0].float()


def described(oracle):
    """The oracle, with figures of its own."""
    kind = type(oracle)
    kind = type("Described", (kind,), {"describe": lambda self, objects: {"diversity": len(objects) / 2, "reward": -1}})
    kind.decode = lambda self, x: list(x)
    oracle.__class__ = kind
    return oracle


@pytest.mark.parametrize("family", [DistributionalPolicyGradient, GroupRelativePolicyGradient])
def test_a_validation_logs_them_all_of_the_policys_own_samples(family):
    oracle, judge = described(markov()), Judge()
    policy = Table(oracle, 0.5)
    objective = family(oracle, oracle.target(ALPHA), policy, judge=judge, batch_size=8, num_validation=4000)
    fit(objective, max_steps=1, **{**QUIET, "limit_train_batches": 1})
    logged = {name: float(each) for name, each in objective.trainer.callback_metrics.items()}
    own = objective.roll_out_policy(4000, seeded("cpu", 5))
    law = own["states"][:, -1, 0].bincount(minlength=4).double() / 4000
    for name, table in (("reward", oracle.reward.table), ("judge", torch.arange(4.0).double())):
        spread = math.sqrt(float(law @ (table - law @ table) ** 2) / 4000)
        assert logged[f"validation/{name}"] == pytest.approx(float(law @ table), abs=6 * spread)
        assert logged[f"validation/{name}_standard_error"] == pytest.approx(spread, rel=0.1)
    elbo = logged["validation/reward"] / ALPHA - logged["validation/kl"]
    assert logged["validation/elbo"] == pytest.approx(elbo) and logged["validation/kl"] > 0.01
    assert logged["validation/diversity"] == 2000.0 and logged["validation/reward"] != -1
    assert {*judge.modes} == {(False, False)} and judge.training and judge.scale.grad is None


def test_a_distillation_and_a_control_have_a_judge_too():
    teacher = best_of_n(markov(), markov().target(0.0), 2)
    for alpha in (0.0, ALPHA):
        oracle = markov()
        teacher = best_of_n(oracle, oracle.target(alpha), 2)
        objective = make(oracle, teacher, alpha=alpha, batch_size=8, num_validation=8, judge=Judge())
        fit(objective, max_steps=1, **QUIET)
        logged = objective.trainer.callback_metrics
        assert "validation/judge" in logged and ("validation/kl" in logged) == (alpha > 0)
    chain = LinearGaussianChain.random(dim=2, num_steps=2, seed=0)
    objective = AdjointMatching(
        *(chain, chain.target(2.0), Controlled(chain, LinearInX(2, 2))),
        **dict(check_memory=False, batch_size=8, num_validation=8, judge=Judge()),
    )
    fit(objective, max_steps=1, **QUIET)
    assert {"validation/judge", "validation/kl", "validation/elbo"} <= {*objective.trainer.callback_metrics}


def test_a_judge_is_checked_as_a_reward_is():
    oracle, x = markov(), torch.zeros(3, 1, dtype=torch.long)
    with pytest.raises(NonFiniteError, match="reward: expected a number or -inf"):
        held_out_figures(oracle, x, torch.zeros(3), Target(lambda x: torch.full((3,), math.nan), 0.0))
    figures = held_out_figures(oracle, x, torch.tensor([1.0, 2.0, -math.inf]), None)
    assert figures["reward"] == -math.inf and math.isnan(figures["reward_standard_error"]) and "judge" not in figures

"""What an advice can train besides values: a surrogate of a dear reward, and a policy."""

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import BayesianRidge
from torch import nn

import svlearn as sv
from svlearn.advising import Budget, trained_policies
from svlearn.advising.candidates import Candidate
from svlearn.advising.configuration import configuration
from svlearn.advising.trained_policies import BATCH, EPOCHS, FEWEST_STEPS, STEPS, TIMES, steps_for
from svlearn.cli.parts import Parts
from svlearn.domains.analytic import LinearGaussianChain, QuadraticReward
from svlearn.domains.sequences.rewards import GCContent
from svlearn.metering import metered
from svlearn.surrogates import Surrogate

T, DIM = 4, 2
CHAIN = LinearGaussianChain(
    torch.zeros(DIM),
    1.0,
    0.9 * torch.eye(DIM).expand(T, DIM, DIM),
    torch.zeros(T, DIM),
    torch.full((T,), 0.5),
    QuadraticReward(torch.zeros(DIM, DIM), torch.tensor([1.0, 0.5])),
)
TARGET = sv.Target(CHAIN.reward, 0.0)


class Push(nn.Module):
    """A drift of its own for each step: of a linear reward the best control is one."""

    def __init__(self):
        super().__init__()
        self.push = nn.Parameter(torch.zeros(T, DIM))

    def forward(self, x, t):
        return 10 * self.push[t]


def identity(x):
    return x


def policy():
    return sv.policies.Controlled(CHAIN, Push())


def with_surrogate(**options):
    trainable = {"ridge": Surrogate(identity, BayesianRidge())}
    given = dict(budget="400000 calls", for_samples=1000, prices={"reward_calls": 100.0}, trainable=trainable)
    return sv.advise(CHAIN, TARGET, **{**given, **options})


def with_policy(**options):
    given = dict(budget="200000 calls", for_samples=1000, trainable={"drift": policy()})
    return sv.advise(CHAIN, TARGET, **{**given, **options})


def test_a_surrogate_of_a_dear_reward_is_recommended_and_asks_for_no_reward():
    """The reward is linear, and so is the surrogate: SVDD by it looks ahead as well as by the reward."""
    advice = with_surrogate()
    assert "ridge" in advice.recommended and advice.gain.low > 0
    cost = advice.sampler.sample(10, generator=torch.Generator().manual_seed(0)).cost
    assert cost.reward_calls <= 10 * 32 < cost.value_calls  # the finished candidates alone
    assert advice.break_even.samples is not None and advice.front.loc[advice.recommended, "training_price"] > 0
    with pytest.raises(ValueError, match="values.ridge: one that was trained and that no file holds"):
        _ = advice.yaml


def test_calls_of_a_surrogate_are_none_of_the_reward():
    surrogate = Surrogate(identity, BayesianRidge()).fit(torch.randn(40, DIM), torch.randn(40))
    with metered() as meter:
        sv.Target(surrogate, 0.0)(torch.zeros(5, DIM))
        sv.Target({surrogate: 1.0, CHAIN.reward: 0.0}, 0.0)(torch.zeros(7, DIM))
        sv.Target(CHAIN.reward, 0.0)(torch.zeros(3, DIM))
    assert meter.cost.reward_calls == 7 + 3


def test_a_policy_is_trained_on_its_share_and_races():
    advice = with_policy()
    rows = advice.front[advice.front.index.str.startswith("policy drift")]
    spent = rows["training_price"].unique().tolist()
    assert len(spent) == 1 and 0 < spent[0] <= 0.12 * 200_000
    assert rows["reward"].max() > advice.front.loc["plain samples", "reward"] + 1.0
    assert "drift" in advice.text


def test_the_policy_that_was_handed_over_stays_as_it_was(tmp_path, monkeypatch):
    own = policy()
    first = with_policy(trainable={"drift": own}, folder=tmp_path)
    assert (own.network.push == 0).all() and (tmp_path / "policies" / "drift.safetensors").is_file()

    def stopped(*arguments, **options):
        raise AssertionError("it need not be trained again")

    monkeypatch.setattr(trained_policies, "train", stopped)
    again = with_policy(trainable={"drift": own}, folder=tmp_path)
    assert again.text == first.text and again.front.equals(first.front)


def test_of_a_reference_that_says_no_end_there_is_no_surrogate():
    class Silent(sv.Reference):
        num_steps = T

        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.randn(batch_size, DIM, generator=generator)

        def forward(self, x, t, previous=None):
            return sv.Prediction(sv.GaussianTransition(0.9 * x, 0.5))

    trainable = {"ridge": Surrogate(identity, BayesianRidge())}
    advice = sv.advise(Silent(), TARGET, budget="4000 calls", for_samples=100, trainable=trainable)
    assert "predicts no clean sample" in advice.skipped["ridge"]


def test_steps_of_a_policy_by_hand():
    """A step draws a quarter of a batch, T = 4 steps by both processes and one reward each, and asks both at four
    moves of each of a batch: 2 · (4 · 4 + 16 · 4) + 4 = 164 calls."""
    assert (BATCH, EPOCHS, TIMES) == (16, 4, 4)

    def calls(known):
        return sum(known.values())

    budget = Budget(1e6, "calls")
    assert steps_for(budget, 164 * 23.5, CHAIN, calls) == 16  # whole iterations of eight
    assert steps_for(budget, 1e9, CHAIN, calls) == STEPS
    with pytest.raises(ValueError, match=f"{FEWEST_STEPS} steps of its training would cost 2624 calls, over its share"):
        steps_for(budget, 2600, CHAIN, calls)


def test_what_cannot_be_trained_is_named():
    with pytest.raises(TypeError, match=r"trainable\['net'\]: expected a Value or a Policy or a Surrogate, got Push"):
        sv.advise(CHAIN, TARGET, budget="4000 calls", for_samples=10, trainable={"net": Push()})


def test_the_recipe_of_a_policy_that_was_kept_builds_it(tmp_path):
    chain = sv.load("utr5").with_steps(4, "log_linear")
    own = sv.policies.Finetuned(chain)
    with torch.no_grad():
        next(iter(own.trained())).add_(1.0)
    path = tmp_path / "copy.safetensors"
    assert trained_policies.keep(own, path, chain) is None
    target = sv.Target(GCContent(), 0.1)
    recipe = {"class_path": "svlearn.best_of_n", "init_args": {"reference": "copy", "n": 2}}
    chosen = [Candidate("policy copy", sv.best_of_n(own, target, 2), recipe)]
    policies, files = {"copy": own}, {"copy": str(path)}
    told = configuration(chain, target, {}, policies, files, chosen, 4, 0, {"reference": "utr5", "reward": "unused"})
    built = Parts(chain, GCContent(), policies=told["policies"]).get("policies", "copy")
    for mine, theirs in zip(own.trained(), built.trained(), strict=True):
        assert torch.equal(mine, theirs)
    missing = configuration(chain, target, {}, policies, {}, chosen, 4, 0, None)
    assert "policies.copy: one that was handed over as an object" in missing
    kept = configuration(chain, target, {}, policies, {}, chosen, 4, 0, None, trained={"copy"})
    assert "policies.copy: one that was trained and that no file holds; give a folder" in kept


def test_a_folder_is_of_what_was_to_be_trained(tmp_path):
    with_surrogate(folder=tmp_path, budget="40000 calls")
    other = {"ridge": Surrogate(identity, DummyRegressor())}
    with pytest.raises(ValueError, match="of one with another trainable"):
        with_surrogate(folder=tmp_path, budget="40000 calls", trainable=other)


def test_a_regressor_that_draws_gives_the_same_advice_again():
    trainable = {"forest": Surrogate(identity, RandomForestRegressor(5))}
    columns = ["reward", "price", "training_price"]
    fronts = [with_surrogate(budget="40000 calls", trainable=trainable).front[columns] for _ in range(2)]
    assert fronts[0].equals(fronts[1])


def test_names_of_policies_are_not_those_of_what_is_trained():
    with pytest.raises(ValueError, match="got 'drift', which is that of another"):
        with_policy(policies={"drift": policy()})


def test_a_policy_that_the_clock_ends_early_is_left_out(monkeypatch):
    monkeypatch.setattr(trained_policies, "FEWEST_STEPS", 10**6)
    with pytest.raises(ValueError, match="400 steps of its training took its share of 60 s, 1000000 are the least"):
        trained_policies.train(policy(), CHAIN, TARGET, np.arange(9.0), condition=None, seed=0, steps=400, seconds=60.0)

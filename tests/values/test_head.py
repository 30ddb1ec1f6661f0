"""A head on the reference's features: exact where the features are one-hots of the state and the head is a table."""

import copy

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from svlearn.checkpoints import load_value, save_value
from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.inference.samplers import smc, svdd
from svlearn.metering import metered
from svlearn.objectives import (
    ContrastiveEnergy,
    ContrastiveTwist,
    MonteCarloRegression,
    PathConsistency,
    SoftQIteration,
)
from svlearn.objectives.fit import fit
from svlearn.process import Prediction, predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Head, Learned, evaluate

ALPHA, S, T = 0.8, 4, 3


class Featured(FiniteMarkovChain):
    """A chain whose features are the one-hot of the state (B, S)."""

    def forward(self, x, t, previous=None):
        prediction = super().forward(x, t)
        features = nn.functional.one_hot(x[:, 0], S).double()
        return type(prediction)(**{**vars(prediction), "features": features})


class TableHead(nn.Module):
    """One free number for each time and state, read by the one-hot of the state."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(T, S, dtype=torch.float64))

    def forward(self, features, t):
        return (features * self.table[t]).sum(dim=1)


class OneHot(nn.Module):
    """The same table as a network of (x, t)."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, t):
        return self.inner(nn.functional.one_hot(x[:, 0], S).double(), t)


@pytest.fixture
def chain():
    drawn = FiniteMarkovChain.random(num_states=S, num_steps=T, seed=3)
    return Featured(drawn.initial_probs, drawn.matrices, drawn.reward.table)


def filled(table, kind=TableHead):
    head = kind()
    head.table.data.copy_(table)
    return head


OBJECTIVES = {
    "mean": lambda c, v: MonteCarloRegression(c, c.target(ALPHA), v, "mean"),
    "soft": lambda c, v: MonteCarloRegression(c, c.target(ALPHA), v, "soft"),
    "at two times": lambda c, v: MonteCarloRegression(c, c.target(ALPHA), v, "soft", num_times=2),
    "soft-Q": lambda c, v: SoftQIteration(c, c.target(ALPHA), v),
    "soft-Q of fresh states": lambda c, v: SoftQIteration(c, c.target(ALPHA), v, num_next=3),
    "twist": lambda c, v: ContrastiveTwist(c, c.target(ALPHA), v),
    "energy": lambda c, v: ContrastiveEnergy(c, c.target(ALPHA), v),
    "path consistency": lambda c, v: PathConsistency(c, c.target(ALPHA), v, variant="detailed"),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_head_is_trained_as_the_same_table_of_x_and_t_is(name, chain):
    """The same loss and gradient as the `Learned` value that holds the same numbers, which the oracles test."""
    table = torch.randn(T, S, generator=seeded("cpu", 1), dtype=torch.float64)
    batch = roll_out(chain, 20, target=chain.target(ALPHA), generator=seeded("cpu", 2))
    figures = []
    for value in (Head(filled(table)), Learned(OneHot(filled(table)))):
        loss = OBJECTIVES[name](chain, value).loss(batch, seeded("cpu", 3))
        figures.append((loss, *torch.autograd.grad(loss, list(value.parameters()))))
    torch.testing.assert_close(figures[0], figures[1], rtol=1e-12, atol=1e-12)
    assert float(figures[0][1].abs().max()) > 1e-3


@pytest.mark.parametrize(("estimand", "exact"), [("soft", "soft_table"), ("mean", "mean_table")])
def test_a_fitted_head_is_the_exact_value(estimand, exact, chain):
    """On every trajectory of the chain, each as often as it is likely: the minimiser is the exact table."""
    paths = torch.cartesian_prod(*[torch.arange(S)] * (T + 1))
    likely = chain.initial_probs[paths[:, 0]]
    for t in range(T):
        likely = likely * chain.matrices[t][paths[:, t], paths[:, t + 1]]
    states = paths[:, :, None]
    head = Head(TableHead())
    rewards = chain.reward(states[:, -1])
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, tolerance_grad=1e-12, tolerance_change=0)
    predictions = [predict(chain, states[:, t], t) for t in range(T)]

    def closure():
        optimizer.zero_grad()
        values = torch.stack([evaluate(head, states[:, t], t, predictions[t]) for t in range(T)], dim=1)
        gaps = (rewards[:, None] - values) / ALPHA
        losses = gaps.exp() + values / ALPHA if estimand == "soft" else gaps**2
        loss = (likely[:, None] * losses).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    table = chain.soft_table(ALPHA)[:T] if estimand == "soft" else chain.mean_table()[:T]
    torch.testing.assert_close(head.network.table.detach(), table, rtol=1e-5, atol=1e-5)


def test_fit_trains_a_head_and_not_the_reference(chain):
    before = copy.deepcopy(chain.state_dict())
    objective = MonteCarloRegression(
        chain, chain.target(ALPHA), Head(TableHead()), "soft", learning_rate=5e-2, batch_size=512
    )
    fit(objective, max_steps=300, enable_progress_bar=False)
    torch.testing.assert_close(objective.value.network.table.detach(), chain.soft_table(ALPHA)[:T], rtol=0, atol=0.1)
    assert all(torch.equal(each, before[name]) for name, each in chain.state_dict().items())


def test_the_exact_head_gives_the_samples_of_the_exact_value(chain):
    exact = chain.soft_value(ALPHA)
    head = Head(filled(chain.soft_table(ALPHA)[:T]))
    for build in (lambda v: smc(chain, chain.target(ALPHA), v, 5), lambda v: svdd(chain, chain.target(ALPHA), v, 3)):
        samples, expected = (build(value).sample(6, generator=seeded("cpu", 0)) for value in (head, exact))
        assert torch.equal(samples.states, expected.states)
        torch.testing.assert_close(samples.log_normalizer, expected.log_normalizer)


def test_in_smc_a_head_costs_no_call_and_in_svdd_that_of_every_candidate(chain):
    head, plain = Head(TableHead()), Learned(OneHot(TableHead()))
    for build, own, other in (
        (lambda v: smc(chain, chain.target(ALPHA), v, 5), 6 * 5 * T, 6 * 5 * T),
        (lambda v: svdd(chain, chain.target(ALPHA), v, 3), 6 * 3 * T, 6 * T),
    ):
        costs = [build(value).sample(6, generator=seeded("cpu", 0)).cost for value in (head, plain)]
        assert [cost.reference_calls for cost in costs] == [own, other]


def test_soft_q_of_a_head_calls_the_reference_once_a_state(chain):
    batch = roll_out(chain, 20, target=chain.target(ALPHA), generator=seeded("cpu", 2))
    with metered() as meter:
        OBJECTIVES["soft-Q"](chain, Head(TableHead())).loss(batch, seeded("cpu", 3))
    assert meter.cost.reference_calls == 20 * T
    assert meter.cost.value_calls == 20 * T + 20 * (T - 1)  # v, and its slow copy one step later


def test_a_head_is_saved_and_loaded_by_its_network(chain, tmp_path):
    value = Head(filled(torch.randn(T, S, generator=seeded("cpu", 1), dtype=torch.float64)))
    save_value(value.network, tmp_path / "head.safetensors", chain)
    loaded = Head(load_value(TableHead(), tmp_path / "head.safetensors", chain))
    assert torch.equal(loaded.network.table, value.network.table)
    other = FiniteMarkovChain.random(num_states=S, num_steps=T, seed=4)
    with pytest.raises(ValueError, match="expected a checkpoint of this reference"):
        load_value(TableHead(), tmp_path / "head.safetensors", other)


def test_a_reference_without_features_is_refused_with_what_to_write(chain):
    bare = FiniteMarkovChain.random(num_states=S, num_steps=T, seed=3)
    with pytest.raises(ValueError, match=r"prediction.features: .*predicts none; return Prediction\(..., features="):
        smc(bare, bare.target(ALPHA), Head(TableHead()), 2).sample(2, generator=seeded("cpu", 0))
    with pytest.raises(ValueError, match="reads the reference's prediction, got None"):
        evaluate(Head(TableHead()), torch.zeros(2, 1, dtype=torch.long), 0)
    with pytest.raises(TypeError, match="network: expected a torch.nn.Module, got function"):
        Head(lambda features, t: features)


class ByKind(TableHead):
    """A table for each of two kinds, which no feature says: the leaf "kind" of a state."""

    leaf = "kind"

    def forward(self, features, t, kinds):
        return super().forward(features, t) * kinds


def test_a_head_reads_what_its_states_are_conditioned_on():
    head = Head(filled(1.0 + torch.arange(S), ByKind))
    prediction = Prediction(None, features=torch.eye(S, dtype=torch.float64))
    t, kinds = torch.full((S,), 1), torch.arange(S)
    x = TensorDict({"place": torch.zeros(S), "kind": kinds}, batch_size=[S])
    assert torch.equal(head(x, t, prediction), kinds * head.network.table[1])
    with pytest.raises(ValueError, match="x: expected states with a leaf 'kind', .* network reads, got place"):
        head(x.exclude("kind"), t, prediction)
    with pytest.raises(ValueError, match="a leaf 'kind', which the head's network reads, got a tensor alone"):
        head(torch.zeros(S), t, prediction)

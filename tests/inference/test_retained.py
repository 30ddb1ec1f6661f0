"""What a retained trajectory asks of its run: companions of its condition, a proposal that can follow, its length."""

import math

import pytest
import torch
from inference_toys import MARKOV
from tensordict import TensorDict

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.evaluation.bounds import normalizer_bounds
from svlearn.inference.proposals import Policy, Proposal
from svlearn.inference.samplers import smc, svdd
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition, ListedTransition
from svlearn.values import Zero

T = 3


class Prompted(Reference):
    """Starts at its condition and walks: where an x_0 lies says what it was given."""

    num_steps = T

    def initial(self, batch_size, *, condition=None, generator=None):
        x = torch.randn(batch_size, 2, generator=generator, dtype=torch.float64)
        return x if condition is None else x + condition

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(x, 0.5))


def near_its_start(x):
    return -((x - 100 * (x[:, :1] > 50)) ** 2).sum(dim=1) / 8


CONDITION = torch.tensor([[0.0, 0.0], [100.0, 100.0]]).double()


def walks(condition):
    x = [Prompted().initial(len(condition), condition=condition, generator=seeded("cpu", 0))]
    for t in range(T):
        x.append(x[-1] + 0.5 * torch.randn(x[-1].shape, generator=seeded("cpu", 1, t)).double())
    return torch.stack(x, dim=1)


@pytest.mark.parametrize("make", [smc, svdd])
def test_companions_start_under_the_condition_of_their_group(make):
    sampler = make(Prompted(), Target(near_its_start, 1.0), Zero(), 4)
    retained = walks(CONDITION)
    samples = sampler.sample_conditionally(retained, condition=CONDITION, generator=seeded("cpu", 2), keep_states=True)
    starts = samples.history.states[0]
    assert ((starts - CONDITION[:, None]).abs() < 6).all()
    assert torch.equal(starts[:, 0], retained[:, 0])
    with pytest.raises(ValueError, match="condition: expected 2 rows, one a group, got 3"):
        sampler.sample_conditionally(retained, condition=CONDITION[[0, 1, 1]])


@pytest.mark.parametrize("by_hand", [True, False], ids=["given", "drawn"])
def test_bounds_on_log_z_of_each_condition(by_hand):
    """The reward is the same seen from each condition, so that one log Z serves both."""
    condition = CONDITION[torch.arange(400) % 2]
    sampler = smc(Prompted(), Target(near_its_start, 1.0), Zero(), 64)
    trajectories = None
    if by_hand:  # each coordinate: x_T of variance 1.75 times exp(-x²/8) has variance 1/(1/1.75 + 1/4), path by bridge
        trajectories = exact_paths(condition)
    bounds = normalizer_bounds(sampler, 400, trajectories=trajectories, condition=condition, generator=seeded("cpu", 5))
    truth = -math.log(1 + 1.75 / 4)  # two coordinates of E[exp(-x²/8)] = (1 + 1.75/4)^(-1/2)
    assert abs(bounds.log_normalizer - truth) < 4 * bounds.log_normalizer_standard_error
    assert bounds.lower - 4 * bounds.lower_standard_error < truth < bounds.upper + 4 * bounds.upper_standard_error
    assert bounds.gap < 0.1
    with pytest.raises(ValueError, match=r"trajectories: expected shape \(400, 4, ...\)"):
        normalizer_bounds(sampler, 400, trajectories=walks(CONDITION), condition=condition)


def exact_paths(condition):
    """Draws of p*: x_T by its tilted law, then backwards, x_t given x_{t+1} of a walk that starts with variance 1."""
    shape, noise = condition.shape, seeded("cpu", 7)
    x = [torch.randn(shape, generator=noise).double() / math.sqrt(1 / 1.75 + 1 / 4)]
    for t in reversed(range(T)):
        before = 1 + 0.25 * t
        kept = before / (before + 0.25)
        spread = math.sqrt(before * 0.25 / (before + 0.25))
        x.append(kept * x[-1] + spread * torch.randn(shape, generator=noise).double())
    return torch.stack(x[::-1], dim=1) + condition[:, None]


ALPHA = 0.6
MOVES = torch.tensor([[1.0, 0, 0, 0, 0]] * 5).double()[None].expand(5, 5, 5)
STUCK = FiniteMarkovChain(MARKOV.initial_probs, MOVES.clone(), MARKOV.reward.table)  # goes to 0, wherever it is


@pytest.mark.parametrize("copies", [1, 3])
def test_a_proposal_that_cannot_follow_is_named_with_step_and_group(copies):
    retained = torch.zeros(3, 6, 1, dtype=torch.long)
    retained[1, 2:] = 4  # moves to 4 at t = 2, and stays
    sampler = smc(MARKOV, MARKOV.target(ALPHA), Zero(), 4, proposal=Policy(STUCK), num_candidates=copies)
    words = r"retained: .* in group 1 whose move to t = 2 it cannot make \(log q = -inf\)"
    with pytest.raises(ValueError, match=words):
        sampler.sample_conditionally(retained, generator=seeded("cpu", 0))
    with pytest.raises(ValueError, match=words):  # asked at the end, the first that failed
        sampler.sample_conditionally(retained, generator=seeded("cpu", 0), check="end")
    with pytest.raises(ValueError, match=words):
        sampler.resume(retained[:, 1], 1, retained=retained, generator=seeded("cpu", 0))
    fine = torch.zeros(3, 6, 1, dtype=torch.long)
    assert sampler.sample_conditionally(fine, generator=seeded("cpu", 0)).log_weights.isfinite().any()


def test_a_dirac_cannot_follow_a_gaussian():
    """log p_ref - log q is then given as -inf: the particle would be dead, and not infinitely heavy."""

    class Still(Proposal):
        def transition(self, x, t, prediction):
            return GaussianTransition(prediction.transition.mean, 0.0)

    sampler = smc(Prompted(), Target(near_its_start, 1.0), Zero(), 4, proposal=Still())
    with pytest.raises(ValueError, match="in group 0 whose move to t = 1 it cannot make"):
        sampler.sample_conditionally(walks(CONDITION), condition=CONDITION)


def test_trajectories_of_another_length_are_refused():
    """As they were: those too long were cut, one for all groups served each of them."""
    sampler = smc(MARKOV, MARKOV.target(ALPHA), Zero(), 4)
    for length in (5, 7):
        with pytest.raises(ValueError, match=rf"trajectories: expected shape \(B, 6, ...\), got \(2, {length}, 1\)"):
            sampler.sample_conditionally(torch.zeros(2, length, 1).long())
    with pytest.raises(ValueError, match=r"retained: expected shape \(3, 6, ...\)"):
        sampler.resume(torch.zeros(3, 1).long(), 2, retained=torch.zeros(1, 6, 1).long())


@pytest.mark.parametrize("kind", ["tokens", "parts"])
def test_trajectories_that_start_elsewhere_than_their_groups_are_refused(kind):
    """As they were: of svdd the given states counted for nothing, of smc the others started elsewhere."""
    retained = torch.zeros(3, 6, 1).long()
    x = torch.tensor([[0], [0], [1]])
    if kind == "parts":
        parts = [TensorDict({"a": each, "b": {"c": each * 0}}, batch_size=each.shape[:-1]) for each in (retained, x)]
        retained, x = parts
    with pytest.raises(ValueError, match="retained: expected trajectories that are at x at t = 2, .* in group 2"):
        smc(MARKOV, MARKOV.target(ALPHA), Zero(), 4).resume(x, 2, retained=retained)


def test_states_of_several_parts_can_be_retained():
    class Pairs(Reference):
        num_steps = 1

        def initial(self, batch_size, *, condition=None, generator=None):
            kind = torch.zeros(batch_size, 1).long() if condition is None else condition
            return TensorDict({"x": torch.zeros(batch_size, 1), "kind": kind}, batch_size=[batch_size])

        def forward(self, x, t, previous=None):
            moved = TensorDict({"x": x["x"] + 1, "kind": x["kind"]}, batch_size=[len(x)])
            return Prediction(ListedTransition(moved.unsqueeze(1), torch.zeros(len(x), 1)))

    kind = torch.tensor([[3], [8]])
    start = Pairs().initial(2, condition=kind)
    retained = torch.stack([start, TensorDict({"x": start["x"] + 1, "kind": kind}, batch_size=[2])], dim=1)
    sampler = smc(Pairs(), Target(lambda x: x["kind"][:, 0].float(), 1.0), Zero(), 3, ess_threshold=0)
    samples = sampler.sample_conditionally(retained, condition=kind, generator=seeded("cpu", 0))
    assert samples.states["kind"][..., 0].tolist() == [[3] * 3, [8] * 3]

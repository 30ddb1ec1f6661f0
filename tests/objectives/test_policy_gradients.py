"""Score-function objectives: their gradients against enumeration, and that they reach the exact floor."""

import itertools
import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.metering import metered
from svlearn.objectives.distributional_policy_gradient import DistributionalPolicyGradient
from svlearn.objectives.fit import fit
from svlearn.objectives.policy_gradient import PolicyGradient, leave_one_out, reinforce_loss
from svlearn.objectives.time_sampling import draw_times
from svlearn.policies import Policy
from svlearn.randomness import seeded
from svlearn.transitions import CategoricalTransition

ALPHA = 0.7


class Table(Policy):
    """A free logit for each time, state and next state, beside those of the reference."""

    def __init__(self, chain, seed=0):
        super().__init__(chain)
        shape = (chain.num_steps, chain.num_states, chain.num_states)
        self.logits = nn.Parameter(0.5 * torch.randn(shape, generator=seeded("cpu", seed), dtype=torch.float64))

    def steer(self, prediction, x, t):
        return CategoricalTransition(prediction.transition.log_probs + self.logits[t, x[:, 0]][:, None])

    def trained(self):
        return [self.logits]

    def matrices(self):
        return (self.reference.matrices.log() + self.logits).softmax(dim=-1)


def chain(rewards=None):
    drawn = FiniteMarkovChain.random(num_states=2, num_steps=2, seed=3)
    return drawn if rewards is None else drawn.with_rewards(torch.tensor(rewards))


def every_trajectory(policy):
    """All trajectories (8, 3, 1) of the tiny chain and their probabilities under the policy, with gradient."""
    oracle, moves = policy.reference, policy.matrices()
    paths = torch.tensor(list(itertools.product(range(2), repeat=3)))
    probs = oracle.initial_probs[paths[:, 0]]
    for t in range(2):
        probs = probs * moves[t, paths[:, t], paths[:, t + 1]]
    return paths.unsqueeze(-1), probs


def elbo(policy, alpha=ALPHA):
    """E_q[r/α] - KL(q || p_ref), exactly, backwards in time."""
    oracle, moves = policy.reference, policy.matrices()
    value = oracle.reward.table / alpha
    for t in reversed(range(oracle.num_steps)):
        value = (moves[t] * (value - (moves[t] / oracle.matrices[t]).log())).sum(dim=-1)
    return oracle.initial_probs @ value


def batch_of(states, oracle):
    return TensorDict({"states": states, "rewards": oracle.reward(states[:, -1])}, batch_size=[len(states)])


def test_leave_one_out_by_hand():
    assert leave_one_out(torch.tensor([1.0, 2.0, 6.0])).tolist() == [1 - 4, 2 - 3.5, 6 - 1.5]


def test_the_expected_gradient_over_all_batches_of_two_is_that_of_the_elbo():
    oracle = chain()
    policy = Table(oracle)
    objective = PolicyGradient(oracle, oracle.target(ALPHA), policy)
    paths, probs = every_trajectory(policy)
    expected = torch.zeros_like(policy.logits)
    for i, j in itertools.product(range(8), repeat=2):
        loss = objective.loss(batch_of(paths[[i, j]], oracle), seeded("cpu", 0))
        (gradient,) = torch.autograd.grad(loss, policy.logits)
        expected += (probs[i] * probs[j]).detach() * gradient
    (exact,) = torch.autograd.grad(-elbo(policy), policy.logits)
    torch.testing.assert_close(expected, exact)


def test_the_past_is_left_out_of_a_return():
    log_ratios = torch.tensor([[1.0, 2.0], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    reinforce_loss(log_ratios, torch.tensor([4.0, 0.0]), alpha=2.0).backward()
    # returns: (2 - 3, 2 - 2) and (0, 0); less the other's: (-1, 0) and (1, 0); over B = 2
    assert log_ratios.grad.tolist() == [[0.5, 0.0], [-0.5, 0.0]]


def test_the_mean_over_all_choices_of_one_time_is_the_gradient_at_every_time(monkeypatch):
    """Every pair of trajectories, and every pair of their two times, which are equally likely."""
    oracle = chain()
    policy = Table(oracle)
    whole = PolicyGradient(oracle, oracle.target(ALPHA), policy)
    some = PolicyGradient(oracle, oracle.target(ALPHA), policy, num_times=1)
    paths, _ = every_trajectory(policy)
    for i, j in itertools.product(range(8), repeat=2):
        batch, gradient = batch_of(paths[[i, j]], oracle), torch.zeros_like(policy.logits)
        batch["log_ratios"] = -some.log_ratios(batch["states"]).detach()
        for chosen in itertools.product(range(2), repeat=2):
            times = torch.tensor(chosen)[:, None]
            monkeypatch.setattr("svlearn.objectives.policy_gradient.draw_times", lambda *_, times=times: times)
            gradient += torch.autograd.grad(some.loss(batch, seeded("cpu", 0)), policy.logits)[0] / 4
        (exact,) = torch.autograd.grad(whole.loss(batch, seeded("cpu", 0)), policy.logits)
        torch.testing.assert_close(gradient, exact)


def test_fresh_trajectories_for_some_times_come_with_the_log_ratios_of_all():
    oracle = chain()
    some = PolicyGradient(oracle, oracle.target(ALPHA), Table(oracle), num_times=1)
    with metered() as meter:
        drawn = some._trajectories(0, 50, seeded("cpu", 0))
    assert meter.cost.reference_calls == meter.cost.policy_calls == 50 * 2
    torch.testing.assert_close(drawn["log_ratios"], -some.log_ratios(drawn["states"]))
    torch.testing.assert_close(drawn["rewards"], oracle.reward(drawn["states"][:, -1]))


def test_drawn_times_differ_and_are_equally_likely():
    drawn = draw_times(20_000, 5, 2, seeded("cpu", 0))
    assert drawn.shape == (20_000, 2) and bool((drawn[:, 0] != drawn[:, 1]).all())
    share = torch.bincount(drawn.flatten(), minlength=5) / 20_000
    assert bool(((share - 0.4).abs() <= 4.5 * (0.4 * 0.6 / 20_000) ** 0.5).all())


@pytest.mark.parametrize("num_times", [0, 3, 1.0, True])
def test_a_number_of_times_out_of_range_is_refused(num_times):
    oracle = chain()
    with pytest.raises(ValueError, match="num_times: expected None or an integer from 1 to 2"):
        PolicyGradient(oracle, oracle.target(ALPHA), Table(oracle), num_times=num_times)


@pytest.mark.parametrize("rewards", [[0.4, -0.9], [0.4, -math.inf]])
@pytest.mark.parametrize("stored", [False, True])
def test_the_expected_distributional_gradient_is_that_of_the_mass_covering_kl(rewards, stored):
    oracle = chain(rewards)
    policy = Table(oracle)
    objective = DistributionalPolicyGradient(oracle, oracle.target(ALPHA), policy)
    objective.log_scale.copy_(oracle.log_normalizer(ALPHA))  # then the constant factor is 1
    paths, probs = every_trajectory(policy)
    _, reference_probs = every_trajectory(Still(oracle))
    drawn, own = reference_probs if stored else probs, torch.tensor([not stored])
    loss = sum(
        drawn[i].detach() * objective.loss(batch_of(paths[[i]], oracle).set("own", own), seeded("cpu", 0))
        for i in range(8)
    )
    (expected,) = torch.autograd.grad(loss, policy.logits)
    twists = (oracle.reward(paths[:, -1]) / ALPHA).exp()
    optimal = reference_probs.detach() * twists / oracle.log_normalizer(ALPHA).exp()
    (exact,) = torch.autograd.grad(-(optimal * every_trajectory(policy)[1].log()).sum(), policy.logits)
    torch.testing.assert_close(expected, exact)


class Still(Table):
    """The reference itself, as a table."""

    def __init__(self, chain):
        super().__init__(chain)
        self.logits.data.zero_()


@pytest.mark.slow
def test_at_two_times_a_trajectory_it_comes_within_a_hundredth_of_a_nat_of_the_floor():
    oracle = FiniteMarkovChain.random(num_states=5, num_steps=6, seed=0)
    policy = Still(oracle)
    options = dict(num_times=2, learning_rate=2e-2, batch_size=256)
    objective = PolicyGradient(oracle, oracle.target(ALPHA), policy, **options)
    assert oracle.best_elbo(ALPHA) - elbo(policy) > 0.1
    fit(objective, max_steps=1500, enable_progress_bar=False)
    assert oracle.best_elbo(ALPHA) - elbo(policy) < 0.01


def test_stored_trajectories_count_as_the_references():
    oracle = chain()
    objective = DistributionalPolicyGradient(oracle, oracle.target(ALPHA), Table(oracle), batch_size=4)
    paths, _ = every_trajectory(Table(oracle))
    stored = objective._trajectories(batch_of(paths, oracle), 4, seeded("cpu", 0))
    fresh = objective._trajectories(0, 4, seeded("cpu", 0))
    assert not stored["own"].any() and fresh["own"].all() and len(fresh) == 4


def test_what_it_cannot_do_is_refused():
    oracle = chain([0.4, -math.inf])
    objective = PolicyGradient(oracle, oracle.target(ALPHA), Table(oracle))
    paths, _ = every_trajectory(Table(oracle))
    with pytest.raises(ValueError, match="DistributionalPolicyGradient takes it"):
        objective.loss(batch_of(paths, oracle), seeded("cpu", 0))
    with pytest.raises(ValueError, match="needs at least 2 trajectories"):
        objective.loss(batch_of(paths[:1], oracle), seeded("cpu", 0))
    with pytest.raises(ValueError, match="PolicyGradient learns from its own policy's trajectories"):
        objective.training_step(batch_of(paths, oracle), 0)
    with pytest.raises(ValueError, match="alpha: PolicyGradient needs alpha > 0"):
        PolicyGradient(oracle, oracle.target(0.0), Table(oracle))
    with pytest.raises(ValueError, match="expected one of this reference"):
        PolicyGradient(oracle, oracle.target(ALPHA), Table(chain([0.1, 0.2])))

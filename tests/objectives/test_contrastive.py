"""The contrastive losses: their expected gradients by enumeration, and what they learn on the oracles, up to c(t)."""

import itertools
import math

import pytest
import torch
from tensordict import TensorDict
from value_toys import Table, law_as_batch, markov, tiny

from svlearn.objectives.contrastive_energy import ContrastiveEnergy, contrastive_energy_loss
from svlearn.objectives.contrastive_twist import ContrastiveTwist, contrastive_twist_loss
from svlearn.objectives.fit import fit
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.values import Learned, Zero

ALPHA, INF = 2.0, math.inf


def objective_at(kind, chain, table, **options):
    objective = kind(chain, chain.target(ALPHA), Learned(Table(3, 2)), **options)
    objective.value.network.table.data.copy_(table)
    return objective


def gradient(objective, batch):
    objective.loss(batch, seeded("cpu", 0)).backward()
    return objective.value.network.table.grad


def random_table():
    return torch.randn(2, 3, generator=seeded("cpu", 5), dtype=torch.float64)


CONSTRAINED = (1.0, -INF, -0.5)


def test_the_twist_loss_by_hand():
    positives, log_weights = torch.tensor([1.0, 3.0, 7.0]), torch.tensor([0.0, math.log(3.0), -INF])
    loss = contrastive_twist_loss(positives, log_weights, torch.tensor([0.0, 2.0 * math.log(2.0)]), alpha=2.0)
    assert loss.item() == pytest.approx(math.log(1.5) - (1.0 + 3 * 3.0) / 4 / 2.0)


def test_the_energy_loss_by_hand():
    values, rewards = torch.tensor([[0.0, 2.0 * math.log(3.0)]] * 2), torch.tensor([[2.0, 0.0], [-INF, -INF]])
    loss = contrastive_energy_loss(values, rewards, alpha=2.0, level=0.5)
    expected = 0.5 * (math.exp(0.5) * math.log(4.0) + math.exp(-0.5) * math.log(4.0 / 3.0))
    assert loss.tolist() == pytest.approx([expected, 0.0])


def test_the_twist_gradient_is_that_between_the_two_laws():
    chain, table = tiny(CONSTRAINED), random_table()
    objective = objective_at(ContrastiveTwist, chain, table)
    law = law_as_batch(chain)
    slope = gradient(objective, torch.cat([law, law]))  # each half is the law itself
    learned = (chain.marginals()[:2].log() + table / ALPHA).softmax(dim=1)
    optimal = chain.optimal(ALPHA).marginals()[:2]
    torch.testing.assert_close(slope, (learned - optimal) / ALPHA / 2)


def test_the_twist_loss_at_the_exact_value_is_minus_the_divergence():
    chain = tiny(CONSTRAINED)
    objective = objective_at(ContrastiveTwist, chain, chain.soft_table(ALPHA)[:2] + torch.tensor([[3.0], [-1.0]]))
    law = law_as_batch(chain)
    loss = objective.loss(torch.cat([law, law]), seeded("cpu", 0))
    optimal, plain = chain.optimal(ALPHA).marginals()[:2], chain.marginals()[:2]
    assert loss.item() == pytest.approx(-(optimal * (optimal / plain).log()).sum(dim=1).mean().item())
    loss.backward()
    torch.testing.assert_close(objective.value.network.table.grad, torch.zeros(2, 3).double(), atol=1e-14, rtol=0)


def test_positives_and_negatives_are_never_the_same_trajectories():
    """Two trajectories: each is the only positive once, against the other as the only negative."""
    chain, table = tiny(), random_table()
    objective = objective_at(ContrastiveTwist, chain, table)
    batch = TensorDict({"states": torch.tensor([[0, 0, 0], [1, 2, 1]])[:, :, None], "rewards": torch.zeros(2)}, [2])
    loss = objective.loss(batch, seeded("cpu", 0))
    assert loss.item() == pytest.approx(0.0, abs=1e-15)
    batch["rewards"][1] = -INF
    loss = objective.loss(batch, seeded("cpu", 0))
    expected = (table[0, 1] - table[0, 0] + table[1, 2] - table[1, 0]) / 2 / ALPHA
    assert loss.item() == pytest.approx(expected.item())


def test_smc_positives_are_contrasted_with_the_whole_batch():
    """The gradient is the one between the two laws, up to the noise of the particles."""
    chain, table = tiny(CONSTRAINED), random_table()
    objective = objective_at(ContrastiveTwist, chain, table, positives="smc")
    law = law_as_batch(chain)
    batch, gradients = torch.cat([law] * 16), []
    for seed in range(100):
        objective.value.network.table.grad = None
        objective.loss(batch, seeded("cpu", seed)).backward()
        gradients.append(objective.value.network.table.grad.clone())
    gradients = torch.stack(gradients)
    error = gradients.std(dim=0) / math.sqrt(100)
    learned = (chain.marginals()[:2].log() + table / ALPHA).softmax(dim=1)
    expected = (learned - chain.optimal(ALPHA).marginals()[:2]) / ALPHA / 2
    assert bool(((gradients.mean(dim=0) - expected).abs() < 4 * error).all())
    assert error.max() < 0.05 * expected.abs().max()


def all_pairs(chain):
    """Every pair of trajectories of the tiny chain, side by side."""
    law = law_as_batch(chain)
    return law[torch.cartesian_prod(torch.arange(64), torch.arange(64)).flatten()]


def test_the_energy_gradient_is_exact_with_two_samples():
    """It is the gradient with exp(v_t(x_t)/α) known in the place of the rewards."""
    chain, table = tiny(CONSTRAINED), random_table()
    objective = objective_at(ContrastiveEnergy, chain, table, group_size=2)
    slope = gradient(objective, all_pairs(chain))
    assert objective.level.item() == pytest.approx(chain.log_normalizer(ALPHA).item())
    guess = table.clone().requires_grad_()
    exact, law = chain.soft_table(ALPHA), chain.marginals()
    for t, x, y in itertools.product(range(2), range(3), range(3)):
        pair = [x, y]
        loss = contrastive_energy_loss(guess[t, pair], exact[t, pair], ALPHA, chain.log_normalizer(ALPHA))
        (law[t, x] * law[t, y] * loss / 2).backward()
    torch.testing.assert_close(slope, guess.grad)


def test_the_exact_value_is_the_minimiser_at_two_samples_and_with_normalised_weights_it_is_not():
    chain = tiny(rewards=(4.0, -8.0, -2.0))
    exact, pairs = chain.soft_table(ALPHA)[:2], all_pairs(chain)
    objective = objective_at(ContrastiveEnergy, chain, exact + torch.tensor([[3.0], [-1.0]]), group_size=2)
    slope = gradient(objective, pairs)
    torch.testing.assert_close(slope, torch.zeros(2, 3).double(), atol=1e-14, rtol=0)

    guess = exact.clone().requires_grad_()
    t, states = torch.arange(2)[:, None], pairs["states"][:, :2, 0].T
    values = guess[t, states].view(2, -1, 2) / ALPHA
    weights = (pairs["rewards"].view(-1, 2) / ALPHA).softmax(dim=1)
    (-(weights * values.log_softmax(dim=2)).mean(dim=(1, 2)).mean()).backward()
    assert guess.grad.abs().max() > 1e-3


def test_the_level_is_kept_and_waits_for_a_finite_reward():
    chain = tiny(CONSTRAINED)
    objective = objective_at(ContrastiveEnergy, chain, random_table())
    law = law_as_batch(chain)
    dead = law[law["rewards"] == -INF]
    assert gradient(objective, dead).abs().max() == 0
    assert objective.level.isnan()
    objective.loss(law, seeded("cpu", 0))
    first = objective.level.clone()
    objective.loss(law[:10], seeded("cpu", 0))
    assert objective.level == first == pytest.approx(chain.log_normalizer(ALPHA).item())


def test_what_the_group_size_does_not_divide_is_left_out():
    chain = tiny()
    law = law_as_batch(chain)[torch.randperm(64, generator=seeded("cpu", 0))]
    losses = []
    for batch in (law[:8], law[:6]):
        objective = objective_at(ContrastiveEnergy, chain, random_table(), group_size=3)
        objective.level.fill_(0.0)
        losses.append(objective.loss(batch, seeded("cpu", 0)))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("kind", [ContrastiveTwist, ContrastiveEnergy])
def test_a_batch_that_cannot_be_contrasted_teaches_nothing(kind):
    chain = tiny(CONSTRAINED)
    law = law_as_batch(chain)
    for batch in (law[:1], law[law["rewards"] == -INF]):
        assert gradient(objective_at(kind, chain, random_table()), batch).abs().max() == 0


@pytest.mark.parametrize("kind", [ContrastiveTwist, ContrastiveEnergy])
def test_a_batch_is_contrasted_at_the_same_times(kind):
    """So a constant c(t) has no gradient, however few times are looked at."""
    chain = tiny()
    objective = objective_at(kind, chain, random_table(), num_times=1)
    slope = gradient(objective, law_as_batch(chain))
    assert (slope.abs().sum(dim=1) > 0).sum() == 1
    torch.testing.assert_close(slope.sum(dim=1), torch.zeros(2).double(), atol=1e-15, rtol=0)


@pytest.mark.slow
def test_smc_positives_teach_the_exact_value_up_to_a_constant_at_every_time():
    oracle, network = markov()
    options = dict(positives="smc", learning_rate=2e-2, batch_size=256)
    objective = ContrastiveTwist(oracle, oracle.target(ALPHA), Learned(network), **options)
    fit(objective, max_steps=1500, seed=0, enable_progress_bar=False)
    exact, other = oracle.soft_value(ALPHA), oracle.mean_value()
    states = roll_out(oracle, 4000, generator=seeded("cpu", 99))["states"]
    for t in range(oracle.num_steps):
        x, times = states[:, t], torch.full((4000,), t)
        with torch.no_grad():
            guess, truth, mean = objective.value(x, times), exact(x, times), other(x, times)
        assert 1 - (guess - truth).var() / truth.var() > 0.99
        if t == 0:  # and not the mean value, which differs by more than what is left to learn
            assert (guess - truth).std() < 0.5 * (mean - truth).std()


@pytest.mark.parametrize("kind", [ContrastiveTwist, ContrastiveEnergy])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(alpha=0.0), "alpha: the soft value needs alpha > 0, got 0"),
        (dict(batch_size=1), "batch_size"),
        (dict(value=Zero()), "trainable parameters, got Zero"),
        (dict(num_times=3), "num_times: expected None or 1 to 2, got 3"),
    ],
)
def test_bad_arguments_are_refused_by_name(kind, change, words):
    chain = tiny()
    options = dict(value=Learned(Table(3, 2))) | change
    target = Target(chain.reward, options.pop("alpha", ALPHA))
    with pytest.raises(ValueError, match=words):
        kind(chain, target, **options)


def test_unknown_positives_are_refused_with_the_known_ones():
    chain = tiny()
    with pytest.raises(ValueError, match="positives: expected one of weights, smc, got 'exact'"):
        ContrastiveTwist(chain, chain.target(ALPHA), Learned(Table(3, 2)), positives="exact")


@pytest.mark.parametrize("size", [1, 257, 2.0, True])
def test_a_group_has_two_samples_at_least_and_fits_the_batch(size):
    chain = tiny()
    with pytest.raises(ValueError, match="group_size: expected 2 to the batch_size of 256, got"):
        ContrastiveEnergy(chain, chain.target(ALPHA), Learned(Table(3, 2)), group_size=size)

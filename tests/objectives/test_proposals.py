"""Value objectives on trajectories of any proposal: by enumeration, they learn what those of the reference teach."""

import itertools
import math

import pytest
import torch
from proposal_toys import ALPHA, INF, objective_at, paths_of, setting
from value_toys import law_as_batch, tiny

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.inference import proposals
from svlearn.objectives.contrastive_energy import ContrastiveEnergy, contrastive_energy_loss
from svlearn.objectives.contrastive_twist import ContrastiveTwist, contrastive_twist_loss
from svlearn.objectives.fit import fit
from svlearn.objectives.monte_carlo import MonteCarloRegression
from svlearn.objectives.soft_q import SoftQIteration
from svlearn.randomness import seeded

CONSTRAINED = (1.0, -INF, -0.5)
REGRESSIONS = (MonteCarloRegression, SoftQIteration)


def gradient(objective, batch, seed=0):
    objective.value.network.table.grad = None
    objective.loss(batch, seeded("cpu", seed)).backward()
    return objective.value.network.table.grad.clone()


def test_the_toy_is_a_proposal_whose_weights_matter():
    chain, batch, law, _ = setting()
    assert (law[1] - chain.marginals()[1]).abs().max() > 0.1
    weights = batch["log_ratios"].sum(dim=1).exp()
    assert weights.mean().item() == pytest.approx(1.0) and weights.std() > 0.5
    assert bool((batch["log_ratios"] == -INF).any())  # moves that the reference never makes


@pytest.mark.parametrize("family", REGRESSIONS)
@pytest.mark.parametrize("estimand", ["soft", "mean"])
def test_the_expected_gradient_is_the_references_at_each_state(family, estimand):
    """At every x_t: law of x_t under the proposal, times the gradient given x_t under the reference, at random v."""
    chain, batch, law, table = setting(CONSTRAINED if estimand == "soft" else (1.0, -2.0, -0.5))
    objective, plain = (objective_at(family, chain, table, estimand) for _ in range(2))
    for each in (objective, plain):
        each.reward_variance.fill_(1.0)
        if family is SoftQIteration:
            each.slow.network.table.copy_(table.flip(0))
    expected = gradient(plain, law_as_batch(chain)) / chain.marginals()[:2] * law
    torch.testing.assert_close(gradient(objective, batch), expected)
    batch.pop("log_ratios")
    assert (gradient(objective, batch) - expected).abs().max() > 0.01


@pytest.mark.parametrize("family", [ContrastiveTwist, ContrastiveEnergy])
def test_the_exact_value_is_the_zero_of_the_expected_contrastive_gradients(family):
    chain, batch, _, table = setting(CONSTRAINED)
    exact = chain.soft_table(ALPHA)[:2] + torch.tensor([[3.0], [-1.0]])
    options = dict(group_size=2) if family is ContrastiveEnergy else {}
    batch = pairs(batch) if family is ContrastiveEnergy else torch.cat([batch, batch])
    slope = gradient(objective_at(family, chain, exact, **options), batch)
    torch.testing.assert_close(slope, torch.zeros(2, 3).double(), atol=1e-14, rtol=0)
    assert gradient(objective_at(family, chain, table, **options), batch).abs().max() > 0.01
    batch.pop("log_ratios")
    assert gradient(objective_at(family, chain, exact, **options), batch).abs().max() > 0.01


def pairs(batch):
    """Pairs of trajectories side by side, all of them: with two to a group, the mean over groups is the expectation."""
    index = torch.arange(len(batch))
    return batch[torch.cartesian_prod(index, index).flatten()]


def test_the_twist_gradient_is_that_between_two_laws_over_that_of_the_batch():
    """Their common base is the proposal's law of x_t, for a value does not say where states come from."""
    chain, batch, law, table = setting(CONSTRAINED)
    slope = gradient(objective_at(ContrastiveTwist, chain, table), torch.cat([batch, batch]))
    exact = chain.soft_table(ALPHA)[:2]
    learned, optimal = ((law.log() + each / ALPHA).softmax(dim=1) for each in (table, exact))
    torch.testing.assert_close(slope, (learned - optimal) / ALPHA / 2)


def test_the_energy_gradient_is_the_exact_one_over_pairs_of_the_proposal():
    chain, batch, law, table = setting(CONSTRAINED)
    objective = objective_at(ContrastiveEnergy, chain, table, group_size=2)
    slope = gradient(objective, pairs(batch))
    assert objective.level.item() == pytest.approx(chain.log_normalizer(ALPHA).item())
    guess, exact = table.clone().requires_grad_(), chain.soft_table(ALPHA)
    for t, x, y in itertools.product(range(2), range(3), range(3)):
        loss = contrastive_energy_loss(guess[t, [x, y]], exact[t, [x, y]], ALPHA, chain.log_normalizer(ALPHA))
        (law[t, x] * law[t, y] * loss / 2).backward()
    torch.testing.assert_close(slope, guess.grad)


def test_weighed_negatives_by_hand():
    zero, values, log_weights = torch.zeros(1), torch.tensor([2.0, 0.0, 4.0]), torch.tensor([3.0, 1.0, 0.0]).log()
    loss = contrastive_twist_loss(zero, zero, values, 2.0, log_weights)
    assert loss.item() == pytest.approx(math.log((3 * math.e + 1) / 4))


def test_smc_positives_are_contrasted_with_the_law_of_the_reference():
    chain, batch, _, table = setting(CONSTRAINED)
    objective, gradients = objective_at(ContrastiveTwist, chain, table, positives="smc"), []
    for seed in range(100):
        gradients.append(gradient(objective, torch.cat([batch] * 4), seed))
    gradients = torch.stack(gradients)
    error = gradients.std(dim=0) / math.sqrt(100)
    learned = (chain.marginals()[:2].log() + table / ALPHA).softmax(dim=1)
    expected = (learned - chain.optimal(ALPHA).marginals()[:2]) / ALPHA / 2
    assert bool(((gradients.mean(dim=0) - expected).abs() < 4 * error).all())
    assert error.max() < 0.05 * expected.abs().max()


def test_negatives_beside_smc_positives_are_weighed_for_the_past_alone():
    chain, batch, _, table = setting(CONSTRAINED)
    gradients = []
    for last in (batch["log_ratios"][:, 1], torch.randn(256, generator=seeded("cpu", 1)).double()):
        batch["log_ratios"] = torch.stack([batch["log_ratios"][:, 0], last], dim=1)
        gradients.append(gradient(objective_at(ContrastiveTwist, chain, table, positives="smc"), batch))
    assert torch.equal(*gradients)


class Reversal(FiniteMarkovChain):
    """A chain with its exact forward process: p(x_t | x_T) by Bayes' rule."""

    def noise(self, x, t_from, t_to, *, generator=None):
        joint = self.marginals()[t_to] * self.clean_probs[t_to, :, x[:, 0]]
        return torch.multinomial(joint, 1, generator=generator)


@pytest.mark.parametrize("estimand", ["soft", "mean"])
def test_noised_states_are_weighed_by_their_whole_paths(estimand):
    """Then x_T, and with it x_t, is of the reference: the expected gradient is the reference's own."""
    chain, batch, _, table = setting((4.0, -2.0, -4.0))
    chain = Reversal(chain.initial_probs, chain.matrices, chain.reward.table)
    plain = objective_at(MonteCarloRegression, chain, table, estimand)
    noised = objective_at(MonteCarloRegression, chain, table, estimand, noised=True)
    for each in (plain, noised):
        each.reward_variance.fill_(1.0)
    batch = torch.cat([batch] * 4)
    gradients = torch.stack([gradient(noised, batch, seed) for seed in range(200)])
    error = gradients.std(dim=0) / math.sqrt(200)
    expected = gradient(plain, law_as_batch(chain))
    assert bool(((gradients.mean(dim=0) - expected).abs() < 4 * error).all())
    assert error.max() < 0.02 * expected.abs().max()
    batch.pop("log_ratios")
    plain = torch.stack([gradient(noised, batch, seed) for seed in range(200)]).mean(dim=0)
    assert bool(((plain - expected).abs() > 8 * error).any())


def test_fresh_next_states_need_no_weight():
    chain, batch, _, table = setting()
    torch.testing.assert_close(
        gradient(objective_at(SoftQIteration, chain, table, num_next=2), batch),
        gradient(objective_at(SoftQIteration, chain, table, num_next=2), batch.exclude("log_ratios")),
    )


@pytest.mark.parametrize("estimand", ["soft", "mean"])
def test_soft_q_weighs_one_move_alone(estimand):
    """Weights of what comes later would be right on average too, and noisier with every step."""
    chain, batch, _, table = setting()
    gradients = []
    for later in (batch["log_ratios"][:, 1], torch.zeros(256)):
        objective = objective_at(SoftQIteration, chain, table, estimand)
        batch["log_ratios"] = torch.stack([batch["log_ratios"][:, 0], later], dim=1)
        gradients.append(gradient(objective, batch[:5]))
    assert torch.equal(gradients[0][0], gradients[1][0]) and not torch.equal(gradients[0][1], gradients[1][1])


def test_with_the_optimal_proposal_the_soft_gradient_at_the_value_has_no_variance():
    """Every trajectory says W_t exp(r/α) = exp(v_t/α): so the second term of the loss must not be weighed."""
    chain = tiny()
    batch, _ = paths_of(chain, chain.optimal(ALPHA))
    batch = batch[chain.optimal(ALPHA).matrices[0][batch["states"][:, 0, 0], batch["states"][:, 1, 0]] > 0]
    batch = batch[batch["log_ratios"].isfinite().all(dim=1)]
    objective = objective_at(MonteCarloRegression, chain, chain.soft_table(ALPHA)[:2], "soft")
    for row in range(len(batch)):
        slope = gradient(objective, batch[row : row + 1])
        torch.testing.assert_close(slope, torch.zeros(2, 3).double(), atol=1e-14, rtol=0)


@pytest.mark.parametrize("family", [*REGRESSIONS, ContrastiveTwist, ContrastiveEnergy])
def test_a_proposal_that_is_the_reference_changes_no_bit(family):
    chain, _, _, table = setting()
    same = [objective_at(family, chain, table, proposal=each) for each in (None, proposals.FromReference())]
    tables = [fit(each, max_steps=3, enable_progress_bar=False).value.network.table for each in same]
    assert torch.equal(*tables)

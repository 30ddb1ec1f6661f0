"""What a sampler says of its candidates, as labels: their estimands and their bias, on the oracles."""

import math

import finished_toys
import pytest
import torch

import svlearn as sv
from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.domains.analytic.markov_chain import TableValue
from svlearn.metering import metered
from svlearn.randomness import seeded
from svlearn.rollouts import InMemoryData, label_candidates, label_survivors, roll_out
from svlearn.values import AtSteps, Learned, PosteriorMean, Residual, Zero

ALPHA, MANY = 0.7, 6000


def gaussian():
    chain = LinearGaussianChain.random(dim=2, num_steps=4, seed=0)
    return chain, chain.target(ALPHA)


def markov(rewards=None):
    chain = FiniteMarkovChain.random(num_states=3, num_steps=3, seed=2)
    return chain if rewards is None else chain.with_rewards(torch.tensor(rewards))


def shifted(chain):
    """The chain with the columns of its moves turned: other moves, of which all are possible."""
    return FiniteMarkovChain(chain.initial_probs, chain.matrices.roll(1, dims=2), chain.reward.table)


def wrong(chain):
    """A value that is far from the exact one."""
    return TableValue(torch.randn(chain.num_steps, 3, generator=seeded("cpu", 1), dtype=torch.float64))


def drawn(sampler, number=MANY, **options):
    return sampler.sample_candidates(number, generator=seeded("cpu", 0), **options)


def agrees(rows, numbers, exact):
    """Whether the means of the numbers (N,) of each time and state are the exact table's, within their errors."""
    for t in range(len(exact)):
        for state in range(3):
            own = numbers[(rows["times"] == t) & (rows["states"][:, 0] == state)]
            error = own.std() / math.sqrt(len(own))
            assert len(own) > 100 and abs(own.mean() - exact[t, state]) < 4 * error + 1e-12
    return True


def test_a_candidate_is_labelled_by_what_was_said_of_it_and_costs_nothing_more():
    chain, target = gaussian()
    sampler = sv.svdd(chain, target, PosteriorMean(target), 3)
    plain = sampler.sample(5, generator=seeded("cpu", 0))
    samples = drawn(sampler, 5)
    assert torch.equal(samples.states, plain.states) and samples.cost.reference_calls == plain.cost.reference_calls
    with metered() as meter:
        rows = label_candidates(sampler, samples)
    assert meter.cost.reference_calls == meter.cost.reward_calls == 0
    assert len(rows) == 5 * 3 * 4 and rows["times"].bincount().tolist() == [15] * 4
    clean = chain(rows["states"], rows["times"]).clean
    torch.testing.assert_close(rows["rewards"], chain.reward(clean))


def test_the_reward_of_a_posterior_mean_is_too_large_by_half_the_curvature_of_what_is_left():
    chain, target = gaussian()
    sampler = sv.svdd(chain, target, PosteriorMean(target), 3)
    rows = label_candidates(sampler, drawn(sampler, 20))
    mean = chain.mean_value()
    curvature = torch.einsum("ij,tji->t", mean.matrices[-1], chain.clean_covariances[:4]) / 2
    gaps = rows["rewards"] - mean(rows["states"], rows["times"])
    torch.testing.assert_close(gaps, curvature[rows["times"]])
    assert curvature[0] > 0.1


def test_the_mean_of_the_children_is_nearer_to_the_value_by_a_level_and_at_the_last_is_the_value():
    chain, value = markov(), PosteriorMean(markov().target(0.0))
    sampler = sv.svdd(chain, chain.target(0.0), value, [1, 2, 2, 2])
    rows = label_survivors(sampler, drawn(sampler))
    point = torch.stack([chain.reward.table[probs.argmax(dim=1)] for probs in chain.clean_probs])
    exact = (chain.matrices @ point[1:, :, None]).squeeze(2)
    assert agrees(rows, rows["rewards"], exact)
    torch.testing.assert_close(exact[-1], chain.mean_table()[-2])
    assert (point[:3] - chain.mean_table()[:3]).abs().mean() > (exact - chain.mean_table()[:3]).abs().mean() + 0.01


@pytest.mark.parametrize("levels", [1, 2, None])
def test_soft_labels_are_unbiased_in_their_exponential_whatever_the_value(levels):
    chain = markov((1.0, -math.inf, -0.5))
    value = wrong(chain)
    sampler = sv.svdd(chain, chain.target(ALPHA), value, 2)
    rows = label_survivors(sampler, drawn(sampler), levels=levels)
    said = torch.cat([value.table, chain.reward.table[None]])
    exact = torch.empty(3, 3, dtype=torch.float64)
    for t in range(3):
        until = min(3, t + (3 if levels is None else levels))
        moves = torch.linalg.multi_dot([torch.eye(3).double(), *chain.matrices[t:until]])
        exact[t] = moves @ (said[until] / ALPHA).exp()
    assert agrees(rows, (rows["rewards"] / ALPHA).exp(), exact)
    if levels is None:
        torch.testing.assert_close(ALPHA * exact.log(), chain.soft_table(ALPHA)[:3])


def test_what_another_process_drew_is_weighed():
    chain, alpha = markov(), 2.0
    sampler = sv.svdd(chain, chain.target(alpha), wrong(chain), 2, sv.proposals.Policy(shifted(chain)))
    samples = drawn(sampler)
    rows = label_survivors(sampler, samples, levels=None)
    assert agrees(rows, (rows["rewards"] / alpha).exp(), (chain.soft_table(alpha)[:3] / alpha).exp())
    rows = label_survivors(sampler, samples, "mean")
    said = torch.cat([wrong(chain).table, chain.reward.table[None]])
    assert agrees(rows, rows["rewards"], (chain.matrices @ said[1:, :, None]).squeeze(2))


def test_an_exact_value_and_an_exact_step_leave_no_noise_in_the_labels():
    chain = markov()
    value = TableValue(chain.soft_table(ALPHA))
    sampler = sv.svdd(chain, chain.target(ALPHA), value, 1, sv.proposals.Exact(value))
    for levels in (1, 2, None):
        rows = label_survivors(sampler, drawn(sampler, 50), levels=levels)
        torch.testing.assert_close(rows["rewards"], value(rows["states"], rows["times"]))


def test_labels_of_all_losers_vary_less_than_the_rewards_of_single_rollouts():
    chain = markov()
    target = chain.target(ALPHA)
    sampler = sv.svdd(chain, target, TableValue(chain.soft_table(ALPHA)), 8)
    rows = label_survivors(sampler, drawn(sampler, 1000), levels=None)
    exact = (chain.soft_table(ALPHA) / ALPHA).exp()
    gaps = (rows["rewards"] / ALPHA).exp() - exact[rows["times"], rows["states"][:, 0]]
    plain = roll_out(chain, 1000, target=target, generator=seeded("cpu", 1))
    gaps_plain = (plain["rewards"] / ALPHA).exp()[:, None] - exact[torch.arange(3), plain["states"][:, :3, 0]]
    assert gaps.square().mean() < 0.25 * gaps_plain.square().mean()


def test_particles_that_compete_are_labelled_by_the_children_of_their_own():
    chain = markov()
    sampler = sv.smc(chain, chain.target(ALPHA), wrong(chain), 4, num_candidates=3, ess_threshold=1.0)
    rows = label_survivors(sampler, drawn(sampler, 1500))
    said = torch.cat([wrong(chain).table, chain.reward.table[None]])
    exact = (chain.matrices @ (said[1:] / ALPHA).exp()[:, :, None]).squeeze(2)
    assert len(rows) == 1500 * 4 * 3 and agrees(rows, (rows["rewards"] / ALPHA).exp(), exact)


def test_a_batch_that_is_cut_gives_the_same_labels():
    chain, target = gaussian()
    sampler = sv.svdd(chain, target, PosteriorMean(target), 3)
    whole, cut = drawn(sampler, 6), drawn(sampler, 6, max_batch=4)
    for label in (label_candidates, label_survivors):
        for one, other in zip(label(sampler, whole).values(), label(sampler, cut).values(), strict=True):
            torch.testing.assert_close(one, other)


def test_steps_at_which_nobody_is_asked_have_no_labels():
    chain, target = gaussian()
    numbers = [3, 1, 3, 1, 3]
    sampler = sv.svdd(chain, target, AtSteps(PosteriorMean(target), [0, 2]), numbers)
    samples = drawn(sampler, 5)
    assert label_candidates(sampler, samples)["times"].bincount().tolist() == [15, 0, 15]
    assert label_survivors(sampler, samples)["times"].bincount().tolist() == [0, 5, 0, 5]
    assert label_survivors(sampler, samples, levels=None)["times"].bincount().tolist() == [5] * 4


def test_all_rows_are_served_once_an_epoch():
    chain, target = gaussian()
    sampler = sv.svdd(chain, target, PosteriorMean(target), 3)
    rows = label_candidates(sampler, drawn(sampler, 5))
    data = InMemoryData(rows, batch_size=16, seed=3)
    loader = data.train_dataloader()
    epochs = [torch.cat([batch["rewards"] for batch in loader]) for _ in range(2)]
    assert len(loader) == 4 and not torch.equal(*epochs)
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, rows["rewards"].sort().values)
    assert torch.equal(
        next(iter(InMemoryData(rows, batch_size=16, seed=3).train_dataloader()))["rewards"], epochs[0][:16]
    )


def test_what_cannot_be_labelled_is_refused_by_name():
    chain, target = gaussian()
    value = PosteriorMean(target)
    sampler = sv.svdd(chain, target, value, 3)
    with pytest.raises(ValueError, match="samples: expected those of sampler.sample_candidates"):
        label_candidates(sampler, sampler.sample(2))
    blind = sv.svdd(chain, target, Zero(), 3)
    with pytest.raises(ValueError, match="a value that is asked before T where labels come from, got Zero"):
        label_candidates(blind, drawn(blind, 2))
    with pytest.raises(ValueError, match="levels: expected 1 for the mean"):
        label_survivors(sampler, drawn(sampler, 2), "mean", 2)
    with pytest.raises(ValueError, match="levels: expected an integer of at least 1, got 0"):
        label_survivors(sampler, drawn(sampler, 2), levels=0)
    groups = sv.smc(chain, target, value, 2)
    with pytest.raises(ValueError, match="levels: expected 1 for groups of 2 particles"):
        label_survivors(groups, drawn(groups, 2), levels=None)
    beam = sv.beam_search(chain, target, value, 1, 3)
    with pytest.raises(ValueError, match="of a sampler whose choices have no weights"):
        label_survivors(beam, drawn(beam, 2), levels=2)
    tempered = sv.svdd(chain, target, value, 3, tempering=[0.0, 0.5, 0.5, 1.0, 1.0])
    with pytest.raises(ValueError, match="expected None where the value counts by degrees"):
        label_survivors(tempered, drawn(tempered, 2))
    greedy = sv.svdd(chain, chain.target(0.0), value, 3)
    with pytest.raises(ValueError, match="the soft value needs alpha > 0"):
        label_survivors(greedy, drawn(greedy, 2), "soft")
    plain = sv.ancestral(chain)
    with pytest.raises(TypeError, match="sampler: expected one with a target, got None"):
        label_survivors(plain, drawn(plain, 2))
    with pytest.raises(ValueError, match="tree_search chooses among none"):
        sv.tree_search(chain, target, num_rollouts=4).sample_candidates(2)
    with pytest.raises(ValueError, match="rows: expected an integer of at least 1, got 0"):
        InMemoryData(label_candidates(sampler, drawn(sampler, 2))[:0])


def test_tempered_weights_give_exact_labels_of_the_whole_rest():
    chain = markov()
    sampler = sv.svdd(chain, chain.target(ALPHA), wrong(chain), 2, tempering=[0.2, 0.4, 0.6, 1.0])
    rows = label_survivors(sampler, drawn(sampler), levels=None)
    assert agrees(rows, (rows["rewards"] / ALPHA).exp(), (chain.soft_table(ALPHA)[:3] / ALPHA).exp())


@pytest.mark.parametrize("levels", [1, 2, None])
def test_words_that_are_all_finished_early_have_labels(levels):
    """Of a word that stands still the label is r, whatever is asked of it meanwhile."""
    words = finished_toys.Words()
    sampler = sv.svdd(words, finished_toys.TARGET, Learned(Written()), 3)
    condition = torch.tensor([1, 2, 2])
    samples = sampler.sample_candidates(3, condition=condition, generator=seeded("cpu", 0))
    labels = label_survivors(sampler, samples, levels=levels)
    last = labels["times"] == finished_toys.T - 1
    expected = finished_toys.TARGET(samples.states[:, 0])
    torch.testing.assert_close(labels["rewards"][last].double(), expected.double())


class Written(torch.nn.Module):
    """A fifth of the letters that are written."""

    def forward(self, x, t):
        return 0.2 * x[:, 0].double()


def test_a_value_that_is_asked_at_some_steps_alone_labels_these_alone():
    chain, target = gaussian()
    base, correction = (AtSteps(PosteriorMean(target), [2]) for _ in range(2))
    sampler = sv.svdd(chain, target, Residual(base, correction), 2)
    samples = drawn(sampler, 5)
    assert label_candidates(sampler, samples)["times"].unique().tolist() == [2]
    assert samples.cost.value_calls == 10

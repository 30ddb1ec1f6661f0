"""The landscape oracle against the enumeration of all paths, on three letters at three places."""

import itertools
import math

import pytest
import torch
from landscape_toys import ALPHABET, LENGTH, LETTERS, Scores, TableNetwork, TablePolicy, diffusion, paths

from svlearn.domains.sequences.in_order import InOrder
from svlearn.domains.sequences.landscape import Landscape
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.inference import proposals
from svlearn.inference.samplers import ancestral, smc, svdd
from svlearn.randomness import seeded
from svlearn.values import Zero

ALPHAS = (0.2, 1.0, 5.0)
CASES = {
    "any order": (lambda: diffusion(0), lambda: Scores(0)),
    "an order": (lambda: diffusion(1, order=(2, 0, 1)), lambda: Scores(1)),
    "forbidden": (lambda: diffusion(2, zeros=True), lambda: Scores(2, forbidden=(1, 4, 5, 26))),
}


@pytest.fixture(params=CASES)
def landscape(request):
    reference, reward = (make() for make in CASES[request.param])
    return Landscape(reference, reward)


def score(landscape, state):
    return float(landscape.reward(torch.tensor([state])))


def close(one, other, **given):
    torch.testing.assert_close(torch.as_tensor(one), torch.as_tensor(other, dtype=torch.float64), **given)


def test_the_states_are_all_that_can_be_reached():
    sizes = [len(level) for level in Landscape(diffusion(), Scores()).graph.levels]
    assert sizes == [math.comb(LENGTH, t) * LETTERS**t for t in range(LENGTH + 1)]
    fixed = Landscape(diffusion(order=(2, 0, 1)), Scores()).graph
    assert [len(level) for level in fixed.levels] == [LETTERS**t for t in range(LENGTH + 1)]
    assert bool((fixed.levels[1][:, :2] == LETTERS).all())


@pytest.mark.parametrize("alpha", ALPHAS)
def test_values_by_enumeration_of_what_follows(landscape, alpha):
    soft, finite = landscape.soft_value(alpha), bool((landscape.rewards > -math.inf).all())
    mean = landscape.mean_value() if finite else None
    for t, level in enumerate(landscape.graph.levels):
        for state in level:
            every = paths(landscape.reference, tuple(state.tolist()))
            moment = torch.tensor([t])
            tilted = sum(p * math.exp(score(landscape, path[-1]) / alpha) for path, p in every)
            wanted = alpha * math.log(tilted) if tilted > 0 else -math.inf
            if t < LENGTH:
                wanted = max(wanted, landscape.target(alpha).floor)
            close(soft(state[None], moment)[0], wanted)
            if mean is not None:
                close(mean(state[None], moment)[0], sum(p * score(landscape, path[-1]) for path, p in every))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_log_z_the_target_law_and_kl_by_enumeration(landscape, alpha):
    every = paths(landscape.reference)
    weights = {path: p * math.exp(score(landscape, path[-1]) / alpha) for path, p in every}
    z = sum(weights.values())
    close(landscape.log_normalizer(alpha), math.log(z))
    close(landscape.best_elbo(alpha), math.log(z))
    law = landscape.law(alpha).exp()
    for place, state in enumerate(landscape.variants.tolist()):
        close(law[place], sum(w for path, w in weights.items() if path[-1] == tuple(state)) / z)
        own = sum(p for path, p in every if path[-1] == tuple(state))
        close(landscape.law()[place].exp(), own)
    kl = sum(w / z * math.log(w / z / p) for (path, p), w in zip(every, weights.values(), strict=True) if w > 0)
    close(landscape.optimal_kl(alpha), kl)
    optimal = landscape.optimal_moves(alpha)
    close(landscape.path_kl(optimal, [moves.log_probs for moves in landscape.graph.moves]), kl)
    close(landscape.law_of(optimal).exp(), law)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_best_policy_moves_as_the_optimum(landscape, alpha):
    best = landscape.moves_of(landscape.best_policy(alpha))
    close(landscape.path_kl(landscape.optimal_moves(alpha), best), 0.0, rtol=0, atol=1e-12)
    close(landscape.law_of(best).exp(), landscape.law(alpha).exp())


def test_the_kls_of_a_policy_are_those_of_all_its_paths():
    reference, other, alpha = diffusion(0), diffusion(5), 0.7
    landscape = Landscape(reference, Scores())
    own, optimal = landscape.moves_of(TablePolicy(reference, other)), landscape.optimal_moves(alpha)
    weights = {path: p * math.exp(score(landscape, path[-1]) / alpha) for path, p in paths(reference)}
    z, drawn = sum(weights.values()), dict(paths(other))
    forward = sum(w / z * math.log(w / z / drawn[path]) for path, w in weights.items())
    reverse = sum(q * math.log(q / weights[path] * z) for path, q in drawn.items())
    close(landscape.path_kl(optimal, own), forward)
    close(landscape.path_kl(own, optimal), reverse)
    law = landscape.law_of(own).exp()
    for place, state in enumerate(landscape.variants.tolist()):
        close(law[place], sum(q for path, q in drawn.items() if path[-1] == tuple(state)))


def test_drawn_trajectories_have_the_optimal_law():
    alpha, number = 0.5, 20_000
    landscape = Landscape(diffusion(3), Scores(3))
    drawn = landscape.optimal_trajectories(number, alpha, generator=seeded("cpu", 1))
    assert drawn.shape == (number, LENGTH + 1, LENGTH)
    weights = {path: p * math.exp(score(landscape, path[-1]) / alpha) for path, p in paths(landscape.reference)}
    z, counts = sum(weights.values()), dict.fromkeys(weights, 0)
    for path in drawn.tolist():
        counts[tuple(map(tuple, path))] += 1
    expected = [number * w / z for w in weights.values()]
    statistic = sum((n - e) ** 2 / e for n, e in zip(counts.values(), expected, strict=True))
    freedom = len(weights) - 1
    assert abs(statistic - freedom) < 4 * math.sqrt(2 * freedom + sum(1 / e for e in expected))


def test_samplers_that_move_by_the_exact_value_have_weights_that_do_not_vary(landscape):
    alpha = 0.7
    value = landscape.soft_value(alpha)
    sampler = svdd(landscape.reference, landscape.target(alpha), value, 1, proposals.Exact(value))
    found = sampler.sample(64, generator=seeded("cpu", 2)).log_normalizer
    close(found, landscape.log_normalizer(alpha).expand(64))


@pytest.mark.parametrize("kind", ["svdd", "smc", "nested"])
def test_the_estimate_of_z_is_unbiased_with_and_without_look_ahead(landscape, kind):
    alpha, groups = 0.7, 20_000
    target, log_z = landscape.target(alpha), landscape.log_normalizer(alpha)
    for value in (Zero(), landscape.soft_value(alpha)):
        given = (landscape.reference, target, value)
        sampler = {
            "svdd": lambda: svdd(*given, 3),  # noqa: B023
            "smc": lambda: smc(*given, 4),  # noqa: B023
            "nested": lambda: smc(*given, 2, num_candidates=2),  # noqa: B023
        }[kind]()
        ratios = (sampler.sample(groups, generator=seeded("cpu", 3)).log_normalizer - log_z).exp()
        assert abs(float(ratios.mean()) - 1) < 4 * float(ratios.std()) / math.sqrt(groups)


def test_the_reference_s_own_law_is_that_of_its_samples():
    landscape = Landscape(diffusion(4), Scores())
    states = ancestral(landscape.reference).sample(30_000, generator=seeded("cpu", 4)).states[:, 0]
    counts = torch.zeros(len(landscape.variants), dtype=torch.float64)
    places = torch.searchsorted(landscape.graph.codes(landscape.variants), landscape.graph.codes(states))
    counts.index_add_(0, places, torch.ones(len(places), dtype=torch.float64))
    expected = 30_000 * landscape.law().exp()
    statistic = float(((counts - expected).square() / expected).sum())
    freedom = len(expected) - 1
    assert abs(statistic - freedom) < 4 * math.sqrt(2 * freedom)


def test_noise_masks_as_many_places_as_are_to_come():
    for reference in (diffusion(), diffusion(order=(2, 0, 1))):
        x = torch.tensor(list(itertools.product(range(LETTERS), repeat=LENGTH)))
        for later, earlier in ((3, 1), (2, 1), (3, 0)):
            middle = reference.noise(x, torch.full((27,), 3), torch.full((27,), later), generator=seeded("cpu", 5))
            noised = reference.noise(
                middle, torch.full((27,), later), torch.full((27,), earlier), generator=seeded("cpu", 6)
            )
            assert bool(((noised != LETTERS).sum(dim=1) == earlier).all())
            assert bool(((noised == middle) | (noised == LETTERS)).all())
            if isinstance(reference, InOrder):
                assert bool(Landscape(reference, Scores()).graph.find(noised, torch.full((27,), earlier))[1].all())


class Wandering(MaskedDiffusion):
    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.arange(batch_size)[:, None].expand(-1, LENGTH)


def test_what_it_cannot_hold_is_refused():
    with pytest.raises(ValueError, match=r"reference: expected one x_0, as all masks, got several"):
        Landscape(Wandering(TableNetwork(0), ALPHABET, LENGTH, schedule="one_place"), Scores())
    with pytest.raises(ValueError, match=r"outcomes: 9 next states, the limit is 8"):
        Landscape(diffusion(), Scores(), limit=8)
    landscape = Landscape(diffusion(order=(0, 1, 2)), Scores())
    with pytest.raises(ValueError, match=r"x: expected token ids of 0 ... 3, got 3 to 4"):
        landscape.soft_value(1.0)(torch.tensor([[3, 4, 3]]), torch.tensor([1]))
    with pytest.raises(ValueError, match=r"process: expected the moves of the reference, got a law at step 0 from"):
        landscape.moves_of(TablePolicy(landscape.reference, diffusion(order=(1, 0, 2))))
    with pytest.raises(ValueError, match=r"alpha: expected a finite number above 0, got 0.0"):
        landscape.log_normalizer(0.0)
    for asked in ("law", "optimal_moves"):
        with pytest.raises(ValueError, match=r"reward: p\* does not exist, no state of a finite reward"):
            getattr(Landscape(diffusion(), Scores(forbidden=tuple(range(27)))), asked)(1.0)
    with pytest.raises(ValueError, match=r"reward: the mean of a reward that is -inf does not exist"):
        Landscape(diffusion(), Scores(forbidden=(0,))).mean_value()
    with pytest.raises(ValueError, match=r"order: expected each of the places 0 ... 2 once, got \[0, 1, 1\]"):
        diffusion(order=(0, 1, 1))

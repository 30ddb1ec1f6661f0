"""Exploration noise: each move is the policy's or the reference's, and the trajectories teach the same."""

import pytest
import torch
from path_toys import ALPHA, TablePolicy, fixed_start, gap, make, markov, path_law
from tensordict import TensorDict

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.metering import metered
from svlearn.objectives.behaviour import Behaviour
from svlearn.objectives.exploration import EpsilonMixture
from svlearn.objectives.fit import fit
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.transitions import CategoricalTransition, GaussianTransition, MixtureTransition, Transition

NOISE = 0.3
SHARES = [1 - NOISE, NOISE]


def pushed(oracle):
    """A policy that is far from its reference."""
    return TablePolicy(oracle, 2 * torch.randn(oracle.matrices.shape, generator=seeded("cpu", 5), dtype=torch.float64))


def blended(policy):
    """The chain whose matrices are 0.7 of the policy's and 0.3 of the reference's."""
    oracle, own = policy.reference, policy.chain()
    matrices = (1 - NOISE) * own.matrices + NOISE * oracle.matrices
    return FiniteMarkovChain(oracle.initial_probs, matrices, oracle.reward.table)


def test_a_move_has_the_blended_probability():
    policy = pushed(markov())
    x = torch.arange(5)[:, None]
    for t in range(6):
        law = predict(EpsilonMixture(policy, NOISE), x, t).transition
        log_probs = torch.stack([law.log_prob(torch.full_like(x, state)) for state in range(5)], dim=1)
        torch.testing.assert_close(log_probs.exp(), blended(policy).matrices[t])
        torch.testing.assert_close(law[[3, 1]].log_prob(x[:2]), log_probs[[3, 1], [0, 1]])


def test_paths_are_those_of_the_blended_chain():
    oracle, number = markov(num_states=2, num_steps=3), 40_000
    policy = pushed(oracle)
    drawn = roll_out(EpsilonMixture(policy, NOISE), number, generator=seeded("cpu", 0))["states"][..., 0]
    paths = torch.cartesian_prod(*[torch.arange(2)] * 4)
    shares = (drawn[:, None] == paths).all(dim=2).double().mean(dim=0)
    law = path_law(blended(policy), paths)
    assert ((shares - law).abs() < 4.5 * (law * (1 - law) / number).sqrt()).all()
    assert ((path_law(policy.chain(), paths) - law).abs() > 9 * (law * (1 - law) / number).sqrt()).any()


def test_rows_stray_alone_and_keep_their_form():
    """Between N(0, 0) and N(1, 0) a row is all 0 or all 1; so it is in a TensorDict."""

    class Named(Transition):
        def __init__(self, law):
            self.law = law

        def sample(self, *, generator=None):
            return TensorDict({"x": self.law.sample(generator=generator)}, [len(self.law.mean)])

        def log_prob(self, x_next):
            return self.law.log_prob(x_next["x"])

        def __getitem__(self, index):
            return Named(self.law[index])

    zero, one = (GaussianTransition(torch.full((2000, 3), mean), torch.zeros(())) for mean in (0.0, 1.0))
    x = MixtureTransition([zero, one], SHARES).sample(generator=seeded("cpu", 0))
    assert (x == x[:, :1]).all() and abs(x[:, 0].mean() - NOISE) < 4 * (NOISE * (1 - NOISE) / 2000) ** 0.5
    named = MixtureTransition([Named(zero), Named(one)], SHARES).sample(generator=seeded("cpu", 0))
    assert named.batch_size == (2000,) and torch.equal(named["x"], x)


def test_a_move_that_one_law_cannot_make_has_the_other_s_share():
    never, always = (
        CategoricalTransition(torch.tensor([[[0.0, -torch.inf]]])),
        CategoricalTransition(torch.zeros(1, 1, 2)),
    )
    log_probs = MixtureTransition([never, always], SHARES).log_prob(torch.tensor([[1]]))
    assert log_probs.exp().item() == pytest.approx(NOISE / 2)


def test_noise_costs_no_second_call_and_shares_starts():
    oracle = markov()
    behaviour = Behaviour(exploration=0.25, exploration_noise=NOISE, shared_start=4)
    assert not behaviour.on_policy
    with metered() as meter:
        batch = behaviour.batch(TablePolicy(oracle), oracle, oracle.target(ALPHA), 16, seeded("cpu", 0))
    assert (meter.cost.reference_calls, meter.cost.policy_calls) == (16 * 6, 12 * 6)
    starts = batch["states"][:, 0, 0].view(4, 4)
    assert (starts == starts[:, :1]).all()


@pytest.mark.slow
def test_noise_leads_to_the_exact_policy_and_to_log_z_where_the_policy_began_far_away():
    oracle = fixed_start()
    objective = make(oracle, "trajectory", None, pushed(oracle), learning_rate=5e-2, exploration_noise=NOISE)
    start = gap(oracle, objective.policy.chain(), ALPHA)
    fit(objective, max_steps=600, seed=0, enable_progress_bar=False)
    assert gap(oracle, objective.policy.chain(), ALPHA) < 0.01 < 1 < start
    assert objective.log_normalizer.item() == pytest.approx(float(oracle.log_normalizer(ALPHA)), abs=0.02)

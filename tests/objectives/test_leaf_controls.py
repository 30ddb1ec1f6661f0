"""Controls of states with leaves: a chain beside a condition is the chain, two chains side by side are their sum."""

import numpy as np
import pytest
import torch
from control_toys import ALPHA, LinearInX, disturb, exact_batch, gaussian, gradient, make
from leaf_toys import EXACT, ONE, OTHER, TWO, OnLeaves, SideBySide, beside, leaves
from test_target_score_matching import REFERENCES
from test_target_score_matching import make as make_scores

from svlearn.objectives import AdjointMatching, StochasticControl
from svlearn.objectives.derivative_free_adjoint import DerivativeFreeAdjointMatching
from svlearn.objectives.fit import fit
from svlearn.objectives.target_score_matching import TargetScoreMatching
from svlearn.policies import Controlled
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target


def same(one, other, batch):
    """The loss and its gradient, of both on the same trajectories and the same noise."""
    losses = one.loss(batch, seeded("cpu", 3)), other.loss(leaves(batch, other.reference), seeded("cpu", 3))
    torch.testing.assert_close(losses[0], losses[1], **EXACT)
    torch.testing.assert_close(gradient(one, losses[0]), gradient(other, losses[1]), **EXACT)
    assert gradient(one, one.loss(batch, seeded("cpu", 3))).abs().max() > 1e-3


@pytest.mark.parametrize("kind", [AdjointMatching, StochasticControl])
def test_beside_a_condition_the_loss_and_its_gradient_are_those_of_the_chain(kind):
    """Over the points of the exact rule: so are their expectations, and the optimum."""
    plain = make(kind)
    disturb(plain)
    same(plain, beside(kind, plain), exact_batch(plain))


def test_beside_a_condition_target_scores_are_those_of_the_chain():
    plain = make_scores()
    disturb(plain)
    log_reference = REFERENCES["stationary"].log_reference
    options = dict(levels=plain.levels, log_reference=lambda x: log_reference(x[ONE]))
    batch = plain._trajectories(0, 32, seeded("cpu", 4))
    other = beside(TargetScoreMatching, plain, **options)
    rolled = leaves(batch, other.reference).update(batch.exclude("states"))
    losses = plain.loss(batch, seeded("cpu", 3)), other.loss(rolled, seeded("cpu", 3))
    torch.testing.assert_close(losses[0], losses[1], **EXACT)
    torch.testing.assert_close(gradient(plain, losses[0]), gradient(other, losses[1]), **EXACT)


def test_beside_a_condition_a_black_box_is_as_on_the_chain():
    oracle = gaussian()

    def black_box(x):
        return torch.as_tensor(np.asarray(oracle.reward(x.detach())))

    policy = Controlled(oracle, LinearInX(3, 8))
    plain = DerivativeFreeAdjointMatching(oracle, Target(black_box, ALPHA), policy, num_candidates=3)
    disturb(plain)
    batch = roll_out(plain.policy, 16, generator=seeded("cpu", 4))
    same(plain, beside(DerivativeFreeAdjointMatching, plain, num_candidates=3), batch)


def test_candidates_are_rewarded_under_the_condition_of_their_row():
    """A reward that its row's number scales has adjoints that it scales."""
    oracle, reference = gaussian(), SideBySide({ONE: gaussian()})
    target = Target(lambda x: (x["number"] * oracle.reward(x[ONE])).detach(), ALPHA)
    policies = Controlled(oracle, LinearInX(3, 8)), Controlled(reference, OnLeaves({ONE: LinearInX(3, 8)}))
    plain = DerivativeFreeAdjointMatching(oracle, oracle.target(ALPHA), policies[0], num_candidates=3)
    other = DerivativeFreeAdjointMatching(reference, target, policies[1], num_candidates=3)
    states = roll_out(reference, 5, generator=seeded("cpu", 4))["states"]
    expected, _ = plain.adjoints(states["one"], seeded("cpu", 1))
    adjoints, _ = other.adjoints(states, seeded("cpu", 1))
    torch.testing.assert_close(adjoints, expected * states["number"][:, 0, None, None])


@pytest.mark.parametrize("kind", [AdjointMatching, StochasticControl])
@pytest.mark.filterwarnings("ignore:reference. not memoryless")
def test_beside_a_condition_it_learns_the_same(kind):
    learned = []
    for build in (lambda plain: plain, lambda plain: beside(kind, plain, batch_size=16, learning_rate=0.02)):
        plain = make(kind, batch_size=16, learning_rate=0.02)
        fit(build(plain), max_steps=5, seed=3, enable_progress_bar=False, limit_val_batches=0, logger=False)
        learned.append(plain.policy.network.weights.detach())
    torch.testing.assert_close(learned[0], learned[1])
    assert learned[0].abs().max() > 0.01


@pytest.mark.parametrize("kind", [AdjointMatching, StochasticControl])
def test_two_chains_side_by_side_have_the_sum_of_their_losses(kind):
    plains = {ONE: make(kind), TWO: make(kind, OTHER)}
    for each in plains.values():
        disturb(each)
    reference = SideBySide({name: each.reference for name, each in plains.items()})
    networks = OnLeaves({name: each.policy.network for name, each in plains.items()})
    both = kind(reference, Target(reference.reward, ALPHA), Controlled(reference, networks))
    batch = both._trajectories(0, 32, seeded("cpu", 6))
    loss = both.loss(batch, seeded("cpu", 3))
    if kind is StochasticControl:
        assert batch["noise"].shape == (32, 8, 5)
        parts = batch["noise"].split([3, 2], dim=2)
        batches = [{"initial": batch["initial", name], "noise": part} for name, part in zip((ONE, "inner"), parts)]
        batches[1]["initial"] = batch["initial", "inner", "two"]
    else:
        batches = [{"states": batch["states", "one"]}, {"states": batch["states", "inner", "two"]}]
    apart = [each.loss(own, seeded("cpu", 3)) for each, own in zip(plains.values(), batches)]
    torch.testing.assert_close(loss, sum(apart), **EXACT)
    gradients = torch.cat([gradient(each, own) for each, own in zip(plains.values(), apart)])
    torch.testing.assert_close(gradient(both, loss), gradients, **EXACT)

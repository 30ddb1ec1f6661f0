"""Controls of states with leaves: a chain beside a condition is the chain, two chains side by side are their sum."""

import numpy as np
import pytest
import torch
from control_toys import ALPHA, LinearInX, disturb, exact_batch, gaussian, gradient, make
from tensordict import TensorDict
from test_target_score_matching import REFERENCES
from test_target_score_matching import make as make_scores
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.metering import metered
from svlearn.objectives import AdjointMatching, StochasticControl
from svlearn.objectives.adjoint_matching import lean_adjoints
from svlearn.objectives.control import gaussian as gaussian_law
from svlearn.objectives.derivative_free_adjoint import DerivativeFreeAdjointMatching
from svlearn.objectives.fit import fit
from svlearn.objectives.memoryless import measure_memory
from svlearn.objectives.target_score_matching import TargetScoreMatching
from svlearn.policies import Controlled, Policy
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.transitions import FieldTransition, GaussianTransition, LeafCoordinates, TensorCoordinates

EXACT = dict(rtol=1e-10, atol=1e-12)
OTHER = LinearGaussianChain.random(dim=2, num_steps=8, seed=5)
ONE, TWO = "one", ("inner", "two")


class SideBySide(Reference):
    """Chains as leaves of one state, with a label and a number that no step changes."""

    def __init__(self, chains):
        super().__init__()
        self.chains, self.num_steps = chains, next(iter(chains.values())).num_steps

    def initial(self, batch_size, *, condition=None, generator=None):
        return self.state({name: chain.initial(batch_size, generator=generator) for name, chain in self.chains.items()})

    def state(self, leaves):
        size = len(next(iter(leaves.values())))
        x = TensorDict({"label": torch.arange(size), "number": torch.linspace(0.1, 1, size)}, [size])
        for name, leaf in leaves.items():
            x[name] = leaf
        return x

    def forward(self, x, t, previous=None):
        return Prediction(FieldTransition({name: each(x[name], t).transition for name, each in self.chains.items()}, x))

    def reward(self, x):
        return sum(chain.reward(x[name]) for name, chain in self.chains.items())


class OnLeaves(nn.Module):
    """A network for each leaf."""

    def __init__(self, networks):
        super().__init__()
        self.names, self.networks = list(networks), nn.ModuleList(networks.values())

    def forward(self, x, t):
        return {name: network(x[name], t) for name, network in zip(self.names, self.networks, strict=True)}


def beside(kind, plain, **options):
    """An objective like `plain`, on its chain as one leaf of a state."""
    reference = SideBySide({ONE: plain.reference})
    policy = Controlled(reference, OnLeaves({ONE: plain.policy.network}))
    inner = plain.target.reward
    return kind(reference, Target(lambda x: inner(x[ONE]), ALPHA), policy, **options)


def leaves(batch, reference):
    """Trajectories of a chain as those of its leaf."""
    states = torch.stack([reference.state({ONE: x}) for x in batch["states"].unbind(dim=1)], dim=1)
    more = {} if "noise" not in batch else {"initial": states[:, 0], "noise": batch["noise"]}
    return TensorDict({"states": states, **more}, [len(states)])


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
    found, _ = other.adjoints(states, seeded("cpu", 1))
    torch.testing.assert_close(found, expected * states["number"][:, 0, None, None])


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


def test_a_leaf_that_the_network_leaves_out_moves_as_it_would():
    reference = SideBySide({ONE: gaussian(), TWO: OTHER})
    policy = Controlled(reference, OnLeaves({TWO: LinearInX(2, 8)}))
    with torch.no_grad():
        policy.network.networks[0].biases.fill_(0.5)
    x, t = reference.initial(4, generator=seeded("cpu", 0)), torch.zeros(4, dtype=torch.long)
    own, theirs = policy(x, t).transition, reference(x, t).transition
    assert torch.equal(own.laws[ONE].mean, theirs.laws[ONE].mean)
    moved = theirs.laws[TWO].mean + 0.5 * theirs.laws[TWO].std ** 2
    torch.testing.assert_close(own.laws[TWO].mean, moved)
    found = policy.coordinates.gradient(policy.control(x, t), x)
    assert found.tolist() == [[0.0] * 3 + [0.5] * 2] * 4


class Apart(Policy):
    """A free push of the mean: a policy that is no `Controlled`, with g = push."""

    def __init__(self, reference, push):
        super().__init__(reference)
        self.push = nn.Parameter(torch.tensor(push, dtype=torch.float64))

    def steer(self, prediction, x, t):
        law = prediction.transition
        moved = {
            name: GaussianTransition(each.mean + each.std**2 * self.push, each.std) for name, each in law.laws.items()
        }
        return FieldTransition(moved, x)

    def trained(self):
        return [self.push]


class Push(nn.Module):
    def __init__(self, push):
        super().__init__()
        self.push = nn.Parameter(torch.tensor(push, dtype=torch.float64))

    def forward(self, x, t):
        return {ONE: self.push.expand_as(x[ONE]), TWO: self.push.expand_as(x[TWO])}


@pytest.mark.parametrize("kind", [AdjointMatching, StochasticControl])
def test_any_gaussian_policy_of_leaves_has_its_control(kind):
    reference = SideBySide({ONE: gaussian(), TWO: OTHER})
    target = Target(reference.reward, ALPHA)
    one, other = (kind(reference, target, each) for each in (Controlled(reference, Push(0.3)), Apart(reference, 0.3)))
    batch = one._trajectories(0, 8, seeded("cpu", 2))
    losses = [each.loss(batch, seeded("cpu", 3)) for each in (one, other)]
    torch.testing.assert_close(losses[0], losses[1], **EXACT)
    slopes = [torch.autograd.grad(loss, own.policy.trained())[0] for loss, own in zip(losses, (one, other))]
    torch.testing.assert_close(slopes[0], slopes[1], **EXACT)


class Classed(SideBySide):
    """The noise of a row is 1 + its class times that of the chain; or it follows the state, unseen by autograd."""

    def __init__(self, of_state=False):
        super().__init__({ONE: gaussian()})
        self.of_state = of_state

    def state(self, leaves):
        x = super().state(leaves)
        return TensorDict({ONE: x[ONE], "class": torch.arange(len(x)) % 2}, [len(x)])

    def forward(self, x, t, previous=None):
        law = self.chains[ONE](x[ONE], t).transition
        scale = 1.0 + (x[ONE][:, 0].detach().abs() if self.of_state else x["class"])
        return Prediction(FieldTransition({ONE: GaussianTransition(law.mean, law.std * scale[:, None])}, x))


def test_the_noise_may_depend_on_the_condition_and_not_on_the_state():
    reference = Classed()
    states = roll_out(reference, 6, generator=seeded("cpu", 1))["states"]
    target = Target(reference.reward, ALPHA)
    adjoints, stds = lean_adjoints(reference, states, target)
    chain = reference.chains[ONE]
    torch.testing.assert_close(stds, (1.0 + torch.arange(6) % 2)[:, None, None] * chain.stds)
    torch.testing.assert_close(adjoints, lean_adjoints(chain, states["one"], chain.target(ALPHA))[0])
    with pytest.raises(ValueError, match="expected a std that does not depend on the state.* Classed gives several"):
        lean_adjoints(Classed(of_state=True), states, target)


def test_memory_is_measured_on_what_moves():
    chain = gaussian()
    found = measure_memory(SideBySide({ONE: chain}), 32, generator=seeded("cpu", 0))
    plain = measure_memory(chain, 32, generator=seeded("cpu", 0))
    assert found.explained == pytest.approx(plain.explained) and found.p_value == plain.p_value


def test_calls_are_those_of_the_chain():
    costs = []
    for objective in (make(AdjointMatching), beside(AdjointMatching, make(AdjointMatching))):
        with metered() as meter:
            objective.loss(objective._trajectories(0, 4, seeded("cpu", 0)), seeded("cpu", 1))
        costs.append((meter.cost.reference_calls, meter.cost.policy_calls, meter.cost.gradient_calls))
    assert costs[0] == costs[1]


def test_coordinates_are_taken_apart_and_put_together():
    reference = SideBySide({ONE: gaussian(), TWO: OTHER})
    x = reference.initial(4, generator=seeded("cpu", 0))
    coordinates = reference(x, torch.zeros(4, dtype=torch.long)).transition.coordinates
    z = coordinates.of(x)
    assert torch.equal(z, torch.cat([x[ONE], x[TWO]], dim=1))
    back = coordinates.state(z + 1, x)
    assert torch.equal(back[TWO], x[TWO] + 1) and torch.equal(back["label"], x["label"])
    assert torch.equal(x[ONE], z[:, :3])  # the state it came from is as it was
    assert sorted(each.dtype == torch.long for each in coordinates.conditions(x)) == [False, True]
    wide = LeafCoordinates({"m": TensorCoordinates()})
    matrices = TensorDict({"m": torch.randn(4, 2, 3)}, [4])
    assert torch.equal(wide.state(wide.of(matrices), matrices)["m"], matrices["m"])


def test_what_cannot_be_controlled_is_named():
    class Mixed(SideBySide):
        def forward(self, x, t, previous=None):
            tokens = FiniteMarkovChain.random(3, 8, seed=0)(torch.zeros(len(x), 1, dtype=torch.long), t).transition
            return Prediction(FieldTransition({ONE: self.chains[ONE](x[ONE], t).transition, "label": tokens}, x))

    with pytest.raises(TypeError, match="got FieldTransition with CategoricalTransition in 'label'; policies."):
        Controlled(Mixed({ONE: gaussian()}), nn.Identity())
    with pytest.raises(TypeError, match="expected a Gaussian transition, got FieldTransition with Categorical"):
        gaussian_law(Mixed({ONE: gaussian()})(SideBySide({ONE: gaussian()}).initial(4), torch.zeros(4).long()))


def test_a_control_of_other_leaves_is_refused():
    class Says(nn.Module):
        def __init__(self, control):
            super().__init__()
            self.control = control

        def forward(self, x, t):
            return self.control

    reference = SideBySide({ONE: gaussian()})
    x, t = reference.initial(2), torch.zeros(2, dtype=torch.long)
    with pytest.raises(ValueError, match="network: expected leaves of the state, .*one.*, got 'other'"):
        Controlled(reference, Says({"other": torch.zeros(2, 3)}))(x, t)
    with pytest.raises(ValueError, match=r"network: expected 'one' of shape \(2, 3\), as the state, got \(2, 1\)"):
        Controlled(reference, Says({ONE: torch.zeros(2, 1)}))(x, t)
    with pytest.raises(TypeError, match="network: expected a TensorDict of leaves that it moves, got Tensor"):
        Controlled(reference, Says(torch.zeros(2, 3)))(x, t)

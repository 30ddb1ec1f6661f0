"""Policies of states with leaves: what of a state they move, what they may depend on, and which are refused."""

import pytest
import torch
from control_toys import ALPHA, LinearInX, gaussian, make
from leaf_toys import EXACT, ONE, OTHER, TWO, OnLeaves, SideBySide, beside
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.metering import metered
from svlearn.objectives import AdjointMatching, StochasticControl
from svlearn.objectives.adjoint_matching import lean_adjoints
from svlearn.objectives.control import gaussian as gaussian_law
from svlearn.objectives.memoryless import measure_memory
from svlearn.policies import Controlled, Policy
from svlearn.process import Prediction
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.transitions import FieldTransition, GaussianTransition, LeafCoordinates, TensorCoordinates


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
    gradient = policy.coordinates.gradient(policy.control(x, t), x)
    assert gradient.tolist() == [[0.0] * 3 + [0.5] * 2] * 4


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
    memory = measure_memory(SideBySide({ONE: chain}), 32, generator=seeded("cpu", 0))
    plain = measure_memory(chain, 32, generator=seeded("cpu", 0))
    assert memory.explained == pytest.approx(plain.explained) and memory.p_value == plain.p_value


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

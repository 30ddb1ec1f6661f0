"""GDSS in its coordinates, each edge once: what the objectives that control Gaussian steps make of graphs."""

import warnings

import pytest
import torch
from gdss_toys import GaussianGDSS
from torch import nn

from svlearn.domains.molecules.gdss.corrector import Langevin
from svlearn.domains.molecules.gdss.state import GraphCoordinates, free_entries
from svlearn.objectives import AdjointMatching, StochasticControl
from svlearn.objectives.adjoint_matching import lean_adjoints
from svlearn.objectives.fit import fit
from svlearn.objectives.state_gradients import gradient_in, with_gradient
from svlearn.policies import Controlled
from svlearn.rollouts.roll_out import roll_out
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition

SIZES, COORDINATES = torch.tensor([4, 1, 3, 2]), GraphCoordinates()


@pytest.fixture
def process():
    return GaussianGDSS(6)


def total(x):
    return x["x"].flatten(1).sum(dim=1) + 2.0 * x["adj"].flatten(1).sum(dim=1) / 2


def target_of(alpha=0.5):
    return Target(total, alpha)


class Constant(nn.Module):
    """A free number for each time and entry: it holds the best control of a linear reward, where a node exists."""

    def __init__(self, process):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(process.num_steps, 8 + 6, dtype=torch.float64))

    def forward(self, x, t):
        graphs = COORDINATES.state(self.table[t], x)
        return {"x": graphs["x"], "adj": 0.5 * graphs["adj"]}  # an edge's at ij and at ji


def test_coordinates_hold_what_is_free_of_graphs(process, generator):
    states = process.initial(4, condition=SIZES, generator=generator)
    back = COORDINATES.state(COORDINATES.of(states), states)
    assert all(torch.equal(back[name], states[name]) for name in ("x", "adj", "mask"))
    noisy = torch.where(COORDINATES.of(states) == 0, 7.0, COORDINATES.of(states))  # what does not exist is not read
    assert torch.equal(COORDINATES.state(noisy, states)["adj"], states["adj"])
    assert [each.shape for each in COORDINATES.conditions(states)] == [(4, 4)]


def test_a_gradient_in_the_coordinates_is_that_through_the_state(process, generator):
    states = process.initial(4, condition=SIZES, generator=generator)
    weights = torch.randn(4, 4, 4, generator=generator, dtype=torch.float64)

    def bent(x):
        return (x["x"].square().flatten(1).sum(dim=1) + (weights * x["adj"]).sin().flatten(1).sum(dim=1)).sum()

    free = COORDINATES.of(states).requires_grad_()
    (expected,) = torch.autograd.grad(bent(COORDINATES.state(free, states)), free)
    point, leaves = with_gradient(states)
    gradient = COORDINATES.gradient(gradient_in(leaves, bent(point)), states)
    torch.testing.assert_close(gradient, expected)


def test_adjoints_of_a_linear_reward_are_products_of_slopes(process, generator):
    """a_{t+1} = Π_{s>t} ∂m_s/∂x · ∇r/α: on every free entry, each edge once, and 0 where nothing exists."""
    states = roll_out(process, 4, condition=SIZES, generator=generator)["states"]
    adjoints, stds = lean_adjoints(process, states, target_of())
    assert stds.shape == (4, 6, 8 + 6)
    exists = dict(zip(("x", "adj"), free_entries(states["mask"][:, 0], 2)))
    slopes = {"x": 2.0, "adj": 4.0}  # ∇r/α
    for t in reversed(range(6)):
        parts = dict(zip(("x", "adj"), adjoints[:, t].split([8, 6], dim=1)))
        for name, part in process.parts.items():
            torch.testing.assert_close(parts[name], slopes[name] * exists[name].double())
            spread = process.marginal(name, torch.tensor(t))[1]
            slopes[name] = slopes[name] * float(part.kept[t] - part.added[t] / spread)


def test_adjoint_matching_ends_at_them(process, generator):
    """A linear reward has the same adjoints in all states, so the loss is 0 at g = a; at g = 0 it is Σ s²a²/2."""
    target, network = target_of(), Constant(process)
    objective = AdjointMatching(process, target, Controlled(process, network))
    whole = roll_out(process, 1, condition=torch.tensor([4]), generator=generator)["states"]
    adjoints, stds = lean_adjoints(process, whole, target)
    trajectories = roll_out(process, 4, condition=SIZES, generator=generator)
    own, _ = lean_adjoints(process, trajectories["states"], target)
    expected = 0.5 * (stds * own).square().sum(dim=(1, 2)).mean()
    torch.testing.assert_close(objective.loss(trajectories, generator), expected)
    with torch.no_grad():
        network.table.copy_(adjoints[0])
    assert objective.loss(trajectories, generator).item() < 1e-20 * float(expected)


def test_stochastic_control_lowers_its_loss(process):
    network = Constant(process)
    objective = StochasticControl(process, target_of(), Controlled(process, network), batch_size=64, learning_rate=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(objective, max_steps=20, enable_progress_bar=False, limit_val_batches=0)
    assert bool((network.table[:, :8].detach().mean(dim=1)[:-1] > 0.1).all())


def test_a_corrector_is_refused():
    process = GaussianGDSS(6, corrector=Langevin())
    with pytest.raises(ValueError, match="expected a std that does not depend on the state"):
        AdjointMatching(process, target_of(), Controlled(process, Constant(process)))


def test_graphs_of_other_sizes_may_have_other_stds(process, generator):
    """What does not exist has none; but graphs of one size have one std, and a std per graph is refused."""

    class Uneven(GaussianGDSS):
        def forward(self, x, t, previous=None):
            prediction = super().forward(x, t)
            law = prediction.transition
            scale = 1.0 + 0.1 * x["x"].detach().sum(dim=(1, 2)) ** 2  # it has no gradient to be seen by
            law.law = GaussianTransition(law.law.mean, law.law.std * scale[:, None])
            return prediction

    even = roll_out(process, 4, condition=torch.tensor([2, 3, 2, 4]), generator=generator)["states"]
    lean_adjoints(process, even, target_of())
    with pytest.raises(ValueError, match="expected a std that does not depend on the state"):
        lean_adjoints(Uneven(6), even, target_of())

"""GDSS on vectors: the same process, and what the objectives that need Gaussian tensors make of it."""

import math
import warnings

import pytest
import torch
from gdss_toys import GaussianGDSS
from torch import nn

from svlearn.domains.molecules.gdss.corrector import Langevin
from svlearn.domains.molecules.gdss.vectors import VectorGDSS
from svlearn.inference.samplers import ancestral
from svlearn.objectives import AdjointMatching, StochasticControl
from svlearn.objectives.adjoint_matching import lean_adjoints
from svlearn.objectives.fit import fit
from svlearn.policies import Controlled
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import times
from svlearn.targets import Target

SIZES = torch.tensor([4, 1, 3, 2])


@pytest.fixture
def process():
    return VectorGDSS(GaussianGDSS(6))


def target_of(process, alpha=0.5):
    def total(x):
        graphs = process.graphs(x)
        return graphs["x"].flatten(1).sum(dim=1) + 2.0 * graphs["adj"].flatten(1).sum(dim=1) / 2

    return Target(total, alpha)


class Constant(nn.Module):
    """A free number for each time and entry: it holds the best control of a linear reward, where a node exists."""

    def __init__(self, process):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(process.num_steps, sum(process.widths), dtype=torch.float64))
        self.process = process

    def forward(self, x, t):
        exists = self.process.vectors(self.process.graphs(torch.cat([torch.ones_like(x[:, :-4]), x[:, -4:]], dim=1)))
        return self.table[t] * exists


def test_vectors_hold_what_graphs_do(process, generator):
    states = process.reference.initial(4, condition=SIZES, generator=generator)
    back = process.graphs(process.vectors(states))
    assert all(torch.equal(back[name], states[name]) for name in ("x", "adj", "mask"))
    noisy = process.vectors(states)
    noisy[:, :-4] = torch.where(noisy[:, :-4] == 0, 7.0, noisy[:, :-4])  # what does not exist is not read
    assert torch.equal(process.graphs(noisy)["adj"], states["adj"])


def test_a_step_is_that_of_the_graphs(process, generator):
    x = process.initial(4, condition=SIZES, generator=generator)
    graphs = process.graphs(x)
    for t in (0, 3, 5):
        own, theirs = process(x, times(t, 4)), process.reference(graphs, times(t, 4))
        exists = theirs.transition.law.std > 0 if t < 5 else slice(None)
        assert torch.equal(own.transition.mean[:, :-4], theirs.transition.law.mean)
        assert torch.equal(own.transition.std[:, :-4][exists], theirs.transition.law.std[exists])
        assert bool((own.transition.std == own.transition.std[:1]).all())
        assert torch.equal(process.graphs(own.clean)["adj"], theirs.clean["adj"])
    drawn = ancestral(process).sample(8, generator=generator).states[:, 0]
    assert process.graphs(drawn)["mask"].any(dim=1).all()


def test_adjoints_of_a_linear_reward_are_products_of_slopes(process, generator):
    """a_{t+1} = Π_{s>t} ∂m_s/∂x · ∇r/α: on every free entry, each edge once, and 0 where nothing exists."""
    states = roll_out(process, 4, condition=SIZES, generator=generator)["states"]
    adjoints, stds = lean_adjoints(process, states, target_of(process))
    assert stds.shape == (1, 6, sum(process.widths))
    reference = process.reference
    exists = process.graphs(torch.cat([torch.ones(4, 14).double(), states[:, 0, -4:]], dim=1))
    slopes = {"x": 2.0, "adj": 4.0}  # ∇r/α
    for t in reversed(range(6)):
        graphs = process.graphs(torch.cat([adjoints[:, t, :-4], states[:, 0, -4:]], dim=1))
        for name, part in reference.parts.items():
            expected = slopes[name] * exists[name]
            torch.testing.assert_close(graphs[name], expected)
            spread = reference.marginal(name, torch.tensor(t))[1]
            slopes[name] = slopes[name] * float(part.kept[t] - part.added[t] / spread)


def test_adjoint_matching_ends_at_them(process, generator):
    """A linear reward has the same adjoints in all states, so the loss is 0 at g = a; at g = 0 it is Σ s²a²/2."""
    target, network = target_of(process), Constant(process)
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
    objective = StochasticControl(
        process, target_of(process), Controlled(process, network), batch_size=64, learning_rate=0.1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(objective, max_steps=20, enable_progress_bar=False, limit_val_batches=0)
    assert bool((network.table[:, :8].detach().mean(dim=1)[:-1] > 0.1).all())


def test_a_corrector_is_refused():
    process = VectorGDSS(GaussianGDSS(6, corrector=Langevin()))
    with pytest.raises(ValueError, match="expected a std that does not depend on the state"):
        AdjointMatching(process, target_of(process), Controlled(process, Constant(process)))


def test_graph_states_are_refused_with_a_reason():
    with pytest.raises(TypeError, match="Controlled moves the mean of a Gaussian transition, got GraphGaussian"):
        Controlled(GaussianGDSS(6), nn.Identity())
    with pytest.raises(TypeError, match="reference: expected a GDSS, got Identity"):
        VectorGDSS(nn.Identity())


def test_noise_goes_through_the_graphs(process, generator):
    number = 4000
    mask = torch.ones(number, 4, dtype=torch.float64)
    x = torch.cat([torch.ones(number, 14, dtype=torch.float64), mask], dim=1)
    noised = process.noise(x, times(6, number), times(0, number), generator=generator)
    scale, std = float(process.reference.of_x.scale[0]), float(process.reference.of_x.std[0])
    assert abs(float(noised[:, 0].mean()) - scale) < 4 * std / math.sqrt(number)
    assert bool((noised[:, -4:] == 1).all())

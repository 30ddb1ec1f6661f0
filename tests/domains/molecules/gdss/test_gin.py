"""The GIN that reads GDSS states: by hand, its invariances, its gradients, and that it learns and guides."""

import math
from pathlib import Path

import pytest
import torch
import yaml
from gdss_toys import GaussianGDSS, symmetric
from jsonargparse import ArgumentParser

from svlearn.domains.molecules.gdss.corrector import Langevin
from svlearn.domains.molecules.gdss.gin import GraphValueNetwork, PredictedReward, relations
from svlearn.domains.molecules.gdss.reference import GDSS
from svlearn.domains.molecules.gdss.state import continuous_state
from svlearn.inference.proposals import Guided
from svlearn.inference.samplers import guidance, svdd
from svlearn.objectives import MonteCarloRegression, Objective
from svlearn.objectives.fit import fit
from svlearn.randomness import seeded
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import times
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean

ROOT = Path(__file__).parents[4]
CONFIGS = ROOT / "configs/molecules/gdss"
FAMILIES = sorted(path.stem for path in (CONFIGS / "values").glob("*.yaml"))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return GraphValueNetwork(num_steps=20, num_features=2, width=16, depth=2).double()


@pytest.fixture
def states(generator):
    """Graphs of 5, 3, 1 and 4 nodes in states of 6."""
    mask = torch.arange(6) < torch.tensor([5, 3, 1, 4])[:, None]
    x = torch.randn(4, 6, 2, generator=generator, dtype=torch.float64) * mask[:, :, None]
    adj = symmetric(4, 6, generator) * (mask[:, :, None] & mask[:, None, :])
    return continuous_state(x, adj, mask)


T = torch.tensor([0, 7, 19, 20])


def test_edges_by_hand():
    """Edges of 1 and 2.4 in a graph of three nodes and one that is not there."""
    adj = torch.zeros(1, 4, 4, dtype=torch.float64)
    adj[0, 0, 1] = adj[0, 1, 0] = 1.0
    adj[0, 1, 2] = adj[0, 2, 1] = 2.4
    adj[0, 0, 3] = adj[0, 3, 0] = 5.0
    weight, single, double, triple = relations(adj, torch.tensor([[True, True, True, False]]))
    assert weight[0].triu().sum() == 3.4
    assert single[0, 0, 1] == 1.0
    assert float(double[0, 1, 2]) == pytest.approx(math.exp(-0.5))
    assert float(triple[0, 2, 1]) == pytest.approx(math.exp(-0.5 * 1.5**2))
    for each in (weight, single, double, triple):
        assert torch.equal(each, each.transpose(1, 2))
        assert not each[0].diagonal().any() and not each[0, 3].any()


def test_it_counts_as_by_hand_without_layers():
    """depth 0: the read-out sees the sum of W [x_i, degrees of i] over nodes, divided by 38, and the maximum."""
    network = GraphValueNetwork(num_steps=4, num_features=1, width=3, depth=0).double()
    inputs = []
    network.readout[0].register_forward_hook(lambda module, arguments, out: inputs.append(arguments[0]))
    mask = torch.tensor([[True, True, False]])
    adj = torch.zeros(1, 3, 3, dtype=torch.float64)
    adj[0, 0, 1] = adj[0, 1, 0] = 2.0
    network(continuous_state(torch.tensor([[[0.5], [-1.0], [0.0]]]).double(), adj, mask), torch.tensor([3]))
    far, near = math.exp(-0.5 / 0.4**2), 1.0
    rows = torch.tensor([[0.5, 2.0, far, near, far], [-1.0, 2.0, far, near, far]]).double()
    phases = torch.tensor([*range(16), 4]).double() * math.pi * 3 / 4
    time = network.time_embedding(phases.cos())
    nodes = network.node_embedding(rows) + time
    expected = torch.cat([nodes.sum(dim=0) / 38, nodes.amax(dim=0), time])
    torch.testing.assert_close(inputs[0][0], expected, rtol=1e-6, atol=1e-6)


def test_the_numbering_of_nodes_does_not_matter(network, states, generator):
    order = torch.randperm(6, generator=generator)
    moved = continuous_state(states["x"][:, order], states["adj"][:, order][:, :, order], states["mask"][:, order])
    torch.testing.assert_close(network(moved, T), network(states, T))


def test_what_belongs_to_no_node_does_not_matter(network, states):
    values = network(states, T)
    real = states["mask"][:, :, None] & states["mask"][:, None, :]
    junk = continuous_state(
        torch.where(states["mask"][:, :, None], states["x"], 7.0),
        torch.where(real, states["adj"], -3.0),
        states["mask"],
    )
    torch.testing.assert_close(network(junk, T), values)
    alone = torch.cat([network(states[row : row + 1], T[row : row + 1]) for row in range(4)])
    torch.testing.assert_close(alone, values)


def test_neighbours_and_time_matter(network, states):
    """A path and a branched tree differ, and so do a corrector's step and the next predictor's."""
    bent = states.clone()
    bent["adj"][0] = 0
    for i, j in ((0, 1), (1, 2), (2, 3), (3, 4)):
        bent["adj"][0, i, j] = bent["adj"][0, j, i] = 1.0
    star = bent.clone()
    star["adj"][0, 3, 4] = star["adj"][0, 4, 3] = 0.0
    star["adj"][0, 1, 4] = star["adj"][0, 4, 1] = 1.0
    assert abs(network(bent, T)[0] - network(star, T)[0]) > 1e-4
    values = torch.stack([network(states, times(t, 4)) for t in range(21)])
    assert (values.diff(dim=0).abs() > 1e-6).all()


def test_gradients_are_those_of_finite_differences(network, states):
    x, adj = states["x"].clone().requires_grad_(), states["adj"].clone().requires_grad_()

    def of(x, adj):
        return network(continuous_state(x, adj, states["mask"]), T)

    assert torch.autograd.gradcheck(of, (x, adj), atol=1e-7)
    gradients = torch.autograd.grad(of(x, adj).sum(), (x, adj))
    outside = ~(states["mask"][:, :, None] & states["mask"][:, None, :])
    assert not gradients[0][~states["mask"]].any() and not gradients[1][outside].any()


def test_a_predicted_reward_is_the_network_at_the_end(network, states):
    torch.testing.assert_close(PredictedReward(network)(states), network(states, torch.full((4,), 20)))


def test_posterior_sampling_moves_by_the_gradient_through_the_prediction(network):
    """DPS: the mean moves by std² · s · ∇_{x_t} r_θ(x̂_T(x_t)), worked out here by autograd on its own."""
    reference = GaussianGDSS(10, corrector=Langevin(0.2, 0.9))
    target = Target(lambda states: states["x"].sum(dim=(1, 2)), 1.0)
    reward = PredictedReward(network)
    proposal = Guided(PosteriorMean(Target(reward, 1.0)), 3.0, at="state").bind(reference, target)
    x = reference.initial(4, condition=torch.tensor([4, 3, 2, 4]), generator=seeded("cpu", 0))
    for t in (8, 9):
        plain = reference(x, times(t, 4)).transition
        moved = proposal.transition(x, t, proposal.predict(reference, x, t, None)).mean
        parts = {name: x[name].clone().requires_grad_() for name in ("x", "adj")}
        clean = reference(continuous_state(parts["x"], parts["adj"], x["mask"]), times(t, 4)).clean
        gradients = torch.autograd.grad(reward(clean).sum(), list(parts.values()))
        slopes = {"x": gradients[0], "adj": gradients[1] + gradients[1].transpose(1, 2)}
        for (name, slope), std in zip(slopes.items(), plain.stds):
            expected = plain.mean[name] + 3.0 * std[:, None, None] ** 2 * slope * reference.exists(name, x["mask"])
            torch.testing.assert_close(moved[name], expected)
            assert (moved[name] - plain.mean[name]).abs().max() > 1e-4


def test_it_learns_the_mean_value_of_a_gaussian_process():
    """r = mean of the features of graphs of 4 nodes; E[r | x_t] is that of x̂_T: R² on other trajectories."""
    reference = GaussianGDSS(10, corrector=None)
    reference.size_weights[:3] = 0
    target = Target(lambda states: states["x"].mean(dim=(1, 2)), 0.0)
    torch.manual_seed(0)
    value = Learned(GraphValueNetwork(10, 2, width=16, depth=1).double())
    objective = MonteCarloRegression(reference, target, value, num_times=4, batch_size=128, learning_rate=5e-3)
    fit(objective, max_steps=150, seed=0, enable_progress_bar=False, logger=False)
    paths = roll_out(reference, 400, generator=seeded("cpu", 7))["states"]
    with torch.no_grad():
        for t in (5, 8):
            exact = target.reward(reference(paths[:, t], times(t, 400)).clean)
            learned = value(paths[:, t], times(t, 400))
            assert (learned - exact).square().mean() < 0.1 * exact.var()


def test_on_the_states_of_the_authors_model_it_trains_selects_and_guides(assets):
    reference = GDSS.from_checkpoint(assets("gdss/gdss_zinc250k.pth"), num_steps=8)
    target = Target(lambda states: states["adj"].sum(dim=(1, 2)) / states["mask"].sum(dim=1), 0.0)
    paths = roll_out(reference, 16, target=target, generator=seeded("cpu", 0))
    torch.manual_seed(0)
    value = Learned(GraphValueNetwork(16, 9, width=16, depth=2))
    objective = MonteCarloRegression(reference, target, value, batch_size=16, learning_rate=5e-3)
    optimizer = torch.optim.Adam(value.parameters(), lr=5e-3)
    losses = []
    for _ in range(30):
        loss = objective.loss(paths, seeded("cpu", 0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    value.requires_grad_(False).eval()
    warm = Target(target.reward, 1.0)
    for sampler in (
        svdd(reference, target, value, reference.num_candidates(3)),
        guidance(reference, warm, value, 5.0, at="mean"),
        guidance(reference, warm, PosteriorMean(Target(PredictedReward(value.network), 1.0)), 5.0, at="state"),
    ):
        samples = sampler.sample(3, generator=seeded("cpu", 1))
        assert torch.isfinite(samples.rewards).all()
        assert samples.cost.reference_calls == 3 * 16


@pytest.mark.parametrize("reward", [None, "sa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_configurations_name_what_there_is(family, reward, assets, monkeypatch, tmp_path):
    """Each file of a family, over value.yaml and a reward, makes its objective, merged as the script merges them."""
    monkeypatch.setenv("SVLEARN_ASSETS", str(assets("gdss/gdss_zinc250k.pth").parents[1]))
    parser = ArgumentParser()
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(Objective, "model")
    words = []
    for name in ("value.yaml", *([] if reward is None else [f"rewards/{reward}.yaml"]), f"values/{family}.yaml"):
        config = yaml.safe_load((CONFIGS / name).read_text())
        file = tmp_path / name.replace("/", "_")
        file.write_text(yaml.safe_dump({"model": config.get("model", {})}))
        words += ["--config", str(file)]
    objective = parser.instantiate(parser.parse_args(words)).model
    assert type(objective).__name__ == config["model"]["class_path"].rsplit(".", 1)[1]
    assert objective.value.network.num_steps == objective.reference.num_steps
    assert type(objective.target.reward).__name__ == ("QED" if reward is None else "SA")
    assert objective.target.reward.scorer.codec.correct


def test_the_comparison_is_of_the_reference_and_the_reward_that_values_are_trained_for():
    evaluate, value = (yaml.safe_load((CONFIGS / name).read_text()) for name in ("evaluate.yaml", "value.yaml"))
    assert evaluate["reference"] == value["model"]["init_args"]["reference"]["init_args"]["name_or_path"]
    assert evaluate["reward"] == value["model"]["init_args"]["target"]["reward"]

"""Policies of GDSS: they start as the reference, respect graphs, and the objectives train them."""

import warnings
from pathlib import Path

import pytest
import torch
import yaml
from gdss_toys import GaussianGDSS, symmetric
from jsonargparse import ArgumentParser
from torch import nn

from svlearn import checkpoints
from svlearn.domains.analytic import LinearGaussianChain
from svlearn.domains.molecules.gdss.control import (
    GraphControl,
    GraphControlled,
    RewardGain,
    ScoreGain,
    SumControl,
    waves_of,
)
from svlearn.domains.molecules.gdss.corrector import Langevin
from svlearn.domains.molecules.gdss.gin import GraphValueNetwork, read_network, save_network
from svlearn.domains.molecules.gdss.state import (
    GraphCoordinates,
    continuous_state,
    free_entries,
    from_vector,
    to_vector,
)
from svlearn.objectives import AdjointMatching, Objective, PathConsistency
from svlearn.objectives.adjoint_matching import lean_adjoints
from svlearn.objectives.fit import fit
from svlearn.policies import Controlled
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import times
from svlearn.targets import Target

CONFIGS = Path(__file__).parents[4] / "configs/molecules/gdss"
FAMILIES = sorted(path.stem for path in (CONFIGS / "policies").glob("*.yaml"))
SIZES = torch.tensor([4, 1, 3, 2])
STEPS = 6


@pytest.fixture(params=[None, Langevin()], ids=["predictor alone", "corrected"])
def process(request):
    return GaussianGDSS(STEPS, corrector=request.param)


@pytest.fixture
def alone():
    return GaussianGDSS(STEPS)


def control(num_steps=STEPS, awake=True):
    """A `GraphControl`; awake: all of its weights random, which are 0 in part when it is new."""
    network = GraphControl(num_steps, num_features=2, width=8, depth=2).double()
    if awake:
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.3)
    return network


def once(control, x):
    """A control with each edge counted once, (B, N F + P)."""
    return GraphCoordinates().gradient(control, x)


def total(graphs):
    return graphs["x"].flatten(1).sum(dim=1) + graphs["adj"].flatten(1).sum(dim=1)


def test_scores_are_those_of_the_networks(process, generator):
    for t in range(process.num_steps):
        x = process.initial(4, condition=SIZES, generator=generator)
        scores = process.scores_of_clean(x, process(x, times(t, 4)).clean, times(t, 4))
        for name, score in process.scores(x, times(t, 4)).items():
            torch.testing.assert_close(scores[name], score)


@pytest.mark.parametrize("network", [ScoreGain(STEPS).double(), control(awake=False)], ids=["gain", "graph"])
def test_it_starts_as_the_reference(process, network, generator):
    policy, x = GraphControlled(process, network), process.initial(4, condition=SIZES, generator=generator)
    own, theirs = (each(x, times(2, 4)).transition for each in (policy, process))
    assert torch.equal(own.law.mean, theirs.law.mean) and torch.equal(own.law.std, theirs.law.std)


def test_a_gain_moves_by_the_score(process, generator):
    """γ = 1.5 for the features and -0.5 for the edges at every t: the mean moves by s² γ ∇log p_τ."""
    network = ScoreGain(STEPS).double()
    with torch.no_grad():
        network.gains.weights.weight[:, 0] = torch.tensor([1.5, -0.5])
    policy, x = GraphControlled(process, network), process.initial(4, condition=SIZES, generator=generator)
    plain, moved = process(x, times(3, 4)).transition, policy(x, times(3, 4)).transition
    scores, stds = process.scores(x, times(3, 4)), dict(zip(("x", "adj"), plain.stds))
    for name, gain in (("x", 1.5), ("adj", -0.5)):
        slope = moved.mean[name] - plain.mean[name]
        torch.testing.assert_close(slope, stds[name][:, None, None] ** 2 * gain * scores[name])


def test_a_gain_moves_by_the_slope_of_the_reward(process, generator):
    """γ = 1 at every t and strength 3: the mean moves by 3 s² ∇r_θ(x̂_T), each edge counted once; added to another,
    by both."""
    reward = GraphValueNetwork(STEPS, num_features=2, width=8, depth=1).double()
    network = RewardGain(STEPS, reward, 3.0).double()
    with torch.no_grad():
        network.gains.weights.weight[:, 0] = 1.0
    x, t = process.initial(4, condition=SIZES, generator=generator), times(2, 4)
    clean = process(x, t).clean
    free = to_vector(clean["x"], clean["adj"]).requires_grad_()
    (slope,) = torch.autograd.grad(reward(from_vector(free, clean["mask"]), times(STEPS, 4)).sum(), free)
    policy = GraphControlled(process, network)
    exists = torch.cat(free_entries(x["mask"], 2), dim=1)
    torch.testing.assert_close(once(policy.control(x, t), x), 3.0 * slope * exists)
    assert len(policy.trained()) == 1
    other = control()
    both, one, two = (
        once(GraphControlled(process, each).control(x, t), x) for each in (SumControl([network, other]), network, other)
    )
    torch.testing.assert_close(both, one + two)


def test_a_gain_is_smooth_in_time():
    """The waves of T = 6 at t = 0, 3 and 6: cos(π k t/6), k = 0 ... 3."""
    expected = torch.tensor([[1.0, 1, 1, 1], [1, 0, -1, 0], [1, -1, 1, -1]])
    torch.testing.assert_close(waves_of(torch.tensor([0, 3, 6]), 6), expected, atol=1e-6, rtol=0)


def test_steering_is_control(process, generator):
    """With the prediction at hand or with a call of its own."""
    policy, x, t = GraphControlled(process, control()), process.initial(4, generator=generator), times(1, 4)
    moved = policy.steer(process(x, t), x, t)
    torch.testing.assert_close(moved.law.mean, process(x, t).transition.tilt(policy.control(x, t)).law.mean)
    moves = moved.law.mean - process(x, t).transition.law.mean
    torch.testing.assert_close(moves, moved.law.std**2 * once(policy.control(x, t), x))


def test_the_numbering_of_nodes_does_not_matter(generator):
    mask = torch.arange(6) < torch.tensor([5, 3, 1, 6])[:, None]
    real = mask[:, :, None] & mask[:, None, :]
    x, clean, scores = (
        continuous_state(
            torch.randn(4, 6, 2, generator=generator, dtype=torch.float64) * mask[:, :, None],
            symmetric(4, 6, generator) * real,
            mask,
        )
        for _ in range(3)
    )
    order, t = torch.randperm(6, generator=generator), torch.tensor([0, 2, 4, 5])

    def moved(state):
        return continuous_state(state["x"][:, order], state["adj"][:, order][:, :, order], state["mask"][:, order])

    network = control()
    push, again = network(x, t, clean, scores), network(*map(moved, (x,)), t, moved(clean), moved(scores))
    for name in ("x", "adj"):
        torch.testing.assert_close(moved(push)[name], again[name])
    assert torch.equal(push["adj"], push["adj"].mT)
    assert not push["adj"][~real].any() and not push["x"][~mask].any()
    assert not push["adj"].diagonal(dim1=1, dim2=2).any()
    assert bool((push["adj"][real].abs() > 0.01).any())


def test_adjoint_matching_learns_the_adjoints_of_a_linear_reward(alone):
    """They do not depend on the state, so a control that reads t can come near: most of the loss at g = 0 goes."""
    target = Target(total, 0.5)
    objective = AdjointMatching(
        alone, target, GraphControlled(alone, control(awake=False)), batch_size=32, learning_rate=0.02
    )
    paths = roll_out(alone, 64)["states"]
    adjoints, stds = lean_adjoints(alone, paths, target)
    at_first = 0.5 * (stds * adjoints).square().sum(dim=(1, 2)).mean()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not memoryless
        fit(objective, max_steps=100, enable_progress_bar=False, limit_val_batches=0, logger=False)
    objective.eval()
    left = objective.loss(roll_out(objective.policy, 64).select("states"), torch.Generator())
    assert float(left.detach()) < 0.1 * float(at_first)


def test_path_consistency_raises_the_elbo(process):
    """On a reward that it may not differentiate."""
    target = Target(lambda x: total(x).detach(), 2.0)
    policy = GraphControlled(process, control(process.num_steps, awake=False))
    objective = PathConsistency(
        process, target, policy=policy, variant="log_variance", batch_size=128, learning_rate=0.01, num_validation=8
    )

    def elbo():
        drawn = roll_out(process, 2000, target=target, proposal=policy)
        return float((drawn["rewards"] / target.alpha + drawn["log_ratios"].sum(dim=1)).mean())

    before = elbo()
    fit(objective, max_steps=60, enable_progress_bar=False, limit_val_batches=0, logger=False)
    assert elbo() > before + 0.3


def test_another_reference_is_refused():
    with pytest.raises(TypeError, match="reference: expected a GDSS, got LinearGaussianChain"):
        GraphControlled(LinearGaussianChain.random(2, 6, seed=0), ScoreGain(6))


def test_it_is_a_policy_of_its_reference(alone, generator):
    policy = GraphControlled(alone, control())
    assert isinstance(policy, Controlled) and policy.num_steps == STEPS
    assert set(policy.trained()) == set(policy.network.parameters())


def test_a_network_on_disk_says_how_to_build_it(tmp_path, generator):
    network = GraphValueNetwork(6, num_features=2, width=8, depth=1)
    save_network(network, tmp_path / "reward.safetensors", objective="by hand")
    back = read_network(tmp_path / "reward.safetensors")
    reference = GaussianGDSS(6).float()
    states = reference.initial(3, generator=generator)
    assert torch.equal(back(states, times(6, 3)), network(states, times(6, 3)))
    assert not any(each.requires_grad for each in back.parameters())

    checkpoints.save(network, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors: expected a file of gin.save_network"):
        read_network(tmp_path / "other.safetensors")


def test_both_families_have_a_file():
    assert {"adjoint_matching", "path_consistency_policy"} <= {*FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_configurations_name_what_there_is(family, assets, monkeypatch, tmp_path):
    """Each file of a family, over policy.yaml, makes its objective; a reward network of few weights serves."""
    monkeypatch.setenv("SVLEARN_ASSETS", str(assets("gdss/gdss_zinc250k.pth").parents[1]))
    file = save_network(GraphValueNetwork(25, width=8, depth=1), tmp_path / "reward_network.safetensors")
    parser = ArgumentParser()
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(Objective, "model")
    words = []
    for name in ("policy.yaml", f"policies/{family}.yaml"):
        text = (CONFIGS / name).read_text().replace("runs/gdss_policies/reward_network.safetensors", str(file))
        held = yaml.safe_load(text)
        (tmp_path / Path(name).name).write_text(yaml.safe_dump({"model": held["model"]}))
        words += ["--config", str(tmp_path / Path(name).name)]
    objective = parser.instantiate(parser.parse_args(words)).model
    home = held["trainer"]["default_root_dir"]
    assert home == f"runs/gdss_policy/{family}" == held["trainer"]["logger"]["init_args"]["save_dir"]
    assert type(objective).__name__ == held["model"]["class_path"].rsplit(".", 1)[1]
    assert objective.policy.reference is objective.reference
    assert objective.reference.num_steps == 25
    assert objective.reference.corrector is None

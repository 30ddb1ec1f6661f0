"""Values on disk: any of them comes back as it was, and what cannot is refused before it is too late."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import svlearn as sv
from svlearn.checkpoints import read_record, read_tensors
from svlearn.checkpoints import save as save_module
from svlearn.description import describe
from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.fingerprint import fingerprint
from svlearn.values import (
    AtSteps,
    Ensemble,
    Learned,
    LowerBound,
    MonteCarlo,
    PosteriorMean,
    Residual,
    Switch,
    Zero,
    load_value,
    save_value,
)
from svlearn.values.saving import check_saving

MINE = """
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.hyperparameters = dict(width=width)
        self.layers = nn.Sequential(nn.Linear(1, width), nn.Linear(width, 1))

    def forward(self, x, t):
        return self.layers(x.float()).squeeze(1).double() + t

class Silent(Network):
    def __init__(self, width=3):
        super().__init__(width)
        del self.hyperparameters

class Liar(Network):
    def __init__(self, width=3):
        super().__init__(width)
        self.hyperparameters = dict(width=width + 1)

def reward(x):
    return x.squeeze(1)
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    import my_networks

    return my_networks


def kinds(mine, walk):
    target = sv.Target(mine.reward, 0.5)
    learned = Learned(mine.Network(5))
    return {
        "learned": learned,
        "point": PosteriorMean(target),
        "several": PosteriorMean(target, 3, "mean"),
        "switch": Switch(learned, PosteriorMean(target), 2),
        "nested": Switch(AtSteps(learned, [0, 1]), Switch(Zero(), Learned(mine.Network(2)), 3), 1),
        "ensemble": Ensemble([learned, PosteriorMean(target)], torch.tensor([[0.1, 0.3], [0.2, 0.1], [1, 1], [1, 2]])),
        "residual": Residual(PosteriorMean(target), learned),
        "lower bound": LowerBound([learned, Learned(mine.Network(2)), Switch(Zero(), learned, 1)], 0.5),
        "rollouts": MonteCarlo(walk, target, 3),
        "budget": MonteCarlo(walk, target, estimand="mean", budget=7),
        "zero": Zero(),
    }


@pytest.mark.parametrize(
    "kind",
    [
        *("learned", "point", "several", "switch", "nested", "ensemble"),
        *("residual", "lower bound", "rollouts", "budget", "zero"),
    ],
)
def test_a_value_of_any_kind_comes_back_as_it_was(kind, mine, walk, tmp_path):
    value = kinds(mine, walk)[kind]
    path = save_value(value, tmp_path / "value.safetensors", walk, note="by hand")
    again = load_value(path, walk, modules=["my_networks"])
    assert type(again) is type(value) and not again.training and read_record(path)["note"] == "by hand"
    x, options = torch.tensor([[0.5], [-1.0], [2.0]], dtype=torch.float64), {}
    for t in (0, 2, 3):
        moments = torch.full((3,), t)
        prediction = walk(x, moments)
        if value.needs_generator:
            if kind == "several":
                continue  # the walk has no law of x_T; what it was built of is looked at below
            options = {"generator": torch.Generator().manual_seed(0)}
        first = value(x, moments, prediction, **options)
        options = {"generator": torch.Generator().manual_seed(0)} if options else {}
        assert torch.equal(first, again(x, moments, prediction, **options))
        assert value.reads(t) == again.reads(t)
    assert describe(again, walk, "value") == describe(value, walk, "value") == read_record(path)["value"]


def test_the_reference_is_the_one_that_is_given(mine, walk, tmp_path):
    path = save_value(kinds(mine, walk)["rollouts"], tmp_path / "value.safetensors", walk)
    assert load_value(path, walk, modules=["my_networks"]).reference is walk
    with pytest.raises(ValueError, match="expected a checkpoint of"):
        load_value(path, FiniteMarkovChain.random(3, 4, seed=0), modules=["my_networks"])


def test_a_learned_value_holds_its_network_under_its_own_names(mine, walk, tmp_path):
    network = mine.Network(5)
    path = save_value(Learned(network), tmp_path / "value.safetensors", walk)
    assert read_tensors(path).keys() == network.state_dict().keys()
    assert read_record(path)["reference"] == fingerprint(walk)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("Silent", r"value.network: expected a module that says what its constructor took, got a Silent"),
        ("Liar", "with other tensors"),
    ],
)
def test_a_network_that_cannot_be_built_again_is_refused(network, message, mine, walk, tmp_path):
    with pytest.raises(ValueError, match=message):
        save_value(Learned(getattr(mine, network)()), tmp_path / "value.safetensors", walk)
    assert not (tmp_path / "value.safetensors").exists()


def test_a_recipe_of_ones_own_serves_a_network_that_says_nothing(mine, walk, tmp_path):
    value = Learned(mine.Silent(7))
    inner = {"class_path": "my_networks.Silent", "init_args": {"width": 7}}
    recipe = {"class_path": "svlearn.values.Learned", "init_args": {"network": inner}}
    path = save_value(value, tmp_path / "value.safetensors", walk, recipe=recipe)
    again = load_value(path, walk, modules=["my_networks"])
    assert torch.equal(again.network.layers[0].weight, value.network.layers[0].weight)
    inner["init_args"]["width"] = 8
    with pytest.raises(ValueError, match="expected a recipe that builds this Learned, got one .* with other tensors"):
        check_saving(value, walk, recipe)


def test_a_reward_that_has_no_path_and_one_whose_weights_would_be_lost_are_refused(mine, walk):
    with pytest.raises(
        ValueError, match=r"value.target.reward: expected what can be imported by its name, got .*lambda"
    ):
        check_saving(PosteriorMean(sv.Target(lambda x: x.squeeze(1), 1.0)), walk)

    class Judge(mine.Network):
        def forward(self, x):
            return super().forward(x, 0)

    mine.Judge, Judge.__module__, Judge.__qualname__ = Judge, "my_networks", "Judge"
    with pytest.raises(ValueError, match="got a Judge as the reward of its target, whose weights are kept elsewhere"):
        check_saving(PosteriorMean(sv.Target(Judge(), 1.0)), walk)


def test_looking_leaves_the_random_state(mine, walk):
    value, state = Learned(mine.Network()), torch.get_rng_state()
    check_saving(value, walk)
    assert torch.equal(torch.get_rng_state(), state)


def write(path, walk, recipe):
    return save_module(nn.Linear(1, 1), path, reference=fingerprint(walk), num_steps=walk.num_steps, value=recipe)


@pytest.mark.parametrize(
    "class_path",
    [
        "os.system",
        "my_networks.Network",
        "svlearn.files.write",
        "svlearn.recipes.importlib.import_module",
        "svlearn.rollouts.RolloutData.setup",
        "svlearn.evaluation.partial.Partial",
        "torch.nn.modules.module.torch.load",
    ],
)
def test_a_file_builds_nothing_that_is_not_trusted(class_path, mine, walk, tmp_path):
    inner = {"class_path": class_path, "init_args": {}}
    path = write(
        tmp_path / "x.safetensors", walk, {"class_path": "svlearn.values.Learned", "init_args": {"network": inner}}
    )
    with pytest.raises(
        ValueError, match="expected a network, a target or a reward of svlearn or torch.nn, or of modules"
    ):
        load_value(path, walk)


def test_a_file_of_something_else_is_told_apart(mine, walk, tmp_path):
    path = write(tmp_path / "weights.safetensors", walk, None)
    with pytest.raises(ValueError, match="expected a value with the recipe that builds it, got weights alone"):
        load_value(path, walk)
    path = write(tmp_path / "other.safetensors", walk, {"class_path": "torch.nn.Identity"})
    with pytest.raises(ValueError, match="expected the recipe of a Value, got that of a Identity"):
        load_value(path, walk)
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors", metadata={"a": json.dumps({})})
    with pytest.raises(ValueError, match="expected a checkpoint written by svlearn"):
        load_value(tmp_path / "foreign.safetensors", walk)
    with pytest.raises(FileNotFoundError):
        load_value(tmp_path / "none.safetensors", walk)
    with pytest.raises(TypeError, match="value: expected a Value, got Linear"):
        save_value(nn.Linear(1, 1), tmp_path / "x.safetensors", walk)


def test_shipped_values_by_name():
    reference = sv.load("qm9")
    value = sv.load_value("qm9-qed-monte-carlo", reference)
    states = reference.initial(3, generator=torch.Generator().manual_seed(0))
    v = value(states, torch.zeros(3, dtype=torch.int64))
    assert v.shape == (3,) and bool((v > 0.2).all() and (v < 0.8).all())  # a mean QED; that of QM9 is 0.47
    with pytest.raises(ValueError, match="name_or_path: expected a file or one of .*qm9-qed-monte-carlo, got 'qm8'"):
        sv.load_value("qm8", reference)
    with pytest.raises(ValueError, match="gdss_QED_monte_carlo.safetensors: expected a checkpoint of"):
        sv.load_value("gdss-zinc250k-qed-monte-carlo", reference)

"""Recipes: what plain data builds, what it may leave out or name, and what is refused by which words."""

import copy
import pickle
import re
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from svlearn.inference.sampler import Sampler
from svlearn.randomness import seeded
from svlearn.recipes import Context, Recorded, build, import_thing, is_recipe
from svlearn.targets import Target
from svlearn.values import AtSteps, Ensemble, PosteriorMean, Switch, Value, Zero

ZERO = {"class_path": "svlearn.values.Zero"}
PM = {"class_path": "svlearn.values.PosteriorMean"}


def test_a_recipe_calls_what_stands_at_its_path():
    layer = build({"class_path": "torch.nn.Linear", "init_args": {"in_features": 3, "out_features": 2}}, Context(), "x")
    assert isinstance(layer, nn.Linear) and layer.weight.shape == (2, 3)
    assert isinstance(build("svlearn.values.Zero", Context(), "x"), Zero)
    switch = build(
        {"class_path": "svlearn.values.Switch", "init_args": {"early": ZERO, "late": ZERO, "start": 3}}, Context(), "x"
    )
    assert isinstance(switch, Switch) and switch.start == 3 and switch.early is not switch.late
    made = build(
        {"class_path": "svlearn.values.Ensemble", "init_args": {"values": [ZERO, ZERO], "errors": [[1.0, 3.0]]}},
        Context(),
        "x",
    )
    assert isinstance(made, Ensemble) and torch.equal(made.weights, torch.tensor([[0.75, 0.25]], dtype=torch.float64))


def test_the_rest_of_the_arguments_is_a_list():
    recipe = {"class_path": "svlearn.randomness.seeded", "init_args": {"seeds": [3, 4], "device": "cpu"}}
    assert torch.equal(
        torch.rand(3, generator=build(recipe, Context(), "x")), torch.rand(3, generator=seeded("cpu", 3, 4))
    )
    layers = [{"class_path": "torch.nn.Linear", "init_args": {"in_features": 2, "out_features": 2}}] * 2
    network = build({"class_path": "torch.nn.Sequential", "init_args": {"args": layers}}, Context(), "x")
    assert len(network) == 2 and network[0] is not network[1]


def test_what_is_left_out_is_filled_in_and_what_is_given_holds_for_all_inside(walk, target):
    other = {"alpha": 3.0, "reward": "torch.sum"}
    context = Context({"reference": walk, "target": target})
    first = build({"class_path": "svlearn.svdd", "init_args": {"value": PM}}, context, "x")
    assert isinstance(first, Sampler) and first.reference is walk
    assert first.target is target and first.value.target is target
    second = build({"class_path": "svlearn.svdd", "init_args": {"value": PM, "target": other}}, context, "x")
    assert second.target.alpha == 3.0 and second.target.reward is torch.sum and second.value.target is second.target


def test_a_text_is_a_name_where_its_parameter_takes_a_named_class(target):
    known = {"zero": Zero(), "PM": PosteriorMean(target)}
    context = Context({}, {Value: known.__getitem__})
    switch = build(
        {"class_path": "svlearn.values.Switch", "init_args": {"early": "zero", "late": "PM", "start": 1}}, context, "x"
    )
    assert switch.early is known["zero"] and switch.late is known["PM"]
    several = {"values": ["zero", "PM"], "errors": [[1.0, 1.0]]}
    made = build({"class_path": "svlearn.values.Ensemble", "init_args": several}, context, "x")
    assert [*made.values] == [known["zero"], known["PM"]]
    mean = build(
        {"class_path": "svlearn.values.PosteriorMean", "init_args": {"num_samples": 2, "estimand": "mean"}},
        Context({"target": target}, context.named),
        "x",
    )
    assert mean.estimand == "mean"  # a text that no class takes stays one


def test_what_inside_raises_is_told_with_its_place():
    nested = {"class_path": "svlearn.values.AtSteps", "init_args": {"value": ZERO, "steps": [-1]}}
    with pytest.raises(ValueError, match=r"^values.x: steps: expected integers of at least 0, got \[-1\]$"):
        build(nested, Context(), "values.x")
    twice = {"class_path": "svlearn.values.Switch", "init_args": {"early": nested, "late": ZERO, "start": 1}}
    with pytest.raises(ValueError, match=r"^x: early|^x.early: steps"):
        build(twice, Context(), "x")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("nothing", "x: expected what can be imported, as module.Class, got 'nothing'"),
        (
            "svlearn.values.Zeros",
            "x: expected what can be imported, got svlearn.values.Zeros: no Zeros in svlearn.values",
        ),
        ("no.such.Thing", "x: expected what can be imported, as module.Class, got 'no.such.Thing'"),
        ({"class_path": "svlearn.values.Zero", "args": {}}, "x: expected {class_path: ..., init_args: ...}, got"),
        ({"class_path": "svlearn.values.Zero", "init_args": [1]}, "x: expected init_args by name, got [1]"),
        (
            {"class_path": "svlearn.values.AtSteps", "init_args": {"value": ZERO, "step": [1]}},
            "x: svlearn.values.AtSteps takes value, steps, got 'step'; did you mean steps?",
        ),
    ],
)
def test_what_is_no_recipe_is_refused(recipe, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build(recipe, Context(), "x")


def test_a_module_that_breaks_when_it_is_imported_says_why(tmp_path, monkeypatch):
    (tmp_path / "breaks_at_once.py").write_text("import nothing_of_the_kind\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="x: breaks_at_once.Net could not be imported: No module named 'nothing_of"):
        build("breaks_at_once.Net", Context(), "x")


def test_methods_of_classes_are_found():
    assert import_thing("svlearn.values.Switch.fit") == Switch.fit
    assert import_thing("svlearn.values.AtSteps") is AtSteps and import_thing("svlearn.Target") is Target
    assert is_recipe(ZERO) and not is_recipe({"class_path": 3}) and not is_recipe("svlearn.values.Zero")


class Scale(Recorded):
    def __init__(self, factor, power=1, **rest):
        self.factor = factor


class Doubled(Scale):
    def __init__(self, power):
        super().__init__(2, power=power)


@dataclass(frozen=True)
class Shift(Recorded):
    by: float
    twice: bool = False


@pytest.mark.parametrize(
    ("made", "arguments"),
    [
        (Scale(3, colour="red"), {"factor": 3, "colour": "red"}),
        (Doubled(power=4), {"power": 4}),
        (Shift(1.5), {"by": 1.5}),
        (Shift(by=1.5, twice=True), {"by": 1.5, "twice": True}),
    ],
)
def test_what_a_constructor_is_given_is_recorded_whoever_wrote_it(made, arguments):
    assert made.arguments() == arguments
    assert copy.copy(made).arguments() == copy.deepcopy(made).arguments() == arguments
    assert pickle.loads(pickle.dumps(made)).arguments() == arguments


def test_a_constructor_that_does_not_take_its_arguments_says_so_itself():
    with pytest.raises(TypeError, match="Shift.__init__"):
        Shift()

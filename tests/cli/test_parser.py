"""What the commands share: what is refused and in how many lines, what is found, and what --help shows first."""

import sys

import pytest
import pytorch_lightning
import torch
from torch import nn

from svlearn.cli import parser as command_line
from svlearn.process import Reference


@pytest.fixture
def call(monkeypatch, capsys):
    """call(function, *arguments) runs it by its command line; returns the exit status and what the errors say."""

    def run(function, *arguments):
        monkeypatch.setattr(sys, "argv", ["toy.py", *map(str, arguments)])
        monkeypatch.setattr(sys, "path", sys.path[:])
        try:
            command_line.call(function, "A toy.\n\n    python toy.py --number 3")
        except SystemExit as stop:
            return stop.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


def toy(number: int = 3, layer: nn.Module | None = None, reference: Reference | None = None) -> None:
    """A toy.

    Args:
        number: how many.
        layer: a layer.
        reference: a process.
    """
    if number > 100:
        raise ZeroDivisionError("of the user")
    if number < 0:
        torch.zeros(2).view(number)
    MADE.append((number, layer, reference))


MADE: list = []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--numbe", 5], "unrecognized arguments: --numbe 5; did you mean --number?"),
        (["--numer=5"], "did you mean --number?"),
        (["--number", "five"], "number: Expected a int. Got value: five"),
        (["--layer.class_path", "torch.nn.Linear", "--layer.init_args.in_feature", 3], "did you mean in_features?"),
        (["--layer.class_path", "no.such.Layer"], "layer: 'no.such.Layer': No module named 'no'"),
        (["--config", "/no/such.yaml"], "/no/such.yaml"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it(call, arguments, message):
    status, errors = call(toy, *arguments)
    assert status == 2 and message in errors and errors.count("\n") == 1 and errors.startswith("toy.py: error: ")
    assert len(errors) < 700


def test_what_svlearn_refuses_is_one_line_and_what_others_raise_has_its_traceback(call):
    from svlearn.arguments import integer

    def strict(number: int = 3) -> None:
        integer(number, "number", 1)

    status, errors = call(strict, "--number", 0)
    assert status == 1 and errors.count("\n") == 1
    assert errors.startswith("toy.py: error: number: expected an integer of at least 1, got 0")

    def trained(max_steps: int = 3, accelerator: str = "cpu") -> None:
        pytorch_lightning.Trainer(max_steps=max_steps, accelerator=accelerator, logger=False)

    for option, words in ((("--max_steps", -5), "max_steps"), (("--accelerator", "gpuu"), "accelerator='gpuu'")):
        status, errors = call(trained, *option)
        assert status == 1 and words in errors and errors.count("\n") == 1
    with pytest.raises(ZeroDivisionError):
        call(toy, "--number", 101)
    with pytest.raises(RuntimeError):
        call(toy, "--number", -7)


def test_modules_beside_the_working_directory_and_plain_factories_are_taken(call, tmp_path, monkeypatch):
    (tmp_path / "beside_me.py").write_text(
        "import torch\n\ndef layer(width=4):\n    return torch.nn.Linear(width, 1)\n\n"
        "def walk():\n    from svlearn.loading import load\n    return load('qm9')\n\n"
        "def broken():\n    import nothing_of_the_kind\n"
    )
    monkeypatch.chdir(tmp_path)
    written = tmp_path / "own.yaml"
    written.write_text("layer:\n  class_path: beside_me.layer\n  init_args: {width: 7}\n")
    for options in (("--config", written), ("--layer.class_path", "beside_me.layer", "--layer.init_args.width", 7)):
        MADE.clear()
        assert call(toy, *options) == (0, "")
        ((_, layer, _),) = MADE
        assert layer.in_features == 7
    written.write_text("layer: beside_me.layer\n")
    for options in (("--config", written), ("--layer", "beside_me.layer"), ("--layer=beside_me.layer",)):
        MADE.clear()
        assert call(toy, *options) == (0, "")
        assert MADE[0][1].in_features == 4
    assert call(toy, "--reference.class_path", "beside_me.walk") == (0, "")
    assert MADE[-1][2].num_steps == 45
    status, errors = call(toy, "--reference.class_path", "beside_me.broken")
    assert status == 1 and errors.count("\n") == 1 and "No module named 'nothing_of_the_kind'" in errors


def test_a_plain_factory_stands_for_every_kind_of_part():
    from pytorch_lightning import LightningModule

    from svlearn.objectives import Objective
    from svlearn.policies import Policy
    from svlearn.values import Value

    for kind in (nn.Module, Reference, Policy, Value, Objective, LightningModule):
        assert issubclass(command_line.Made, kind)


def test_help_has_the_own_options_first_and_no_pages_of_class_names():
    from pytorch_lightning import Trainer

    parser = command_line.Parser(description="A toy.\n\n    python toy.py fit")
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_function_arguments(toy)
    text = parser.format_help()
    assert text.index("--number") < text.index("--trainer.max_steps")
    assert "torch.nn" not in text and "    python toy.py fit" in text
    usage = text[: text.index("A toy.")]
    assert usage.count("\n") <= 2


def test_a_request_tells_the_command_line(call):
    requests = []

    def ask_for(number: int = 3, request: dict | None = None) -> None:
        requests.append(request)

    call(ask_for, "--number", 4)
    assert requests == [{"number": 4}]

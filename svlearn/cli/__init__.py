"""The command line, `svlearn COMMAND ...`: one module a command, imported when it is asked for."""

import difflib
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module

import svlearn

COMMANDS = {  # name: its module and what it does
    "pretrain": ("pretrain", "train a reference process from data"),
    "train-value": ("train_value", "learn a value of a reference process, and save it"),
    "finetune": ("finetune", "fine-tune a policy of a reference process towards a reward"),
    "evaluate": ("evaluate", "compare samplers on one reference and one reward: table, page, figures"),
    "advise": ("advise", "say which sampler to use for a reward and a budget, and from how many samples training pays"),
    "collect": ("collect", "roll out trajectories and keep them on disk"),
    "export": ("export", "measure a pretrained network, and write the weights and the card that svlearn.load reads"),
    "doctor": ("doctor", "say what of svlearn works on this machine, and how to mend what does not"),
}
QUIET = "--quiet"
HELP = """usage: svlearn COMMAND [options]

Learn soft values and fine-tuned policies of pretrained generators, and compare what they are worth. To start with:

    svlearn evaluate --config qm9

{commands}

`svlearn COMMAND --help` says what a command reads, what it writes, and which configurations are shipped with it.
`svlearn COMMAND --quiet` shows no progress; results, and what was written where, stay.
`svlearn --version` says which svlearn this is.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that `arguments` (None: those of the process) begin with; exit status 2 for an unknown one."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print(HELP.format(commands="\n".join(f"    {each:{width}}  {what}" for each, (_, what) in COMMANDS.items())))
    elif name == "--version":
        print(f"svlearn {svlearn.__version__}")
    elif name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        sys.stderr.write(f"svlearn: error: expected one of {', '.join(COMMANDS)}, got {name!r}{hint}\n")
        sys.exit(2)
    else:
        sys.argv = [f"svlearn {name}", *arguments[1:]]  # by which parsers name themselves in help and errors
        with _progress(sys.argv):
            import_module(f"svlearn.cli.{COMMANDS[name][0]}").run()


def _progress(words: list[str]) -> AbstractContextManager:
    """Quiet where `--quiet` is among the words, which it is taken out of; no parser need know it."""
    if QUIET not in words:
        return nullcontext()
    words[:] = [word for word in words if word != QUIET]
    return import_module("svlearn.progress").quiet()

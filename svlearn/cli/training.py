"""What the commands that train share: their command line, and an objective made ready for it."""

import sys
from pathlib import Path
from typing import Any

from pytorch_lightning.cli import LightningCLI

from svlearn.cli.configs import described, expand
from svlearn.cli.parser import Parser, plain_errors
from svlearn.files import check_writable
from svlearn.objectives.fit import no_wrong_advice
from svlearn.objectives.lightning.trainer import Trainer


class TrainingCLI(LightningCLI):
    """Whether output can be written is seen before the work."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        known = LightningCLI.subcommands()
        return {name: known[name] for name in ("fit", "validate")}

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        root = self._get(self.config_init, "trainer", default={}).get("default_root_dir")
        check_writable(Path("." if root is None else root) / "config.yaml", "trainer.default_root_dir")
        return super().instantiate_trainer(**kwargs)


class ObjectiveCLI(TrainingCLI):
    """An objective with the seed of the command line."""

    def before_fit(self) -> None:
        self.model.seed = self.config.fit.seed_everything

    def output(self, name: str) -> Path:
        """A file of that name in trainer.default_root_dir."""
        return Path(self.trainer.default_root_dir) / name


def train(
    cli: type[LightningCLI], description: str | None, file: str, model: type | None = None, **options: Any
) -> None:
    """Do what the command line says to a LightningCLI; `fit`, where it names no other of its subcommands.

    description: for --help, which shows it as it is written. file: that of the command among the shipped
    configurations.
    """
    text = described(description, file)
    arguments = expand(sys.argv[1:], file)
    if not arguments or arguments[0] not in cli.subcommands():
        arguments.insert(0, "fit")
    sys.argv[1:] = arguments  # where a LightningCLI reads them
    with no_wrong_advice(), plain_errors():
        cli(
            model,
            trainer_class=Trainer,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"description": text, "fit": {"description": text}},
            parser_class=Parser,
            **options,
        )

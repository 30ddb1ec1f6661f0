"""What the scripts that train share: their command line, and an objective made ready for it."""

from pathlib import Path
from typing import Any

from pytorch_lightning.cli import LightningCLI

from svlearn.objectives.fit import no_wrong_advice
from svlearn.objectives.trainer import Trainer
from teaching import TeachingFormatter


class ObjectiveCLI(LightningCLI):
    """An objective with the seed of the command line."""

    def before_fit(self) -> None:
        self.model.seed = self.config.fit.seed_everything

    def output(self, name: str) -> Path:
        """A file of that name in trainer.default_root_dir."""
        return Path(self.trainer.default_root_dir) / name


def run(cli: type[LightningCLI], description: str, model: type | None = None, **options: Any) -> None:
    """Parse the command line of a LightningCLI and do what it says; `--help` shows the description as it is written."""
    with no_wrong_advice():
        cli(
            model,
            trainer_class=Trainer,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"description": description, "formatter_class": TeachingFormatter},
            **options,
        )

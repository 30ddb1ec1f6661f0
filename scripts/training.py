"""What the scripts that train share: their command line, and an objective made ready for it."""

from pathlib import Path
from typing import Any

from pytorch_lightning.cli import LightningCLI

from command_line import Parser, plain_errors
from svlearn.files import check_writable
from svlearn.objectives.fit import no_wrong_advice
from svlearn.objectives.lightning.trainer import Trainer


class TrainingCLI(LightningCLI):
    """Whether output can be written is seen before the work."""

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


def run(cli: type[LightningCLI], description: str, model: type | None = None, **options: Any) -> None:
    """Parse the command line of a LightningCLI and do what it says; `--help` shows the description as it is written."""
    with no_wrong_advice(), plain_errors():
        cli(
            model,
            trainer_class=Trainer,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"description": description},
            parser_class=Parser,
            **options,
        )

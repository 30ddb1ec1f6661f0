"""What the scripts that train share: their command line, and an objective made ready for it."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningCLI
from pytorch_lightning.plugins import CheckpointIO, TorchCheckpointIO

from command_line import Parser, plain_errors
from svlearn.files import check_writable, replacing
from svlearn.objectives.fit import no_wrong_advice


class WholeFiles(TorchCheckpointIO):
    """Checkpoints are written beside their place and renamed: a kill leaves the old one, whatever TMPDIR is."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with replacing(path) as beside:
            torch.save(checkpoint, beside)


class TrainingCLI(LightningCLI):
    """Output is checked before the work, and checkpoints are whole."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        settings = self._get(self.config_init, "trainer", default={})
        root = settings.get("default_root_dir")
        check_writable(Path("." if root is None else root) / "config.yaml", "trainer.default_root_dir")
        given = settings.get("plugins")
        plugins = [] if given is None else list(given) if isinstance(given, list) else [given]
        if not any(isinstance(each, CheckpointIO) for each in plugins):
            plugins.append(WholeFiles())
        return super().instantiate_trainer(**{**kwargs, "plugins": plugins})


class ObjectiveCLI(TrainingCLI):
    """An objective with its reference in evaluation mode, and the seed of the command line."""

    def before_fit(self) -> None:
        self.model.reference.eval()
        self.model.seed = self.config.fit.seed_everything

    def output(self, name: str) -> Path:
        """A file of that name in trainer.default_root_dir."""
        return Path(self.trainer.default_root_dir) / name


def run(cli: type[LightningCLI], description: str, model: type | None = None, **options: Any) -> None:
    """Parse the command line of a LightningCLI and do what it says; `--help` shows the description as it is written."""
    with no_wrong_advice(), plain_errors():
        cli(
            model,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"description": description},
            parser_class=Parser,
            **options,
        )

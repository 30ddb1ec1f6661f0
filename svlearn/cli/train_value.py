"""Learn a value of a reference process by any objective of svlearn, and save it for `svlearn evaluate`.

    svlearn train-value --config qm9 --config qm9/values/monte_carlo

The first YAML is what all values of a reference share; the second names one family of configs/.../values and stands
over the first. What they say: which reference and reward (`model.init_args.reference`, `.target`), which value
(`.value`: `Learned` with a network, or any other), which objective (`model.class_path`), and where trajectories are
kept (`data.init_args.path`; `num_trajectories` of them are collected there first, a run that was killed goes on).
Without `data` the objective rolls out fresh trajectories at every step. Any value can be overridden on the command
line, as in `--trainer.max_steps 500`; go on after a stop, by SIGTERM or SIGKILL, with
`--ckpt_path <trainer.default_root_dir>/checkpoints/last.ckpt`, to the bit as it would have gone on.

The learned value is written to <trainer.default_root_dir>/value.safetensors, with the recipe that builds it and the
fingerprint of its reference: `svlearn.load_value(path, reference)` reads it. Metrics by time step go to the logger.
"""

from typing import Any

import torch
from jsonargparse import Namespace
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser

from svlearn.cli.training import ObjectiveCLI, train
from svlearn.cli.written import show_written
from svlearn.compiled import own_names
from svlearn.objectives import Objective
from svlearn.rollouts import RolloutData, collect
from svlearn.values import save_value
from svlearn.values.saving import check_saving


class TrainValue(ObjectiveCLI):
    """Collect before the fit, save after it."""

    recipe: dict[str, Any]

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--num_trajectories", type=int, default=2000, help="trajectories to collect for `data`")
        parser.add_argument("--collect_batch", type=int, default=500, help="trajectories rolled out at a time")

    def before_fit(self) -> None:
        super().before_fit()
        init_args = self.config.fit.model.init_args
        if init_args.get("value") is None:
            raise ValueError("model.init_args.value: expected the value to learn, got none")
        self.recipe = recipe_of(init_args.value, init_args.reference)
        check_saving(self.model.value, self.model.reference, self.recipe)
        if isinstance(self.datamodule, RolloutData):
            collect(
                self.model.reference,
                self.config.fit.num_trajectories,
                self.datamodule.path,
                target=self.model.target,
                batch_size=self.config.fit.collect_batch,
                seed=self.model.seed,
                proposal=getattr(self.model, "proposal", None),
            )

    def after_fit(self) -> None:
        keeper = self.trainer.checkpoint_callback
        if isinstance(keeper, ModelCheckpoint) and keeper.best_model_path:  # by its monitor; else the last weights
            best = torch.load(keeper.best_model_path, weights_only=True)
            self.model.load_state_dict(own_names(best["state_dict"], self.model.state_dict()), strict=False)
        path, objective = self.output("value.safetensors"), type(self.model).__name__
        save_value(self.model.value, path, self.model.reference, recipe=self.recipe, objective=objective)
        show_written({path: "the value, for svlearn.load_value"})


def recipe_of(value: Any, reference: Any) -> Any:
    """The recipe of a value as the parser holds it, in plain data; the reference that it is a value of is left out."""
    if isinstance(value, (Namespace, dict)):
        entries = value.as_dict() if isinstance(value, Namespace) else value
        same = reference.as_dict() if isinstance(reference, Namespace) else reference
        own = {key: each for key, each in entries.items() if not (key == "reference" and each == same)}
        if "class_path" in own:  # the parser keeps what goes into **kwargs apart
            own["init_args"] = {**(own.get("init_args") or {}), **(own.pop("dict_kwargs", None) or {})}
        return {key: recipe_of(each, same) for key, each in own.items()}
    return [recipe_of(each, reference) for each in value] if isinstance(value, (list, tuple)) else value


def run() -> None:
    train(TrainValue, __doc__, "value.yaml", Objective, subclass_mode_model=True)

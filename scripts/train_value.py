"""Learn a value of a reference process by any objective of svlearn, and save it for `evaluate.py`.

    python scripts/train_value.py fit --config configs/molecules/qm9/value.yaml \\
        --config configs/molecules/qm9/values/monte_carlo.yaml

The first YAML is what all values of a reference share; the second names one family of configs/.../values and stands
over the first. What they say: which reference and reward (`model.init_args.reference`, `.target`), which network
(`.value`), which objective (`model.class_path`), and where trajectories are kept (`data.init_args.path`;
`num_trajectories` of them are collected there first, a run that was killed goes on). Without `data` the objective
rolls out fresh trajectories at every step. Any value can be overridden on the command line, as in
`--trainer.max_steps 500`; go on after a stop, by SIGTERM or SIGKILL, with
`--ckpt_path <trainer.default_root_dir>/checkpoints/last.ckpt`, to the bit as it would have gone on.

The learned network is written to <trainer.default_root_dir>/value.safetensors with the fingerprint of its
reference; metrics by time step go to the logger. `python scripts/train_value.py fit --help` lists all options.
"""

import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser

from svlearn.checkpoints import save_value
from svlearn.compiled import own_names
from svlearn.objectives import Objective
from svlearn.rollouts import RolloutData, collect
from training import ObjectiveCLI, run


class TrainValue(ObjectiveCLI):
    """Collect before the fit, save after it."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--num_trajectories", type=int, default=2000, help="trajectories to collect for `data`")
        parser.add_argument("--collect_batch", type=int, default=500, help="trajectories rolled out at a time")

    def before_fit(self) -> None:
        super().before_fit()
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
        path = self.output("value.safetensors")
        save_value(self.model.value.network, path, self.model.reference, objective=type(self.model).__name__)
        print(f"value written to {path}")


if __name__ == "__main__":
    run(TrainValue, __doc__, Objective, subclass_mode_model=True)

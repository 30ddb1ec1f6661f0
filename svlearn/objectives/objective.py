"""What all objectives share: their own data, the optimiser, the guard, validation, checkpoints."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.arguments import integer, real
from svlearn.checkpoints import check_own_parameters, check_savable
from svlearn.compiled import own_names, plain_names
from svlearn.fingerprint import fingerprint
from svlearn.objectives.guard import Guard
from svlearn.objectives.lean import LeanModule
from svlearn.objectives.onlookers import Onlookers
from svlearn.process import Reference
from svlearn.randomness import seeded
from svlearn.rollouts.roll_out import roll_out
from svlearn.targets import Target

GRADIENT_NORM = 10.0
TRAINING, VALIDATION = 0, 1  # streams of randomness


class Objective(LeanModule):
    """Learn from trajectories of a reference.

    A batch is a number, the place in the objective's own data, for which `batch_size` fresh trajectories are rolled
    out on the objective's device; or a TensorDict of stored ones, "states" (B, T + 1, ...) and "rewards" (B,), as
    `rollouts.RolloutData` serves. What step k draws depends on (seed, k) alone, so a resumed run goes on as it would.

    Adam at `learning_rate` with cosine decay to 1 % over the trainer's steps; gradient norm clipped at 10. The
    reference is not trained, and not stored in checkpoints: only its fingerprint is, and a checkpoint of another
    reference is refused with ValueError. `num_validation`: fresh trajectories on which an own-data validation runs.

    A training step whose reward, value, loss or gradient is not finite raises NonFiniteError (a ValueError and a
    FloatingPointError) with the step and the term, and leaves its batch in the trainer's `default_root_dir`.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target,
        *,
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        num_validation: int = 256,
        steps_per_epoch: int = 100,
    ):
        super().__init__()
        for name, thing, kind in (("reference", reference, Reference), ("target", target, Target)):
            if not isinstance(thing, kind):
                raise TypeError(f"{name}: expected a {kind.__name__}, got {type(thing).__name__}")
        self.reference, self.target = reference, target
        self.learning_rate = real(learning_rate, "learning_rate", above=0)
        self.batch_size = integer(batch_size, "batch_size")
        self.num_validation = integer(num_validation, "num_validation")
        self.steps_per_epoch = integer(steps_per_epoch, "steps_per_epoch")
        self.seed = 0
        self.strict_loading = False  # the reference's weights are not in the checkpoint
        self._guard, self._onlookers = Guard(), Onlookers()

    @abstractmethod
    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        """The loss of a batch of trajectories, a scalar."""

    @abstractmethod
    def trained(self) -> nn.Module:
        """The module whose parameters this objective trains."""

    def watch(self, name: str, term: Tensor) -> Tensor:
        """Return `term`, a part of the loss that is named should the loss not be finite."""
        self._guard.terms[name] = term.detach()
        return term

    def log(self, name: str, value: Any, *args: Any, **options: Any) -> None:
        """As Lightning's, but of a training step only where its figures are seen, see `Onlookers`."""
        if not self.training or self._trainer is None or self._onlookers.see(self.trainer):
            super().log(name, value, *args, **options)

    def setup(self, stage: str) -> None:
        """Before the first step of a fit: that what it trains can be saved when it is done, and is its own to train."""
        if stage == "fit":
            for name in ("value", "policy"):
                part = getattr(self, name, None)
                if isinstance(part, nn.Module) and any(each.requires_grad for each in part.parameters()):
                    check_savable(part, name)
            check_own_parameters(self.trained(), self.reference)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        generator = seeded(self.device, self.seed, TRAINING, self.global_step)
        with self._guard.over(self):
            trajectories = self._guard.trajectories = self._trajectories(batch, self.batch_size, generator)
            if "rewards" in trajectories:
                self.watch("reward", trajectories["rewards"])
            loss = self.loss(trajectories, generator)
            self._guard.check_loss(loss)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(trajectories))
        return loss

    def validation_step(self, batch: Any, batch_index: int) -> None:
        generator = seeded(self.device, self.seed, VALIDATION, batch_index)
        trajectories = self._trajectories(batch, self.num_validation, generator)
        loss = self.loss(trajectories, generator)
        self.log("validation/loss", loss, prog_bar=True, batch_size=len(trajectories))
        self.validate(trajectories, generator)

    def validate(self, trajectories: TensorDict, generator: torch.Generator) -> None:
        """What else a validation looks at; nothing, unless a family says so."""

    def train_dataloader(self) -> Sequence[int]:
        """The objective's own data: epochs of places, for each of which trajectories are rolled out."""
        return range(self.steps_per_epoch)

    def val_dataloader(self) -> Sequence[int]:
        return range(1)

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.Adam(self.trained().parameters(), lr=self.learning_rate)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=0.01 * self.learning_rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None) -> None:
        limit = GRADIENT_NORM if gradient_clip_val is None else gradient_clip_val
        parameters = [each for group in optimizer.param_groups for each in group["params"] if each.grad is not None]
        norm = nn.utils.get_total_norm([each.grad for each in parameters])
        if getattr(self.trainer.precision_plugin, "scaler", None) is None:  # a scaler meets infinities, and passes on
            self._guard.check_gradient(self, norm)
        if limit > 0:  # 0 is Lightning's "do not clip"
            nn.utils.clip_grads_with_norm_(parameters, limit, norm)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        state = plain_names(checkpoint["state_dict"])
        checkpoint["state_dict"] = {name: x for name, x in state.items() if not name.startswith("reference.")}
        checkpoint["reference_fingerprint"] = fingerprint(self.reference)

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        came, wanted = checkpoint.get("reference_fingerprint"), fingerprint(self.reference)
        if came != wanted:
            raise ValueError(f"checkpoint: expected one of this reference ({wanted}), got one of another ({came})")
        checkpoint["state_dict"] = own_names(checkpoint["state_dict"], self.state_dict())

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        if isinstance(batch, TensorDict):
            return batch
        return roll_out(self.reference, size, target=self.target, generator=generator)

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
from svlearn.conditions import Conditions, draw_rows
from svlearn.fingerprint import fingerprint
from svlearn.modes import evaluating
from svlearn.objectives.lightning.agreement import check_agreement
from svlearn.objectives.lightning.cosine_decay import CosineDecay
from svlearn.objectives.lightning.gathering import gather_rows
from svlearn.objectives.lightning.logging import StepLogging
from svlearn.objectives.lightning.module import Module
from svlearn.objectives.lightning.nonfinite import NonFiniteGuard
from svlearn.placement import working_on
from svlearn.process import Reference
from svlearn.raising import check_steps
from svlearn.randomness import stream
from svlearn.rollouts.roll_out import roll_out
from svlearn.targets import Target

GRADIENT_NORM = 10.0
TRAINING, VALIDATION = 0, 1  # streams of randomness


class Objective(Module):
    """Learn from trajectories of a reference.

    A batch is a number, the place in the objective's own data, for which `batch_size` fresh trajectories are rolled
    out on the objective's device; or a TensorDict of stored ones, "states" (B, T + 1, ...) and "rewards" (B,), as
    `rollouts.RolloutData` serves. What step k draws depends on (seed, k), the process' rank and the micro-batch alone,
    so a resumed run goes on as it would. `accumulate_grad_batches=n` of a trainer, and n devices, thus learn from n
    times as many trajectories a step, each mean over a batch becoming one over n of them. What is no mean, a variance
    or a normaliser of the batch, is over the batches of all devices, and over each micro-batch by itself; what an
    objective takes from its first batch to keep (a scale, a level) it takes from the first micro-batch of all devices.
    A validation's figures are of what all devices drew; what `Reference.describe` says is the mean over devices of what
    it says of each one's samples. Of n devices a resumed run draws anew what the others than the first held of the
    past, and all begin an iteration of PPO and a trust region's anew; it may go on with another number of devices.
    Devices that were given other numbers, words or another reference are refused with ValueError.

    Adam at `learning_rate` with cosine decay to 1 % over the trainer's steps; gradient norm clipped at 10. What is not
    trained runs in evaluation mode in a fit, and so does all that draws trajectories. The reference is not trained, and
    not stored in checkpoints: only its fingerprint is, and a checkpoint of another reference is refused with
    ValueError. `num_validation`: fresh trajectories on which an own-data validation runs.

    conditions: what the fresh trajectories, of training and of validation, are conditioned on: rows (a tensor, a
    TensorDict, a dict or a list of them, a map-style Dataset), of which each x_0 is drawn with one, uniformly with
    replacement; or a callable of (number, generator) that returns so many. See `svlearn.conditions`. What is learned
    is of x_t with its condition: v_t(x_t, c), q(x_{t+1} | x_t, c). Stored trajectories hold theirs in their states.

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
        conditions: Any = None,
    ):
        super().__init__()
        for name, thing, kind in (("reference", reference, Reference), ("target", target, Target)):
            if not isinstance(thing, kind):
                raise TypeError(f"{name}: expected a {kind.__name__}, got {type(thing).__name__}")
        check_steps(reference)
        self.reference, self.target = reference, target
        self.learning_rate = real(learning_rate, "learning_rate", above=0)
        self.batch_size = integer(batch_size, "batch_size")
        self.num_validation = integer(num_validation, "num_validation")
        self.steps_per_epoch = integer(steps_per_epoch, "steps_per_epoch")
        source = Conditions.of(conditions)
        self.conditions = None if source is None else source.aligned(reference.aligned)
        self.seed = 0
        self.known_fingerprint: str | None = None  # of the reference, where a fit runs it in another precision
        self.micro_batch, self.more_to_come = 0, False  # which of those of the present step, and whether others follow
        self.strict_loading = False  # the reference's weights are not in the checkpoint
        self._guard, self._logging = NonFiniteGuard(), StepLogging()

    @abstractmethod
    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        """The loss of a batch of trajectories, a scalar."""

    @abstractmethod
    def trained(self) -> nn.Module:
        """The module whose parameters this objective trains."""

    def frozen_parts(self) -> list[object]:
        """What runs besides this module's own parts, and learns nothing; a family adds to the target."""
        return [self.target]

    def watch(self, name: str, term: Tensor) -> Tensor:
        """Return `term`, a part of the loss that is named should the loss not be finite."""
        self._guard.terms[name] = term.detach()
        return term

    def log(self, name: str, value: Any, *args: Any, **options: Any) -> None:
        """As Lightning's, but of a training step only where its figures are seen, see `StepLogging`."""
        if not self.training or self._trainer is None or self._logging.see(self.trainer):
            super().log(name, value, *args, **options)

    def setup(self, stage: str) -> None:
        """Before the first step of a fit: that what it trains can be saved when it is done, and is its own to train."""
        if stage == "fit":
            for name in ("value", "policy"):
                part = getattr(self, name, None)
                if isinstance(part, nn.Module) and any(each.requires_grad for each in part.parameters()):
                    check_savable(part, name)
            check_own_parameters(self.trained(), self.reference)
            if self.num_processes > 1:
                check_agreement(self, self._reference_fingerprint())

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        number = self._micro_batches_of(batch_index)
        self.micro_batch = batch_index % self.num_micro_batches
        self.more_to_come = self.micro_batch + 1 < number
        place = dict(rank=self.global_rank, part=self.micro_batch)
        generator = stream(self.device, self.seed, TRAINING, self.global_step, **place)
        with self._guard.over(self), working_on(self.device):
            with evaluating(*self.children(), *self.frozen_parts()):
                self.training = True  # it asks itself, and what its parts close over may be the objective
                trajectories = self._guard.trajectories = self._trajectories(batch, self.batch_size, generator)
            if "rewards" in trajectories:
                self.watch("reward", trajectories["rewards"])
            loss = self.loss(trajectories, generator)
            self._guard.check_loss(loss)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(trajectories))
        # Lightning divides by `accumulate_grad_batches`, also where the last step of an epoch is made of fewer
        return loss if number == self.num_micro_batches else loss * self.num_micro_batches / number

    def validation_step(self, batch: Any, batch_index: int) -> None:
        generator = stream(self.device, self.seed, VALIDATION, batch_index, rank=self.global_rank)
        with working_on(self.device), evaluating(*self.children(), *self.frozen_parts()):
            trajectories = self._trajectories(batch, self.num_validation, generator)
            loss = self.loss(trajectories, generator)
            together = self.num_processes > 1
            self.log("validation/loss", loss, prog_bar=True, batch_size=len(trajectories), sync_dist=together)
            self.validate(trajectories, generator)

    def validate(self, trajectories: TensorDict, generator: torch.Generator) -> None:
        """What else a validation looks at; nothing, unless a family says so."""

    def train_dataloader(self) -> Sequence[int]:
        """The objective's own data: epochs of places, for each of which trajectories are rolled out."""
        return range(self.steps_per_epoch * self.num_micro_batches)

    def val_dataloader(self) -> Sequence[int]:
        return range(1)

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.Adam(self.trained().parameters(), lr=self.learning_rate)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = CosineDecay(optimizer, steps, eta_min=0.01 * self.learning_rate)
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
        checkpoint["reference_fingerprint"] = self._reference_fingerprint()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        actual, expected = checkpoint.get("reference_fingerprint"), self._reference_fingerprint()
        if actual != expected:
            raise ValueError(f"checkpoint: expected one of this reference ({expected}), got one of another ({actual})")
        if self.num_processes > 1:  # rank 0 has written it: what that one drew, the others are not to learn from again
            for name, part in self.named_modules():
                together = getattr(part, "begins_together", False)  # by a call that all of them make
                if getattr(part, "of_one_process", False) and (self.global_rank > 0 or together):
                    checkpoint["state_dict"].pop(f"{name}._extra_state", None)
        checkpoint["state_dict"] = own_names(checkpoint["state_dict"], self.state_dict())

    def _reference_fingerprint(self) -> str:
        return fingerprint(self.reference) if self.known_fingerprint is None else self.known_fingerprint

    @property
    def num_micro_batches(self) -> int:
        """How many micro-batches make up an optimiser step: the trainer's `accumulate_grad_batches`."""
        return getattr(self._trainer, "accumulate_grad_batches", 1)

    @property
    def num_processes(self) -> int:
        """How many train together, each on a batch of its own."""
        return getattr(self._trainer, "world_size", 1)

    def of_all_processes(self, rows: Tensor) -> Tensor:
        """Rows (B, ...) of every process that trains, by rank, with their gradients; of one alone, its own.

        For what a loss takes from its batch as a whole, a variance or a normaliser, so that n processes learn from
        batches of B what one learns from n B. All processes must make the call."""
        return rows if self.num_processes == 1 else gather_rows(rows)

    def own_of(self, rows: Tensor, number: int) -> Tensor:
        """This process' `number` rows of what `of_all_processes` gives."""
        if self.num_processes == 1:
            return rows
        ranks = self.of_all_processes(torch.full((number,), self.global_rank, device=rows.device))
        return rows[ranks == self.global_rank]

    def as_first_process(self, drawn: Tensor) -> Tensor:
        """What the first of the processes has drawn, the same in each."""
        return drawn if self.num_processes == 1 else self.trainer.strategy.broadcast(drawn).to(drawn.device)

    def _micro_batches_of(self, batch_index: int) -> int:
        """How many make up the step that a batch of this epoch belongs to."""
        number = self.num_micro_batches
        if number == 1:
            return 1
        return int(min(number, self.trainer.num_training_batches - (batch_index - batch_index % number)))

    def draw_conditions(self, number: int, generator: torch.Generator) -> Any:
        """Rows for so many fresh trajectories; None, and nothing drawn, where there are no conditions."""
        return draw_rows(self.conditions, number, generator)

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        if isinstance(batch, TensorDict):
            return batch
        rows = self.draw_conditions(size, generator)
        return roll_out(self.reference, size, target=self.target, generator=generator, condition=rows)

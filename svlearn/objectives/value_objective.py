"""What the objectives that learn a value share: which states they look at, and validation by time step."""

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.inference.proposals import Proposal
from svlearn.inference.resampling import systematic
from svlearn.inference.sampler import Sampler
from svlearn.inference.samplers import svdd
from svlearn.objectives.checks import check_log_prob
from svlearn.objectives.objective import Objective
from svlearn.process import Reference, predict
from svlearn.randomness import rand, randint
from svlearn.rollouts.roll_on import roll_on
from svlearn.rollouts.roll_out import as_proposal, roll_out
from svlearn.state import State, repeat
from svlearn.targets import Target
from svlearn.trajectories import Calls, in_one_pass, pieces_along, predictions_at
from svlearn.values.calibration import agreement
from svlearn.values.value import Value, evaluate

ROWS = 4096  # states in one call


class ValueObjective(Objective):
    """Learn v_θ(x_t, t), t = 0 ... T - 1, reward units.

    num_times: at how many times of each trajectory, drawn uniformly from 0 ... T - 1 (None: at every time).
    proposal: q, a `Proposal` or a policy, draws the objective's own trajectories; None: the reference does.

    Trajectories that a proposal drew, fresh or stored, carry "log_ratios" (B, T), log p_ref - log q of each move, and
    are weighed by them so that the value is that of the reference all the same. A value is conditional on x_t, so
    only what follows x_t is weighed: the law of x_t itself says how much each state counts, not what is learned there.
    q must be able to make every move of p_ref (for a soft value: every one that can still end in a finite reward).

    Some objectives also take, as what they `understand` says, batches of single states, "states" (N, ...) at "times"
    (N,), whose "rewards" (N,) are their labels, as `rollouts.label_candidates` has them; and trajectories with "since"
    (B,), as `rollouts.roll_on` has them, of which they look at no t before. Others refuse them.
    num_candidates: M, where the objective's own trajectories of training are such ones of `svdd` with the value as it
    is and M candidates a step: a value that guides is then learned at the states that it leads to (DAgger, arXiv
    1011.0686), and as what p_ref makes of them. They cost a run of the sampler more. None: those of the reference.

    Further keywords are those of `Objective`. Raises TypeError for what is not a value, and a proposal that is none or
    has no log-probability; ValueError for a value without trainable parameters, numbers that are out of range, and
    num_candidates beside a proposal or where "since" is not understood.
    """

    reward_variance: Tensor
    understands: frozenset[str] = frozenset()

    def __init__(
        self,
        reference: Reference,
        target: Target,
        value: Value,
        *,
        num_times: int | None = None,
        proposal: Proposal | Reference | None = None,
        num_candidates: int | None = None,
        **options: Any,
    ):
        super().__init__(reference, target, **options)
        if not isinstance(value, Value):
            raise TypeError(f"value: expected a Value, got {type(value).__name__}")
        if not any(parameter.requires_grad for parameter in value.parameters()):
            raise ValueError(f"value: expected one with trainable parameters, got {type(value).__name__} without any")
        if num_times is not None and not 1 <= num_times <= reference.num_steps:
            raise ValueError(f"num_times: expected None or 1 to {reference.num_steps}, got {num_times}")
        self.value, self.num_times = value, num_times
        self.proposal = None if proposal is None else as_proposal(proposal).bind(reference, target)
        if self.proposal is not None:
            check_log_prob(reference, self.proposal, "proposal", self.conditions)
            modules = [each for each in vars(self.proposal).values() if isinstance(each, nn.Module)]
            self.proposal_modules = nn.ModuleList(modules)  # so that they are on the objective's device
        self.num_candidates = num_candidates
        self._guide = None if num_candidates is None else self._guided_by(num_candidates)
        self.register_buffer("reward_variance", torch.zeros((), dtype=torch.float64))
        self._validated: list[tuple[Tensor, Tensor]] = []

    def trained(self) -> nn.Module:
        return self.value

    def times(
        self, batch_size: int, device: torch.device, generator: torch.Generator, since: Tensor | None = None
    ) -> Tensor:
        """The times at which each trajectory is looked at, (B, num_times), or (B, T); with `since` (B,) as many from
        there on: half of them there, so that for uniform ones each t has at least half of its share, else uniform."""
        steps = self.reference.num_steps
        if since is not None:
            shape = (batch_size, steps if self.num_times is None else self.num_times)
            passed = rand(shape, generator, device, torch.float64) * (steps - since)[:, None]
            later = (since[:, None] + passed.long()).clamp(max=steps - 1)  # a product may be rounded up
            return torch.where(rand(shape, generator, device, torch.float64) < 0.5, since[:, None], later)
        if self.num_times is None:
            return torch.arange(steps, device=device).expand(batch_size, -1)
        return randint(steps, (batch_size, self.num_times), generator, device)

    def evaluate(self, x: State, t: int | Tensor, generator: torch.Generator) -> Tensor:
        """v_θ(x_t, t), (N,), with the reference's prediction where the value reads it."""
        prediction = None
        if self.value.reads(t):
            with torch.no_grad():
                prediction = predict(self.reference, x, t)
        return self.watch("value", evaluate(self.value, x, t, prediction, generator=generator))

    def evaluate_along(self, states: State, t: Tensor, generator: torch.Generator) -> Tensor:
        """v_θ(x_t, t), (B, n), of trajectories (B, T + 1, ...) at the times t (B, n) of each.

        Where the value reads predictions, those along the trajectories serve it (see `trajectories.in_one_pass`): one
        call of the reference a state, each with the cache of the step before.
        """
        size, number = t.shape
        if not self.reads_along(t):
            rows, moments = repeat(torch.arange(size, device=t.device), number), t.flatten()
            return self.evaluate(states[rows, moments], moments, generator).view(size, number)
        values = [
            evaluate(self.value, piece.x, piece.t, piece.predictions[0], generator=generator).view(-1, size)
            for piece in pieces_along([Calls(self.reference)], states, ROWS)
        ]
        return self.watch("value", torch.cat(values).T.gather(1, t))

    def reads_along(self, t: Tensor) -> bool:
        """Whether the value reads predictions at these times (B, n), and has them from along the trajectories."""
        return self.value.reads(t.flatten()) and in_one_pass(self.reference, range(t.shape[1]))

    def log_ratios(self, trajectories: TensorDict) -> Tensor:
        """log p_ref(x_{t+1}|x_t) - log q(x_{t+1}|x_t) of the moves of whoever drew them, (B, T), nats, float64."""
        shape = (len(trajectories), self.reference.num_steps)
        ratios = trajectories.get("log_ratios", None)
        if ratios is None:
            return torch.zeros(shape, dtype=torch.float64, device=trajectories["rewards"].device)
        if ratios.shape != shape:
            raise ValueError(f"trajectories['log_ratios']: expected shape {shape}, got {tuple(ratios.shape)}")
        return self.watch("log p_ref - log q", ratios.double())

    def log_ratios_to_go(self, trajectories: TensorDict) -> Tensor:
        """Σ_{s >= t} of them, (B, T): log W_t, where E_q[W_t h(x_T) | x_t] = E_ref[h(x_T) | x_t] for any h."""
        return self.log_ratios(trajectories).flip(1).cumsum(dim=1).flip(1)

    def unit(self, rewards: Tensor) -> Tensor:
        """The variance of the rewards of the first batch, 1 if they do not vary; what a squared loss is divided by.

        In this unit the loss, and so the clipping of its gradient, does not depend on the reward's units: unclipped,
        the large gradients of the first steps would hold Adam's steps down for the next thousand.
        """
        if self.reward_variance == 0:
            variance = self.of_all_processes(rewards.double()).var(correction=0)
            self.reward_variance.copy_(torch.where(variance > 0, variance, 1.0))
        return self.reward_variance

    def validate(self, trajectories: TensorDict, generator: torch.Generator) -> None:
        if "times" in trajectories or "since" in trajectories:  # no row has all its states from the reference
            return
        if "log_ratios" in trajectories:  # resampled by the weights of their paths, they stand for the reference's
            log_weights = self.log_ratios(trajectories).sum(dim=1)
            weights = log_weights.softmax(dim=0)[None]
            uniforms = rand(weights.shape, generator, weights.device, weights.dtype)
            trajectories = trajectories[systematic(weights, uniforms)[0]]
        states, steps = trajectories["states"], range(self.reference.num_steps)
        predictions = predictions_at(self.reference, states, [t for t in steps if self.value.reads(t)])
        values = [
            self.watch("value", evaluate(self.value, states[:, t], t, prediction, generator=generator))
            for t, prediction in enumerate(predictions)
        ]
        self._validated.append((torch.stack(values, dim=1), trajectories["rewards"]))

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        super().on_save_checkpoint(checkpoint)
        state = checkpoint["state_dict"]  # a proposal is not trained here
        checkpoint["state_dict"] = {name: x for name, x in state.items() if not name.startswith("proposal_modules.")}

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        if isinstance(batch, TensorDict):
            self._check_understood(batch)
            return batch
        if self._guide is not None and self.training:
            return roll_on(self._guide, size, generator=generator, condition=self.draw_conditions(size, generator))
        drawing: dict[str, Any] = {"condition": self.draw_conditions(size, generator), "generator": generator}
        return roll_out(self.reference, size, target=self.target, proposal=self.proposal, **drawing)

    def _check_understood(self, batch: TensorDict) -> None:
        """Raise ValueError for entries that would be passed over."""
        name = type(self).__name__
        if "times" in batch and "times" not in self.understands:
            raise ValueError(f"{name} learns from trajectories, got single states; MonteCarloRegression takes them")
        if "since" in batch and "since" not in self.understands:
            raise ValueError(
                f"{name} learns from whole trajectories, got some that are the reference's since a t; "
                "MonteCarloRegression, SoftQIteration and TemporalDifference take them"
            )

    def _guided_by(self, num_candidates: int) -> Sampler:
        """SVDD with the value that is trained, made once, for it looks at the reference's noise."""
        if "since" not in self.understands or self.proposal is not None:
            why = f"by {type(self).__name__}" if self.proposal is None else "beside a proposal"
            raise ValueError(f"num_candidates: expected None {why}, got {num_candidates}")
        return svdd(self.reference, self.target, self.value, num_candidates)

    def on_validation_epoch_end(self) -> None:
        """Log Pearson's correlation and R² of the value with the reward (figure 5 of SVDD, arXiv 2408.08252): the
        mean over t, and each t. What is random after t no value can explain, so R² stays below 1 at early t."""
        if not self._validated:
            return
        parts = (torch.cat(each).double() for each in zip(*self._validated, strict=True))
        values, rewards = (self.of_all_processes(each) for each in parts)
        self._validated.clear()
        finite = torch.isfinite(rewards)
        if int(finite.sum()) < 2:
            return
        by_time = torch.tensor([agreement(column[finite], rewards[finite])[:2] for column in values.T])
        for name, column in zip(("pearson", "r2"), by_time.T, strict=True):
            self.log(f"validation/{name}", column.nanmean(), prog_bar=True)
            self.log_dict({f"validation/{name}_t{t:03d}": each for t, each in enumerate(column)})

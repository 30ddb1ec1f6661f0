"""The pretrained process that is steered, and all that one call of its network says about a state."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.caches import join, lent, select
from svlearn.compiled import Compilable, plain
from svlearn.denoising import default_loss
from svlearn.metering import count, current_max_batch
from svlearn.raising import in_words, noted, wrong_initial
from svlearn.randomness import device_of
from svlearn.shapes import check_forward, check_prediction, check_states, forget, is_new, is_unclear, with_one_more
from svlearn.state import State, concatenate, device_of_state, take, times, to_device
from svlearn.transitions import Transition, UnclearStdError


@dataclass(frozen=True)
class Prediction:
    """All that one network call says about a batch of B states x_t. Only `transition` is needed.

    clean        x̂_T(x_t), the point prediction of the finished sample, in the form that a reward takes
    clean_law    the network's law of x_T given x_t
    features     what a cheap value head may read, (B, ...)
    features_before  those of the state before x_t, where one look at x_t says them too, as of a causal model
    cache        what the next call may reuse, see `svlearn.caches`; immutable to its readers
    gradient     of a value in x_t, where a proposal that needs it has made the call (B, ...)
    policy       what a policy with a network of its own predicts for x_t, where it proposes: its own cache is there
    evaluations  how often the network was called for each state (B,), long, where that was not once: none where the
                 cache told all, two with and without a class; what `Cost` counts
    """

    transition: Transition
    clean: State | None = None
    clean_law: Transition | None = None
    features: Tensor | None = None
    features_before: Tensor | None = None
    cache: Any | None = None
    gradient: State | None = None
    policy: "Prediction | None" = None
    evaluations: Tensor | None = None

    def __getitem__(self, index: Any) -> "Prediction":
        """Every part for the chosen rows, so that it follows the particles."""
        chosen = {name: part if name == "cache" else take(part, index) for name, part in vars(self).items()}
        return Prediction(**{**chosen, "cache": select(self.cache, index)})

    def trimmed(self) -> "Prediction":
        """What the next step reads: the transition, and the caches that its calls may reuse."""
        return Prediction(self.transition, cache=self.cache, policy=self.policy)

    @property
    def has_cache(self) -> bool:
        """Whether there is something that the next call of the reference, or of the policy, may reuse."""
        return self.cache is not None or (self.policy is not None and self.policy.has_cache)

    @classmethod
    def cat(cls, parts: Sequence["Prediction"]) -> "Prediction":
        joined = {each.name: [getattr(part, each.name) for part in parts] for each in fields(cls)}
        return cls(**{name: (join if name == "cache" else concatenate)(own) for name, own in joined.items()})


class Device:
    """Where a module lies: its parameters or buffers, else the default device in force. An attribute of its own that an
    instance is given stands for it."""

    def __get__(self, module: Any, kind: type | None = None) -> torch.device:
        return self if module is None else device_of(module)  # type: ignore[return-value]


class Reference(nn.Module, ABC, metaclass=Compilable):
    """A pretrained process p_ref: x_0 ~ p_0, x_{t+1} ~ p_ref(· | x_t), t = 0 ... num_steps - 1.

    A subclass sets `num_steps` and writes `initial` and `forward`; the rest is optional. `torch.compile(reference)` is
    a Reference too.
    device: where its parameters or buffers are; of one without any the default device in force, which inside a sampler
    and an objective is theirs: `torch.zeros(batch_size, 2)` lies where it is wanted.
    """

    num_steps: int
    device = Device()

    @abstractmethod
    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> State:
        """Draw x_0 (B, ...). condition: B rows of what the sample is conditioned on; passed only when given."""

    @abstractmethod
    def forward(self, x: State, t: Tensor, previous: Prediction | None = None) -> Prediction:
        """Predict from x_t (B, ...) at t (B,) in 0 ... T - 1. previous is passed only where it carries a cache."""

    def along(self, trajectory: State) -> Iterable[Prediction]:
        """The predictions at t = 0 ... T - 1 of given x_0 ... x_T (B, T + 1, ...), each of the B states at that t.

        Step by step, unless a subclass can do it in one pass, as a causal language model by teacher forcing: what
        evaluates trajectories then asks for all t at once. It must predict what `forward` does.
        """
        return step_by_step(self, trajectory)

    def noise(self, x: State, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None) -> State:
        """Draw x at the earlier t_to (B,) from x at the later t_from (B,): the forward process.

        A process whose x_0 holds in its places what a sample is conditioned on, as a sequence its given letters, takes
        `start` too, x_0 (B, ...) or None, and leaves these places as they are.
        """
        raise TypeError(f"{type(self).__name__} has no forward process: it does not define noise()")

    def denoising_loss(self, x_T: State | Prediction, x_t: State, t: Tensor, prediction: Prediction) -> Tensor:
        """How wrong a prediction for x_t (B, ...) is about x_T, (B,), with its gradient: what a denoiser is trained by.
        prediction: a policy's, as much as its own; x_T: a state, or what another process predicts for x_t, see
        `svlearn.denoising`, whose `default_loss` it is where a subclass does not define it."""
        return default_loss(self, x_T, t, prediction)

    def initial_law(self, x: State) -> Transition:
        """p_0 where it is Gaussian, given what the rows of x_0 (B, ...) are conditioned on: `initial` draws from it. A
        `GaussianTransition`, or what `transitions.gaussian_of` finds one in."""
        raise TypeError(f"{type(self).__name__} does not say its p_0: it does not define initial_law()")

    def finished(self, x: State) -> Tensor:
        """Which states (B, ...) at any t are finished, (B,) bool, as a text after its end: such a one steps to itself
        with log-probability 0 until T. Samplers, rollouts and values by simulation then call the reference for it no
        more. By default none is."""
        return torch.zeros(len(x), dtype=torch.bool, device=device_of_state(x))

    def aligned(self, conditions: Any) -> Any:
        """Rows of conditions such that states drawn under some of them join those under others: a language model pads
        its prompts to one length. What draws from them again and again asks for it; by default they are as they are."""
        return conditions

    def decode(self, x: State) -> list:
        """Finished states as the domain's objects."""
        raise TypeError(f"{type(self).__name__} does not define decode()")

    def describe(self, objects: list) -> dict[str, float]:
        """Figures of decoded samples that a comparison lists beside the reward (validity, diversity, ...)."""
        return {}

    def draw(self, objects: list, captions: list[str]) -> str | None:
        """A picture of decoded samples as SVG or <img> markup for a report, or None."""
        return None

    def overview(self, objects: list) -> str | None:
        """One picture of all decoded samples, as a sequence logo is, as SVG or <img> markup for a report, or None."""
        return None

    def defines(self, method: str) -> bool:
        """Whether it has an optional method of its own; one that hands them on to another process asks that one."""
        return getattr(type(self), method) is not getattr(Reference, method)


def draw_initial(
    reference: Reference, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None
) -> State:
    """x_0 (B, ...) of a process; the tensors of a condition are moved to where it runs. Raises TypeError and ValueError
    where `initial` gives something else; what it raises itself under a condition has a note of the condition's form."""
    options = {} if condition is None else {"condition": to_device(condition, device_of(reference))}
    try:
        x = reference.initial(batch_size, generator=generator, **options)
    except Exception as error:
        wrong = wrong_initial(reference, options)
        raised = error if wrong is None else wrong
        if condition is not None:
            raised.add_note(f"in {type(reference).__name__}.initial, given condition= {in_words(condition)}")
        if wrong is None:
            raise
        raise wrong from None
    check_states(x, batch_size, f"{type(reference).__name__}.initial")
    return x


def add_noise(
    reference: Reference,
    x: State,
    t_from: Tensor,
    t_to: Tensor,
    start: Callable[[], State | None],
    generator: torch.Generator | None,
) -> State:
    """`Reference.noise`; start: what gives x_0 (B, ...), asked only where the forward process reads it."""
    options: dict[str, Any] = {"generator": generator}
    if "start" in inspect.signature(plain(reference).noise).parameters:
        options["start"] = start()
    return reference.noise(x, t_from, t_to, **options)


def has(reference: Reference, method: str) -> bool:
    """Whether a reference defines one of the optional methods of `Reference`."""
    return plain(reference).defines(method)


def finished_rows(reference: Reference, x: State) -> Tensor | None:
    """Which states (B, ...) are finished, (B,) bool; None where the reference does not define `finished`.

    Raises TypeError or ValueError where it returns something else.
    """
    if not has(reference, "finished"):
        return None
    rows = reference.finished(x)
    if not isinstance(rows, Tensor) or rows.dtype != torch.bool or rows.shape != (x.shape[0],):
        actual = f"{tuple(rows.shape)} of {rows.dtype}" if isinstance(rows, Tensor) else type(rows).__name__
        name = type(reference).__name__
        raise (ValueError if isinstance(rows, Tensor) else TypeError)(
            f"{name}.finished: expected a bool tensor of shape ({x.shape[0]},), got {actual}"
        )
    return rows


def predict(
    reference: Reference,
    x: State,
    t: int | Tensor,
    previous: Prediction | None = None,
    kind: str = "reference_calls",
    *,
    parents: Tensor | None = None,
) -> Prediction:
    """Call a process on a batch, in pieces of the frame's `max_batch`, and count its states, or the evaluations of its
    network where the prediction tells them.

    previous: of the states before, whose cache the call may reuse; parents (B,): the row of it that each state comes
    from, None where it is each one's own. They are gathered piece by piece.

    Every call of a reference or a policy in svlearn goes through here. Raises TypeError where the process does not
    take (x, t) or does not return a `Prediction`, and what `shapes.check_prediction` does where states of a shape are
    met first.
    """
    size = x.shape[0]
    t = times(t, size, device_of_state(x))
    cache = previous if previous is not None and previous.cache is not None else None
    limit = current_max_batch()
    if limit is None or size <= limit:
        return counted(kind, call(reference, x, t, take(cache, parents)), size)
    cuts = [slice(start, start + limit) for start in range(0, size, limit)]
    rows = cuts if parents is None else [parents[cut] for cut in cuts]
    pieces = [
        counted(kind, call(reference, x[cut], t[cut], take(cache, own)), len(t[cut]))
        for cut, own in zip(cuts, rows, strict=True)
    ]
    return concatenate(pieces)


def counted(kind: str, prediction: Prediction, size: int) -> Prediction:
    """Add what a prediction of so many states took to every open frame: the evaluations it tells, else one a state.

    It is returned without them: who is handed it has not made the calls."""
    if prediction.evaluations is None:
        count(kind, size)
        return prediction
    count(kind, int(prediction.evaluations.sum()))
    return replace(prediction, evaluations=None)


def step_by_step(reference: Reference, trajectory: State, kind: str = "reference_calls") -> Iterator[Prediction]:
    """`predict` at t = 0 ... T - 1 of x_0 ... x_T (B, T + 1, ...), each with the cache of the step before."""
    previous: Prediction | None = None
    for t in range(reference.num_steps):
        previous = predict(reference, trajectory[:, t], t, previous, kind)
        yield previous


def call(reference: Reference, x: State, t: Tensor, cache: Prediction | None = None) -> Prediction:
    """One call of a process on all of a batch, which is looked at as `predict` says, and not counted."""

    error: UnclearStdError | None = None
    if not is_unclear(reference, x.shape[0]):
        try:
            return _call(reference, x, t, cache)
        except UnclearStdError as raised:
            error = raised

    def of(rows: Tensor) -> Prediction:
        return _call(reference, take(x, rows), t[rows], take(cache, rows))

    return with_one_more(reference, x.shape[0], of, error)


def _call(reference: Reference, x: State, t: Tensor, cache: Prediction | None) -> Prediction:
    new = is_new(reference, (x.shape, cache is None))
    if new:
        check_forward(reference, cache is not None)
    own = None if cache is None else replace(cache, cache=lent(cache.cache), policy=None)
    with noted(f"{type(reference).__name__}.forward", reference, x):
        prediction = reference(x, t) if own is None else reference(x, t, previous=own)
    if new and isinstance(prediction, Prediction):
        try:
            check_prediction(reference, x, prediction)
        except (TypeError, ValueError):
            forget(reference)
            raise
    if not isinstance(prediction, Prediction):
        raise TypeError(f"{type(reference).__name__}.forward: expected a Prediction, got {type(prediction).__name__}")
    return prediction

"""A policy for processes of any kind: a copy of the reference that is trained, whole or by low-rank adapters."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.arguments import names_of
from svlearn.compiled import plain_copy, plain_name
from svlearn.conditions import rows_for
from svlearn.policies.adapters import adapted
from svlearn.policies.noiseless import NOISY, PART, WHOLE, joined, noiseless_steps
from svlearn.policies.policy import Policy
from svlearn.policies.reading import check_read, read_by
from svlearn.process import Prediction, Reference, call, has, predict
from svlearn.state import State, repeat, take
from svlearn.transitions import Transition, gaussian_of


class Finetuned(Policy):
    """q(x_{t+1} | x_t) = that of a trainable copy of the reference, which starts as q = p_ref.

    lora_rank: None trains the parameters of the copy. A rank r >= 1 freezes them, and every layer of a kind that peft
    adapts becomes W + B A, with A (r, in) random and the same at every construction, B (out, r) = 0 at first, and no
    further factor (LoRA, arXiv 2106.09685, with its α = r); needs the library peft. The kinds: linear layers (also
    transformers' Conv1D), embeddings, convolutions (grouped ones where r is a multiple of the groups), and
    nn.MultiheadAttention as a whole. `adapted` holds which, {name: kind}, and the repr their numbers; a warning names
    the weights that have no adapter. A layer whose weight is read without a call of it has none: it would not act.
    target_modules: which of these layers, as peft takes it: a string is a regular expression for whole names, or
    "all-linear"; of a list, each is a name or the end of some, after a dot.

    modules: names of parts of the reference (modules or parameters) that are trained; None: the whole reference. Of
    each part, the parameters that require a gradient are trained; all of them where none does, as in a reference that
    was loaded for sampling. So what a reference has frozen, a VAE or a text encoder inside it, stays frozen. Parameters
    that the reference has frozen and that are not trained are shared with it in memory, not copied.

    noiseless: whose the steps are in which the reference has no noise, as the last of many samplers. "copy": the
    copy's; where it moves x at all, log q - log p_ref is -inf, and objectives refuse to train one that would (see
    `objectives.checks.check_unmoved`). "reference": the reference's, element by element where only some have no noise,
    so that log q - log p_ref is 0 there; such a step costs a call of the reference, and none of the copy, but where
    some elements are noisy or a cache is kept. Which steps these are is looked at once, in T calls on two states.
    A step costs one call of the copy; as a proposal it takes nothing from the reference's prediction, and keeps a cache
    of its own beside the reference's. `along` is the copy's, in one pass where the reference has one. The copy is in
    evaluation mode: dropout would make log q random. The copy of a compiled reference is not compiled. The state_dict
    leaves out the reference: the copy holds it.
    condition: one row, for a reference that starts from nothing else: without it, it cannot be looked at before it is
    trained, and an objective with conditions looks in its turn.
    Raises ValueError where there is no parameter to train, no layer to adapt, where no step of a trajectory reads what
    is trained (looked at once, with two states), for names that name nothing, and a lora_rank below 1; ImportError
    where peft is missing.
    """

    copy: Reference

    def __init__(
        self,
        reference: Reference,
        lora_rank: int | None = None,
        *,
        target_modules: str | list[str] | None = None,
        modules: str | list[str] | None = None,
        noiseless: str = "copy",
        condition: Any = None,
    ):
        super().__init__(reference)
        if noiseless not in ("copy", "reference"):
            raise ValueError(f"noiseless: expected 'copy' or 'reference', got {noiseless!r}")
        self.noiseless = noiseless
        self._options: dict[str, Any] = dict(lora_rank=lora_rank, target_modules=target_modules, modules=modules)
        self._options |= dict(noiseless=noiseless, condition=condition)
        rows = rows_for(condition, 1, "for the look at what it reads")
        rows = None if rows is None else repeat(rows, 2)
        self.lora_rank = lora_rank
        self.adapted: dict[str, str] = {}
        free = free_parameters(reference, modules)
        if lora_rank is not None:
            self.copy, self.adapted = adapted(reference, lora_rank, free, target_modules, rows)
        elif target_modules is not None:
            raise ValueError(f"target_modules: they are for adapters, got {target_modules!r} without a lora_rank")
        else:
            self.copy = _whole(reference, free, rows)
        self.copy.eval()
        self._kinds, self._cached = torch.full((self.num_steps,), NOISY), False
        if noiseless == "reference":
            self._kinds, self._cached = noiseless_steps(reference, rows)
        self._always_noisy = bool((self._kinds == NOISY).all())
        self.register_state_dict_post_hook(_without_reference)
        self.register_load_state_dict_pre_hook(_with_own_reference)

    def arguments(self) -> dict[str, Any]:
        """What the constructor took."""
        return {"reference": self.reference, **self._options}

    def on(self, reference: Reference) -> "Finetuned":
        """The policy with these weights on another process of the same network, as one of more steps than it was
        trained with (Flow-GRPO, arXiv 2505.05470): as `MaskedDiffusion.with_steps` makes it, or a `DiffusersReference`
        of the same pipeline. Its network then says of a time what it learned of times nearby. Raises ValueError, with
        the name, for a process with other parameters."""
        other = type(self)(reference, **self._options)
        other.take_weights(self)
        return other

    @torch.no_grad()
    def take_weights(self, other: "Finetuned") -> None:
        """Those of a policy of the same network on another process, all that is trained; see `on`."""
        for part, own in (("reference", self.reference), ("copy", self.copy)):
            theirs = {plain_name(name): each for name, each in getattr(other, part).named_parameters()}
            mine = {plain_name(name): each for name, each in own.named_parameters()}
            differing = [name for name in {**mine, **theirs} if not _alike(mine.get(name), theirs.get(name), part)]
            if differing:
                raise ValueError(
                    f"reference: expected a process of the same network, got a {type(self.reference).__name__} with "
                    f"another {differing[0]}"
                )
        for name, each in mine.items():
            each.copy_(theirs[name])

    @property
    def corrects(self) -> bool:
        """False, but for a subclass with a `steer` of its own."""
        return type(self).steer is not Finetuned.steer

    def steer(self, prediction: Prediction, x: State, t: Tensor) -> Transition:
        own = None if self._always_noisy else gaussian_of(prediction.transition)
        if own is not None and bool(own.diracs.all()):
            return prediction.transition
        return self.law_of(call(self.copy, x, t), prediction)

    def law_of(self, own: Prediction, prediction: Prediction) -> Transition:
        return own.transition if self._always_noisy else own.transition.with_diracs_of(prediction.transition)

    def forward(self, x: State, t: Tensor, previous: Prediction | None = None) -> Prediction:
        """All that the copy says, its own x̂_T and cache included: one call, and none of the reference; but for steps
        that it leaves to the reference (see `noiseless`), of which that says all."""
        if self._always_noisy:
            return self._predict(NOISY, x, t, previous)
        kinds = self._kinds.to(t.device)[t]
        rows = {kind: (kinds == kind).nonzero().flatten() for kind in (NOISY, WHOLE, PART)}
        rows = {kind: own for kind, own in rows.items() if len(own)}
        if len(rows) == 1:
            return self._predict(next(iter(rows)), x, t, previous)
        parts = [self._predict(kind, take(x, own), t[own], take(previous, own)) for kind, own in rows.items()]
        return joined(parts, list(rows.values()))

    def _predict(self, kind: int, x: State, t: Tensor, previous: Prediction | None) -> Prediction:
        """At steps of one kind."""
        options = {} if previous is None else {"previous": previous}
        if kind == NOISY:
            return self.copy(x, t, **options)
        leaves = [x] if isinstance(x, Tensor) else x.values(include_nested=True, leaves_only=True)
        with torch.set_grad_enabled(torch.is_grad_enabled() and any(each.requires_grad for each in leaves)):
            prediction = predict(self.reference, x, t)
        if kind == WHOLE and not self._cached:
            return replace(prediction, evaluations=torch.zeros_like(t))
        own = self.copy(x, t, **options)
        return replace(own, transition=self.law_of(own, prediction))

    def along(self, trajectory: State) -> Iterable[Prediction]:
        if self.corrects:
            return super().along(trajectory)
        if not self._always_noisy:
            return Reference.along(self, trajectory)
        return self.copy.along(trajectory) if has(self.copy, "along") else Reference.along(self, trajectory)

    def defines(self, method: str) -> bool:
        if method != "along":
            return super().defines(method)
        if not self._always_noisy:
            return False
        return has(self.reference if self.corrects else self.copy, method)

    def train(self, mode: bool = True) -> "Finetuned":
        """As of any module, but the copy stays in evaluation mode."""
        super().train(mode)
        self.copy.eval()
        return self

    def trained(self) -> Iterable[nn.Parameter]:
        return [parameter for parameter in self.copy.parameters() if parameter.requires_grad]

    def extra_repr(self) -> str:
        """How much is trained, and by how many adapters at layers of which kind."""
        trained, total = (sum(each.numel() for each in some) for some in (self.trained(), self.copy.parameters()))
        parts = [f"{trained:,} of {total:,} parameters are trained"]
        if self.adapted:
            kinds = sorted(Counter(self.adapted.values()).items())
            parts.append(f"lora_rank={self.lora_rank} at " + ", ".join(f"{number} {kind}" for kind, number in kinds))
        return "; ".join(parts)


def _alike(one: Tensor | None, other: Tensor | None, part: str) -> bool:
    """Whether two parameters are of one shape, and, of a reference, hold the same."""
    if one is None or other is None or one.shape != other.shape:
        return False
    return part == "copy" or torch.equal(one, other.to(one))


def free_parameters(reference: Reference, modules: str | Iterable[str] | None = None) -> set[int]:
    """The ids of the parameters that may be trained: of each named part (None: of the whole reference) those that
    require a gradient, all of them where none does. Raises ValueError for a name of no part with parameters."""
    free = set[int]()
    named = [(plain_name(name), each) for name, each in reference.named_parameters(remove_duplicate=False)]
    for part in [""] if modules is None else names_of([modules] if isinstance(modules, str) else modules, "modules"):
        parameters = [each for name, each in named if modules is None or name == part or name.startswith(f"{part}.")]
        if not parameters and modules is not None:
            parts = ", ".join(sorted({name.split(".")[0] for name, _ in named}))
            raise ValueError(f"modules: expected names of parts with parameters, as {parts}, got {part!r}")
        free |= {id(each) for each in parameters if each.requires_grad} or {id(each) for each in parameters}
    return free


def _whole(reference: Reference, free: set[int], condition: Any) -> Reference:
    rest = [each for each in reference.parameters() if id(each) not in free and not each.requires_grad]
    shared: dict[int, Any] = {id(each): each for each in rest}
    trainable = plain_copy(reference, shared)
    trained = [each for each in reference.parameters() if id(each) in free and each.is_floating_point()]
    if not trained:
        raise ValueError(f"reference: expected one with parameters to train, got {type(reference).__name__} without")
    chosen = {id(each) for each in trained}
    for own, each in zip(trainable.parameters(), reference.parameters(), strict=True):
        if own is not each:
            own.requires_grad_(id(each) in chosen)
    trained = [each for each in trainable.parameters() if each.requires_grad]
    check_read(read_by(trainable.eval(), trained, condition), reference)
    return trainable


def _without_reference(module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}reference.")]:
        del state[name]


def _with_own_reference(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    for name, entry in module.get_submodule("reference").state_dict().items():
        state.setdefault(f"{prefix}reference.{name}", entry)

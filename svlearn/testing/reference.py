"""What a reference or a policy must do: start, predict row by row, step by laws that are ones, and carry its cache."""

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import expect, integer
from svlearn.modes import evaluating
from svlearn.placement import at_home
from svlearn.process import Prediction, Reference, draw_initial, predict
from svlearn.shapes import forget
from svlearn.state import State, device_of_state, number_of_rows, take, times
from svlearn.testing.findings import Findings, layout, leaves, same, same_law
from svlearn.testing.optional import check_optional
from svlearn.testing.presentation import check_presentation
from svlearn.testing.transition import check_law
from svlearn.testing.walk import walk
from svlearn.transitions import Transition

ROWS = 4


@torch.no_grad()
def check_reference(reference: Reference, *, condition: Any = None, num_draws: int = 2000) -> None:
    """Try a reference or a policy on four rows, rolled out once, at its first, its middle and its last step.

    Of `initial` and every draw: rows, and the same numbers by the same generator. Of `forward`: what `Prediction`
    wants, each row by itself and its own t, x left as it came, the same twice; that of rows is the rows of that, and
    with its cache (`previous`) what it is without, also for chosen rows. Of the law: `check_transition`, with num_draws
    draws a row. States keep their shape, dtype and device, and what of them is the condition, four rows of whatever
    `initial` takes, never changes. Of what it may define besides, that it works: `initial_law` (the law of what was
    drawn), `noise`, `denoising_loss` (one number a row), `finished` (rows that step to themselves), `along` (what
    forward says step by step), `decode`, `describe` and `draw`.
    Raises TypeError for what is no Reference, ValueError with all that is wrong, one line each.
    """
    expect(reference, Reference, "reference")
    findings, name = Findings(), type(reference).__name__
    with evaluating(reference), at_home(reference, check="every"):
        finished = _walk(findings, reference, condition, integer(num_draws, "num_draws", 100), name)
        if finished is not None:
            findings.attempt(name, lambda: check_presentation(reference, finished))
    findings.finish(f"check_reference: {name}")


def steps_of(reference: Reference, condition: Any = None) -> list[tuple[State, Prediction]]:
    """x_t and the prediction there, t = 0 ... T - 1, and x_T with the last one, of four rows."""
    steps = list(walk(reference, condition, ROWS))
    return [*((x, prediction) for _, x, prediction, _ in steps), (steps[-1][3], steps[-1][2])]


def _walk(findings: Findings, reference: Reference, condition: Any, num_draws: int, name: str) -> State | None:
    """The finished states, None where something on the way is wrong."""
    last = findings.attempt(f"{name}.num_steps", lambda: integer(reference.num_steps, f"{name}.num_steps"))
    if last is None or not _check_start(findings, reference, condition, name):
        return None
    forget(reference)
    steps = findings.attempt(f"{name}.forward", lambda: steps_of(reference, condition))
    if steps is None:
        return None
    for t in sorted({0, last // 2, last - 1}):
        (x, prediction), where = steps[t], f"{name} at t = {t}"
        _check_forward(findings, reference, x, t, prediction, f"{name}.forward at t = {t}")
        if isinstance(prediction.transition, Transition):
            kind = type(prediction.transition).__name__
            drawn = check_law(findings, prediction.transition, f"{where}: {kind}", x, num_draws)
            _check_step(findings, x, drawn, f"{where}: {kind}.sample")
        if t + 1 < last and prediction.cache is not None:
            _check_cache(findings, reference, steps[t + 1][0], t + 1, prediction, f"{name}.forward at t = {t + 1}")
    _check_times(findings, reference, steps, f"{name}.forward")
    _check_condition(findings, condition, steps, name)
    if not findings.errors:
        check_optional(findings, reference, steps, name)
    return None if findings.errors else steps[-1][0]


def _check_start(findings: Findings, reference: Reference, condition: Any, name: str) -> bool:
    options = {} if condition is None else {"condition": condition}
    size = ROWS if condition is None else number_of_rows(condition)
    if size != ROWS:
        findings.wrong(f"condition: expected {ROWS} rows, got {size}")
        return False

    def start(generator: torch.Generator) -> State:
        return draw_initial(reference, ROWS, generator=generator, **options)

    x = findings.draw(f"{name}.initial", start, reference.device)
    if condition is None:  # an initial that ignores batch_size is right for one number alone
        findings.attempt(f"{name}.initial", lambda: draw_initial(reference, 1, generator=None))
    if x is not None and device_of_state(x) != reference.device:
        findings.wrong(
            f"{name}.initial: expected states on {reference.device}, where its parameters are, got them on "
            f"{device_of_state(x)}; write device=self.device wherever a tensor is made"
        )
    return not findings.errors


def _check_forward(findings: Findings, reference: Reference, x: State, t: int, own: Prediction, where: str) -> None:
    if own.cache is not None and t > 0:  # it was made with the one before
        return
    copy: Any = x.clone()
    again = findings.attempt(where, lambda: predict(reference, copy, t))
    if again is None:
        return
    if not same(x, copy):
        findings.wrong(f"{where}: expected x as it came, got it changed; write to a clone of it")
    generator = torch.Generator(device_of_state(x)).manual_seed(2)
    point = own.transition.sample(generator=generator)
    alike = findings.attempt(where, lambda: same_law(own.transition, again.transition, point))
    if alike is None:
        return
    if not alike:
        findings.wrong(
            f"{where}: expected the same law for the same states, got another; all chance is in the law's draws"
        )
        return
    rows = torch.tensor([2, 0, 0, 3], device=device_of_state(x))
    turned = findings.attempt(
        where,
        lambda: same_law(predict(reference, take(x, rows), t).transition, own.transition[rows], take(point, rows)),
    )
    if turned is False:
        findings.wrong(
            f"{where}: expected of chosen rows the law that they have among all, got another; a row's prediction must "
            "depend on that row of x and t alone (a norm over the batch, a sum without dim=)"
        )


def _check_step(findings: Findings, x: State, drawn: State | None, where: str) -> None:
    if drawn is None:
        return
    if layout(drawn) != layout(x):
        findings.wrong(f"{where}: expected states as x_t, {layout(x)}, got {layout(drawn)}")
    elif device_of_state(drawn) != device_of_state(x):
        findings.wrong(f"{where}: expected states on {device_of_state(x)}, as x_t, got {device_of_state(drawn)}")


def _check_cache(findings: Findings, reference: Reference, x: State, t: int, previous: Prediction, where: str) -> None:
    """What a call says with the cache of the one before, without, and of chosen rows."""
    plain = findings.attempt(where, lambda: predict(reference, x, t))
    cached = findings.attempt(f"{where} with previous=", lambda: predict(reference, x, t, previous))
    rows = torch.tensor([2, 0, 0, 3], device=device_of_state(x))
    chosen = findings.attempt(
        f"{where}: cache[rows]", lambda: predict(reference, take(x, rows), t, previous.trimmed()[rows])
    )
    again = findings.attempt(f"{where} with previous=", lambda: predict(reference, x, t, previous))
    if plain is None or cached is None or chosen is None or again is None:
        return
    point = plain.transition.sample(generator=torch.Generator(device_of_state(x)).manual_seed(2))
    if not same_law(cached.transition, plain.transition, point):
        findings.wrong(
            f"{where}: expected with previous= the law that it has without, got another; a cache saves time only"
        )
    elif not same_law(again.transition, plain.transition, point):
        findings.wrong(f"{where}: expected a cache that a call leaves as it is, got it changed; return a new one")
    elif not same_law(chosen.transition, plain.transition[rows], take(point, rows)):
        findings.wrong(
            f"{where}: expected a cache that follows its rows, got another law from chosen ones; let it be tensors, "
            "batch first, or write __getitem__(rows) and cat(parts), see svlearn.caches"
        )


def _check_times(findings: Findings, reference: Reference, steps: list, where: str) -> None:
    """Rows of different times in one call, as objectives make them."""
    last = reference.num_steps - 1
    if last == 0 or findings.errors:
        return
    (first, early), (later, late) = steps[0], steps[last]
    if early.cache is not None:
        return
    size, device = len(first), device_of_state(first)
    mixed = findings.attempt(
        f"{where} of rows at t = 0 and t = {last}",
        lambda: predict(
            reference, torch.cat([first, later]), torch.cat([times(0, size, device), times(last, size, device)])
        ),
    )
    if mixed is None:
        return
    for kind, law, rows in (("0", early, slice(0, size)), (str(last), late, slice(size, 2 * size))):
        point = law.transition.sample(generator=torch.Generator(device).manual_seed(2))
        if not same_law(mixed.transition[rows], law.transition, point):
            findings.wrong(
                f"{where}: expected of rows at t = 0 and t = {last} in one call what each has alone, got another law "
                f"at t = {kind}; t is (B,), one time a row: write self.table[t], not self.table[t[0]]"
            )
            return


def _check_condition(findings: Findings, condition: Any, steps: list, name: str) -> None:
    """That leaves of x_0 which are the condition are leaves of every later state."""
    if not isinstance(condition, (Tensor, TensorDict, dict)) or not steps:
        return
    start = leaves(steps[0][0])
    rows = condition.items() if isinstance(condition, dict) else leaves(condition).items()
    tensors = [each for _, each in rows if isinstance(each, Tensor)]
    if not tensors:  # as of words, which the state holds in a form of its own
        return
    names = [key for key, leaf in start.items() if any(same(leaf.cpu(), each.cpu()) for each in tensors)]
    if not names and isinstance(steps[0][0], TensorDict):
        findings.wrong(
            f"{name}.initial: expected a leaf of the state that holds the condition, got none; what is conditioned on "
            "must follow the particles when they are copied: put it into the TensorDict"
        )
    for key in names:
        for t, (x, _) in enumerate(steps):
            if not torch.equal(leaves(x)[key], start[key]):
                findings.wrong(
                    f"{name}: expected the condition {key!r} to stay, got another at t = {t}; no step may change it"
                )
                return

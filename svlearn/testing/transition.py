"""What a law of the next state must do: draw by its generator, follow its rows, and draw what its log_prob says."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import expect, integer
from svlearn.state import State, concatenate, device_of_state, flattened, take
from svlearn.testing.findings import Findings, close, leaves, numbers, same
from svlearn.transitions import Transition, gaussian_of

LISTED = 4096  # next states that are looked at one by one
IMPROBABLE = 1e-6  # a law that is right is refused as often as that by its frequencies, for one seed
ERRORS = 6.0  # standard errors


def check_transition(transition: Transition, x: State | None = None, *, num_draws: int = 2000) -> None:
    """Try a law over B >= 2 rows: sampling, rows, joining, ratios, and that it draws what its log_prob says.

    x (B, ...): the states x_t that it was made from; with them `tilt` is tried too, where the law has one.
    That draws follow log_prob is told, by num_draws draws of each row, where its `outcomes` can be listed by a
    chi-square bound of their frequencies; elsewhere by Stein's identities, E[∇log p] = 0 and E[<x, ∇log p>] = -d, of
    the floats of a state, and for one number a row by the integral of the density.
    Raises TypeError for what is no Transition, ValueError with all that is wrong, one line each.
    """
    expect(transition, Transition, "transition")
    findings, name = Findings(), type(transition).__name__
    check_law(findings, transition, name, x, integer(num_draws, "num_draws", 100))
    findings.finish(f"check_transition: {name}")


@torch.no_grad()
def check_law(
    findings: Findings, law: Transition, name: str, x: State | None = None, num_draws: int = 0, *, strict: bool = True
) -> State | None:
    """All of `check_transition`, what is wrong named after `name`; num_draws 0: without its frequencies. strict: a law
    without `cat` is an error and no warning. Returns a draw (B, ...), None where there is none."""
    device = torch.get_default_device() if x is None else device_of_state(x)
    drawn = findings.draw(f"{name}.sample", lambda generator: law.sample(generator=generator), device)
    if drawn is None or not _is_state(findings, drawn, f"{name}.sample"):
        return None
    size = len(drawn)
    logs = findings.attempt(f"{name}.log_prob", lambda: law.log_prob(drawn))
    if logs is None or not numbers(findings, logs, size, f"{name}.log_prob"):
        return drawn
    if bool((logs == -torch.inf).any()):
        findings.wrong(
            f"{name}.log_prob: expected more than -inf of what the law itself drew, got it; it cannot be there"
        )
        return drawn
    _check_rows(findings, law, drawn, logs, name, strict)
    _check_ratio(findings, law, drawn, logs, name)
    if x is not None:
        _check_tilt(findings, law, x, drawn, logs, name)
    if findings.errors or not num_draws:
        return drawn
    outcomes = _outcomes(findings, law, name)
    if outcomes is not None:
        _check_outcomes(findings, law, *outcomes, num_draws, name)
    else:
        _check_density(findings, law, drawn, num_draws, name)
    return drawn


def _is_state(findings: Findings, drawn: Any, name: str) -> bool:
    if not hasattr(drawn, "shape") or len(drawn.shape) == 0 or len(drawn) < 2:
        actual = tuple(drawn.shape) if hasattr(drawn, "shape") else type(drawn).__name__
        findings.wrong(
            f"{name}: expected states (B, ...) of B >= 2 rows, the batch first, got {actual}; try a law of 2 rows"
        )
        return False
    return True


def _check_rows(findings: Findings, law: Transition, drawn: State, logs: Tensor, name: str, strict: bool) -> None:
    size, device = len(logs), logs.device
    expected = "expected the law of the chosen rows"
    write = "write __getitem__(self, index) that indexes every tensor it holds by rows, and takes tensors and slices"
    for kind, index in (
        ("a LongTensor", torch.tensor([size - 1, 0, 0], device=device)),
        ("a slice", slice(1, size)),
        ("a bool mask", torch.arange(size, device=device) > 0),
    ):
        rows = findings.attempt(f"{name}[{kind}]", partial(_log_prob_of_rows, law, drawn, index))
        if rows is not None and (not isinstance(rows, Tensor) or not _agrees(rows, logs[index])):
            findings.wrong(f"{name}[rows]: {expected} by {kind}, got another log_prob; {write}")
    if findings.errors:
        return
    parents = torch.arange(size, device=device).repeat_interleave(3)
    each = findings.draw(f"{name}.sample_each", lambda generator: law.sample_each(parents, generator=generator), device)
    copies = findings.attempt(f"{name}[rows].sample", lambda: law[parents].sample(generator=_seeded(device)))
    if each is not None and copies is not None and not same(each, copies):
        findings.wrong(
            f"{name}.sample_each: expected self[parents].sample(generator=generator) to the bit, got others; leave "
            "it out, and the default does that"
        )
    if not hasattr(type(law), "cat"):
        text = (
            f"{name}.cat: expected a class method that joins batches, as max_batch and tree_search need, got none: "
            "write @classmethod def cat(cls, parts), with torch.cat of every tensor"
        )
        findings.wrong(text) if strict else findings.warn(text)
        return
    joined = findings.attempt(f"{name}.cat", lambda: concatenate([law[1:], law[:1]]).log_prob(_turned(drawn)))
    if joined is not None and not _agrees(joined, _turned(logs)):
        findings.wrong(f"{name}.cat: expected the laws of all parts, one after the other, got another log_prob")


def _check_ratio(findings: Findings, law: Transition, drawn: State, logs: Tensor, name: str) -> None:
    own = findings.attempt(f"{name}.log_ratio", lambda: law.log_ratio(law, drawn))
    if own is not None and not _agrees(own, torch.zeros_like(logs)):
        findings.wrong(f"{name}.log_ratio: expected 0 of a law against itself, got another number")
    if findings.errors:
        return
    rows = torch.arange(len(logs), device=logs.device).roll(1)
    ratio = findings.attempt(f"{name}.log_ratio", lambda: law.log_ratio(law[rows], drawn))
    others = law[rows].log_prob(drawn)
    if ratio is not None and bool(others.isfinite().all()):
        scale = 1 + logs.abs().double() + others.abs().double()
        gap = (ratio.double() - (logs.double() - others.double())).abs() / scale
        if gaussian_of(law) is None and not bool((gap < 1e-4).all()):
            findings.wrong(f"{name}.log_ratio: expected log_prob - other.log_prob, got another number; leave it out")


def _check_tilt(findings: Findings, law: Transition, x: State, drawn: State, logs: Tensor, name: str) -> None:
    try:
        point = law.expansion_point(x)
    except TypeError:  # it cannot be tilted, and says so
        return
    tilted = findings.attempt(f"{name}.tilt", lambda: law.tilt(_zeros(point)).log_prob(drawn))
    if tilted is not None and not _agrees(tilted, logs):
        findings.wrong(f"{name}.tilt: expected the law itself by a gradient of 0, got another log_prob")


def _outcomes(findings: Findings, law: Transition, name: str) -> tuple[State, Tensor] | None:
    try:
        return law.outcomes(LISTED)
    except ValueError:  # too many, or a law that cannot list them
        return None
    except Exception as error:
        findings.wrong(f"{name}.outcomes: expected a list or a ValueError with the number of states, got {error!r}")
        return None


def _check_outcomes(
    findings: Findings, law: Transition, states: State, log_probs: Tensor, num_draws: int, name: str
) -> None:
    size, number = log_probs.shape
    if tuple(states.shape[:2]) != (size, number):
        findings.wrong(f"{name}.outcomes: expected states (B, N, ...) with (B, N), got {tuple(states.shape)}")
        return
    total = log_probs.double().logsumexp(dim=1)
    if not close(total, torch.zeros_like(total)):
        findings.wrong(
            f"{name}.outcomes: expected probabilities that sum to 1, got {float(total[0].exp()):.6g} in row 0"
        )
        return
    try:
        law.outcomes(number - 1)
        findings.wrong(f"{name}.outcomes: expected a ValueError where there are more than `limit` states, got them all")
    except ValueError:
        pass
    alike = torch.stack([_equal(states, states[:, place]) for place in range(number)], dim=1)  # (B, N, N)
    each = torch.stack([law.log_prob(states[:, place]).double() for place in range(number)], dim=1)
    listed = torch.where(alike, log_probs.double()[:, None], -torch.inf).logsumexp(dim=2)
    possible = listed > -30
    if not close(each[possible], listed[possible]):
        findings.wrong(f"{name}.log_prob: expected the log-probabilities that `outcomes` lists, got others")
        return
    parents = torch.arange(size, device=log_probs.device).repeat_interleave(num_draws)
    drawn = law.sample_each(parents, generator=_seeded(log_probs.device))
    first = alike.int().argmax(dim=2)  # of states that are listed several times the first
    counts = torch.zeros(size, number, dtype=torch.float64, device=log_probs.device)
    places = torch.cat([_equal(states[parents[cut]], drawn[cut]) for cut in _cuts(len(parents))]).int()
    if bool((places.sum(dim=1) == 0).any()):
        findings.wrong(f"{name}.sample: expected states that `outcomes` lists, got another")
        return
    chosen = first[parents, places.argmax(dim=1)]
    counts.index_put_((parents, chosen), torch.ones((), dtype=torch.float64, device=counts.device), accumulate=True)
    share = torch.zeros_like(counts).scatter_add_(1, first, log_probs.double().exp())
    _chi_square(findings, counts, num_draws * share, name)


def _chi_square(findings: Findings, counts: Tensor, expected: Tensor, name: str) -> None:
    """Frequencies against expected ones, (B, N); those below 5 are put together."""
    for row, (observed, expected_row) in enumerate(zip(counts, expected, strict=True)):
        rare = expected_row < 5
        observed = torch.cat([observed[~rare], observed[rare].sum()[None]])
        expected_row = torch.cat([expected_row[~rare], expected_row[rare].sum()[None]])
        observed, expected_row = observed[expected_row > 1e-3], expected_row[expected_row > 1e-3]
        if len(expected_row) < 2:
            continue
        distance = ((observed - expected_row) ** 2 / expected_row).sum()
        freedom = torch.tensor((len(expected_row) - 1) / 2, dtype=torch.float64, device=expected_row.device)
        if float(torch.special.gammaincc(freedom, distance / 2)) < IMPROBABLE:
            findings.wrong(
                f"{name}.sample: expected states as often as log_prob says, got frequencies of chi-square "
                f"{float(distance):.0f} on {len(expected_row) - 1} degrees in row {row}; the two must be of one law"
            )
            return


def _check_density(findings: Findings, law: Transition, drawn: State, num_draws: int, name: str) -> None:
    """Stein's identities in the floats of a state, and the integral of the density of one number a row."""
    floats = [key for key, leaf in leaves(drawn).items() if leaf.is_floating_point()]
    inner = gaussian_of(law)
    if not floats or (inner is not None and bool(inner.diracs.any())):
        return
    parents = torch.arange(len(drawn), device=device_of_state(drawn)).repeat_interleave(num_draws)
    x = law.sample_each(parents, generator=_seeded(device_of_state(drawn)))
    x = x.clone()
    with torch.enable_grad():
        points = {key: leaves(x)[key].detach().requires_grad_() for key in floats}
        moved: Any = points[""] if isinstance(x, Tensor) else x.update(points)
        try:
            gradients = torch.autograd.grad(law[parents].log_prob(moved).sum(), list(points.values()))
        except RuntimeError:  # a density that torch cannot differentiate
            return
    score = torch.cat([flattened(each).double() for each in gradients], dim=1).view(len(drawn), num_draws, -1)
    place = torch.cat([flattened(points[key].detach()).double() for key in floats], dim=1).view(score.shape)
    still = (score == 0).all(dim=1, keepdim=True)  # what the law only copies has no density
    place = (place - place.mean(dim=1, keepdim=True)).masked_fill(still, 0.0)
    terms = torch.cat([score, place * score + (~still)], dim=2)
    errors = terms.std(dim=1) / num_draws**0.5
    if bool((terms.mean(dim=1).abs() > ERRORS * errors + 1e-6 + 2 / num_draws).any()):
        findings.wrong(
            f"{name}.sample: expected draws of the density that log_prob has, got draws of another one (E[∇log p] is "
            "not 0, or E[<x, ∇log p>] not minus the number of dimensions); check mean and std in both"
        )
    elif isinstance(x, Tensor) and place.shape[2] == 1:
        _integrate(findings, law, drawn, float(place.abs().max()), name)


def _integrate(findings: Findings, law: Transition, drawn: Tensor, width: float, name: str) -> None:
    steps = torch.linspace(-4, 4, 8001, dtype=torch.float64, device=drawn.device) * max(width, 1e-6)
    for row in range(len(drawn)):
        points = (drawn[row].double().reshape(1) + steps).to(drawn.dtype)
        one = law[torch.full((len(points),), row, device=drawn.device)]
        density = one.log_prob(points.view(-1, *drawn.shape[1:])).double().exp()
        total = float(torch.trapezoid(density, points.double()))
        if abs(total - 1) > 2e-3:
            findings.wrong(f"{name}.log_prob: expected a density whose integral is 1, got {total:.4g} in row {row}")
            return


def _log_prob_of_rows(law: Transition, x: State, index: Any) -> Tensor:
    return law[index].log_prob(take(x, index))


def _agrees(one: Any, other: Tensor) -> bool:
    return isinstance(one, Tensor) and one.shape == other.shape and close(one, other)


def _turned(x: Any) -> Any:
    return take(x, torch.arange(len(x), device=device_of_state(x)).roll(-1))


def _zeros(point: State) -> Any:
    return torch.zeros_like(point)


def _equal(states: State, x: State) -> Tensor:
    """Which of the states (B, N, ...) are x (B, ...), (B, N)."""
    own, others = leaves(states), leaves(x)
    same_leaf = [(leaf == others[name].unsqueeze(1)).flatten(2) for name, leaf in own.items() if leaf.dim() > 2]
    same_leaf += [(leaf == others[name].unsqueeze(1)).unsqueeze(2) for name, leaf in own.items() if leaf.dim() == 2]
    return torch.cat(same_leaf, dim=2).all(dim=2)


def _cuts(number: int) -> list[slice]:
    return [slice(start, start + 1000) for start in range(0, number, 1000)]


def _seeded(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(3)

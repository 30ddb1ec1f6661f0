"""The page docs/leaderboards/digits.md, written from its results."""

import math
from statistics import fmean

from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.digits.figures import ACCURACY, PICTURES, SHOWN
from benchmarks.digits.findings import Cell, gather, nearest, unmeasured
from benchmarks.digits.problem import ALPHAS, NUM_STEPS
from benchmarks.digits.rows import ROWS
from benchmarks.digits.sections import by_flow, exact, two_rewards, unmeasured_parts, weighed_row
from svlearn.evaluation.report.numbers import plain, with_error

TITLE = "Digits: a class from an unconditional diffusion of images"
HEAD = ("Row", "needs", "accuracy", "p > ½", "reward", "diversity", "ESS", "calls", "values", "gradients", "seconds")
NOTES = """\
## How it was measured

The shipped `digits` in T = {steps} steps of DDPM, called without a class: p_ref draws any digit. r = log p(class | x_T)
by one public classifier, nats; the judge is another, which no method sees. p\\*(x_T) ∝ p_ref(x_T) p(class | x_T)^(1/α).
Eight images of each of the ten classes a row and alpha, four by flow, two of TDS with K = 64. ± is one standard error
of sampling (of a share, with one hit and one miss more), without the chance of training, which was done once. Accuracy:
the share of the wanted class by the judge. p > ½: the share to which the reward's classifier gives the class more than
half, at most its own accuracy. "p\\* itself": plain samples of p_ref, weighed by exp(r/α) for each class; their ESS is
the mean over classes. Diversity: the mean distance of two images of a class in the judge's features. ESS: of the
particles of a group at the end. A call is one image; gradients are counted apart, and each costs about two calls.
Seconds: of the processor, one thread of a shared machine, without training; the head's with weights laid out channels
last, which is faster.

Values learn log E[p(class | x_T) | x_t], the soft value at alpha = 1, of all ten classes in one network, and serve
every alpha: on simulated trajectories of the reference, or on real digits noised by the forward process (the recipe of
SVDD's authors; no call of the reference). The head reads the hidden states of the denoiser's middle, and the class; it
is trained on those of half as many simulated trajectories, and in SVDD asks for the call of every candidate.

Policies are controls (mean + std² g of a small network that knows the class) by adjoint matching, PPO (DDPO) and path
consistency (log-variance, trajectories that share their start), each trained at its alpha. "SMC, K = 4, of ..."
proposes by the policy and weighs by r(x̂_T).

{training}
"""


def page(held: dict) -> str:
    """The Markdown of the results, as far as they go."""
    measured = gather(held)
    cells = [cell for cell in measured if not cell.by_flow]
    if not cells:
        return not_measured(TITLE, "digits")
    parts = [opening(TITLE, headline(cells), {ACCURACY: "Accuracy by calls"}), *exact(held, cells)]
    parts += [f"![An image of each class by each row, alpha = {SHOWN:g}]({PICTURES})\n"]
    parts += [table([cell for cell in cells if cell.alpha is None], real_row(held))]
    for alpha in ALPHAS:
        own = [cell for cell in cells if cell.alpha == alpha]
        if own:
            parts += [f"## alpha = {alpha:g}\n", table(own, weighed_row(held, alpha, len(HEAD)))]
    parts += [*strengths(cells), *by_flow(measured), *two_rewards(held)]
    absent = unmeasured(ROWS, measured) + unmeasured_parts(held)
    if absent:
        policies = "policies have [a page of their own](digits_policies.md), in 20 steps"
        parts.append(f"Not measured here: {'; '.join(absent)}; {policies}.\n")
    notes = NOTES.format(steps=NUM_STEPS, training=trainings(held))
    return "\n".join([*parts, notes, reproduce("digits", held)])


def headline(cells: list[Cell]) -> str:
    """Who comes nearest at alpha = 1, without training and with, at which cost."""
    own = [cell for cell in cells if cell.alpha == ALPHAS[0]]
    free, trained = nearest(own, False), nearest(own, True)
    if free is None or trained is None:
        return "Not yet enough rows to tell who wins."
    words = [
        f"{cell.name}, {with_error(*cell.accuracy)} for {plain(cell.calls, 3)} calls an image"
        for cell in (free, trained)
    ]
    return (
        "**At alpha = 1 the judge sees the wanted class most often, without training, in images of "
        f"{words[0]}; of what is trained, {words[1]}.** {cheaper(own, free)}"
    )


def cheaper(cells: list[Cell], free: Cell) -> str:
    """What is trained, costs a quarter at most of the best that is not, and is not told apart from it."""
    own = [cell for cell in cells if cell.trained and cell.calls <= free.calls / 4]
    if not own:
        return ""
    best = max(own, key=lambda cell: cell.accuracy[0])
    return f"At a quarter of its calls or less: {best.name}, {with_error(*best.accuracy)} for {plain(best.calls, 3)}."


def real_row(held: dict) -> list[list[str]]:
    """Real digits, held out, as a row of the table."""
    data = held["data"].get("held out")
    if data is None:
        return []
    certain = fmean(reward > math.log(0.5) for reward in data["rewards"])
    figures = [
        plain(each, 3) for each in (fmean(data["hits"]), certain, fmean(data["rewards"]), fmean(data["diversity"]))
    ]
    return [["*real digits*", "–", *figures, *["–"] * (len(HEAD) - 6)]]


def table(cells: list[Cell], first: list[list[str]]) -> str:
    """first: rows before those of the cells."""
    rows = list(first)
    for cell in cells:
        costs, size = cell.held["per_image"], cell.held["particles"]
        ess = "–" if size == 1 else f"{plain(cell.held['ess'], 2)} of {size}"
        spent = (plain(costs[kind], 3) for kind in ("value_calls", "gradient_calls", "cpu_seconds"))
        shares = [with_error(*each) for each in (cell.accuracy, cell.certain, cell.reward)]
        figures = [*shares, plain(cell.diversity, 3), ess, plain(cell.calls, 3)]
        rows.append([cell.name, ROWS[cell.name].needs, *figures, *spent])
    return markdown_table(HEAD, rows, left=2)


def strengths(cells: list[Cell]) -> list[str]:
    """What policies pay for their reward: KL to the reference and diversity, by alpha."""
    own = [cell for cell in cells if "kl" in cell.held]
    if not own:
        return []
    lines = [
        "## What policies pay\n",
        "KL(q‖p_ref) of trajectories, nats: a smaller alpha asks for more reward at a larger distance.\n",
        "| Policy | alpha | KL | reward | accuracy | diversity |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for cell in own:
        figures = (with_error(*each) for each in (cell.held["kl"], cell.reward, cell.accuracy))
        lines.append(f"| {' | '.join([cell.name, f'{cell.alpha:g}', *figures, plain(cell.diversity, 3)])} |")
    return ["\n".join([*lines, ""])]


def trainings(held: dict) -> str:
    """What the trainings took."""
    own = [f"{name.replace('_', ' ')} {plain(each['cpu_seconds'], 2)} s" for name, each in held["training"].items()]
    return f"Trainings, seconds of the processor: {'; '.join(own)}." if own else ""

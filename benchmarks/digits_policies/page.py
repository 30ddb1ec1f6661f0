"""The page docs/leaderboards/digits_policies.md, written from its results."""

from benchmarks.common.estimates import apart
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.digits.findings import Cell, unmeasured
from benchmarks.digits.page import trainings
from benchmarks.digits.problem import ALPHAS
from benchmarks.digits_policies.figures import PICTURES, SHOWN, TRADE_OFF
from benchmarks.digits_policies.findings import calls, gather, is_policy, kl, of
from benchmarks.digits_policies.problem import NUM_STEPS
from benchmarks.digits_policies.rows import ROWS, M
from benchmarks.digits_policies.steering import BLURS
from benchmarks.digits_policies.trained import FIRST
from svlearn.evaluation.report.numbers import plain, with_error

TITLE = "Digits: what policies reach, and what they pay"
HEAD = ("Row", "accuracy", "reward", "KL", "diversity", "ESS", "calls", "gradients", "seconds")
RIVAL = f"SVDD-PM, M = {M}"
NOTES = """\
## How it was measured

The shipped `digits` in T = {steps} steps of DDPM, called without a class: p_ref draws any digit. r = log p(class | x_T)
by one public classifier, nats; the judge is another, which no method sees. p*(x_T) ∝ p_ref(x_T) p(class | x_T)^(1/α).
Eight images of each of the ten classes a row and alpha; ± is one standard error of sampling (of a share, with one hit
and one miss more), and does not hold the chance of training, which was done once. Diversity: the mean distance of two
images of a class in the judge's features. KL: KL(q‖p_ref) of a policy's trajectories, from 80 of them. ESS: of the
particles of a group at the end. A call is one of the denoiser, of one image; its gradients are counted
apart, and each costs about two calls. Seconds: of the processor, one thread of a shared machine, without training.

A policy is a control, mean + std² g, with g = Σ_j k(t, j) b_j * ∇r(x̂_T)/α: a blur, learned step by step, of the
reward's gradient at the network's prediction x̂_T, of {numbers} numbers k that are 0 at first and serve all classes.
So it costs the calls of the pretrained model and a gradient of the classifier, none of the network; a larger network of
its own would hold more, and ask for a longer training. It is trained by adjoint matching, by PPO (DDPO) or by
trajectory balance (log-variance of trajectories that share start and class). The policy at α = {first:g} is trained
from p_ref, those of the other alphas go on from it for half as many steps. "SMC, K = 4, of ..." proposes by the policy
and weighs by r(x̂_T) and by log p_ref - log q.

{training}
"""


def page(held: dict) -> str:
    """The Markdown of the results, as far as they go."""
    cells = gather(held)
    if not cells:
        return not_measured(TITLE, "digits_policies")
    pictures = {TRADE_OFF: "Reward by diversity and by KL"}
    pictures |= {PICTURES: f"An image of each class by each row, alpha = {SHOWN:g}"}
    parts = [opening(TITLE, headline(cells), pictures)]
    parts += [table(own) for own in [[cell for cell in cells if cell.alpha is None]] if own]
    for alpha in ALPHAS:
        own = [cell for cell in cells if cell.alpha == alpha]
        if own:
            parts += [f"## alpha = {alpha:g}\n", table(own), *beside_rival(own)]
    absent = unmeasured(ROWS, cells)
    if absent:
        parts.append(f"Not measured: {'; '.join(absent)}.\n")
    numbers = NUM_STEPS * len(BLURS)
    notes = NOTES.format(steps=NUM_STEPS, numbers=numbers, first=FIRST, training=trainings(held))
    return "\n".join([*parts, notes, reproduce("digits_policies", held)])


def headline(cells: list[Cell]) -> str:
    """What adjoint matching pays for its reward, from the largest alpha to the smallest."""
    own, free = of(cells, "adjoint matching"), of(cells, "pretrained")
    if not own or not free:
        return "Not yet enough rows to tell what a policy pays."
    steps = [
        f"at α = {cell.alpha:g} reward {with_error(*cell.reward)} for KL {with_error(*kl(cell))} nats and diversity "
        f"{plain(cell.diversity, 3)}"
        for cell in own
    ]
    start = f"from reward {with_error(*free[0].reward)} and diversity {plain(free[0].diversity, 3)} of the reference"
    return f"**Adjoint matching, {start}: {'; '.join(steps)}.**"


def beside_rival(cells: list[Cell]) -> list[str]:
    """Which policies reach less or more reward than SVDD-PM, as far as the errors tell, and at which share of calls."""
    rivals = of(cells, RIVAL)
    if not rivals or not any(map(is_policy, cells)):
        return []
    rival, sides = rivals[0], {"less": [], "more": [], "not told apart": []}
    for cell in cells:
        if is_policy(cell):
            side = "not told apart" if not apart(cell.reward, rival.reward) else "less"
            side = "more" if side == "less" and cell.reward[0] > rival.reward[0] else side
            sides[side].append(cell)
    parts = []
    for side, own in sides.items():
        if own:
            names = ", ".join(f"{cell.name} ({plain(calls(rival) / calls(cell), 3)} times fewer calls)" for cell in own)
            parts.append(f"{side}{' reward' if side != 'not told apart' else ''}: {names}")
    reward = with_error(*rival.reward)
    return [f"Beside {RIVAL}, whose reward is {reward}, the policies alone reach {'; '.join(parts)}.\n"]


def table(cells: list[Cell]) -> str:
    rows = []
    for cell in cells:
        costs, size = cell.held["per_image"], cell.held["particles"]
        divergence = with_error(*kl(cell)) if is_policy(cell) else "0" if cell.alpha is None else "–"
        ess = "–" if size == 1 else f"{plain(cell.held['ess'], 2)} of {size}"
        spent = [plain(costs[kind], 3) for kind in ("gradient_calls", "cpu_seconds")]
        figures = [with_error(*cell.accuracy), with_error(*cell.reward), divergence, plain(cell.diversity, 3), ess]
        rows.append([cell.name, *figures, plain(calls(cell), 3), *spent])
    return markdown_table(HEAD, rows)

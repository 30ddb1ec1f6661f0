"""Parts of the page of digits beside its rows: p* itself, the twin by flow matching, two rewards at once."""

from collections.abc import Sequence
from statistics import fmean, stdev

from benchmarks.common.estimates import Estimate, apart
from benchmarks.common.pages import markdown_table
from benchmarks.digits.findings import Cell, share
from benchmarks.digits.rows import BY_FLOW
from benchmarks.digits.two_rewards import ALPHA, DIGIT, NUMBER, SAMPLERS, WEIGHTS
from svlearn.evaluation.report.numbers import plain, with_error

MOST = "TDS, K = 64"
LEAST, LARGEST = min(WEIGHTS), max(WEIGHTS)
FLOW_HEAD = ("Row", "alpha", "accuracy", "by flow", "p > ½", "by flow", "reward", "by flow", "diversity", "by flow")
REWARDS_HEAD = ("Row", "weight", f"log p({DIGIT})", "kB", "r", "accuracy", "diversity", "calls", "gradients")


def exact(held: dict, cells: Sequence[Cell]) -> list[str]:
    """How near the judge lets anyone come: p* itself beside TDS of the most particles."""
    samples = held["data"].get("plain samples")
    own = [cell for cell in cells if cell.name == MOST]
    if samples is None or not own:
        return []
    weighed = [samples["weighed"][f"{cell.alpha:g}"] for cell in own]
    away = [
        f"{cell.alpha:g}" for cell, each in zip(own, weighed, strict=True) if apart(cell.accuracy, each["accuracy"])
    ]

    def listed(estimates: Sequence[Estimate]) -> str:
        return ", ".join(with_error(*each) for each in estimates)

    agreed = f"the two classifiers name one digit in {plain(100 * samples['agreement'], 3)} % of the plain samples"
    verdict = f"told apart at alpha = {', '.join(away)}" if away else "not told apart: what the judge misses is in p\\*"
    return [
        f"At alpha = {', '.join(f'{cell.alpha:g}' for cell in own)} the judge sees the wanted class in "
        f"{listed([cell.accuracy for cell in own])} of the images of {MOST}, and in "
        f"{listed([each['accuracy'] for each in weighed])} of p\\* itself, by weighing {samples['number']:,} plain "
        f"samples ({verdict}); {agreed}. The reward's own classifier gives the class more than half in "
        f"{listed([cell.certain for cell in own])} of these images (p\\*: "
        f"{listed([each['certain'] for each in weighed])}). It is by the classifier that guides that the code of TDS's "
        "paper (arXiv 2306.17775) scores its class-conditional digits; it holds no other against them.\n"
    ]


def weighed_row(held: dict, alpha: float, columns: int) -> list[list[str]]:
    """p* itself, as a row of the table of an alpha, where it is measured."""
    samples = held["data"].get("plain samples")
    if samples is None:
        return []
    own = samples["weighed"][f"{alpha:g}"]
    figures = [with_error(*own[each]) for each in ("accuracy", "certain", "reward")]
    row = ["*p\\* itself*", "–", *figures, "–", f"{plain(own['ess'], 3)} of {samples['number']:,}"]
    return [row + ["–"] * (columns - len(row))]


def by_flow(cells: Sequence[Cell]) -> list[str]:
    """The rows of the twin beside those of the diffusion, and which are told apart."""
    lines, away = [], []
    diffusion = {(cell.name, cell.alpha): cell for cell in cells}
    for cell in cells:
        name = cell.name.removeprefix(BY_FLOW)
        other = diffusion.get((name, cell.alpha))
        if cell.by_flow and other is not None:
            alpha = "any" if cell.alpha is None else f"{cell.alpha:g}"
            pairs = [
                each
                for one in (other, cell)
                for each in [
                    [with_error(*f) for f in (one.accuracy, one.certain, one.reward)] + [plain(one.diversity, 3)]
                ]
            ]
            lines.append([name, alpha, *(each for pair in zip(*pairs, strict=True) for each in pair)])
            if apart(cell.accuracy, other.accuracy):
                away.append(f"{name}, alpha = {alpha}")
    if not lines:
        return []
    verdict = f"are told apart in {'; '.join(away)}" if away else "are told apart nowhere"
    return [
        "## By flow matching\n",
        f"The same rows of `digits-flow`, its memoryless sampler, in as many steps and calls. At 95 % their "
        f"accuracies {verdict}.\n",
        markdown_table(FLOW_HEAD, lines),
    ]


def two_rewards(held: dict) -> list[str]:
    """A small 7, by the weight of its size."""
    lines, sizes, absent = [], {}, []
    for name in SAMPLERS:
        for weight in sorted(WEIGHTS):
            own = held["two rewards"].get(f"{name}/{weight:g}")
            if own is None:
                absent.append(f"{name}, weight {weight:g}")
                continue
            kilobytes, rewards = own["kilobytes"], own["rewards"]
            classes = [r + weight * size for r, size in zip(rewards, kilobytes, strict=True)]
            sizes[name, weight] = mean(kilobytes)
            figures = [with_error(*mean(each)) for each in (classes, kilobytes, rewards)]
            figures += [with_error(*share(own["hits"])), plain(fmean(own["diversity"]), 3)]
            costs = [plain(own["per_image"][kind], 3) for kind in ("reference_calls", "gradient_calls")]
            lines.append([name, f"{weight:g}", *figures, *costs])
    if not lines:
        return []
    real = held["data"].get("kilobytes")
    if real is not None:
        lines.insert(0, [f"*real {DIGIT}s*", "–", "–", with_error(*mean(real))] + ["–"] * (len(REWARDS_HEAD) - 4))
    steps = [
        f"{name} from {with_error(*sizes[name, LEAST])} to {with_error(*sizes[name, LARGEST])} kB"
        for name in SAMPLERS
        if (name, LEAST) in sizes and (name, LARGEST) in sizes
    ]
    text = f" From weight {LEAST:g} to {LARGEST:g}: {'; '.join(steps)}." if steps else ""
    return [
        f'## "Write a {DIGIT} that is small as JPEG"\n',
        f"r = log p({DIGIT} | x_T) - weight · kB, nats, alpha = {ALPHA:g}, {NUMBER} images a row: a classifier with "
        "a gradient and a file's size that has none. SVDD-PM chooses by both; TDS moves by the classifier's gradient "
        f"alone and weighs by both.{text}\n",
        markdown_table(REWARDS_HEAD, lines),
        *([f"Not measured of these: {'; '.join(absent)}.\n"] if absent else []),
    ]


def unmeasured_parts(held: dict) -> list[str]:
    """The parts beside the rows of which there is nothing yet."""
    parts = {
        "p\\* itself": held["data"].get("plain samples"),
        f'"write a {DIGIT} that is small as JPEG"': held["two rewards"],
    }
    return [name for name, part in parts.items() if not part]


def mean(held: Sequence[float]) -> Estimate:
    return fmean(held), stdev(held) / len(held) ** 0.5

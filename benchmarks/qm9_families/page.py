"""The page of the QM9 leaderboard, written from its results."""

from statistics import fmean

import numpy as np
from scipy import stats

from benchmarks.common.dots import FREE, LEARNED, OTHER, Dot, Panel, chart
from benchmarks.common.pages import folded, markdown_table, not_measured, opening, reproduce
from svlearn.evaluation.report.numbers import between, plain, with_error

BASELINES = "baselines"
MAIN = ("SVDD", "policy")  # what a family is judged by
OPPONENTS = ("SVDD-PM", "best-of-10")
CALLS = ("reference", "value")
COLUMNS = {
    "validity": "Valid",
    "uniqueness": "Unique",
    "diversity": "Diversity",
    "reference_calls_per_sample": "Reference calls",
    "policy_calls_per_sample": "Policy calls",
    "value_calls_per_sample": "Value calls",
    "reward_calls_per_sample": "Reward calls",
}

TITLE, NAME = "QM9: which family to learn", "qm9.svg"
INTRODUCTION = """\
QED of molecules, from the masked graph diffusion that svlearn ships. Every family is trained as
`make demo FAMILY=...` trains it, with the settings of `configs/molecules/qm9`, and is judged by {num_samples} samples
of each of {num_seeds} seeds; a seed trains anew, from trajectories of its own. A learned value steers SVDD at
alpha = 0 (M = 10), as SVDD-MC does, and, where it is soft, SMC at its own alpha (K = 10); a policy is sampled as it
is, and as the proposal of SVDD-PM (M = 10, alpha = 0). The values of a seed share 4,000 trajectories of the reference
and their rewards, of which a tenth validates; a policy draws 2,000 of its own (`distillation`: 1,400 of the
reference, a tenth of which it imitates).
"""

NOTES = """\
± is one standard error of the mean over seeds. For what is trained it comes from the spread of the seeds' means, which
holds the chance of training and that of sampling: the family's own or that pooled over all families, whichever is
larger, and never less than the samples' own. The interval is 95 %, by Student's t with the {freedom} degrees of
freedom of the pooled spread; baselines are not trained, and have the samples' error alone. Calls and seconds are per
sample. Training is the processors' seconds of training on one thread and, for a value, of collecting its trajectories.
Seconds per sample are wall seconds on a machine that did much other work beside: read the calls. Unique is the share
of distinct molecules among the valid ones of {num_samples}; diversity is the mean Tanimoto distance of pairs.
"""
ONE_SEED = """\
± is one standard error of the samples of a single seed: what another training would give is not known yet.
"""
TRIALS = """\
Settings were chosen on seed 0, which is not in the table above, by at most {most} trials a family. One whose first
trial did well had no more; one without any took the settings of its relatives. A trial is one training and its first
sampler; its error is that of sampling. Three more were stopped early: `soft_q` with the soft estimand at alpha = 0.05,
with and without a closer clipping of the gradient (values that start at 0, nine alphas below the rewards, make the
first gradients so large that the network shoots past them), and `path_consistency` over all pairs of times alike,
which hears of the reward too rarely to learn it in the time.
"""


def page(results: dict, families: list[str]) -> str:
    """The Markdown of the results, as far as they go; it tells which of the families are not among them."""
    rewards = Rewards(gather(results["entries"]))
    if (BASELINES, OPPONENTS[0]) not in rewards.groups:
        return not_measured(TITLE, "qm9_families")
    sizes = {row["num_samples"] for rows in rewards.groups.values() for row in rows}
    filled = {"num_samples": plain(max(sizes)), "num_seeds": len({each["seed"] for each in results["entries"]})}
    return "\n".join(
        [
            opening(TITLE, finding(rewards), {NAME: "Mean QED of what each family learned, with its 95 % interval"}),
            *missing(results["entries"], families),
            *verdicts(rewards),
            "\n## How it was measured\n",
            INTRODUCTION.format(**filled),
            "\n## The table\n",
            table(results["entries"], rewards),
            NOTES.format(**filled, freedom=rewards.freedom) if rewards.freedom else ONE_SEED,
            folded("What was tried before", trials(results["trials"])),
            reproduce("qm9_families", results),
        ]
    )


def gather(entries: list[dict]) -> dict[tuple[str, str], list[dict]]:
    """The rows of all seeds by (family, sampler)."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for entry in entries:
        for name, row in entry["rows"].items():
            groups.setdefault((entry["family"], name), []).append(row)
    return groups


def missing(entries: list[dict], families: list[str]) -> list[str]:
    """What a reader must know of a table that is not complete."""
    seeds = {family: {each["seed"] for each in entries if each["family"] == family} for family in families}
    every = set.union(*seeds.values())
    absent = [
        f"`{family}` (seeds {', '.join(map(str, sorted(every - has)))})" for family, has in seeds.items() if every > has
    ]
    return [f"Not measured yet: {'; '.join(absent)}. Fewer seeds make wider intervals.\n"] if absent else []


class Rewards:
    """Mean rewards with their uncertainty; the spread of training is pooled over families."""

    def __init__(self, groups: dict[tuple[str, str], list[dict]]):
        self.groups = groups
        judged = [seed_means(rows) for (family, name), rows in groups.items() if name in MAIN]
        self.freedom = sum(len(means) - 1 for means in judged)
        squares = sum(float(((means - means.mean()) ** 2).sum()) for means in judged)
        self.spread = (squares / self.freedom) ** 0.5 if self.freedom else float("nan")

    def mean(self, key: tuple[str, str]) -> float:
        return float(seed_means(self.groups[key]).mean())

    def error(self, key: tuple[str, str]) -> float:
        """One standard error of the mean over seeds."""
        rows, means = self.groups[key], seed_means(self.groups[key])
        sampling = sum(row["mean_reward_standard_error"] ** 2 for row in rows) ** 0.5 / len(rows)
        if key[0] == BASELINES:  # nothing was trained
            return sampling
        own = float(means.std(ddof=1)) if len(means) > 1 else float("nan")
        return max(sampling, np.fmax(own, self.spread) / len(means) ** 0.5)

    def quantile(self, key: tuple[str, str]) -> float:
        """How many standard errors a 95 % interval reaches to each side."""
        trained = key[0] != BASELINES and self.freedom
        return float(stats.t.ppf(0.975, self.freedom) if trained else stats.norm.ppf(0.975))


def seed_means(rows: list[dict]) -> np.ndarray:
    return np.array([row["mean_reward"] for row in rows])


def order(rewards: Rewards) -> list[tuple[str, str]]:
    """Baselines first, then by what a family is judged by."""
    judged = {family: rewards.mean((family, name)) for family, name in rewards.groups if name in MAIN}
    families = [BASELINES, *sorted(judged, key=lambda family: -judged[family])]
    return [key for family in families for key in rewards.groups if key[0] == family]


def figures(results: dict) -> dict[str, str]:
    """SVG by file name: what each family is judged by, beside what needs no training."""
    rewards = Rewards(gather(results["entries"]))
    dots = []
    for family, sampler in rewards.groups:
        mean, free = rewards.mean((family, sampler)), family == BASELINES
        if free or sampler in MAIN:
            reach = rewards.quantile((family, sampler)) * rewards.error((family, sampler))
            kind = (OTHER if sampler == "pretrained" else FREE) if free else LEARNED
            name = sampler if free else f"{family}: {'value' if sampler == 'SVDD' else 'policy'}"
            dots.append(Dot(name, mean, mean - reach, mean + reach, kind))
    if (BASELINES, OPPONENTS[0]) not in rewards.groups:
        return {}
    line = rewards.mean((BASELINES, OPPONENTS[0])), OPPONENTS[0]
    return {NAME: chart("qm9", [Panel("QED of molecules", "mean QED, 95 % interval", dots, line=line)])}


def finding(rewards: Rewards) -> str:
    """The best value and the best policy, and whether they are told apart from SVDD-PM."""
    judged = [key for key in order(rewards) if key[1] in MAIN]
    lines, rival = [], (BASELINES, OPPONENTS[0])
    for kind, sampler in (("value", "SVDD"), ("policy", "policy")):
        best = next((key for key in judged if key[1] == sampler), None)
        if best is not None:
            rows = rewards.groups[best]
            calls = [f"{plain(average(rows, f'{each}_calls_per_sample'), 3)} {each} calls" for each in CALLS]
            lines.append(
                f"The best {kind} is that of `{best[0]}`, {side(rewards, best, rival)} {rival[1]}: mean QED "
                f"{reward(rewards, best)} against {reward(rewards, rival)}, with {' and '.join(calls)} a sample and "
                f"{average(rows, 'uniqueness'):.0%} of its valid molecules distinct."
            )
    return f"**{' '.join(lines)}**"


SIDES = ("above", "below", "not told apart at 95 % from")


def side(rewards: Rewards, key: tuple[str, str], rival: tuple[str, str]) -> str:
    """On which side of the rival a row is."""
    gap, error = rewards.mean(key) - rewards.mean(rival), np.hypot(rewards.error(key), rewards.error(rival))
    significant = abs(gap) > rewards.quantile(key) * error
    return SIDES[(0 if gap > 0 else 1) if significant else 2]


def verdicts(rewards: Rewards) -> list[str]:
    """Which family is above, below and beside SVDD-PM and best-of-10, and at what price."""
    judged = [key for key in order(rewards) if key[1] in MAIN]
    lines = []
    for opponent in OPPONENTS:
        rival = (BASELINES, opponent)
        words = dict(zip(SIDES, ("above it", "below it", "not told apart from it at 95 %"), strict=True))
        sides: dict[str, list[str]] = {word: [] for word in words.values()}
        for key in judged:
            gap, error = rewards.mean(key) - rewards.mean(rival), np.hypot(rewards.error(key), rewards.error(rival))
            sides[words[side(rewards, key, rival)]].append(f"`{key[0]}` ({with_error(gap, error, sign=True)})")
        unique = average(rewards.groups[rival], "uniqueness")
        text = "; ".join(f"{word}: {', '.join(names)}" for word, names in sides.items() if names)
        lines.append(f"- Against {opponent} ({reward(rewards, rival)}; {unique:.0%} distinct), {text}.")
    distinct = [f"`{key[0]}` {average(rewards.groups[key], 'uniqueness'):.0%}" for key in judged]
    lines.append(f"- Distinct molecules, the price of a reward: {', '.join(distinct)}.")
    return lines


def reward(rewards: Rewards, key: tuple[str, str]) -> str:
    return with_error(rewards.mean(key), rewards.error(key))


def table(entries: list[dict], rewards: Rewards) -> str:
    """All families and samplers."""
    header = ["Family", "Sampler", "Mean QED", "95 % interval", *COLUMNS.values(), "Seconds", "Training", "Seeds"]
    cells = []
    for key in order(rewards):
        rows, mean, reach = rewards.groups[key], rewards.mean(key), rewards.quantile(key) * rewards.error(key)
        spent = [
            each["training"]["cpu_seconds"] + each.get("collecting", {"cpu_seconds": 0.0})["cpu_seconds"]
            for each in entries
            if each["family"] == key[0] and "training" in each
        ]
        cells.append(
            [
                *key,
                reward(rewards, key),
                between(mean - reach, mean + reach),
                *(plain(average(rows, name), 3) for name in COLUMNS),
                plain(average(rows, "seconds_per_sample"), 2),
                plain(fmean(spent), 3) if spent else "–",
                str(len(rows)),
            ]
        )
    return markdown_table(header, cells, left=2)


def trials(held: list[dict]) -> str:
    """Every setting that was tried, on a seed that is not in the table."""
    most = max((sum(other["family"] == each["family"] for other in held) for each in held), default=0)
    header, lines = ["Family", "Options on top of the YAML of the time", "Mean QED", "Unique"], []
    for each in held:
        name = next(name for name in MAIN if name in each["rows"])
        row = each["rows"][name]
        mean = with_error(row["mean_reward"], row["mean_reward_standard_error"])
        lines.append([each["family"], f"`{each['options']}`", mean, plain(row["uniqueness"], 3)])
    return f"{TRIALS.format(most=most)}\n{markdown_table(header, lines, left=2)}"


def average(rows: list[dict], name: str) -> float:
    return fmean(row[name] for row in rows)

"""What came out of the table of GDSS, in sentences."""

import math

from benchmarks.gdss.rows import (
    ELSEWHERE,
    FAMILY,
    FREE,
    LATE,
    LATELY,
    LEARNED,
    NUM_STEPS,
    SEVERAL,
    THEN_FREE,
    UNDENOISED,
    Drawn,
    below,
    difference,
    start_of,
)
from svlearn.evaluation.report.numbers import plain, with_error

HANDOVER = "gdss_foresight.md"
SIDE_BY_SIDE = "[side by side on a quiet machine](gdss_speed.md)"


def findings(reward: str, rows: dict[str, Drawn], walls: dict[str, float]) -> list[str]:
    """Learned against training-free, at equal candidates and at equal seconds, and each against best-of-10.

    walls: milliseconds of samplers by the wall, measured side by side.
    """
    families = {name: row for name, row in rows.items() if name.startswith(FAMILY) and name.count(", ") == 1}
    best = max(families, key=lambda name: families[name].mean[0], default="")
    lines = []
    if FREE in rows and LEARNED in rows:
        lines += [*at_equal_cost(rows, walls), *denoising(rows)]
    lines += [*where_to_choose(rows), *choosing_late(rows)]
    if FREE in rows:
        lines += learned_then_free(rows)
    if best and FREE in rows and LEARNED in rows:
        lines += another_family(rows, best, len(families))
    lines += [*against_best_of_ten(rows, best), *distances(rows), *in_pieces(rows)]
    return [f"- **{reward}, {line}" for line in lines]


def distances(rows: dict[str, Drawn]) -> list[str]:
    """How far guidance goes from the reference, against what SVDD-PM can at most."""
    guided = [row for row in rows.values() if "strength" in row.batches[0] and row.kl is not None]
    if not guided or FREE not in rows:
        return []
    far = ", ".join(f"{row.label} {row.kl_in_words}" for row in guided)
    most = rows[FREE].kl_in_words
    return [f"how far from the reference**: KL(q || p_ref) of paths, nats: {far}; SVDD-PM {most} at most."]


def at_equal_cost(rows: dict[str, Drawn], walls: dict[str, float]) -> list[str]:
    """SVDD-MC against SVDD-PM: at equal M, at the M nearest in seconds, and the best of five runs."""
    learned, free = rows[LEARNED], rows[FREE]
    share = free.cost("cpu_seconds") / learned.cost("cpu_seconds")
    lines = [
        f"M = 10**: SVDD-MC {with_error(*learned.mean)}, SVDD-PM {with_error(*free.mean)}; "
        f"{difference(learned, free)}. SVDD-PM costs {plain(share, 2)} times the seconds."
    ]
    timed = f"{LEARNED}, M = 10"
    if {timed, FREE} <= walls.keys():
        lines[-1] += f" By the wall, {SIDE_BY_SIDE}, it takes {plain(walls[FREE] / walls[timed], 2)} times as long."
    wider = [row for name, row in rows.items() if name.startswith(f"{LEARNED}, M")]
    if wider:
        nearest = min(wider, key=lambda row: abs(math.log(row.cost("cpu_seconds") / free.cost("cpu_seconds"))))
        lines.append(
            f"at the seconds of SVDD-PM** ({plain(free.cost('cpu_seconds'), 2)}), the nearest that was run is "
            f"{nearest.name} ({plain(nearest.cost('cpu_seconds'), 2)}): {with_error(*nearest.mean)}; "
            f"{difference(nearest, free)}."
        )
        if {nearest.name, FREE} <= walls.keys():
            times = plain(walls[nearest.name] / walls[FREE], 2)
            lines[-1] += f" By the wall, {SIDE_BY_SIDE}, it takes {times} times what SVDD-PM does."
    several = rows.get(f"{LEARNED}, {SEVERAL}")
    if several is not None:
        lines.append(
            f"the best of five** of SVDD-MC, by the true reward: {with_error(*several.mean)} in "
            f"{plain(several.cost('cpu_seconds'), 2)} seconds; against SVDD-PM {difference(several, free)}."
        )
    return lines


def denoising(rows: dict[str, Drawn]) -> list[str]:
    """What a value could reach that reads a noisy graph as it stands."""
    row = rows.get(UNDENOISED)
    if row is None:
        return []
    text = f"against SVDD-PM {difference(row, rows[FREE])}; against SVDD-MC {difference(row, rows[LEARNED])}"
    return [
        f"what denoising is worth**: {UNDENOISED}, the reward of the noisy graph as it stands, "
        f"{with_error(*row.mean)}; {text}. It is all that a network could know that reads the reward off a graph "
        f"without foreseeing where the noise will go."
    ]


def where_to_choose(rows: dict[str, Drawn]) -> list[str]:
    """Candidates where the predictor draws, in the place of the corrector."""
    lines = []
    for kind in (FREE, LEARNED):
        row = rows.get(f"{kind}, {ELSEWHERE}")
        if row is not None and kind in rows:
            text = f"{row.name}, at equal calls, {with_error(*row.mean)}; {difference(row, rows[kind])}."
            lines.append(f"where to choose**: {text}")
            if below(row, rows[kind]):
                lines[-1] += " Its noise is the smaller, and the correctors after it wash the choice away."
    return lines


def choosing_late(rows: dict[str, Drawn]) -> list[str]:
    """Candidates at the last steps only: what they give, at which share of the cost."""
    lines = []
    for kind in (FREE, LEARNED):
        row = rows.get(f"{kind}, {LATELY}")
        if row is not None and kind in rows:
            lines.append(
                f"choosing late**: {row.name}, with candidates from t = {LATE} of {NUM_STEPS} on only, "
                f"{with_error(*row.mean)} at {shares(row, rows[kind])}; {difference(row, rows[kind])}."
            )
    return lines


def learned_then_free(rows: dict[str, Drawn]) -> list[str]:
    """A learned value for the first steps and SVDD-PM for the last, against SVDD-PM for all."""
    families: dict[str, dict[int, Drawn]] = {}
    for name, row in rows.items():
        if THEN_FREE in name:
            families.setdefault(name.partition(f", {THEN_FREE}")[0], {})[start_of(name)] = row
    lines = []
    for first, own in families.items():
        best, row = max(own.items(), key=lambda each: each[1].mean[0])
        others = ", ".join(str(start) for start in sorted(own) if start != best)
        lines.append(
            f"a learned value early, SVDD-PM late**: {first}, {THEN_FREE} (from t = {best} of {NUM_STEPS} on), "
            f"{with_error(*row.mean)} at {shares(row, rows[FREE])} of SVDD-PM; against it "
            f"{difference(row, rows[FREE])}; {variety(row, rows[FREE])}."
        )
        if others:
            lines[-1] += f" It is the best of what was tried, {others} beside it: [when to hand over]({HANDOVER})."
    return lines


def shares(one: Drawn, other: Drawn) -> str:
    """The costs of one as multiples of those of the other."""
    counted = ("reference_calls", "reward_calls", "cpu_seconds")
    calls, rewards, seconds = (plain(one.cost(name) / other.cost(name), 2) for name in counted)
    return f"{calls} times the reference calls, {rewards} times the reward calls and {seconds} times the seconds"


def variety(row: Drawn, free: Drawn) -> str:
    """How many of a row's molecules are distinct, and of SVDD-PM's."""
    own, other = (f"{each.molecules['Distinct']:.0%}" for each in (row, free))
    return f"{own} of its molecules are distinct, of SVDD-PM's {other}"


def another_family(rows: dict[str, Drawn], best: str, number: int) -> list[str]:
    """The best of the other value families, and its other rows."""
    sentence = (
        f"by another family**: the best of {number} is {best.removeprefix(FAMILY)}, {with_error(*rows[best].mean)} at "
        f"M = 10; against SVDD-MC {difference(rows[best], rows[LEARNED])}."
    )
    for name, row in rows.items():
        if name.startswith(f"{best}, ") and THEN_FREE not in name:
            sentence += (
                f" {name} takes {plain(row.cost('cpu_seconds'), 2)} seconds: {with_error(*row.mean)}; against SVDD-PM "
                f"{difference(row, rows[FREE])}; {variety(row, rows[FREE])}."
            )
    return [sentence]


def against_best_of_ten(rows: dict[str, Drawn], best: str) -> list[str]:
    """What is most worth comparing with as many plain samples."""
    baseline = rows.get("best-of-10")
    named = [LEARNED, f"{LEARNED}, {SEVERAL}", FREE, f"{FREE}, {LATELY}", best, f"{best}, {SEVERAL}", "DPS"]
    others = [name for name in named if name in rows]
    if baseline is None or not others:
        return []
    text = "; ".join(f"{name} {difference(rows[name], baseline, short=True)}" for name in others)
    return [f"against best-of-10** ({with_error(*baseline.mean)}): {text}."]


def in_pieces(rows: dict[str, Drawn]) -> list[str]:
    """The rows whose graphs are in one piece less than half as often as the pretrained ones."""
    if "pretrained" not in rows:
        return []
    whole = rows["pretrained"].molecules["One piece"]
    broken = [row for row in rows.values() if row.molecules["One piece"] < whole / 2]
    if not broken:
        return []
    text = ", ".join(f"{row.label} {row.molecules['One piece']:.0%}" for row in broken)
    return [
        f"what it does not see**: it is that of the largest piece; these rows have few graphs in one piece "
        f"({whole:.0%} of the pretrained): {text}."
    ]

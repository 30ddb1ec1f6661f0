"""What came out of inference on QED: the sentences of docs/leaderboards/qm9_inference.md, from its rows."""

from benchmarks.common.estimates import apart, gap
from benchmarks.qm9_inference.rows import BIASED, NEVER_READ, Row, at, candidates, known
from svlearn.evaluation.report.numbers import plain, with_error

ALPHAS = (0.1, 0.03, 0.01, 0.0)
VALUES = (
    ("SVDD-MC", "SVDD-PM"),
    ("SMC, learned", "SMC-PM"),
    ("tree, learned", "tree, PM"),
    ("beam, learned", "beam, PM"),
)
PARTS = (
    ("SMC-PM, DAS", "SMC-PM"),
    ("TDS", "SMC, learned"),
    ("SVDD-MC in SMC", "SMC, learned"),
    ("SVDD-MC, all candidates", "SVDD-MC"),
    ("SVDD-R", "SVDD-PM"),
)
CHEAP, WHOLE = 45, 0.9  # calls of one sample; the share in one piece, or distinct, below which a method is named
MANY = 3  # standard errors, where many estimates are compared with one number


def findings(rows: list[Row], truth: dict) -> list[str]:
    shown = [alpha for alpha in ALPHAS if any(row.alpha == alpha for row in rows)]
    return [
        *[winners(at(rows, alpha), alpha, truth.get(f"{alpha:g}")) for alpha in shown],
        without_alpha(rows, truth),
        f"- Learned values against the posterior mean, by mean QED in the same sampler: {differences(rows, VALUES)}.",
        f"- Other parts, by mean QED: {differences(rows, PARTS)}.",
        *pieces(rows),
        prices(rows, shown),
        *ablation(rows),
        seconds(rows),
        normalizers(rows, truth),
    ]


def winners(rows: list[Row], alpha: float, truth: dict | None) -> str:
    """Who is nearest to p*, and who has the largest reward, at all calls and at few."""
    ranked = sorted(rows, key=lambda row: -row.reward[0])
    text = f"- **alpha = {alpha:g}**"
    if truth is not None:
        ranked = [row for row in ranked if row.alpha == alpha]
        mean = with_error(truth["mean_reward"], truth["mean_reward_standard_error"])
        text += (
            f", where p\\* {f'has a mean QED of {mean}' if known(truth) else 'is not known'}{nearest(ranked, truth)}"
        )
    best = ranked[0]
    beside = [row.name for row in ranked[1:] if not apart(best.reward, row.reward)]
    text += f". The highest mean QED is that of **{best.name}**, {best.reward_text}"
    text += f"; not told apart from it at 95 %: {quoted(beside)}." if beside else ", above all others at 95 %."
    cheap = next((row for row in ranked if row.calls <= CHEAP), best)
    if cheap is best:
        return text
    return f"{text} With {CHEAP} reference calls it is that of {cheap.name}, {cheap.reward_text}."


def nearest(rows: list[Row], truth: dict) -> str:
    """Whose bounds are the tightest, and whose the loosest."""
    weighed = [row for row in rows if row.mean_log_normalizer is not None and not row.name.startswith(BIASED)]
    if not weighed:
        return ""
    weighed.sort(key=lambda row: -row.mean_log_normalizer[0])
    first, last = weighed[0], weighed[-1]
    beside = [row.name for row in weighed[1:] if not apart(first.mean_log_normalizer, row.mean_log_normalizer)]
    names = f"**{first.name}**{f' ({quoted(beside)} as near at 95 %)' if beside else ''}"
    if known(truth):
        near, far = (with_error(*row.divergence(truth)) for row in (first, last))
        return f". Nearest to it by the bound is {names}, KL at most {near} nats; the loosest, {far}, is {last.name}'s"
    near, far = (with_error(*row.mean_log_normalizer) for row in (first, last))
    return f". The highest mean log Z is that of {names}, {near}; the lowest, {far}, is {last.name}'s"


def without_alpha(rows: list[Row], truth: dict) -> str:
    """What maximises reward, whatever alpha is, beside the mean reward that alpha asks for."""
    texts = [f"{row.name} {row.reward_text}" for row in rows if row.name in NEVER_READ[1:]]
    exact = [f"{each['mean_reward']:.3f} at {alpha}" for alpha, each in truth.items() if known(each)]
    return (
        f"- What reads no alpha ({'; '.join(texts)}) is to be held against the mean QED of p\\*, {', '.join(exact)}: "
        "more than that is more than alpha asks for."
    )


def differences(rows: list[Row], pairs: tuple) -> str:
    """Where the first of each pair of samplers has more reward than the second, at the same alpha, and where less."""
    by_key = {(row.name, row.alpha): row for row in rows}
    sides: dict[str, list[str]] = {"gain": [], "lose": [], "are not told apart": []}
    for name, other in pairs:
        changed: dict[str, list[str]] = {side: [] for side in sides}
        for alpha in ALPHAS:
            if (name, alpha) not in by_key or (other, alpha) not in by_key:
                continue
            one, two = by_key[name, alpha].reward, by_key[other, alpha].reward
            side = list(sides)[2 if not apart(one, two) else 0 if one[0] > two[0] else 1]
            text = with_error(*gap(one, two), sign=True)
            changed[side].append(text if name in NEVER_READ else f"{text} at {alpha:g}")
        for side, names in changed.items():
            if names:
                sides[side].append(f"`{name}` against `{other}` ({', '.join(names)})")
    return "; ".join(f"they **{side}** in {', '.join(names)}" for side, names in sides.items() if names)


def pieces(rows: list[Row]) -> list[str]:
    """Where the network was followed to graphs that it misjudges."""
    broken = sorted((row for row in rows if row.mean("connected") < WHOLE), key=lambda row: row.mean("connected"))
    named = [
        f"{row.name} ({row.mean('connected'):.0%}; {', '.join(f'{each:.3f}' for each in row.seed_means)})"
        for row in broken
        if row.alpha == 0
    ]
    return (
        [
            "- **Too much search finds the faults of a value.** At alpha = 0 these have fewer than nine molecules in "
            f"ten in one piece (the share; mean QED by seed): {', '.join(named)}. The reference draws hardly any such "
            "graph, and the network ranks them too high: a harder search for its maximum, by a larger M or a wider "
            "beam, then lowers the reward, which is that of the largest piece. How far depends on the training."
        ]
        if named
        else []
    )


def prices(rows: list[Row], shown: list[float]) -> str:
    """What a reward costs in distinct molecules."""
    texts = []
    for alpha in shown:
        few = [row for row in at(rows, alpha) if row.alpha == alpha and row.mean("uniqueness") < WHOLE]
        few.sort(key=lambda row: row.mean("uniqueness"))
        if few:
            named = ", ".join(f"`{row.name}` {row.mean('uniqueness'):.0%}" for row in few)
            texts.append(f"at alpha = {alpha:g}, {named}")
    rest = "All others have at least nine distinct molecules in ten."
    return f"- Distinct molecules, the price of a reward: {'; '.join(texts)}. {rest}" if texts else f"- {rest}"


def ablation(rows: list[Row]) -> list[str]:
    """What more candidates buy."""
    texts = []
    for kind in ("SVDD-PM", "SVDD-MC"):
        by_m = candidates(rows, kind)
        if len(by_m) < 2:
            continue
        first, last = by_m[min(by_m)], by_m[max(by_m)]
        peak = max(by_m, key=lambda number: by_m[number].reward[0])
        turns = f", highest at M = {peak} ({by_m[peak].reward_text})" if peak != max(by_m) else ""
        calls = " to ".join(dict.fromkeys(plain(row.calls) for row in (first, last)))
        texts.append(
            f"{kind} goes from {first.reward_text} at M = {min(by_m)} to {last.reward_text} at M = "
            f"{max(by_m)}{turns}, for {calls} reference calls a sample"
        )
    return [f"- More candidates at alpha = 0: {'; '.join(texts)}."] if texts else []


def seconds(rows: list[Row]) -> str:
    """Equal calls are not equal seconds."""
    equal = [row for row in rows if row.calls > 400 and "M = " not in row.name]
    spent = sorted(equal, key=lambda row: row.mean("cpu_seconds_per_sample"))
    least, most = (plain(row.mean("cpu_seconds_per_sample"), 2) for row in (spent[0], spent[-1]))
    return (
        f"- Equal reference calls are not equal seconds: about 450 of them take from {least} s a sample "
        f"({spent[0].name}) to {most} s ({spent[-1].name}, for its "
        f"{plain(spent[-1].mean('value_calls_per_sample'))} value calls)."
    )


def normalizers(rows: list[Row], truth: dict) -> str:
    """Whether the samplers agree on log Z."""
    lines = []
    for alpha, exact in truth.items():
        if not known(exact):
            continue
        log_z = exact["log_normalizer_nats"], exact["log_normalizer_standard_error_nats"]
        here = [row for row in rows if row.alpha == float(alpha) and row.log_normalizer is not None]
        off = [row for row in here if apart(row.log_normalizer, log_z, MANY)]
        but = f", but not {', '.join(f'{row.name} ({with_error(*row.log_normalizer)})' for row in off)}" if off else ""
        lines.append(
            f"at alpha = {alpha} it is {with_error(*log_z)} by the reference's own trajectories, and of {len(here)} "
            f"samplers' estimates {len(here) - len(off)} lie within {MANY} standard errors of that{but}"
        )
    return f"- log Z is one number for all samplers: {'; '.join(lines)}."


def quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)

"""The page docs/leaderboards/sequences.md, written from its results."""

from benchmarks.common.estimates import apart
from benchmarks.common.pages import not_measured, opening, reproduce
from benchmarks.sequences.figures import file
from benchmarks.sequences.findings import FREE, GRADIENT, LEARNED, Drawn, findings, gather, kind_of
from benchmarks.sequences.problems import NUM_STEPS, PROBLEMS
from benchmarks.sequences.rows import PRETRAINED, ROWS
from benchmarks.sequences.tables import of_costs, of_nature, of_rewards, of_speed
from benchmarks.sequences.trained import FRESH_BATCH, FRESH_STEPS, NUM_TRAJECTORIES, STEPS
from svlearn.evaluation.report.numbers import plain, with_error

TITLE = "Sequences: the rows of the SVDD paper on 5'UTRs and enhancers"
WANTED = 256
INTRODUCTION = """\
Masked diffusion by the shipped references, T = {steps}, M = 10 candidates, or particles of a group, of which one is
drawn. SVDD at alpha = 0; SMC, TDS and the policies at a quarter of the reward's spread. A row has {wanted} sequences,
where M is swept 64; with fewer: {short}. Not measured: {absent}.
"""
NOTES = """\
## How it was measured

± is one standard error over sequences, of quantiles by the bootstrap; it does not hold the chance of training, which
was done once. "theirs": 20 / 50 / 80 / 90 % of the rewards that the authors of SVDD logged of their own samples
(arXiv 2408.08252; masa-ue/SVDD, log/), by another oracle and another reference: what can be compared is how rows
stand to each other, not their numbers. A call is one state; a step that unmasks nothing costs no call of the
reference. Seconds are those of the processor, on one thread of a machine shared with other work, without training.

| Row | What it is |
| --- | --- |
| pretrained, best-of-10 | plain samples; the best of ten |
| SVDD-PM, SVDD-MC | of M candidates the largest r(x̂_T), or the largest learned mean value |
| SVDD, contrastive twist | as SVDD-MC, by a soft value at an alpha of one spread |
| SVDD-MC, the authors' training | fresh trajectories at every step, x_t in, r(x_T) out, no time |
| SMC, TDS | groups of 10 particles weighed by r(x̂_T); TDS moves them by its gradient in the one-hots of x_t too |
| DPS | single samples moved by that gradient; the strength, nats a spread, is the best of 5, 15, 50 on 16 others |
| policy, ... | a fine-tuned copy in the place of the reference, by PPO or path consistency (log-variance) |

Where the reward has no gradient, as the free energy, TDS weighs and both move by the learned value.
The values are dilated convolutions (width 32, depth 4) trained for {training} steps on {trajectories:,} trajectories
of the reference, of which best-of-10 is made as well; the authors' training draws {fresh:,} of its own, a policy
{trajectories:,}.
Bits a letter: the bound on -log2 p_ref of the reference itself. 3-mer r: Pearson's correlation of the frequencies of
words of three letters with those of the training data. Edit distance: the mean Levenshtein distance of two sequences.
"""


def page(held: dict) -> str:
    """The Markdown of the results, as far as they go."""
    rows = {name: own for name in PROBLEMS if (own := gather(held, name))}
    if not rows:
        return not_measured(TITLE, "sequences")
    parts = [opening(TITLE, overall(rows))]
    for place, (name, own) in enumerate(rows.items()):
        parts += section(held, name, own)
        if not place:
            parts.append(INTRODUCTION.format(steps=NUM_STEPS, wanted=WANTED, **lacking(rows)))
    if held["speed"]:
        parts += [SPEED, of_speed(held["speed"])]
    notes = dict(training=STEPS, trajectories=NUM_TRAJECTORIES, fresh=FRESH_BATCH * FRESH_STEPS)
    foot = reproduce("sequences", held, "The results hold every sequence. One thread.")
    return "\n".join([*parts, NOTES.format(**notes), foot])


def overall(rows: dict[str, dict[str, Drawn]]) -> str:
    """By task, who has the largest mean reward of what needs no training and of what does, and whether they differ."""
    sentences = []
    for name, own in rows.items():
        best = {
            kind: max(found, key=lambda row: row.mean[0])
            for kind in (FREE, LEARNED)
            if (found := [row for row in own.values() if kind_of(row.name) == kind])
        }
        if len(best) == 2:
            free, learned = best[FREE], best[LEARNED]
            side = "above" if learned.mean[0] > free.mean[0] else "below"
            told = side if apart(learned.mean, free.mean) else "not told apart at 95 % from"
            sentences.append(
                f"{PROBLEMS[name].title}: {learned.label}, {with_error(*learned.mean)}, {told} {free.label}, "
                f"{with_error(*free.mean)}"
            )
    found = ". ".join(sentences) or "Not yet enough rows to tell who wins"
    return f"**The largest mean reward of what is trained, beside the largest without training. {found}.**"


SPEED = """\
## Speed

Plain samples, sequences a second of one thread: with no call for a step that unmasks nothing; with a call at every
step; and a bare loop of the same network at every step. "loop" is what svlearn's adds to the bare one.
"""


def section(held: dict, name: str, rows: dict[str, Drawn]) -> list[str]:
    """The figure, the sentence, the tables, what came out."""
    problem = PROBLEMS[name]
    start = f"{name}/"
    judged = {key.removeprefix(start): each for key, each in held["judged"].items() if key.startswith(start)}
    training = {key.removeprefix(start): each for key, each in held["training"].items() if key.startswith(start)}
    authors = held["authors"].get("logs", {}).get(name, {})
    return [
        f"## {problem.title}\n",
        f"![Mean reward against calls and seconds]({file(name)})\n",
        f"{headline(rows)}\n",
        f"The reward: {problem.unit}.\n",
        of_rewards(rows, authors),
        of_nature(rows, judged, held["data"].get(name)),
        of_costs(rows),
        *findings(rows, judged, training, authors),
        "",
    ]


def headline(rows: dict[str, Drawn]) -> str:
    """Which wins where: the best of what needs nothing, training, or the reward's gradient."""
    kinds = {kind: [row for row in rows.values() if kind_of(row.name) == kind] for kind in (FREE, LEARNED, GRADIENT)}
    best = {kind: max(own, key=lambda row: row.mean[0]) for kind, own in kinds.items() if own}
    if PRETRAINED not in rows or len(best) < 2:
        return "Not yet enough rows to tell who wins."
    parts = [
        f"{kind}: {row.label}, {with_error(*row.mean)} for {plain(row.spent('process_calls'), 3)} calls of the model "
        f"and {plain(row.cost('reward_calls'), 3)} of the reward"
        for kind, row in best.items()
    ]
    text = f"**The largest mean rewards, {with_error(*rows[PRETRAINED].mean)} pretrained. {'; '.join(parts)}.**"
    if {FREE, LEARNED} <= best.keys():
        text += f" {few_calls(best[LEARNED], kinds[FREE])}"
    return text


def few_calls(learned: Drawn, free: list[Drawn]) -> str:
    """What needs no training, by no more calls of the model than a learned row, and by how many it catches up."""
    kind = "process_calls"
    cheap = [row for row in free if row.spent(kind) <= 1.05 * learned.spent(kind)]
    above = [row for row in free if row.mean[0] > learned.mean[0] and apart(row.mean, learned.mean)]
    text = f"{learned.label} wins among what costs as few calls of the model"
    if cheap:
        other = max(cheap, key=lambda row: row.mean[0])
        text += f": training-free that buys {with_error(*other.mean)} ({other.label})"
    if not above:
        return f"{text}; no training-free row is told to be above it."
    first = min(above, key=lambda row: row.spent(kind))
    return f"{text}; from {plain(first.spent(kind), 3)} calls on {first.label} gets more without training."


def lacking(rows: dict[str, dict[str, Drawn]]) -> dict[str, str]:
    """Rows of fewer sequences than wanted, and those that are not there."""
    short = [
        f"{row.name} of {name} ({len(row.rewards)})"
        for name, own in rows.items()
        for row in own.values()
        if len(row.rewards) < (ROWS[row.name].number or WANTED)
    ]
    absent = [f"all of {name}" for name in PROBLEMS if name not in rows]
    for name, own in rows.items():
        missing = [f'"{row}"' for row in ROWS if row not in own]
        absent += [f"of {name} {', '.join(missing)}"] if missing else []
    return {"short": "; ".join(short) or "none", "absent": "; ".join(absent) or "nothing"}

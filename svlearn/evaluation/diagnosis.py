"""A run of a sampler in plain words: what went wrong, when, and what to try."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from svlearn.evaluation.curves import curves
from svlearn.inference.samples import Samples

COLLAPSED = 0.1  # of the way from one particle to all
SHARED = 1.5  # distinct ancestors
EARLY = 0.25  # of the steps; what the finished particles share before costs them little
MISCALIBRATED = 0.1  # of the variance of the reward
KEPT, KEPT_BY_REFERENCE = 2 / 3, 0.2  # of the candidates of one step, effective
SKEWED = 0.5
NEEDED = ("t", "pearson", "spread")
# which rows of `curves`, what is said of them, and what to try; what is guided already is not told to be
_GUIDED = {"wide": "Change its scale, or draw more candidates.", "aside": "Lower its scale, or train the value longer."}
_PROPOSALS = (
    (
        "narrow",
        "Proposal too narrow{}: rare candidates weigh far more than the others, and more of them are never drawn.",
        "Widen it, or train the policy on a loss that covers (a distributional policy gradient, say).",
    ),
    (
        "wide",
        "Proposal too wide{}: most candidates weigh next to nothing.",
        "Narrow it, guide it (proposals.Guided), or draw more candidates.",
    ),
    (
        "aside",
        "Proposal off its aim{}: its width fits, its place does not.",
        "Lower its scale, or train the policy longer.",
    ),
    (
        "reference",
        "The reference seldom takes the step that the value asks for{}.",
        "Guide it (proposals.Guided), learn a policy, draw more candidates, or raise alpha.",
    ),
)


def diagnose(
    samples: Samples | Sequence[Samples], *, calibration: pd.DataFrame | None = None, guided: bool = False
) -> list[str]:
    """Sentences on the health of one run of a sampler, or of several; none where nothing seems wrong.

    calibration: the table of `calibrate` of the sampler's value, with alpha= for a soft one. guided: `proposals.Guided`
    proposed, so that the advice is not to guide (`compare` knows). Four things are looked
    for, in `curves` and that table:

    weights    the mean ESS of a group falls to a tenth of the way from one particle to all
    value      a straight line through v_t would win back a tenth of Var[r]: (pearson - spread)² > 0.1
    proposal   one step leaves less than 2/3 of its candidates effective: the value does not cancel log p_ref - log q.
               Too narrow where the tail of their log-weights is upward (skewness > 0.5), too wide where it is downward.
               Or p_ref itself proposes, leaves less than a fifth, and the table says that the value is calibrated.
               Steps from or to a t where the value is not are laid to the value.
    lineage    the finished particles of a group descend from fewer than 1.5 on average, a quarter of the way or later

    They are rules of thumb: silence is no proof (`normalizer_bounds` measures), and what a too narrow proposal never
    drew it cannot show. Raises ValueError for no runs, and for a table without t, pearson and spread.
    """
    runs = [samples] if isinstance(samples, Samples) else list(samples)
    if not runs:
        raise ValueError("samples: expected at least one run, got none")
    if calibration is not None and not set(NEEDED) <= set(calibration.columns):
        raise ValueError(f"calibration: expected columns {', '.join(NEEDED)}, got {', '.join(calibration.columns)}")
    frame, size = curves(runs), runs[0].log_weights.shape[1]
    resampled = any(bool(run.history.resampled.any()) for run in runs)
    return [
        *_of_weights(frame, size, resampled, guided),
        *_of_value(calibration),
        *_of_proposal(frame, calibration, guided),
        *_of_lineage(frame, size),
    ]


def _of_weights(frame: pd.DataFrame, size: int, resampled: bool, guided: bool) -> list[str]:
    collapsed = frame[frame["ess"] * size <= 1 + COLLAPSED * (size - 1)]
    if collapsed.empty:
        return []
    first, later = collapsed.iloc[0], f" and {len(collapsed) - 1} times later" if len(collapsed) > 1 else ""
    if first["t"] == frame["t"].iloc[-1]:
        advice = "The value did not foresee the reward: use one that looks ahead, a larger alpha or more particles."
    elif not resampled:
        advice = "The groups were never resampled: raise ess_threshold, or resample in a wider window."
    else:
        way = "change the scale of the guidance" if guided else "guide the proposal"
        advice = f"Let the value count by degrees (tempering), {way}, or use more particles."
    return [
        f"Weights collapsed at t = {int(first['t'])}{later}: of {size} particles {first['ess'] * size:.1f} are "
        f"effective, and the log-weights spread by {first['log_weight_spread']:.2g} nats. {advice}"
    ]


def _of_value(calibration: pd.DataFrame | None) -> list[str]:
    bad = _miscalibrated(calibration)
    if calibration is None or not bad:
        return []
    table = calibration.set_index("t")
    worst = table.iloc[int((table["spread"] - table["pearson"].fillna(0.0)).abs().to_numpy().argmax())]
    correlation, spread = worst["pearson"], worst["spread"]
    if correlation < 0.1:
        what, advice = "its differences say nothing of the reward", "Train it there, or leave it out (tempering)."
    elif spread > correlation:
        what, advice = "it makes too much of its differences", "Shrink it there, temper, or use values.Ensemble."
    else:
        what, advice = "it makes too little of its differences", "Train it longer, or stretch it there."
    return [
        f"Value miscalibrated {_when(sorted(bad), table.index.tolist())}: {what}. At t = {worst.name} its correlation "
        f"with the reward is {correlation:.2f}, its spread {spread:.2f} of the reward's; they should be equal. {advice}"
    ]


def _of_proposal(frame: pd.DataFrame, calibration: pd.DataFrame | None, guided: bool) -> list[str]:
    own, share = frame["log_ratio_spread"] > 0, frame["increment_ess"]
    narrow, wide = frame["increment_skewness"] > SKEWED, frame["increment_skewness"] < -SKEWED
    lossy = own & (share < KEPT)
    rows = {"narrow": lossy & narrow, "wide": lossy & wide, "aside": lossy & ~narrow & ~wide}
    rows["reference"] = ~own & (not guided) & (share < KEPT_BY_REFERENCE) & (frame["t"] > 0) & (calibration is not None)
    bad, doubt = _miscalibrated(calibration), " (or the value is wrong: pass its calibration)"
    sound = np.array([not bad & {int(t) - 1, int(t)} for t in frame["t"]])
    sentences = []
    for kind, what, advice in _PROPOSALS:
        poor = frame[rows[kind] & sound]
        if not poor.empty:
            advice = _GUIDED.get(kind, advice) if guided else advice
            worst = poor.iloc[int(poor["increment_ess"].to_numpy().argmin())]
            when = f" {_when(poor['t'].tolist(), frame['t'].tolist())}{doubt if calibration is None else ''}"
            sentences.append(
                f"{what.format(when)} At t = {int(worst['t'])} one step leaves {100 * worst['increment_ess']:.0f} % of "
                f"the candidates effective; their log-weights spread by {worst['increment_spread']:.2g} nats, log "
                f"p_ref - log q alone by {worst['log_ratio_spread']:.2g}. {advice}"
            )
    return sentences


def _of_lineage(frame: pd.DataFrame, size: int) -> list[str]:
    shared = frame[(frame["unique_ancestors"] * size < SHARED) & (frame["t"] >= EARLY * frame["t"].iloc[-1])]
    if shared.empty:
        return []
    return [
        f"Lineage collapsed: at t = {int(shared['t'].iloc[-1])} all {size} finished particles of a group have about "
        "one ancestor, and are alike in what was decided before. Resample less often (a lower ess_threshold, a "
        "window), temper, or draw several groups and one particle of each."
    ]


def _miscalibrated(calibration: pd.DataFrame | None) -> set[int]:
    if calibration is None:
        return set()
    lost = (calibration["pearson"].fillna(0.0) - calibration["spread"]) ** 2
    return {int(t) for t in calibration["t"][lost > MISCALIBRATED]}


def _when(moments: list[int], times: list[int]) -> str:
    """The moments among all times, both rising: "at all t", "before t = 4", "after t = 2", "at t = 2 ... 5"."""
    first, last = moments[0], moments[-1]
    between = times[times.index(first) : times.index(last) + 1]
    if len(moments) < len(between):
        return f"at {len(moments)} of the {len(between)} steps from t = {first} to {last}"
    if len(moments) == len(times):
        return "at all t"
    if len(moments) == 1:
        return f"at t = {first}"
    if first == times[0]:
        return f"before t = {last + 1}"
    return f"after t = {first - 1}" if last == times[-1] else f"at t = {first} ... {last}"

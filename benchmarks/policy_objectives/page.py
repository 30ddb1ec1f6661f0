"""The page docs/leaderboards/policy_objectives.md, written from its results."""

import math
from collections import Counter, defaultdict
from statistics import fmean
from typing import Any

from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.digits_policies.steering import BLURS
from benchmarks.policy_objectives.baselines import BASELINES, PRETRAINED
from benchmarks.policy_objectives.families import BETA, CANDIDATES, EPOCHS, FAMILIES, GROUP, MINIBATCHES, REPLAY, ROUNDS
from benchmarks.policy_objectives.figures import file
from benchmarks.policy_objectives.findings import (
    AIMS,
    CALLS,
    SECONDS,
    Domain,
    common_level,
    cost_to,
    estimate,
    gather,
    hacked,
    pays_from,
    reach,
)
from benchmarks.policy_objectives.tasks import NUM_STEPS, TASKS
from svlearn.evaluation.report.numbers import plain, with_error

TITLE, STUDY, WANTED = "Objectives of policies at equal work", "policy_objectives", 5
ENOUGH = 3  # seeds, to tell objectives apart
TRIAL = 0.3  # of the calls of a training, on which learning rates are chosen
HEAD = ("Objective", "reward", "judge", "KL", "diversity", "ELBO", "seconds", "reward, s", "ELBO, s", "calls", "seeds")
FREE_HEAD = ("Without training", "reward", "judge", "diversity", "calls a sample", "seconds a sample")
CLAIM = """\
DiffusionNFT's paper (arXiv 2509.16117) says up to 25 times the efficiency of Flow-GRPO, of images by a large model.
Here NFT beside GRPO, until the lower of their largest mean rewards (below 1: NFT takes more): """
SETTINGS = ("Domain", "alpha", "batch", "moves", "calls", "judged by", "diversity", "rates tried", "rates taken")
NOTES = """\
## How it was measured

Every objective trains a copy of the reference, all of its weights, from the start and stops where its networks were
called as often as the domain allows. (Of digits it trains {numbers} numbers, which move x̂_T and with it the mean, step
by step: along the reward's gradient at x̂_T, blurred in four ways; where the reward is a file's size, which has none,
along what three blurs change of x̂_T, and towards an empty image.) A call is one state of the reference or of the
policy, whether it is drawn, learned from or looked at by a teacher; what a gradient is taken of is one call, and its
way back shows in the seconds alone. (A step of a masked diffusion that unmasks nothing is not called.) Seconds are
those of the processor, one thread, without the worker that scores molecules; other work on the machine made some
trainings dearer than others, so read the calls first. The first columns of the tables are read where the largest number
of calls is spent that all objectives of the domain have reached, with the seconds until there; "reward, s" and "ELBO,
s" at the largest number of seconds that all have reached, with the calls until there. What judges a training counts as
neither.

Within a domain alpha, batch and policy are the same for all. The learning rate is held, so that a point of a curve is
the end of a training that would have stopped there (of reward-weighted denoising nearly: its {rounds} rounds are spread
over the whole). Of several rates that stand in the table it is the one of the largest ELBO in a trial of each,
{trial:.0%} of the calls, on another seed.

{settings}
GRPO: groups of {group}, leave-one-out, exact KL; it and PPO draw {minibatches} batches an iteration and learn {epochs}
times from each. NFT: beta = {beta:g}; it does not read alpha, and climbs on. Trajectory balance: by the
variance among whole paths. Distillation: of SVDD, M = {candidates}, alpha = 0, of texts of best-of-{candidates};
{fresh:.0%} of a batch is drawn anew. Where they can, they learn from some moves of a trajectory, the same number for
all; trajectory balance and adjoint matching need all. Adjoint matching wants Gaussian steps and a reward with a
gradient. SVDD, which is at alpha = 0, and SMC look ahead by r(x̂_T), in texts by a roll-out at tokens {looks}.

± is the standard error over the seeds of training, each judged by samples of its own; the intervals of the figures are
of 95 %, by Student's t, and "not told apart" is by Welch's test at 95 %. KL(q‖p_ref) is that of paths, nats. ELBO:
what (r - r of p_ref)/alpha - KL comes to, nats; where it is below 0 the policy pays more than its reward is worth at
this alpha. What needs no training pays its calls for each sample; a policy as many as the pretrained process.
"""


def page(held: dict[str, Any]) -> str:
    """The Markdown of the results, as far as they go."""
    domains = gather(held)
    if not domains:
        return not_measured(TITLE, STUDY)
    parts = [opening(TITLE, f"**{headline(domains)}**")]
    for place, domain in enumerate(domains.values()):
        picture = f"![Reward and judge of {domain.name} by calls and by seconds]({file(domain.name)})\n"
        parts += [f"## {TASKS[domain.name].title}\n", picture] if place else [picture, claims(domains)]
        parts += [] if place else [f"## {TASKS[domain.name].title}\n"]
        parts += [said(domain), table(domain), free(domain), *absent(domain)]
    without = [TASKS[name].title for name in TASKS if name not in domains]
    parts += [f"Not measured yet: {'; '.join(without)}.\n"] if without else []
    return "\n".join([*parts, notes(held, domains), reproduce(STUDY, held)])


def headline(domains: dict[str, Domain]) -> str:
    """What to take for each aim: of the objectives that apply in more than half of the domains the ones that are among
    the best in the largest share of these; of domains with three seeds of each objective at least."""
    told = {name: domain for name, domain in domains.items() if domain.seeds >= ENOUGH}
    if not told:
        return leaders(domains)
    places = {family: sum(family in domain.curves for domain in told.values()) for family in FAMILIES}
    sentences = []
    for aim, words in (("elbo", "For p* at the given alpha"), ("reward", "For reward alone, whatever it costs")):
        counts = {unit: among_best(told, cost, aim) for unit, cost in (("calls", CALLS), ("seconds", SECONDS))}
        shares = {
            family: sum(each[family] for each in counts.values()) / number_of
            for family, number_of in places.items()
            if 2 * number_of > len(told)
        }
        top = [family for family, share in shares.items() if share == max(shares.values())]
        listed = [
            f"at equal {unit} {', '.join(f'{family} {n} of {places[family]}' for family, n in each.most_common())}"
            for unit, each in counts.items()
        ]
        sentences.append(
            f"{words} take {' or '.join(top)} (domains in which each is among the best: {'; '.join(listed)})."
        )
    return f"Of {', '.join(told)}. {' '.join(sentences)}"


def leaders(domains: dict[str, Domain]) -> str:
    """The objectives of the largest means, where there are too few seeds to tell which are better."""
    first = {aim: [f"{name} {next(iter(each.ranked(CALLS, aim)))}" for name, each in domains.items()] for aim in AIMS}
    return (
        f"Too few seeds yet to tell which objective to take. At equal calls the largest mean ELBO is that of: "
        f"{', '.join(first['elbo'])}; the largest mean reward: {', '.join(first['reward'])}."
    )


def among_best(domains: dict[str, Domain], cost: str, aim: str) -> Counter[str]:
    return Counter(family for domain in domains.values() for family in domain.best(cost, aim))


def claims(domains: dict[str, Domain]) -> str:
    """What is published of efficiency, beside what is seen here."""
    pair = ("NFT", "GRPO")
    seen = []
    for domain in domains.values():
        level = common_level(domain, pair)
        if set(pair) <= domain.curves.keys() and min(len(domain.curves[family]) for family in pair) < 2:
            seen.append(f"{domain.name}: one seed tells nothing")
        elif level is not None:
            calls, seconds, kl = (
                [cost_to(domain.mean_curve(family), level, of) for family in pair] for of in (CALLS, SECONDS, "kl")
            )
            seen.append(
                f"{domain.name}, to reward {plain(level, 3)}: {plain(calls[1] / calls[0], 2)} times fewer calls and "
                f"{plain(seconds[1] / seconds[0], 2)} times fewer seconds, at a KL of {plain(kl[0], 2)} nats, GRPO's "
                f"{plain(kl[1], 2)}"
            )
        elif set(pair) <= domain.curves.keys():
            seen.append(f"{domain.name}: not told, the lower rose by less than the wider of their intervals")
    return f"{CLAIM}{'; '.join(seen) or 'not measured'}.\n"


def said(domain: Domain) -> str:
    """What came out in a domain."""
    text = f"The pretrained process has a reward of {with_error(*domain.baselines[PRETRAINED]['reward'])}. "
    text += "Of some objectives there is one seed, so nothing is told apart. " if domain.seeds < 2 else ""
    for cost, unit in ((CALLS, "calls"), (SECONDS, "seconds")):
        leaders = []
        for aim, name in (("reward", "reward"), ("elbo", "ELBO")):
            figures, best = domain.ranked(cost, aim), domain.best(cost, aim)
            others = f", not told apart from {', '.join(best[1:])}" if best[1:] and domain.seeds > 1 else ""
            leaders.append(f"the largest {name} is that of {best[0]}, {number(figures[best[0]])}{others}")
        text += f"At {domain.common(cost):,.0f} {unit} {'; '.join(leaders)}. "
    text += "".join(beside(domain, name) for name in BASELINES if name != PRETRAINED)
    for kind, families in (
        ("Reward not risen beyond its interval", [each for each in domain.curves if not risen(domain, each)]),
        ("Less than half of the diversity left", [each for each in domain.curves if collapsed(domain, each)]),
        ("The judge fell while the reward rose", hacked(domain)),
    ):
        text += f"{kind}: {', '.join(families) or 'none'}. "
    return f"{text.rstrip()}\n"


def collapsed(domain: Domain, family: str) -> bool:
    diversity = domain.at(family, CALLS, domain.common(CALLS))["diversity"]
    return fmean(diversity) < domain.start["diversity"] / 2


def risen(domain: Domain, family: str) -> bool:
    rewards = domain.at(family, CALLS, domain.common(CALLS))["reward"]
    return fmean(rewards) - reach(rewards) > domain.start["reward"]


def beside(domain: Domain, baseline: str) -> str:
    """Which policies reach a baseline, and from how many samples on they are cheaper."""
    pays = {family: pays_from(domain, family, baseline) for family in domain.curves}
    reached = [f"{family} from {number:,.0f} samples on" for family, number in pays.items() if math.isfinite(number)]
    reward = with_error(*domain.baselines[baseline]["reward"])
    told = f"is reached, for fewer calls, by {', '.join(reached)}" if reached else "is reached by no policy here"
    return f"{baseline} ({reward}) {told}. "


def table(domain: Domain) -> str:
    rows = []
    for family in domain.ranked(CALLS, "elbo"):
        own = domain.at(family, CALLS, domain.common(CALLS))
        timed = domain.at(family, SECONDS, domain.common(SECONDS))
        cells = [number(own[name]) for name in ("reward", "judge", "kl", "diversity")]
        cells += [number(own["elbo"]), plain(fmean(own[SECONDS]), 3), number(timed["reward"]), number(timed["elbo"])]
        rows.append([family, *cells, f"{fmean(timed[CALLS]):,.0f}", str(len(own["reward"]))])
    return markdown_table(HEAD, rows)


def number(figures: list[float]) -> str:
    mean, error = estimate(figures)
    return plain(mean, 4) if math.isnan(error) else with_error(mean, error)


def free(domain: Domain) -> str:
    rows = [
        [name, *(with_error(*held[each]) for each in ("reward", "judge")), plain(held["diversity"], 3)]
        + [plain(held[CALLS], 3), plain(held[SECONDS], 2)]
        for name, held in domain.baselines.items()
    ]
    return markdown_table(FREE_HEAD, rows)


def absent(domain: Domain) -> list[str]:
    """What does not apply, and what is not measured yet."""
    task, reasons, lines = TASKS[domain.name], defaultdict(list), []
    for family, reason in task.absent.items():
        reasons[reason].append(family)
    lines += [f"Does not apply: {', '.join(families)} ({reason})." for reason, families in reasons.items()]
    lacking = {family: WANTED - len(domain.curves.get(family, [])) for family in FAMILIES if family not in task.absent}
    short = [f"{family} {number}" for family, number in lacking.items() if number > 0]
    lines += [f"Seeds of {WANTED} that are not measured yet: {', '.join(short)}."] if short else []
    return [f"{' '.join(lines)}\n"] if lines else []


def settings(held: dict[str, Any], domains: dict[str, Domain]) -> str:
    rows = []
    for name in domains:
        task = TASKS[name]
        rates = {key.split("/")[1]: own["rate"] for key, own in held["trainings"].items() if key.startswith(f"{name}/")}
        chosen = [f"{family} {rates[family]:g}" for family in FAMILIES if family in rates]
        cells = [name, f"{task.alpha:g}", str(task.batch), "all" if task.times is None else str(task.times)]
        cells += [f"{task.calls:,}", str(task.number), task.diversity_unit]
        rows.append([*cells, ", ".join(f"{each:g}" for each in task.rates), ", ".join(chosen)])
    return markdown_table(SETTINGS, rows)


def notes(held: dict[str, Any], domains: dict[str, Domain]) -> str:
    filled: dict[str, Any] = {"numbers": NUM_STEPS * len(BLURS), "rounds": ROUNDS, "group": GROUP, "trial": TRIAL}
    filled |= {"minibatches": MINIBATCHES, "epochs": EPOCHS, "beta": BETA, "candidates": CANDIDATES}
    filled |= {"fresh": 1 - REPLAY, "looks": " and ".join(map(str, TASKS["stories"].looks))}
    return NOTES.format(settings=settings(held, domains), **filled)

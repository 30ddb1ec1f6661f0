"""Comparisons that one process and several make alike: oracles under conditions, and what fails in a known place."""

import torch
from condition_toys import ALPHA, gaussian_by_class

from svlearn.domains.analytic import ConditionalOracle
from svlearn.evaluation.compare import compare
from svlearn.inference.samplers import ancestral, smc, svdd
from svlearn.targets import Target

ROWS = torch.tensor([2, 0, 1])
CALLS = {
    "one condition": dict(num_samples=12, seed=[1, 2, 3], condition=ROWS[:1]),
    "blocks": dict(num_samples=10, seed=5, block_size=4, condition=ROWS[:1]),
    "blocks of conditions": dict(num_samples=7, seed=[5, 6], block_size=3, condition=ROWS),
    "one unit each": dict(num_samples=6, seed=4, condition=ROWS[1:]),
}


class Shown(ConditionalOracle):
    """Decodes and describes."""

    def decode(self, x):
        return [f"<{float(each):.4f}> of {c}" for each, c in zip(x["x"][:, 0], x["condition"].tolist())]

    def describe(self, objects):
        return {"of_class_0": sum(each.endswith("0") for each in objects) / len(objects)}


class BreaksAt:
    """A reward that raises in its n-th call since it was told to forget: all units of a sampler are alike to it."""

    def __init__(self, reward, number):
        self.reward, self.number, self.calls = reward, number, 0

    def forget(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        if self.calls == self.number:
            raise ZeroDivisionError("no more")
        return self.reward(x)


def samplers():
    oracle = Shown(list(gaussian_by_class().oracles))
    target = oracle.target(ALPHA)
    broken = Target(BreaksAt(target.reward, 1), ALPHA)
    return {
        "plain": ancestral(oracle, target),
        "broken": ancestral(oracle, broken),
        "SMC": smc(oracle, target, oracle.soft_value(ALPHA), 4),
        "SVDD": svdd(oracle, target, oracle.mean_value(), 3),
    }


def first_letter(x):
    return x["x"][:, 0] > 0


def number_of_digits(texts):
    return sum(len(each) for each in texts)


def compared(name, **options):
    judged = {"judges": {"positive": first_letter}, "metrics": {"letters": number_of_digits}}
    return compare(samplers(), **CALLS[name], **judged, **options)


def told(comparison):
    """All that does not depend on who drew when."""
    timed = ("seconds_per_sample", "peak_memory_mib")
    figures = {
        name: {key: value for key, value in each.items() if key not in timed}
        for name, each in comparison.figures.items()
    }
    parts = {label: told(each) for label, each in comparison.by_condition.items()}
    galleries = {name: (each.best, each.random) for name, each in comparison.galleries.items()}
    curves = {name: each.to_dict("list") for name, each in comparison.curves.items()}
    rewards = {name: each.tolist() for name, each in comparison.rewards.items()}
    said = (comparison.notes, comparison.failures, comparison.diagnoses)
    return repr((rewards, figures, curves, galleries, said, parts))

"""The tasks on which objectives of policies are compared: a reference, a reward, a judge that none trains for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

import svlearn as sv
from benchmarks.digits_policies.steering import Steered
from benchmarks.policy_objectives.files import MostLikelyDigit, SmallFile
from benchmarks.policy_objectives.pulled import Pulled, Smoothed
from benchmarks.stories.texts import PROMPT
from svlearn.domains.images.digits.pretrained import digits
from svlearn.domains.images.digits.rewards import WrittenDigit
from svlearn.domains.language import metrics as texts
from svlearn.domains.language import stories
from svlearn.domains.language.rewards import OnTexts, SentimentClassifier, Vader
from svlearn.domains.molecules import metrics as molecules
from svlearn.domains.molecules.rewards import QED, SA
from svlearn.domains.sequences.metrics import mean_edit_distance
from svlearn.domains.sequences.rewards import Optimus5Prime, Regression
from svlearn.policies import Finetuned, Policy
from svlearn.process import Reference
from svlearn.values import AtSteps, MonteCarlo, PosteriorMean, Value

LANGUAGE = "a text is grown from left to right, and has no noise to denoise"
NO_GRADIENT = "the states are discrete"
NUM_STEPS = 10  # of digits


@dataclass(frozen=True)
class Task:
    """A problem, and what all objectives have in common on it.

    make: the reference; reward, judge: of the reference, in the units that stand beside; alpha: reward units.
    diversity: of decoded samples. batch: trajectories of an optimiser step; times: at how many of their moves an
    objective that can choose looks. calls: of networks, what a training may take; marks: at which shares of them it is
    judged, by `number` samples. absent: why an objective does not apply, by its name.
    rates: of learning, of which each objective has the one that serves it best on a seed that is not compared; a single
    one is taken as it is.
    """

    title: str
    make: Callable[[], Any]
    reward: Callable[[Any], Callable]
    reward_unit: str
    judge: Callable[[Any], Callable]
    judge_unit: str
    alpha: float
    diversity: Callable[[Any], float]
    diversity_unit: str
    batch: int
    times: int | None
    calls: int
    number: int
    absent: dict[str, str]
    rates: tuple[float, ...]
    marks: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)
    prompt: str | None = None
    looks: tuple[int, ...] = ()  # the steps at which what is training-free rolls out; without any, all steps, by x̂_T
    shared_start: int = 1
    corrects: type[Steered] | None = None  # the policy, where it is no copy of the reference's network


ON_DIGITS: dict[str, Any] = {
    "make": lambda: digits(num_steps=NUM_STEPS, reads_class=False).to(memory_format=torch.channels_last),
    "diversity": lambda objects: reference("digits").describe(objects)["diversity"],
    "diversity_unit": "mean distance of pixels",
    "batch": 16,
    "times": 5,
    "calls": 4_000,
    "number": 48,
    "marks": (1 / 4, 1 / 2, 1.0),
    "shared_start": 8,
}
TASKS = {
    "mrl": Task(
        title="Mean ribosome load of 5'UTRs, 50 nt",
        make=lambda: sv.load("utr5").with_steps(25, "log_linear"),
        reward=lambda reference: Regression("mrl"),
        reward_unit="ribosomes, by svlearn's own regressor",
        judge=lambda reference: Optimus5Prime(),
        judge_unit="Optimus 5-Prime, which was trained by others",
        alpha=0.3,
        diversity=lambda objects: mean_edit_distance(objects),
        diversity_unit="mean edit distance",
        batch=32,
        times=8,
        calls=64_000,
        number=128,
        absent={"adjoint matching": NO_GRADIENT},
        rates=(3e-4, 1e-3),
    ),
    "qm9": Task(
        title="QED of molecules of up to nine atoms",
        make=lambda: sv.load("qm9").eval(),
        reward=lambda reference: QED(num_workers=1),
        reward_unit="QED",
        judge=lambda reference: SA(num_workers=1),
        judge_unit="(10 - SA)/9, how easily a molecule is made, which no objective asks for",
        alpha=0.02,
        diversity=lambda objects: molecules.describe(objects)["diversity"],
        diversity_unit="mean Tanimoto distance",
        batch=16,
        times=9,
        calls=40_000,
        number=64,
        absent={"adjoint matching": NO_GRADIENT},
        rates=(3e-4, 1e-3),
        marks=(1 / 8, 1 / 4, 1 / 2, 1.0),
    ),
    "stories": Task(
        title="A sad story, ten tokens of stories260k",
        make=lambda: stories.load(max_new_tokens=10),
        reward=lambda reference: OnTexts(reference, SentimentClassifier("negative")),
        reward_unit="log p(negative | text), nats, of words of film reviews",
        judge=lambda reference: OnTexts(reference, Vader("negative")),
        judge_unit="minus VADER's compound score",
        alpha=0.1,
        diversity=lambda objects: texts.describe(objects)["distinct_2"],
        diversity_unit="distinct pairs of tokens",
        batch=64,
        times=None,
        calls=100_000,
        number=256,
        absent={"adjoint matching": NO_GRADIENT, "NFT": LANGUAGE, "reward-weighted": LANGUAGE},
        rates=(3e-4, 1e-3),
        prompt=PROMPT,
        looks=(3, 6),
    ),
    "digits": Task(
        title="A 7, of a diffusion that draws any digit",
        reward=lambda reference: WrittenDigit(7),
        reward_unit="log p(7 | image), nats, by one public classifier",
        judge=lambda reference: WrittenDigit(7, "b"),
        judge_unit="the same by another classifier",
        alpha=1.0,
        absent={},
        rates=(0.05,),
        corrects=Pulled,
        **ON_DIGITS,
    ),
    "jpeg": Task(
        title="Digits that are small as JPEG files",
        reward=lambda reference: SmallFile(),
        reward_unit="minus the size of the file, kB",
        judge=lambda reference: MostLikelyDigit(),
        judge_unit="log p of the most likely digit, nats, by the second classifier",
        alpha=0.02,
        absent={"adjoint matching": "a file's size has no gradient"},
        rates=(0.05, 0.2),
        corrects=Smoothed,
        **ON_DIGITS,
    ),
}


@cache
def reference(name: str) -> Any:
    return TASKS[name].make()


@cache
def target(name: str, alpha: float | None = None) -> sv.Target:
    """At the alpha of the task, or at another."""
    task = TASKS[name]
    return sv.Target(task.reward(reference(name)), task.alpha if alpha is None else alpha)


@cache
def judge(name: str) -> sv.Target:
    return sv.Target(TASKS[name].judge(reference(name)), 0.0)


def policy(name: str) -> Policy:
    """A trainable copy, whole; of digits a few numbers."""
    task = TASKS[name]
    if task.corrects is not None:
        return task.corrects(reference(name), target(name))
    return Finetuned(reference(name), condition=None if task.prompt is None else [task.prompt])


def condition(name: str, number: int) -> Any:
    """What so many samples are drawn with."""
    prompt = TASKS[name].prompt
    return None if prompt is None else [prompt] * number


def looking_ahead(name: str, of: sv.Target) -> Value:
    """A value that needs no training: r(x̂_T), or of a text a roll-out at some of its tokens."""
    process: Reference = reference(name)
    looks, estimand = TASKS[name].looks, "soft" if of.alpha > 0 else "mean"
    if not looks:
        return PosteriorMean(of)
    return AtSteps(MonteCarlo(process, of, 1, estimand, from_prediction=True), looks)


def candidates(name: str, number: int) -> list[int]:
    """Of each step 0 ... T: where nothing looks ahead there is nothing to choose, but at the end."""
    steps, looks = reference(name).num_steps, TASKS[name].looks
    return [number if not looks or t in (*looks, steps) else 1 for t in range(steps + 1)]

"""A number of NumPy or torch serves wherever one of Python's does."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import svlearn as sv
from svlearn import schedules
from svlearn.domains.analytic import (
    FiniteMarkovChain,
    GaussianReference,
    LinearGaussianChain,
    TokenTree,
    many_well,
)
from svlearn.inference import proposals
from svlearn.inference.tempering import Adaptive, Schedule
from svlearn.objectives.behaviour import Behaviour
from svlearn.objectives.memoryless import measure_memory
from svlearn.objectives.trust_region import TrustRegion
from svlearn.policies import Controlled
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Learned, MonteCarlo, PosteriorMean, Zero

TREE = TokenTree.random(3, 2, seed=0)
WALK = GaussianReference.brownian(2, 3)
TARGET = sv.Target(lambda x: x.sum(dim=1), 0.5)


class Line(nn.Module):
    def __init__(self, control=False):
        super().__init__()
        self.inner, self.control = nn.Linear(2, 2 if control else 1).double(), control

    def forward(self, x, t):
        return self.inner(x) if self.control else self.inner(x)[:, 0]


def objective(number, real):
    return sv.objectives.MonteCarloRegression(
        WALK, TARGET, Learned(Line()), batch_size=number(4), num_validation=number(4), learning_rate=real(0.01)
    )


def policy():
    return Controlled(WALK, Line(control=True))


def path(i, f, **options):
    return sv.objectives.PathConsistency(
        WALK, TARGET, Learned(Line()), policy(), "subtrajectory", sub_lambda=f(0.5), num_steps=i(2), **options
    )


CALLS = {
    "target": lambda i, f: sv.Target(TARGET.reward, f(0.5)),
    "floor": lambda i, f: sv.Target(TARGET.reward, f(0.5), floor=f(-5)),
    "sample": lambda i, f: sv.ancestral(WALK, TARGET).sample(i(2), max_batch=i(1)),
    "best": lambda i, f: sv.best_of_n(WALK, TARGET, i(2)).sample(2),
    "svdd": lambda i, f: sv.svdd(WALK, TARGET, Zero(), i(2)).sample(2),
    "svdd array": lambda i, f: sv.svdd(WALK, TARGET, Zero(), np.array([2, 1, 2, 1])).sample(2),
    "svdd tensor": lambda i, f: sv.svdd(WALK, TARGET, Zero(), torch.tensor([2, 1, 2, 1])).sample(2),
    "smc": lambda i, f: sv.smc(
        WALK,
        TARGET,
        Zero(),
        i(4),
        f(0.5),
        window=(i(0), i(2)),
        share=f(0.5),
        num_candidates=i(2),
        tempering=[f(0.5)] * 3 + [f(1)],
    ).sample(2),
    "beam": lambda i, f: sv.beam_search(WALK, TARGET, Zero(), i(2), i(2)).sample(2),
    "guidance": lambda i, f: sv.guidance(WALK, TARGET, PosteriorMean(TARGET), f(1), clip=f(2)).sample(2),
    "guidance array": lambda i, f: sv.guidance(WALK, TARGET, PosteriorMean(TARGET), np.ones(3)).sample(2),
    "tree": lambda i, f: sv.tree_search(
        WALK, TARGET, None, i(2), widening_factor=f(2), widening_exponent=f(0.5), prior_children=f(1)
    ).sample(2),
    "refine": lambda i, f: sv.refine(sv.svdd(WALK, TARGET, Zero(), 2), i(1), i(2)).sample(2),
    "refine share": lambda i, f: sv.refine(sv.svdd(WALK, TARGET, Zero(), 2), i(1), f(0.5)).sample(2),
    "resume": lambda i, f: sv.svdd(WALK, TARGET, Zero(), 2).resume(torch.zeros(2, 2).double(), i(1)),
    "tempering": lambda i, f: (Schedule([f(0.5), f(1)]), Schedule.das(i(3), f(0.01)), Adaptive(f(0.5))),
    "exact": lambda i, f: proposals.Exact(Zero(), i(8)),
    "predict": lambda i, f: predict(WALK, torch.zeros(2, 2).double(), i(1)),
    "roll_out": lambda i, f: roll_out(WALK, i(2), target=TARGET),
    "posterior mean": lambda i, f: sv.svdd(WALK, TARGET, PosteriorMean(TARGET, i(2)), 2).sample(2),
    "monte carlo": lambda i, f: sv.svdd(WALK, TARGET, MonteCarlo(WALK, TARGET, i(2)), 2).sample(2),
    "budget": lambda i, f: sv.svdd(WALK, TARGET, MonteCarlo(WALK, TARGET, budget=i(4)), 2).sample(2),
    "objective": objective,
    "path": path,
    "behaviour": lambda i, f: Behaviour(f(0.5), f(0.5), i(10), i(2), f(0.1)),
    "path shares": lambda i, f: path(
        i, f, exploration=f(0.5), exploration_noise=f(0.1), replay=f(0.5), replay_size=i(9)
    ),
    "region": lambda i, f: TrustRegion(f(0.5), i(10), i(2), i(1)),
    "gradient": lambda i, f: sv.objectives.PolicyGradient(WALK, TARGET, policy(), num_times=i(2)),
    "memory": lambda i, f: measure_memory(WALK, i(16)),
    "fit": lambda i, f: sv.fit(objective(i, f), max_steps=i(1), seed=np.uint64(2**40), enable_progress_bar=False),
    "trainer": lambda i, f: sv.fit(
        objective(i, f),
        max_steps=1,
        enable_progress_bar=np.bool_(False),
        accelerator="cpu",
        devices=i(1),
        num_nodes=i(1),
        max_epochs=i(1),
        check_val_every_n_epoch=i(1),
        accumulate_grad_batches=i(1),
        gradient_clip_val=f(0.5),
        limit_val_batches=f(1),
    ),
    "seeded": lambda i, f: seeded("cpu", np.uint64(2**63 + 5), i(3)),
    "bounds": lambda i, f: sv.normalizer_bounds(sv.smc(TREE, TREE.target(f(1)), Zero(), 4), i(4)),
    "compare": lambda i, f: sv.compare({"a": sv.ancestral(WALK, TARGET)}, i(4), seed=[i(1), np.uint64(2**40)]),
    "chain": lambda i, f: FiniteMarkovChain.random(i(3), i(2), seed=i(1)).log_normalizer(f(0.5)),
    "tree oracle": lambda i, f: TokenTree.random(i(3), i(2), seed=i(1)).target(f(0.5)),
    "large tree": lambda i, f: json.dumps(TokenTree.random(i(4), i(5), seed=i(1), end=i(0)).num_steps),
    "compare in pieces": lambda i, f: json.dumps(
        sv.compare({"a": sv.ancestral(WALK, TARGET)}, i(4), max_batch=i(2)).provenance
    ),
    "gaussian": lambda i, f: LinearGaussianChain.random(i(2), i(2), seed=i(1)).target(f(0.5)),
    "brownian": lambda i, f: GaussianReference.brownian(i(2), i(3), f(0.5)).initial(i(2)),
    "stationary": lambda i, f: GaussianReference.ornstein_uhlenbeck(i(2), i(3), f(0.5), f(0.1)).initial(i(2)),
    "wells": lambda i, f: many_well(i(2)),
    "cosine": lambda i, f: schedules.cosine_schedule(i(4)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kinds", [(np.int64, np.float32), (np.uint8, np.float64), (torch.tensor, torch.tensor)])
@pytest.mark.parametrize("name", CALLS)
def test_numbers_of_any_library_serve(name, kinds):
    CALLS[name](*kinds)


def test_what_is_kept_is_pythons_own():
    assert json.dumps(sv.Target(TARGET.reward, np.float32(0.5)).alpha) == "0.5"
    assert json.dumps(sv.svdd(WALK, TARGET, Zero(), np.int64(2)).num_candidates) == "[2, 2, 2, 2]"
    assert json.dumps(objective(np.int64, np.float32).batch_size) == "4"

"""A cache is gathered once a step, for survivors: the rows that it is asked for are counted, step by step."""

import pytest
import torch

from svlearn.inference.samplers import beam_search, smc, svdd
from svlearn.inference.tree_search import tree_search
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition
from svlearn.values import Learned, PosteriorMean, Zero

B, K, M, T = 5, 3, 4, 4


class Rows:
    """What each row has seen, and a log of (t, rows asked for) that all of a run share."""

    def __init__(self, past, t, log):
        self.past, self.t, self.log = past, t, log

    def __getitem__(self, index):
        past = self.past[index]
        self.log.append((self.t, len(past)))
        return Rows(past, self.t, self.log)

    @classmethod
    def cat(cls, parts):
        return cls(torch.cat([part.past for part in parts]), parts[0].t, parts[0].log)


class Walk(Reference):
    """A random walk that refuses a cache which is not that of the row: it must have seen the sum in the state."""

    num_steps = T

    def __init__(self):
        super().__init__()
        self.log = []

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.cat([torch.randn(batch_size, 1, generator=generator), torch.zeros(batch_size, 1)], dim=1)

    def forward(self, x, t, previous=None):
        assert (previous is None) == bool((t == 0).all())
        past = torch.zeros(len(x)) if previous is None else previous.cache.past
        assert torch.equal(past, x[:, 1])
        mean = torch.stack([x[:, 0], past + x[:, 0]], dim=1)
        law = GaussianTransition(mean, torch.tensor([1.0, 0.0]))
        return Prediction(law, clean=x, cache=Rows(past + x[:, 0], int(t[0]), self.log))


class First(torch.nn.Module):
    def forward(self, x, t):
        return x[:, 0]


TARGET = Target(lambda x: x[:, 0], 0.5)
LEARNED, FREE = Learned(First()), PosteriorMean(TARGET)


def rows_read(make, **options):
    """The rows asked of the cache of x_t by what follows, at t = 0 ... T - 1, as they were asked for."""
    walk = Walk()
    sampler = make(walk)
    walk.log.clear()  # at construction it looks once whether the reference has noise
    samples = sampler.sample(B, generator=seeded("cpu", 3), **options)
    return [[rows for moment, rows in walk.log if moment == t] for t in range(T)], samples


ROWS = {  # of x_0, x_1 and x_2 each; after x_3 no call follows
    "svdd, learned value": (lambda walk: svdd(walk, TARGET, LEARNED, M), [B]),
    "svdd, no look-ahead": (lambda walk: svdd(walk, TARGET, Zero(), M), [B]),
    "svdd, posterior mean": (lambda walk: svdd(walk, TARGET, FREE, M), [B, B * M]),
    "smc without resampling": (lambda walk: smc(walk, TARGET, LEARNED, K, 0.0), []),
    "smc, posterior mean, without resampling": (lambda walk: smc(walk, TARGET, FREE, K, 0.0), []),
    "smc, learned value": (lambda walk: smc(walk, TARGET, LEARNED, K, 1.0), [B * K]),
    "smc, posterior mean": (lambda walk: smc(walk, TARGET, FREE, K, 1.0), [B * K]),
    "nested smc": (lambda walk: smc(walk, TARGET, LEARNED, K, 1.0, num_candidates=M), [B * K]),
    "nested smc, posterior mean": (lambda walk: smc(walk, TARGET, FREE, K, 1.0, num_candidates=M), [B * K, B * K * M]),
    "beam search": (lambda walk: beam_search(walk, TARGET, LEARNED, K, M), [B * K]),
    "beam search, posterior mean": (lambda walk: beam_search(walk, TARGET, FREE, K, M), [B * K, B * K * M]),
}


@pytest.mark.parametrize("name", ROWS)
def test_the_rows_of_a_step_are_those_of_its_survivors(name):
    """And, where the value reads their prediction, those of the next candidates, once."""
    make, rows = ROWS[name]
    assert rows_read(make)[0] == [rows, rows, rows, []]


@pytest.mark.parametrize("name", ["svdd, posterior mean", "nested smc, posterior mean", "beam search, posterior mean"])
def test_cut_by_max_batch_the_rows_are_handed_over_once(name):
    """In pieces that fit: here a group after the other."""
    make, rows = ROWS[name]
    for cuts in rows_read(make, max_batch=K * M + 1)[0][:-1]:
        assert sum(cuts) == sum(rows) and max(cuts) <= K * M + 1


def test_a_tree_asks_for_the_rows_that_it_branches_off():
    rows_by_time, samples = rows_read(lambda walk: tree_search(walk, TARGET, LEARNED, 12))
    lineage = samples.history.lineage
    fresh = lineage == torch.arange(12)  # node k at t is the one of roll-out k
    branches = (fresh[:, 1:] & ~fresh[:, :-1]).sum(dim=(0, 2)).tolist()
    assert [sum(rows) for rows in rows_by_time] == [*branches[: T - 1], 0]
    assert sum(branches) > 0 and all(max(rows, default=0) <= B for rows in rows_by_time)

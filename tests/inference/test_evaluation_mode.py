"""Dropout and batch norms are of training: whoever samples runs modules in evaluation mode, and gives theirs back."""

import pytest
import torch
from tensordict import TensorDict
from torch import nn

import svlearn as sv
from svlearn.evaluation.bounds import normalizer_bounds
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.rollouts import collect, roll_back, roll_out
from svlearn.transitions import GaussianTransition
from svlearn.values.calibration import calibrate
from svlearn.values.selection_gain import selection_gain

T, WIDTH = 3, 4


def network(width):
    with torch.random.fork_rng():
        torch.manual_seed(width)
        return nn.Sequential(nn.Linear(WIDTH, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, width))


class Walk(Reference):
    num_steps = T

    def __init__(self):
        super().__init__()
        self.network = network(WIDTH)

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, WIDTH, generator=generator)

    def forward(self, x, t, previous=None):
        mean = x + self.network(x)
        return Prediction(GaussianTransition(mean, 0.5), clean=mean)

    def noise(self, x, t_from, t_to, *, generator=None):
        return self.network(x) + torch.randn(x.shape, generator=generator)

    def decode(self, x):
        return self.network(x).sum(dim=1).tolist()

    def describe(self, objects):
        return {"sum": sum(objects)}


class Moved(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network(1)

    def forward(self, x, t):
        return self.network(x)[:, 0] + t


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network(1)

    def forward(self, x):
        return self.network(x)[:, 0]


class Mine(sv.proposals.Proposal):
    """A proposal of the user's own, that holds a network."""

    def __init__(self):
        self.network = network(WIDTH)

    def transition(self, x, t, prediction):
        return GaussianTransition(prediction.transition.mean + 0.1 * self.network(x), 0.5)


def parts():
    reference, reward = Walk(), Net()
    target = sv.Target(reward, alpha=1.0)
    learned = sv.values.Learned(Moved())
    policy = sv.policies.Controlled(reference, ControlNet())
    return reference, target, learned, policy


class ControlNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network(WIDTH)

    def forward(self, x, t):
        return 0.1 * self.network(x)


def nested(reference, target, learned):
    return sv.values.Switch(
        sv.values.AtSteps(sv.values.Ensemble([learned, sv.values.PosteriorMean(target)], torch.ones(T, 2)), range(T)),
        sv.values.MonteCarlo(reference, target, 2),
        2,
    )


SAMPLERS = {
    "ancestral": lambda r, t, v, p: sv.ancestral(r, t),
    "best_of_n": lambda r, t, v, p: sv.best_of_n(r, t, 3),
    "svdd": lambda r, t, v, p: sv.svdd(r, t, v, 3),
    "svdd, nested values": lambda r, t, v, p: sv.svdd(r, t, nested(r, t, v), 3),
    "svdd, a closure": lambda r, t, v, p: sv.svdd(r, sv.Target(lambda x: t.reward(x), 1.0), v, 3),
    "svdd, a bound method": lambda r, t, v, p: sv.svdd(r, sv.Target(t.reward.forward, 1.0), v, 3),
    "smc": lambda r, t, v, p: sv.smc(r, t, sv.values.PosteriorMean(t), 3),
    "smc, a policy": lambda r, t, v, p: sv.smc(r, t, v, 3, proposal=sv.proposals.Policy(p)),
    "smc, a proposal of one's own": lambda r, t, v, p: sv.smc(r, t, v, 3, proposal=Mine()),
    "guidance": lambda r, t, v, p: sv.guidance(r, t, v),
    "beam_search": lambda r, t, v, p: sv.beam_search(r, t, v, 2, 3),
    "tree_search": lambda r, t, v, p: sv.tree_search(r, t, v, 6),
    "refine": lambda r, t, v, p: sv.refine(sv.svdd(r, t, v, 3), 2, 2),
}


def modules_of(sampler, *others):
    """Every module in sight, and the modes they were given: some of each."""
    modules = {id(each): each for each in [sampler.reference, sampler.value, *others] for each in each.modules()}
    for place, each in enumerate(modules.values()):
        each.training = place % 3 != 0
    return {each: each.training for each in modules.values()}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_evaluates_and_gives_the_modes_back(name):
    reference, target, learned, policy = parts()
    sampler = SAMPLERS[name](reference, target, learned, policy)
    everything = nn.ModuleList([reference, sampler.value, target.reward, learned, policy])
    if name == "smc, a proposal of one's own":
        everything.append(sampler.proposal.network)
    everything.eval()
    before = {key: entry.clone() for key, entry in everything.state_dict().items()}
    expected = sampler.sample(5, generator=seeded("cpu", 1))
    modes = modules_of(sampler, everything)
    for max_batch in (None, 4):
        samples = sampler.sample(5, generator=seeded("cpu", 1), max_batch=max_batch)
        torch.testing.assert_close(samples.states, expected.states)
        torch.testing.assert_close(samples.rewards, expected.rewards)
    assert all(each.training == mode for each, mode in modes.items())
    for key, entry in everything.state_dict().items():  # no batch norm has moved
        assert torch.equal(entry, before[key])


def entries():
    reference, target, learned, policy = parts()
    sampler = sv.smc(reference, target, learned, 3)
    x = reference.initial(4, generator=seeded("cpu", 2))
    paths = torch.stack([x] * (T + 1), dim=1)
    data = TensorDict({"states": paths, "rewards": torch.arange(4.0)}, batch_size=[4])
    single = sv.svdd(reference, target, learned, 3)
    posterior = sv.values.PosteriorMean(target)

    def drawn(states):
        return states["states"], states["rewards"]

    def moved():
        with torch.no_grad():
            reference.eval()
            prediction = reference(x, torch.zeros(4).long())
            reference.train()
        return single.move(x, 0, prediction, generator=seeded("cpu", 1))

    return (reference, target, learned, policy), {
        "resume": lambda: sampler.resume(x, 1, generator=seeded("cpu", 1)).states,
        "sample_conditionally": lambda: sampler.sample_conditionally(paths, generator=seeded("cpu", 1)).states,
        "move": moved,
        "roll_out": lambda: drawn(roll_out(reference, 4, target=target, generator=seeded("cpu", 1))),
        "roll_out by a policy": lambda: drawn(
            roll_out(reference, 4, target=target, proposal=policy, generator=seeded("cpu", 1))
        ),
        "roll_back": lambda: drawn(roll_back(reference, x, target=target, generator=seeded("cpu", 1))),
        "improve": lambda: sv.refine(single, 2, 2).improve(x, generator=seeded("cpu", 1)).states,
        "calibrate": lambda: calibrate(posterior, reference, data)["bias"].tolist(),
        "averaged": lambda: sv.values.Ensemble.fit([learned, posterior], reference, data).weights,
        "choices": lambda: selection_gain([learned, posterior], reference, data, generator=seeded("cpu", 1))[
            "gain"
        ].tolist(),
        "switch": lambda: sv.values.Switch.fit(learned, posterior, reference, data, generator=seeded("cpu", 1)).start,
        "bounds": lambda: normalizer_bounds(sampler, 4, generator=seeded("cpu", 1)).upper,
        "compare": lambda: sv.compare({"smc": sampler}, 4).table["sum"].tolist(),
    }


@pytest.mark.parametrize("name", entries()[1])
def test_so_does_everything_that_runs_them(name):
    held, calls = entries()
    everything = nn.ModuleList([held[0], held[1].reward, *held[2:]])
    expected = calls[name]() if everything.eval() is not None else None
    everything.train()
    before = {key: entry.clone() for key, entry in everything.state_dict().items()}
    torch.testing.assert_close(calls[name](), expected)
    assert all(each.training for each in everything.modules())
    assert all(torch.equal(entry, before[key]) for key, entry in everything.state_dict().items())


def test_a_reference_with_dropout_makes_collect_reproducible(tmp_path):
    reference, target, *_ = parts()
    reference.train()
    first, second = (collect(reference, 6, path=tmp_path / name, seed=3, target=target) for name in ("a", "b"))
    assert torch.equal(first[:]["states"], second[:]["states"])
    assert reference.training and reference.network.training


def test_the_modes_come_back_after_an_exception():
    reference, _, learned, _ = parts()

    def failing(x):
        assert not reference.training and not learned.training
        raise KeyError("no reward")

    for sampler in (
        sv.svdd(reference, sv.Target(failing, 1.0), learned, 2),
        sv.ancestral(reference, sv.Target(failing, 1.0)),
    ):
        with pytest.raises(KeyError):
            sampler.sample(2)
        assert all(each.training for each in (*reference.modules(), *learned.modules()))

"""A store is of one request: other arguments, processes and rewards are refused by name."""

import json
import threading
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from rollout_toys import TARGET, Walk, files_of, total
from torch import nn

from svlearn import Target, targets
from svlearn.rollouts import Rollouts, collect, collect_by_noising


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_trajectories": 11}, "num_trajectories = 10, got 11"),
        ({"batch_size": 5}, "batch_size = 4, got 5"),
        ({"seed": 1}, "seed = 0, got 1"),
        ({"process": Walk(num_steps=5)}, "num_steps = 4, got 5; process = "),
        ({"process": Walk(step=0.25)}, "process = "),
        ({"target": None}, "reward = 'total', got None"),
        ({"target": Target(lambda x: x.sum(1), alpha=1.0)}, "reward = 'total', got '<lambda>'"),
        ({"seed": 1, "batch_size": 5}, "batch_size = 4, got 5; seed = 0, got 1"),
    ],
)
def test_other_arguments_are_refused_by_name(tmp_path, change, named):
    arguments = {"process": Walk(), "num_trajectories": 10, "target": TARGET, "batch_size": 4, "progress": False}
    collect(path=tmp_path, **arguments)
    before = files_of(tmp_path)
    with pytest.raises(ValueError, match="holds rollouts of other arguments: expected") as raised:
        collect(path=tmp_path, **(arguments | change))
    assert named in str(raised.value) and str(tmp_path) in str(raised.value)
    assert files_of(tmp_path) == before


def test_another_temperature_is_the_same_request(tmp_path):
    collect(Walk(), 4, tmp_path, target=TARGET, progress=False)
    assert len(collect(Walk(), 4, tmp_path, target=Target(total, alpha=0.1), progress=False)) == 4


def test_a_reward_module_is_told_apart_by_its_weights(tmp_path):
    class Slope(nn.Module):
        def __init__(self, slope):
            super().__init__()
            self.register_buffer("slope", torch.tensor(slope))

        def forward(self, x):
            return self.slope * x[:, 0]

    collect(Walk(), 4, tmp_path, target=Target(Slope(1.0), alpha=1.0), progress=False)
    collect(Walk(), 4, tmp_path, target=Target(Slope(1.0), alpha=1.0), progress=False)
    with pytest.raises(ValueError, match="reward = "):
        collect(Walk(), 4, tmp_path, target=Target(Slope(2.0), alpha=1.0), progress=False)


@dataclass
class Slope:
    slope: float

    def __call__(self, x):
        return self.slope * x[:, 0]


def sloped(slope):
    return lambda x: slope * x[:, 0]


def of_default(x, slope=1.0):
    return slope * x[:, 0]


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (lambda x: x[:, 0], lambda x: x[:, 0], lambda x: x[:, 1]),
        (sloped(1.0), sloped(1.0), sloped(2.0)),
        (partial(of_default, slope=1.0), partial(of_default, slope=1), partial(of_default, slope=2.0)),
        (Slope(1.0), Slope(1.0), Slope(2.0)),
        (Slope(1.0).__call__, Slope(1.0).__call__, Slope(2.0).__call__),
    ],
    ids=["lambdas", "closures", "partials", "objects", "methods"],
)
def test_another_reward_of_the_same_name_is_refused(tmp_path, one, same, other):
    collect(Walk(), 4, tmp_path, target=Target(one, alpha=1.0), progress=False)
    collect(Walk(), 4, tmp_path, target=Target(same, alpha=0.5), progress=False)
    with pytest.raises(ValueError, match="holds rollouts of other arguments: expected reward_identity = '.*name="):
        collect(Walk(), 4, tmp_path, target=Target(other, alpha=1.0), progress=False)


@pytest.mark.parametrize(
    "targets_of",
    [
        lambda x: targets.constraint(lambda state: state[:, 0] > x),
        lambda x: targets.likelihood(lambda state: x * state[:, 0]),
        lambda x: targets.unnormalized_density(lambda state: x * state[:, 0], Slope(2.0)),
    ],
    ids=["constraint", "likelihood", "unnormalized_density"],
)
def test_the_targets_of_the_posteriors_are_told_apart_by_their_arguments(tmp_path, targets_of):
    collect(Walk(), 4, tmp_path, target=targets_of(0.0), progress=False, seed=1)
    collect(Walk(), 4, tmp_path, target=targets_of(0.0), progress=False, seed=1)
    with pytest.raises(ValueError, match="expected reward_identity = "):
        collect(Walk(), 4, tmp_path, target=targets_of(1.0), progress=False, seed=1)


def test_a_reward_that_has_no_identity_needs_a_name(tmp_path):
    lock = threading.Lock()

    def reward(x):
        with lock:
            return x[:, 0]

    with pytest.raises(ValueError, match=r"reward: expected one whose identity .*'lock', a lock.*name='...'"):
        collect(Walk(), 4, tmp_path / "a", target=Target(reward, alpha=1.0), progress=False)
    assert not (tmp_path / "a").exists()
    collect(Walk(), 4, tmp_path / "a", target=Target(reward, alpha=1.0, name="first"), progress=False)
    collect(Walk(), 4, tmp_path / "a", target=Target(total, alpha=1.0, name="first"), progress=False)
    with pytest.raises(ValueError, match="expected reward = 'first', got 'second'"):
        collect(Walk(), 4, tmp_path / "a", target=Target(reward, alpha=1.0, name="second"), progress=False)


def test_what_a_process_keeps_beside_its_weights_counts(tmp_path):
    collect(Walk(width=3), 4, tmp_path, progress=False)
    walk = Walk(width=3)
    walk.calls = 7  # which its constructor was not given
    collect(walk, 4, tmp_path, progress=False)
    with pytest.raises(ValueError, match="of other arguments: expected process_identity = "):
        collect(Walk(width=2), 4, tmp_path, progress=False)


def of_before(path):
    """The store as an earlier svlearn wrote it, which had no identities."""
    manifest = path / "manifest.json"
    held = json.loads(manifest.read_bytes())
    for name in ("process_identity", "reward_identity", "proposal_identity"):
        del held["request"][name]
    manifest.write_text(json.dumps(held))


@pytest.mark.parametrize("target", [None, TARGET])
def test_a_store_of_before_is_read_and_not_taken_for_this_one(tmp_path, target):
    collect(Walk(), 4, tmp_path, target=target, progress=False)
    of_before(tmp_path)
    assert len(Rollouts.open(tmp_path)) == 4
    with pytest.raises(
        ValueError, match="of an earlier svlearn, .*Rollouts.open reads them; to collect, choose another"
    ):
        collect(Walk(), 4, tmp_path, target=target, progress=False)
    with pytest.raises(ValueError, match="of other arguments: expected seed = 0, got 1"):
        collect(Walk(), 4, tmp_path, target=target, progress=False, seed=1)


def test_noising_and_rolling_out_do_not_mix(tmp_path):
    finished = torch.zeros(4, 3, dtype=torch.float64)
    collect_by_noising(Walk(), finished, tmp_path, progress=False)
    with pytest.raises(ValueError, match="kind = 'noising', got 'process'; finished_states = "):
        collect(Walk(), 4, tmp_path, progress=False)
    with pytest.raises(ValueError, match="finished_states = "):
        collect_by_noising(Walk(), finished + 1, tmp_path, progress=False)


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"process": nn.Linear(2, 2)}, TypeError, "process: expected a Reference, got Linear"),
        ({"target": total}, TypeError, "target: expected None or a Target, got function"),
        ({"num_trajectories": 0}, ValueError, "num_trajectories: expected an integer of at least 1, got 0"),
        ({"batch_size": 2.0}, ValueError, "batch_size: expected an integer of at least 1, got 2.0"),
        ({"seed": -1}, ValueError, "seed: expected an integer of at least 0, got -1"),
        ({"max_batch": 0}, ValueError, "max_batch"),
    ],
)
def test_wrong_arguments_are_refused_by_name(tmp_path, change, error, named):
    arguments = {"process": Walk(), "num_trajectories": 4, "progress": False} | change
    with pytest.raises(error, match=named):
        collect(path=tmp_path / "store", **arguments)
    assert not (tmp_path / "store").exists()

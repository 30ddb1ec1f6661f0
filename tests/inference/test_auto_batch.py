"""max_batch="auto", and that max_batch keeps the memory of a large group or of many candidates flat."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from launching import HERE

import svlearn as sv
from svlearn.evaluation.compare import compare
from svlearn.inference import auto_batch
from svlearn.inference.auto_batch import bytes_of_a_state, free_memory, limit_of, resolved
from svlearn.inference.samplers import smc, svdd
from svlearn.randomness import seeded
from svlearn.values import PosteriorMean

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)

LARGE = """
import sys
import torch
from torch import nn
import svlearn as sv

class Wide(sv.Reference):
    num_steps = 3
    width = 4_000  # float64 numbers a call holds of a state: 10,000 states at once are 320 MB, 4,096 are 131 MB
    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 2, dtype=torch.float64)
    def forward(self, x, t, previous=None):
        hidden = torch.ones(len(x), self.width, dtype=torch.float64)
        return sv.Prediction(sv.GaussianTransition(x + 0 * hidden[:, :2], 1.0), clean=x)

def resident():
    lines = (line.split() for line in open("/proc/self/status"))
    return next(int(line[1]) * 1024 for line in lines if line[0] == "VmRSS:")

class First(nn.Module):
    def forward(self, x, t):
        return x[:, 0]

wide, target = Wide(), sv.Target(lambda x: x[:, 0], 1.0)
samplers = {
    "smc": sv.smc(wide, target, sv.values.Learned(First()), 10_000),
    "svdd": sv.svdd(wide, target, sv.values.PosteriorMean(target), 4096),
}
sampler, limit = samplers[sys.argv[1]], None if sys.argv[2] == "None" else int(sys.argv[2])
sampler.sample(1, max_batch=64, generator=torch.Generator().manual_seed(0))
before = resident()
runs = [sampler.sample(1, max_batch=limit, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
grown = max(run.cost.peak_memory_bytes for run in runs) - before
print(grown, float(runs[0].rewards.mean()), runs[0].cost.reference_calls)
"""


def test_the_limit_is_what_fits_the_share_of_the_memory():
    assert limit_of(1000.0, 1_000_000, GPU) == int(auto_batch.SHARE * 1000)
    assert limit_of(1e12, 1_000_000, GPU) == 1
    assert limit_of(1.0, 10**9, CPU) == limit_of(0.0, 10**9, CPU) == limit_of(9.0, None, CPU) == 512
    assert limit_of(1e6, 100_000_000, CPU) == 40


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell the peak memory")
def test_the_probe_sees_what_a_state_takes():
    # far above what else a process may take meanwhile, in pages of their own, which the allocator gives back
    of_each = 40_000_000  # bytes

    def call(number):
        torch.ones(number, of_each // 8, dtype=torch.float64)

    assert bytes_of_a_state(call, CPU) == pytest.approx(of_each, rel=0.05)
    assert free_memory(CPU) > 10 * of_each


def test_auto_draws_the_same_and_costs_the_same(walk, target, value, monkeypatch):
    sampler = svdd(walk, target, PosteriorMean(target), 4)
    plain = sampler.sample(6, generator=seeded("cpu", 1))
    probes = []
    monkeypatch.setattr(auto_batch, "bytes_of_a_state", lambda call, device: probes.append(call(3)) or 1e6)
    monkeypatch.setattr(auto_batch, "free_memory", lambda device: 10_000_000)
    assert resolved("auto", sampler) == 4
    auto = sampler.sample(6, generator=seeded("cpu", 1), max_batch="auto")
    assert torch.equal(auto.states, plain.states)
    for kind in ("reference_calls", "value_calls", "reward_calls"):
        assert getattr(auto.cost, kind) == getattr(plain.cost, kind)
    assert len(probes) == 1  # of a sampler one
    learned = smc(walk, target, value, 3)
    table = compare({"a": sampler, "b": learned}, 5, max_batch="auto").table
    assert len(probes) == 2 and table.loc["b", "reference_calls_per_sample"] == 3 * walk.num_steps


def test_other_words_are_refused(walk, target, value):
    for use in (
        lambda word: smc(walk, target, value, 2).sample(2, max_batch=word),
        lambda word: compare({"smc": smc(walk, target, value, 2)}, 2, max_batch=word),
    ):
        with pytest.raises(ValueError, match="max_batch: expected None, 'auto' or an integer of at least 1, got 'all'"):
            use("all")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell the peak memory")
@pytest.mark.parametrize("name", ["smc", "svdd"])
def test_ten_thousand_particles_and_four_thousand_candidates_take_no_more_memory(tmp_path, name):
    """64 states at once hold 2 MB; all of them hold more than 100."""
    script = tmp_path / "large.py"
    script.write_text(HERE + LARGE)
    root = str(Path(__file__).parents[2])

    def run(limit):
        command = [sys.executable, str(script), name, str(limit)]
        # what glibc takes from its heap it may not give back between two calls, whose results lie in the holes
        environment = {
            "PYTHONPATH": root,
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "MALLOC_MMAP_THRESHOLD_": "65536",
        }
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-2000:]
        grown, reward, calls = done.stdout.split()
        return int(grown), float(reward), int(calls)

    grown, reward, calls = run(64)
    assert grown < 24 * 2**20
    whole, same, as_many = run(None)
    assert whole > 100 * 10**6  # what the bound above would not let pass
    assert (reward, calls) == (same, as_many)


def test_the_probe_leaves_a_reference_as_it_was():
    """A fresh module is in training mode, and a norm over batches would learn from the probe."""

    class Normed(sv.Reference):
        num_steps = 2

        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(2)

        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.randn(batch_size, 2, generator=generator)

        def forward(self, x, t, previous=None):
            return sv.Prediction(sv.GaussianTransition(self.norm(x), 1.0), clean=x)

    reference = Normed()
    target = sv.Target(lambda x: x[:, 0], 1.0)
    sv.ancestral(reference, target).sample(4, max_batch="auto", generator=seeded("cpu", 0))
    assert reference.training and int(reference.norm.num_batches_tracked) == 0


def test_processes_of_a_host_share_its_memory(monkeypatch):
    alone = limit_of(1000.0, 10_000_000, GPU)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert limit_of(1000.0, 10_000_000, GPU) == alone // 4

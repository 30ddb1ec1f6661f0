"""Two processes with batches of B learn what one learns from batches of 2 B, to the rounding of a sum."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from process_toys import FAMILIES, pulls_of_nft, trained

REWARDS = torch.tensor([0.0, 1.0, 5.0, 2.0, -3.0, 0.5], dtype=torch.float64)

TWO = """
import sys
sys.path[:0] = {paths!r}
import torch
from pytorch_lightning.strategies import DDPStrategy
from process_toys import FAMILIES, pulls_of_nft, resumed, trained
from test_two_processes import REWARDS
from svlearn.objectives.lightning.gathering import mean_over_processes

def two():
    return dict(accelerator="cpu", devices=2, strategy=DDPStrategy(process_group_backend="gloo"))

results = {{name: trained(name, **two()) for name in FAMILIES}}
rank = torch.distributed.get_rank()
own = [0, 1, 2, 3] if rank == 0 else [4, 5]
results["resumed"] = {{kind: resumed(kind, f"{folder}/{{kind}}.ckpt", two) for kind in ("PPO", "iterated twist")}}
results["pulls"] = pulls_of_nft(REWARDS, own, **two())
results["figures"] = mean_over_processes({{"reward": float(rank), "reward_standard_error": 3.0 + rank}})
torch.save(results, f"{folder}/rank{{rank}}.pt")
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What each of two processes has, by rank."""
    folder, here = tmp_path_factory.mktemp("two"), os.path.dirname(__file__)
    script = folder / "two.py"
    script.write_text(TWO.format(paths=[here], folder=str(folder)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(here).parents[1])}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_two_processes_learn_what_one_does_from_batches_twice_as_large(both, name):
    alone = trained(name)
    for each in (rank[name] for rank in both):
        torch.testing.assert_close(each["gradients"], alone["gradients"], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(each["parameters"], alone["parameters"], rtol=1e-7, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_figures_of_a_validation_are_those_of_what_all_processes_drew(both, name):
    one, other = (rank[name]["validation"] for rank in both)
    assert one == pytest.approx(other, nan_ok=True) and one
    if name in ("Monte Carlo", "iterated twist", "contrastive twist"):  # their validation draws nothing
        alone = trained(name)["validation"]
        assert one == pytest.approx(alone, nan_ok=True)


@pytest.mark.slow
def test_the_optimality_of_a_sample_is_among_those_of_all_processes(both):
    alone = pulls_of_nft(REWARDS, list(range(6)))
    torch.testing.assert_close(torch.cat([rank["pulls"] for rank in both]), alone)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PPO", "iterated twist"])
def test_two_processes_go_on_together_from_amid_an_iteration(both, kind):
    """The first alone has its past in the checkpoint, and all of them gather what they begin with."""
    one, other = (rank["resumed"][kind] for rank in both)
    torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.slow
def test_the_error_of_a_mean_over_processes_is_that_of_independent_samples(both):
    """Of 0 ± 3 and 1 ± 4 the mean is 1/2 ± √(9 + 16)/2."""
    for rank in both:
        assert rank["figures"] == {"reward": 0.5, "reward_standard_error": 2.5}

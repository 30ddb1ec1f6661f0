"""Two processes with batches of B learn what one learns from batches of 2 B, to the rounding of a sum."""

import os

import forking
import pytest
import pytorch_lightning as pl
import torch
from process_toys import FAMILIES, begun_or_ended, on_policy, pulls_of_nft, trained

from svlearn.objectives.fit import fit

REWARDS = torch.tensor([0.0, 1.0, 5.0, 2.0, -3.0, 0.5], dtype=torch.float64)

SWITCHED = ("Monte Carlo", "log-variance", "contrastive twist")  # whose checkpoints go on with other numbers

TWO = """
import sys
sys.path[:0] = {paths!r}
import torch
from pytorch_lightning.strategies import DDPStrategy
from process_toys import FAMILIES, begun_or_ended, on_policy, pulls_of_nft, resumed, trained
from test_two_processes import REWARDS, SWITCHED
from svlearn.objectives.fit import fit
from svlearn.objectives.lightning.gathering import mean_over_processes

def two():
    return dict(accelerator="cpu", devices=2, strategy=DDPStrategy(process_group_backend="gloo"))

results = {{name: trained(name, **two()) for name in FAMILIES}}
rank = torch.distributed.get_rank()
own = [0, 1, 2, 3] if rank == 0 else [4, 5]
results["resumed"] = {{kind: resumed(kind, f"{folder}/{{kind}}.ckpt", two) for kind in ("PPO", "iterated twist")}}
results["pulls"] = pulls_of_nft(REWARDS, own, **two())
results["figures"] = mean_over_processes({{"reward": float(rank), "reward_standard_error": 3.0 + rank}})
for name in SWITCHED:
    begun_or_ended(name, f"{folder}/of two {{name}}.ckpt", ends=False, **two())
    results[f"switched {{name}}"] = begun_or_ended(name, f"{folder}/of one {{name}}.ckpt", ends=True, **two())
objective = on_policy("PPO")
fit(objective, max_steps=3, enable_progress_bar=False, ckpt_path=f"{folder}/of one PPO.ckpt", **two())
results["switched PPO"] = [each.detach().clone() for each in objective.trained().parameters()]
objective = on_policy("PPO")
objective.learning_rate, objective.clip = 1e-3 + rank, 0.2 + rank
try:
    fit(objective, max_steps=3 + rank, enable_progress_bar=False, **two())
except ValueError as error:
    results["refused"] = str(error)
torch.save(results, f"{folder}/rank{{rank}}.pt")
"""


class KeptAt2(pl.Callback):
    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        if trainer.global_step == 2:
            trainer.save_checkpoint(self.path, weights_only=False)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What each of two processes has, by rank."""
    folder, here = tmp_path_factory.mktemp("two"), os.path.dirname(__file__)
    for name in SWITCHED:
        begun_or_ended(name, folder / f"of one {name}.ckpt", ends=False)
    fit(on_policy("PPO"), max_steps=2, enable_progress_bar=False, callbacks=[KeptAt2(folder / "of one PPO.ckpt")])
    script = folder / "two.py"
    script.write_text(TWO.format(paths=[here], folder=str(folder)))
    done = forking.run_ranks(script, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return [{**torch.load(folder / f"rank{rank}.pt"), "folder": folder} for rank in range(2)]


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


@pytest.mark.slow
@pytest.mark.parametrize("name", SWITCHED)
def test_a_checkpoint_of_two_goes_on_alone_and_one_of_one_with_two(both, name):
    """Both end where a training ends that nobody has stopped."""
    whole = trained(name)["parameters"]
    for rank in both:
        torch.testing.assert_close(rank[f"switched {name}"], whole, rtol=1e-7, atol=1e-9)
    alone = begun_or_ended(name, both[0]["folder"] / f"of two {name}.ckpt", ends=True)
    torch.testing.assert_close(alone, whole, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_a_policy_that_one_has_begun_two_train_alike(both):
    one, other = (rank["switched PPO"] for rank in both)
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    before = list(on_policy("PPO").trained().parameters())
    assert all(bool(each.isfinite().all()) for each in one)
    assert any(not torch.equal(each, was) for each, was in zip(one, before, strict=True))


@pytest.mark.slow
def test_two_that_were_given_other_arguments_are_told_which(both):
    for rank in both:
        assert rank["refused"] == (
            "expected the same arguments on every rank, got learning_rate: 0.001 on rank 0, 1.001 on rank 1; "
            "clip: 0.2 on rank 0, 1.2 on rank 1; max_steps: 3 on rank 0, 4 on rank 1"
        )

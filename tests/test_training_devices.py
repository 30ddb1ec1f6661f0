"""Every objective trains where the trainer puts it, a pretended device, and leaves all where it was."""

import re
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from device_toys import CPU, TARGET, Diffusion, Judge, Network, Walk, there
from torch import nn

import svlearn as sv
from svlearn import objectives
from svlearn.policies import Controlled
from svlearn.randomness import device_of
from svlearn.values import Learned

ROOT = Path(__file__).parents[1]


def test_a_fit_does_not_choose_a_device_without_float64(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    walk, value = Walk(), Learned(Network())
    objective = objectives.MonteCarloRegression(walk, TARGET, value, batch_size=4)
    sv.fit(objective, max_steps=1, enable_progress_bar=False)
    assert device_of(value) == CPU


VALUES = {
    "monte carlo": lambda r, t: objectives.MonteCarloRegression(r, t, Learned(Network()), "soft", num_times=2),
    "monte carlo, noised": lambda r, t: objectives.MonteCarloRegression(r, t, Learned(Network()), noised=True),
    "soft q": lambda r, t: objectives.SoftQIteration(r, t, Learned(Network())),
    "contrastive twist": lambda r, t: objectives.ContrastiveTwist(r, t, Learned(Network())),
    "contrastive energy": lambda r, t: objectives.ContrastiveEnergy(r, t, Learned(Network())),
}
POLICIES = {
    "path consistency": lambda r, t, p: objectives.PathConsistency(r, t, Learned(Network()), p),
    "log variance": lambda r, t, p: objectives.PathConsistency(
        r, t, None, p, variant="log_variance", shared_start=2, exploration=0.5, exploration_noise=0.1
    ),
    "policy gradient": lambda r, t, p: objectives.PolicyGradient(r, t, p),
    "ppo": lambda r, t, p: objectives.ProximalPolicyGradient(r, t, p, num_minibatches=2, num_epochs=1),
    "distributional": lambda r, t, p: objectives.DistributionalPolicyGradient(r, t, p),
    "distillation": lambda r, t, p: objectives.Distillation(
        r, t, p, sv.svdd(r, t, Learned(Network()), 3), replay=0.5, num_times=2
    ),
    "adjoint": lambda r, t, p: objectives.AdjointMatching(r, t, p, check_memory=False),
    "derivative-free": lambda r, t, p: objectives.DerivativeFreeAdjointMatching(r, t, p, check_memory=False),
    "stochastic control": lambda r, t, p: objectives.StochasticControl(r, t, p, check_memory=False),
}


@pytest.mark.parametrize("reference", [Walk, Diffusion])
@pytest.mark.parametrize("name", [*VALUES, *POLICIES])
def test_every_objective_trains_where_the_trainer_puts_it_and_leaves_all_where_it_was(name, reference, device):
    judge, made = Judge(), reference()
    target = sv.Target(judge, 0.5)
    if name in VALUES:
        objective = VALUES[name](made, target)
    else:
        objective = POLICIES[name](made, target, Controlled(made, Network(2)))
    objective.batch_size = objective.num_validation = 8
    parts = {each: (device_of(each), each.dtype if isinstance(each, nn.Parameter) else None) for each in [judge, made]}
    before = [(each, each.device, each.dtype) for each in objective.parameters()]
    values = [each.detach().clone() for each in objective.trained().parameters()]
    judge.places.clear()  # of what was tried when the objective was made
    sv.fit(objective, **there(limit_val_batches=1, val_check_interval=1))
    assert judge.places == {(device, device)}
    assert all(device_of(each) == place for each, (place, _) in parts.items()) and objective.device == CPU
    assert all(each is now and now.device == home and now.dtype == kind
               for (each, home, kind), now in zip(before, objective.parameters(), strict=True))  # fmt: skip
    learned = [one.detach() != other for one, other in zip(objective.trained().parameters(), values, strict=True)]
    assert any(bool(each.any()) for each in learned)


def test_what_the_user_had_on_the_device_is_there_after_a_fit_on_the_cpu(device):
    made, judge = Diffusion().to(device), Judge().to(device)
    for callbacks, error in (([], nullcontext()), ([Interrupts()], pytest.raises(KeyError))):
        objective = objectives.MonteCarloRegression(made, sv.Target(judge, 0.5), Learned(Network()), batch_size=4)
        judge.places.clear()
        with error:
            sv.fit(objective, max_steps=1, accelerator="cpu", enable_progress_bar=False, callbacks=callbacks)
        assert judge.places == {(CPU, CPU)}
        assert device_of(made) == device_of(judge) == device and device_of(objective.value) == CPU


class Interrupts(sv.objectives.LastCheckpoint):
    def on_train_batch_end(self, *arguments):
        raise KeyError


def test_the_example_of_the_readme_runs_where_the_trainer_chooses_the_device(device, capsys):
    (code,) = re.findall(r"<!-- example -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = code.replace("max_steps=300", "**there").replace("num_samples=200", "num_samples=20")
    exec(compile(code, "README.md", "exec"), {"there": there()})
    assert "SVDD-MC" in capsys.readouterr().out


def test_the_examples_of_the_docs_run_where_the_trainer_chooses_the_device(device, capsys):
    names = {"there": there()}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs/own_model.md").read_text(), re.DOTALL):
        exec(compile(code.replace("max_steps=200", "**there").replace("256", "16"), "docs/own_model.md", "exec"), names)
    assert "Mean reward" in capsys.readouterr().out

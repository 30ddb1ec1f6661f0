"""What a run reads back from an accelerator, which waits there for all that was asked: nothing at each of its steps.

On the pretended device of `tracked_device`, which counts it.
"""

import pytest
import torch
from device_toys import TARGET, Diffusion, Network, near
from tracked_device import synchronisations, tracked

import svlearn as sv
from svlearn import proposals
from svlearn.policies import Controlled
from svlearn.rollouts import roll_out
from svlearn.targets import NonFiniteError
from svlearn.values import AtSteps, Ensemble, Learned, LowerBound, MonteCarlo, PosteriorMean, Residual, Switch, Zero

VALUES = {
    "learned": lambda r, t: Learned(Network()),
    "posterior mean": lambda r, t: PosteriorMean(t),
    "switch": lambda r, t: Switch(Learned(Network()), PosteriorMean(t), 2),
    "switch, nested": lambda r, t: Switch(Zero(), Switch(AtSteps(PosteriorMean(t), [1]), Learned(Network()), 2), 1),
    "at steps": lambda r, t: AtSteps(PosteriorMean(t), [1, 2, r.num_steps - 1]),
    "ensemble": lambda r, t: Ensemble([Learned(Network()), PosteriorMean(t)], torch.ones(r.num_steps, 2)),
    "ensemble, nested": lambda r, t: Ensemble(
        [Switch(Learned(Network()), PosteriorMean(t), 2), Learned(Network())], torch.ones(r.num_steps, 2)
    ),
    "residual": lambda r, t: Residual(PosteriorMean(t), Switch(Learned(Network()), Zero(), 2)),
    "lower bound": lambda r, t: LowerBound([Learned(Network()), AtSteps(PosteriorMean(t), [1])]),
    "monte carlo": lambda r, t: MonteCarlo(r, t, 2),
    "monte carlo, mean": lambda r, t: MonteCarlo(r, t, 2, "mean"),
    "monte carlo, budget": lambda r, t: MonteCarlo(r, t, budget=r.num_steps),
    "monte carlo, from the prediction": lambda r, t: MonteCarlo(r, t, 2, from_prediction=True),
    "switch to monte carlo": lambda r, t: Switch(Learned(Network()), MonteCarlo(r, t, 2), 2),
}
SAMPLERS = {
    "ancestral": lambda r, t, v: sv.ancestral(r, t),
    "svdd": lambda r, t, v: sv.svdd(r, t, v, 3),
    "smc": lambda r, t, v: sv.smc(r, t, v, 4),
    "smc, policy": lambda r, t, v: sv.smc(r, t, v, 4, proposal=proposals.Policy(Controlled(r, Network(2)))),
    "smc, guided": lambda r, t, v: sv.smc(r, t, v, 4, proposal=proposals.Guided(v, at="mean")),
    "smc, DPS": lambda r, t, v: sv.smc(r, t, v, 4, proposal=proposals.Guided(v, at="state")),
}
RUNS = [("ancestral", "learned"), *(("svdd", value) for value in VALUES)]
RUNS += [("smc", value) for value in ("learned", "switch", "at steps", "ensemble", "monte carlo")]
RUNS += [("smc, guided", "switch"), ("smc, DPS", "switch"), ("smc, DPS", "ensemble")]


@pytest.fixture
def device():
    with tracked() as found:
        yield found


def reference_of(steps, device):
    reference = Diffusion()
    reference.num_steps = steps
    return reference.to(device)


def reads(run):
    """Of a second run: what a sampler finds out at its first is no matter of the steps."""
    run()
    with synchronisations() as found:
        run()
    return found.reads


@pytest.mark.parametrize(("name", "value"), RUNS)
def test_a_run_whose_checks_wait_reads_as_much_as_one_that_is_twice_as_long(name, value, device):
    def number(steps, check):
        reference = reference_of(steps, device)
        sampler = SAMPLERS[name](reference, TARGET, VALUES[value](reference, TARGET))
        return reads(lambda: sampler.sample(2, check=check))

    assert number(4, "end") == number(8, None)
    if value == "learned" and name != "ancestral":
        assert number(8, "end") == number(4, "end")
        assert number(8, "every") >= number(4, "every") + 4


@pytest.mark.parametrize("name", ["smc", "smc, policy", "svdd"])
def test_nor_does_one_that_retains_trajectories(name, device):
    def number(steps, check):
        reference = reference_of(steps, device)
        sampler, kept = SAMPLERS[name](reference, TARGET, Learned(Network())), roll_out(reference, 2)["states"]
        return reads(lambda: sampler.sample_conditionally(kept, check=check))

    assert number(4, "end") == number(8, None)
    assert number(8, "every") >= number(4, "every") + 4


def test_nor_does_a_rollout(device):
    def number(steps):
        return reads(lambda: roll_out(reference_of(steps, device), 3, target=TARGET))

    assert number(4) == number(8)


def test_the_weights_of_an_ensemble_are_read_again_where_they_were_changed(device):
    reference = reference_of(4, device)
    called = []

    class Seen(Network):
        def forward(self, x, t):
            called.append(int(t[0]))
            return super().forward(x, t)

    value = Ensemble([Learned(Seen()), Learned(Network())], torch.tensor([[1.0, 0.0]] * 4))
    sampler = sv.smc(reference, TARGET, value, 4)
    sampler.sample(2)
    assert called == []
    value.weights[1:3] = 0.5
    sampler.sample(2)
    assert called == [1, 2]
    value.load_state_dict(value.state_dict() | {"weights": torch.tensor([[1.0, 0.0]] * 4)})
    sampler.sample(2)
    assert called == [1, 2, 0, 1, 2, 3]


@pytest.mark.parametrize("check", ["every", "end"])
def test_a_mean_that_does_not_exist_is_refused_at_the_end_too(check, device):
    reference = reference_of(4, device)
    value = MonteCarlo(reference, sv.Target(lambda x: torch.full((len(x),), -torch.inf), 1.0), 2, "mean")
    with pytest.raises(ValueError, match="estimand: the mean of a reward that is -inf does not exist"):
        sv.smc(reference, sv.Target(near, 1.0), value, 3).sample(2, check=check)


@pytest.mark.parametrize("name", ["switch", "at steps", "ensemble", "monte carlo, budget"])
def test_a_value_that_is_no_number_is_named_with_its_step(name, device):
    class Broken(Network):
        def forward(self, x, t):
            return torch.where(t == 2, torch.nan, super().forward(x, t))

    reference = reference_of(4, device)
    broken = Learned(Broken())
    value = {
        "switch": lambda: Switch(broken, Zero(), 3),
        "at steps": lambda: AtSteps(broken, [0, 2]),
        "ensemble": lambda: Ensemble([broken, Learned(Network())], torch.ones(4, 2)),
        "monte carlo, budget": lambda: Switch(MonteCarlo(reference, TARGET, budget=4), broken, 1),
    }[name]()
    for check in ("every", "end"):
        with pytest.raises(NonFiniteError, match="expected a finite number at step 2, got nan at index 0"):
            sv.smc(reference, TARGET, value, 3).sample(2, check=check)

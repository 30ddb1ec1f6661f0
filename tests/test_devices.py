"""All runs where the reference or the trainer puts it, a CPU seed gives the same numbers, nothing is left behind.

On a pretended device (`tracked_device`), where an operation on tensors of two devices raises.
"""

from contextlib import nullcontext

import pytest
import torch
from device_toys import TARGET, Diffusion, Network, Walk, near, there
from torch import nn
from torch.overrides import _get_current_function_mode_stack
from tracked_device import tracked

import svlearn as sv
from svlearn import objectives, proposals
from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.evaluation.diagnosis import diagnose
from svlearn.inference.tempering import Adaptive
from svlearn.objectives.memoryless import measure_memory
from svlearn.placement import at_home, home_of, placed, working_on
from svlearn.policies import Controlled, Finetuned
from svlearn.randomness import device_of
from svlearn.rollouts import roll_back, roll_out
from svlearn.schedules import NoiseLevels, cosine_schedule
from svlearn.values import Learned, MonteCarlo, PosteriorMean
from svlearn.values.selection_gain import selection_gain

CPU = torch.device("cpu")


@pytest.fixture
def device():
    with tracked() as found:
        yield found


class Judge(nn.Module):
    """A reward with weights."""

    def __init__(self):
        super().__init__()
        self.layer, self.places = nn.Linear(2, 1), set()

    def forward(self, x):
        self.places.add((self.layer.weight.device, x.device))
        return self.layer(x).squeeze(1)


CHAIN = FiniteMarkovChain.random(4, 4, seed=1)


def of_vectors(make):
    return lambda place: make(Diffusion().to(place), TARGET, Learned(Network()))


def of_tokens(make):
    chain = FiniteMarkovChain(CHAIN.initial_probs, CHAIN.matrices, CHAIN.reward.table)
    target = sv.Target(lambda x: x[:, 0] * torch.ones(len(x)) / 2, 0.6)
    return lambda place: make(chain.to(place), target, PosteriorMean(target))


SAMPLERS = {
    "ancestral": of_vectors(lambda r, t, v: sv.ancestral(r, t)),
    "best of n": of_vectors(lambda r, t, v: sv.best_of_n(r, t, 3)),
    "svdd": of_vectors(lambda r, t, v: sv.svdd(r, t, v, 3)),
    "svdd, greedy": of_vectors(lambda r, t, v: sv.svdd(r, sv.Target(near, 0.0), v, 3)),
    "svdd, posterior mean": of_vectors(lambda r, t, v: sv.svdd(r, t, PosteriorMean(t), 3)),
    "svdd, by simulation": of_vectors(lambda r, t, v: sv.svdd(r, t, MonteCarlo(r, t, 2), 3)),
    "svdd, switched": of_vectors(lambda r, t, v: sv.svdd(r, t, sv.values.Switch(v, PosteriorMean(t), 2), 3)),
    "smc": of_vectors(lambda r, t, v: sv.smc(r, t, v, 4)),
    "smc, residual": of_vectors(lambda r, t, v: sv.smc(r, t, v, 4, 1.0, "residual", tempering=Adaptive(0.9))),
    "smc, sorted": of_vectors(lambda r, t, v: sv.smc(r, t, v, 4, 1.0, by_value=True, share=0.5)),
    "smc, nested": of_vectors(lambda r, t, v: sv.smc(r, t, v, 4, num_candidates=2)),
    "smc, guided": of_vectors(lambda r, t, v: sv.smc(r, t, v, 4, proposal=proposals.Guided(v))),
    "smc, DPS": of_vectors(lambda r, t, v: sv.smc(r, t, v, 4, proposal=proposals.Guided(PosteriorMean(t)))),
    "smc, policy": of_vectors(lambda r, t, v: sv.smc(r, t, v, 4, proposal=proposals.Policy(Controlled(r, Network(2))))),
    "guidance": of_vectors(lambda r, t, v: sv.guidance(r, t, v)),
    "beam search": of_vectors(lambda r, t, v: sv.beam_search(r, t, v, 2, 3)),
    "tree search": of_vectors(lambda r, t, v: sv.tree_search(r, t, v, 4)),
    "refine": of_vectors(lambda r, t, v: sv.refine(sv.svdd(r, t, v, 3), 2, 2)),
    "particle Gibbs": of_vectors(lambda r, t, v: sv.refine(sv.smc(r, t, v, 3), 2, 2, "particle_gibbs")),
    "tokens": of_tokens(lambda r, t, v: sv.smc(r, t, v, 4)),
    "tokens, exact": of_tokens(lambda r, t, v: sv.smc(r, t, v, 4, proposal=proposals.Exact(v))),
    "tokens, svdd": of_tokens(lambda r, t, v: sv.svdd(r, t, v, 3)),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_seed_on_the_cpu_gives_every_sampler_the_same_numbers_on_another_device(name, device):
    """The value and its target stay on the CPU, where the user has them; the code of the user names no device."""
    torch.manual_seed(0)
    here = SAMPLERS[name]("cpu").sample(3, generator=torch.Generator().manual_seed(5))
    torch.manual_seed(0)
    sampler = SAMPLERS[name](device)
    samples = sampler.sample(3, generator=torch.Generator().manual_seed(5))
    assert samples.states.device == samples.rewards.device == samples.log_weights.device == device
    torch.testing.assert_close(samples.states.cpu(), here.states)
    torch.testing.assert_close(samples.rewards.cpu(), here.rewards)
    torch.testing.assert_close(samples.log_weights.cpu(), here.log_weights)
    assert device_of(sampler.value) == CPU or not list(sampler.value.parameters()) or name == "svdd, by simulation"
    assert sampler.sample(2, max_batch=3).states.device == device  # by a generator of its own, in pieces


@pytest.mark.parametrize("name", ["ancestral", "svdd", "smc", "smc, guided", "beam search", "tokens, svdd"])
def test_a_generator_of_the_device_serves_as_well(name, device):
    samples = SAMPLERS[name](device).sample(3, generator=torch.Generator(device).manual_seed(5))
    assert samples.states.device == device and samples.draw(generator=torch.Generator().manual_seed(0)).device == device


def test_a_generator_of_another_device_serves_a_reference_of_the_cpu(device):
    found = [
        sv.ancestral(Walk()).sample(3, generator=torch.Generator(p).manual_seed(5)).states for p in ("cpu", device)
    ]
    assert found[1].device == CPU and torch.equal(*found)  # of the pretended device the numbers are the same


@pytest.mark.parametrize("form", [lambda rows: rows, lambda rows: {"shift": rows}])
def test_conditions_are_brought_to_where_the_reference_is(device, form):
    class Given(Diffusion):
        def initial(self, batch_size, *, condition=None, generator=None):
            shift = condition["shift"] if isinstance(condition, dict) else condition
            return torch.randn(batch_size, 2, generator=generator) + shift

    samples = sv.ancestral(Given().to(device)).sample(3, condition=form(torch.ones(3, 2)), generator=torch.Generator())
    assert samples.states.device == device


def test_a_fit_does_not_choose_a_device_without_float64(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    walk, value = Walk(), Learned(Network())
    objective = objectives.MonteCarloRegression(walk, TARGET, value, batch_size=4)
    sv.fit(objective, max_steps=1, enable_progress_bar=False)
    assert device_of(value) == CPU


def test_the_device_of_a_reference(device):
    walk, diffusion = Walk(), Diffusion()
    assert walk.device == diffusion.device == CPU
    with torch.device(device):
        assert walk.device == device and diffusion.device == CPU
    diffusion.to(device)
    assert diffusion.device == Finetuned(diffusion).device == torch.compile(diffusion).device == device
    assert Controlled(walk, Network(2).to(device)).device == device

    class Own(Walk):
        def __init__(self):
            super().__init__()
            self.device = "mine"

    assert Own().device == "mine"


def test_a_reference_without_parameters_is_where_the_rest_is(device):
    value = Learned(Network().to(device))
    assert home_of(Walk()) == CPU and home_of(Walk(), TARGET, value) == device == home_of(Diffusion().to(device), value)
    samples = sv.smc(Walk(), TARGET, value, 4).sample(3, generator=torch.Generator().manual_seed(0))
    assert samples.states.device == device
    judge = Judge().to(device)
    assert sv.ancestral(Walk(), sv.Target({judge: 2.0}, 1.0)).sample(2).states.device == device


def test_a_module_reward_follows_and_comes_back(device):
    judge = Judge()
    reference, target = Diffusion().to(device), sv.Target({judge: 1.0, near: 0.5}, 0.5)
    for sampler in (
        sv.svdd(reference, target, PosteriorMean(target), 3),
        sv.guidance(reference, target, PosteriorMean(target)),
        sv.tree_search(reference, target, None, 3),
    ):
        sampler.sample(2)
    roll_out(reference, 2, target=target)
    assert judge.places == {(device, device)} and device_of(judge) == CPU
    sv.fit(objectives.MonteCarloRegression(Walk(), target, Learned(Network())), **there())
    assert judge.places == {(device, device)} and device_of(judge) == CPU

    def fails(x):
        raise KeyError

    with pytest.raises(KeyError):
        sv.ancestral(reference, sv.Target({judge: 1.0, fails: 1.0}, 0.5)).sample(2)
    assert device_of(judge) == CPU


def test_what_shares_parts_with_the_reference_leaves_them_where_they_are(device):
    """A reference may keep some of its parts on the CPU, and bring them when it needs them."""
    reference = Diffusion().to(device)
    reference.spare = nn.Linear(1, 1)
    with placed(device, MonteCarlo(reference, TARGET, 2), but=reference):
        assert device_of(reference.spare) == CPU


VALUES = {
    "monte carlo": lambda r, t: objectives.MonteCarloRegression(r, t, Learned(Network()), "soft", num_times=2),
    "monte carlo, noised": lambda r, t: objectives.MonteCarloRegression(r, t, Learned(Network()), noised=True),
    "soft q": lambda r, t: objectives.SoftQIteration(r, t, Learned(Network())),
    "contrastive twist": lambda r, t: objectives.ContrastiveTwist(r, t, Learned(Network())),
    "contrastive energy": lambda r, t: objectives.ContrastiveEnergy(r, t, Learned(Network())),
    "iterated twist": lambda r, t: objectives.IteratedTwist(r, t, Learned(Network()), num_particles=4, round_size=16),
}
LEVELS = NoiseLevels.from_alpha_bars(cosine_schedule(4))
POLICIES = {
    "path consistency": lambda r, t, p: objectives.PathConsistency(r, t, Learned(Network()), p),
    "log variance": lambda r, t, p: objectives.PathConsistency(
        r, t, None, p, variant="log_variance", shared_start=2, exploration=0.5, exploration_noise=0.1
    ),
    "policy gradient": lambda r, t, p: objectives.PolicyGradient(r, t, p),
    "ppo": lambda r, t, p: objectives.ProximalPolicyGradient(r, t, p, num_minibatches=2, num_epochs=1),
    "grpo": lambda r, t, p: objectives.GroupRelativePolicyGradient(r, t, p, num_minibatches=2, shared_start=True),
    "distributional": lambda r, t, p: objectives.DistributionalPolicyGradient(r, t, p),
    "distillation": lambda r, t, p: objectives.Distillation(
        r, t, p, sv.svdd(r, t, Learned(Network()), 3), replay=0.5, num_times=2
    ),
    "adjoint": lambda r, t, p: objectives.AdjointMatching(r, t, p, check_memory=False),
    "derivative-free": lambda r, t, p: objectives.DerivativeFreeAdjointMatching(r, t, p, check_memory=False),
    "target score": lambda r, t, p: objectives.TargetScoreMatching(
        r, t, p, levels=LEVELS, log_reference=lambda x: -(x + torch.zeros(2)).square().sum(dim=1), check_memory=False
    ),
    "stochastic control": lambda r, t, p: objectives.StochasticControl(r, t, p, check_memory=False),
}
DENOISERS = {  # they train the process itself, so it must have weights
    "reward-weighted": lambda r, t: objectives.ForwardProcessPolicy(r, t, Finetuned(r)),
    "nft": lambda r, t: objectives.ForwardProcessPolicy(
        r, t, Finetuned(r), variant="nft", optimality="group", group_size=4
    ),
}
CASES = [(name, reference) for name in [*VALUES, *POLICIES] for reference in (Walk, Diffusion)]


@pytest.mark.parametrize(("name", "reference"), [*CASES, *((name, Diffusion) for name in DENOISERS)])
def test_every_objective_trains_where_the_trainer_puts_it_and_leaves_all_where_it_was(name, reference, device):
    judge, made = Judge(), reference()
    target = sv.Target(judge, 0.5)
    if name in VALUES or name in DENOISERS:
        objective = (VALUES | DENOISERS)[name](made, target)
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
    assert all(each is now and now.device == was and now.dtype == kind
               for (each, was, kind), now in zip(before, objective.parameters(), strict=True))  # fmt: skip
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
    def on_train_batch_end(self, *given):
        raise KeyError


def test_the_rest_runs_there_too(device):
    reference, value = Diffusion().to(device), Learned(Network())
    generator = torch.Generator().manual_seed(0)
    trajectories = roll_out(reference, 20, target=TARGET, generator=generator)
    assert trajectories["states"].device == trajectories["rewards"].device == device
    assert roll_back(reference, trajectories["states"][:, -1].cpu(), target=TARGET)["states"].device == device
    sampler = sv.smc(reference, TARGET, value, 4)
    assert sv.normalizer_bounds(sampler, 4, generator=generator).lower < 100
    assert diagnose(sampler.sample(4)) is not None
    assert len(selection_gain([value, PosteriorMean(TARGET)], reference, trajectories, generator=generator)) == 8
    assert sampler.resume(trajectories["states"][:3, 1], 1).states.device == device
    assert sampler.sample_conditionally(trajectories["states"][:3]).states.device == device
    assert measure_memory(reference, 16, generator=generator).p_value > 0
    assert sv.check(reference, TARGET, value) == []


def test_a_device_without_float64_is_refused_by_name():
    words = "device: expected one with float64, .* got mps, which has none; move"
    with pytest.raises(ValueError, match=words), working_on(torch.device("mps")):
        pass


def test_nothing_is_done_where_all_is_at_home():
    with at_home(Walk(), TARGET, generator=torch.Generator()):
        assert _get_current_function_mode_stack() == []

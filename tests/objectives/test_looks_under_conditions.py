"""What is looked at before a training is looked at under the objective's conditions, and with the cache handed on."""

import pytest
import torch
from causal_toys import PROMPTS, TARGET, CausalToy
from causal_walks import TARGET as WAVE_TARGET
from causal_walks import CausalWalk, WaveControl
from torch import nn

from svlearn.conditions import Conditions
from svlearn.inference.proposals import Guided
from svlearn.objectives import PathConsistency, PolicyGradient
from svlearn.objectives.checks import check_log_prob
from svlearn.policies import Controlled, Finetuned
from svlearn.policies.reading import read_by
from svlearn.process import Prediction, Reference
from svlearn.schedules import check_noise
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition
from svlearn.values import Learned, PosteriorMean


class Scaled(Reference):
    """x_{t+1} = W x_t + c · noise, from x_0 = c: a start that only a condition has; the other part no step reads."""

    num_steps = 2

    def __init__(self):
        super().__init__()
        self.used, self.unused = (nn.Linear(1, 1).double() for _ in range(2))

    def initial(self, batch_size, *, condition=None, generator=None):
        if condition is None:
            raise ValueError("condition: expected rows, got None")
        scale = torch.as_tensor(condition, dtype=torch.float64)
        return torch.stack([scale, scale], dim=1)

    def forward(self, x, t, previous=None):
        mean = torch.cat([self.used(x[:, :1]), x[:, 1:]], dim=1)
        return Prediction(GaussianTransition(mean, torch.stack([x[:, 1], 0 * x[:, 1]], dim=1)))


class Optional(Scaled):
    """The same, but without a condition it starts at 1, where it has noise."""

    def initial(self, batch_size, *, condition=None, generator=None):
        return super().initial(batch_size, condition=[1.0] * batch_size if condition is None else condition)


TOTAL = Target(lambda x: x[:, 0], 1.0)
NOISELESS, NOISY = [0.0, 0.0], [0.5, 2.0]


@pytest.mark.parametrize("kind", [Scaled, Optional])
def test_a_reference_without_noise_under_its_conditions_is_refused(kind):
    check_noise(kind(), "nothing moves")  # without a condition it is another, or cannot be looked at
    check_noise(kind(), "nothing moves", NOISY)
    with pytest.raises(ValueError, match=r"expected noise at some step t < 2, got (Scaled|Optional) without any"):
        check_noise(kind(), "nothing moves", NOISELESS)
    reference = kind()
    policy = Controlled(reference, Still(), condition=[1.0])
    with pytest.raises(ValueError, match="expected noise at some step"):
        PolicyGradient(reference, TOTAL, policy, conditions=NOISELESS)
    assert PolicyGradient(reference, TOTAL, policy, conditions=NOISY).conditions is not None


class Still(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x, t):
        return self.weight * x


def test_what_a_step_reads_is_found_under_a_condition():
    reference = Scaled()
    parameters = list(reference.parameters())
    assert read_by(reference, parameters) is None
    found = read_by(reference, parameters, NOISY)
    assert found.parameters == {id(each) for each in reference.used.parameters()}
    with pytest.raises(ValueError, match="too many dimensions 'str'"):  # what is given and not taken is no silence
        read_by(reference, parameters, ["a", "b"])


@pytest.mark.parametrize("rank", [None, 1])
def test_a_part_that_no_step_reads_is_refused_where_a_condition_is_known(rank):
    if rank is not None:
        pytest.importorskip("peft")
    words = "expected a law of the next state that depends on"
    with pytest.raises(ValueError, match=words):
        Finetuned(Scaled(), rank, modules="unused", condition=[1.0])
    assert Finetuned(Scaled(), rank, modules="used", condition=[1.0]).num_steps == 2
    policy = Finetuned(Scaled(), rank, modules="unused")  # nothing is known yet
    with pytest.raises(ValueError, match=words):
        PolicyGradient(policy.reference, TOTAL, policy, conditions=NOISY)
    with pytest.raises(ValueError, match="condition: expected 1 rows, one for the look at what it reads, got 2"):
        Finetuned(Scaled(), rank, condition=NOISY)


class Prompted(CausalToy):
    """The causal toy that starts from a prompt and from nothing else, so that each look must give it one."""

    def initial(self, batch_size, *, condition=None, generator=None):
        if condition is None:
            raise ValueError("condition: expected prompts, got None")
        return super().initial(batch_size, condition=condition, generator=generator)


def test_a_language_model_with_a_cache_is_looked_at_from_its_prompts():
    reference = Prompted()
    policy = Finetuned(reference, condition=PROMPTS[:1])
    assert policy.copy.positions > 0
    objective = PolicyGradient(reference, TARGET, policy, conditions=PROMPTS)
    assert objective.needs_log_prob()


def test_the_last_step_is_looked_at_with_its_cache():
    """Where the first and the last step are looked at, those between hand the cache on; without one none is made."""
    reference, calls = CausalWalk(), []
    reference.register_forward_hook(lambda module, given, out: calls.append(int(given[1][0])))
    policy = Controlled(reference, WaveControl())
    calls.clear()
    check_log_prob(reference, Guided(PosteriorMean(WAVE_TARGET)).bind(reference, WAVE_TARGET), "a test")
    assert calls == [0, 1, 2, 3]
    PathConsistency(reference, WAVE_TARGET, Learned(Sum()), policy)
    own = Finetuned(reference)
    with pytest.raises(ValueError, match="no noise at t = 0"):  # a copy moves the numbers that are written
        PolicyGradient(reference, WAVE_TARGET, moved(own))
    plain = CausalWalk(None)
    plain.register_forward_hook(lambda module, given, out: calls.append(int(given[1][0])))
    calls.clear()
    check_log_prob(plain, Guided(PosteriorMean(WAVE_TARGET)).bind(plain, WAVE_TARGET), "a test")
    assert calls == [0, 3]


class Sum(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x, t):
        return self.weight * x.sum(dim=1)


def moved(policy):
    """A copy whose law shifts what is written already."""
    forward = policy.copy.forward

    def shifted(x, t, previous=None):
        prediction = forward(x, t, previous)
        law = prediction.transition
        return Prediction(GaussianTransition(law.mean + policy.copy.head.bias, law.std), cache=prediction.cache)

    policy.copy.forward = shifted
    return policy


def test_conditions_are_asked_for_two_rows_at_a_time():
    asked = []

    def prompts(number, generator):
        asked.append(number)
        return PROMPTS[:number]

    reference = Prompted()
    PolicyGradient(reference, TARGET, Finetuned(reference, condition=PROMPTS[:1]), conditions=Conditions(prompts))
    assert set(asked) == {2}

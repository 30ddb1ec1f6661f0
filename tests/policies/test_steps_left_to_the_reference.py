"""A fine-tuned policy that leaves the steps without noise to its reference."""

import pytest
import torch
from policy_toys import disturb
from torch import nn

from svlearn.inference import proposals
from svlearn.inference.samplers import smc
from svlearn.metering import metered
from svlearn.objectives.exploration import EpsilonMixture
from svlearn.policies import Finetuned
from svlearn.process import Prediction, Reference, predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.testing import check_reference
from svlearn.transitions import GaussianTransition
from svlearn.values import Zero

WHOLE = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.7, 0.7], [0.0, 0.0]], dtype=torch.float64)
PART = torch.tensor([[0.5, 0.5], [0.0, 0.3], [0.7, 0.7], [0.0, 0.0]], dtype=torch.float64)


class Steps(Reference):
    """Four Gaussian steps in two dimensions by a network, some of them without noise. evaluations: of each call."""

    num_steps = 4

    def __init__(self, stds=WHOLE, evaluations=None, caches=False):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
        self.evaluations, self.caches = evaluations, caches
        self.register_buffer("stds", stds)

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        before = x.sum(dim=1, keepdim=True) if self.caches else None
        if previous is not None:
            before = previous.cache + before
        shift = 0.0 if before is None or previous is None else 0.0 * before
        mean = x + self.network(torch.cat([x, t[:, None] / 4], dim=1)) + shift
        counts = None if self.evaluations is None else torch.full_like(t, self.evaluations)
        law = GaussianTransition(mean, self.stds[t])
        return Prediction(law, clean=mean, cache=before, evaluations=counts)


def policy_of(reference):
    policy = Finetuned(reference, noiseless="reference")
    disturb(policy)
    return policy


def ratios(policy, t, x):
    """log q - log p_ref of draws of q, as samplers and objectives have it."""
    proposal = proposals.Policy(policy)
    prediction = proposal.complete(predict(policy.reference, x, t), x, t, None)
    law = proposal.transition(x, t, prediction)
    drawn = law.sample(generator=seeded("cpu", 3))
    return law.log_ratio(prediction.transition, drawn), drawn, prediction.transition


def test_without_noise_log_q_is_log_p_ref():
    policy = policy_of(Steps())
    x = policy.initial(6, generator=seeded("cpu", 0))
    for t in range(4):
        ratio, drawn, own = ratios(policy, t, x)
        if t in (1, 3):
            assert ratio.tolist() == [0.0] * 6 and torch.equal(drawn, own.mean)
        else:
            assert (ratio != 0).all() and ratio.isfinite().all()


def test_elements_without_noise_are_the_references_and_the_others_its_own():
    policy = policy_of(Steps(PART))
    x = policy.initial(6, generator=seeded("cpu", 0))
    ratio, drawn, own = ratios(policy, 1, x)
    assert torch.equal(drawn[:, 0], own.mean[:, 0])
    by_hand = predict(policy.copy, x, 1).transition
    normal = torch.distributions.Normal
    expected = normal(by_hand.mean[:, 1], 0.3).log_prob(drawn[:, 1]) - normal(own.mean[:, 1], 0.3).log_prob(drawn[:, 1])
    torch.testing.assert_close(ratio, expected)


@pytest.mark.parametrize("stds", [WHOLE, PART])
def test_rows_of_different_times_are_each_what_they_are_alone(stds):
    policy = policy_of(Steps(stds))
    x = policy.initial(8, generator=seeded("cpu", 0))
    t = torch.tensor([3, 0, 1, 2, 1, 3, 0, 2])
    together = policy(x, t)
    for row in range(8):
        alone = policy(x[row : row + 1], t[row : row + 1])
        torch.testing.assert_close(together.transition[row : row + 1].mean, alone.transition.mean)
        assert torch.equal(together.transition[row : row + 1].std, alone.transition.std)
        torch.testing.assert_close(together.clean[row : row + 1], alone.clean)


@pytest.mark.parametrize("evaluations", [None, 2])
def test_such_a_step_costs_a_call_of_the_reference_and_none_of_the_copy(evaluations):
    policy = policy_of(Steps(evaluations=evaluations))
    each = 1 if evaluations is None else evaluations
    with metered() as meter:
        roll_out(policy, 5, generator=seeded("cpu", 0), kind="policy_calls")
    assert meter.cost.policy_calls == 2 * 5 * each
    assert meter.cost.reference_calls == 2 * 5 * each
    x = policy.initial(8, generator=seeded("cpu", 0))
    with metered() as meter:
        predict(policy, x, torch.tensor([3, 0, 1, 2, 1, 3, 0, 0]), kind="policy_calls")
    assert (meter.cost.policy_calls, meter.cost.reference_calls) == (4 * each, 4 * each)


def test_steered_by_the_given_prediction_it_calls_nothing_without_noise():
    policy = policy_of(Steps())
    x = policy.initial(3, generator=seeded("cpu", 0))
    calls = []
    policy.copy.network.register_forward_hook(lambda *_: calls.append(1))
    prediction = predict(policy.reference, x, 3)
    assert policy.steer(prediction, x, torch.full((3,), 3)) is prediction.transition
    assert not calls
    own = predict(policy.reference, x, 2)
    assert not torch.equal(policy.steer(own, x, torch.full((3,), 2)).mean, own.transition.mean)


def test_log_z_is_right_with_such_a_policy():
    """Of r = 0 at every path: the weights p_ref/q have mean 1, so none may be 0 or infinite at a step without noise."""
    policy = policy_of(Steps())
    sampler = smc(policy.reference, Target(lambda x: 0.0 * x[:, 0], 1.0), Zero(), 64, proposal=proposals.Policy(policy))
    logs = sampler.sample(40, generator=seeded("cpu", 1)).log_normalizer
    assert logs.isfinite().all()
    normalizers = logs.exp()
    assert abs(normalizers.mean() - 1) < 4 * normalizers.std() / len(logs) ** 0.5


@pytest.mark.parametrize("stds", [WHOLE, PART])
def test_caches_follow(stds):
    reference = Steps(stds, caches=True)
    policy = policy_of(reference)
    check_reference(policy, num_draws=200)
    states = roll_out(policy, 4, generator=seeded("cpu", 0))["states"]
    previous, total = None, torch.zeros(4, 1, dtype=torch.float64)
    for t in range(4):
        previous = predict(policy, states[:, t], t, previous)
        total = total + states[:, t].sum(dim=1, keepdim=True)
        torch.testing.assert_close(previous.cache, total)  # no step is missing


def test_it_is_a_reference_with_and_without_such_steps():
    check_reference(policy_of(Steps()), num_draws=200)
    check_reference(policy_of(Steps(WHOLE + 0.1)), num_draws=200)
    assert not policy_of(Steps()).defines("along")


def test_exploration_moves_a_step_without_noise_as_the_reference():
    policy = policy_of(Steps())
    x = policy.initial(6, generator=seeded("cpu", 0))
    mixture = predict(EpsilonMixture(policy, 0.3), x, 3).transition
    own = predict(policy.reference, x, 3).transition
    torch.testing.assert_close(mixture.log_prob(own.mean), torch.zeros(6, dtype=torch.float64))


def test_what_it_may_be_is_named_and_a_condition_is_asked_for():
    with pytest.raises(ValueError, match="noiseless: expected 'copy' or 'reference', got 'neither'"):
        Finetuned(Steps(), noiseless="neither")

    class Conditioned(Steps):
        def initial(self, batch_size, *, condition=None, generator=None):
            return condition.clone()

    with pytest.raises(ValueError, match="noiseless: the reference is looked at .* give one row as condition="):
        Finetuned(Conditioned(), noiseless="reference")
    policy = Finetuned(Conditioned(), noiseless="reference", condition=torch.ones(1, 2, dtype=torch.float64))
    assert policy(torch.ones(2, 2, dtype=torch.float64), torch.tensor([3, 3])).evaluations.tolist() == [0, 0]

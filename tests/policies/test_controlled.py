"""Controlled policies: the law by hand, the KL of a step, and the best linear feedback of the oracle."""

import math

import pytest
import torch
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain, QuadraticReward
from svlearn.metering import metered
from svlearn.policies import Controlled, Policy
from svlearn.process import Prediction, Reference, has, predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_back, roll_out
from svlearn.transitions import GaussianTransition

ORACLE = LinearGaussianChain.random(dim=2, num_steps=5, seed=1)


class Constant(nn.Module):
    """g(x, t) = row: the same push everywhere."""

    def __init__(self, row):
        super().__init__()
        self.row = nn.Parameter(torch.tensor(row, dtype=torch.float64))

    def forward(self, x, t):
        return self.row.expand(len(x), -1)


class Feedback(nn.Module):
    """g(x, t) = (m_q - m_ref)/std², which makes the reference's mean that of another linear chain."""

    def __init__(self, chain, reference):
        super().__init__()
        variances = reference.stds**2
        self.matrices = nn.Parameter((chain.matrices - reference.matrices) / variances[:, :, None])
        self.offsets = nn.Parameter((chain.offsets - reference.offsets) / variances)

    def forward(self, x, t):
        return torch.einsum("bij,bj->bi", self.matrices[t], x) + self.offsets[t]


class Flat(nn.Module):
    def forward(self, x, t):
        return x.sum(dim=1)


def still(std):
    """One step at x_0 = (1, 1) whose mean is (2, 0)."""
    eye = torch.eye(2, dtype=torch.float64)
    chain = (torch.zeros(1, 2, 2), torch.tensor([[2.0, 0.0]]), torch.tensor([std]))
    return LinearGaussianChain(torch.ones(2), 0.0, *chain, QuadraticReward(eye, torch.ones(2)))


def step_of(policy, size=3):
    """x_0, the reference's law of x_1 and the policy's."""
    x, t = policy.initial(size, generator=seeded("cpu", 0)), torch.zeros(size, dtype=torch.long)
    prediction = policy.reference(x, t)
    return x, prediction.transition, policy.steer(prediction, x, t)


def elbos(policy, oracle, alpha, size, seed):
    """r(x_T)/α - log q/p_ref of fresh trajectories of the policy, (size,), nats."""
    run = roll_out(policy, size, target=oracle.target(alpha), generator=seeded("cpu", seed))
    total, states = run["rewards"] / alpha, run["states"]
    for t in range(oracle.num_steps):
        laws = (predict(process, states[:, t], t).transition for process in (policy, oracle))
        total = total - next(laws).log_ratio(next(laws), states[:, t + 1])
    return total


def test_the_step_by_hand():
    """m = (2, 0), s = (0.5, 2), g = (4, -1): m + s² g = (3, -4), and s stays."""
    _, before, law = step_of(Controlled(still([0.5, 2.0]), Constant([4.0, -1.0])))
    assert law.mean.tolist() == [[3.0, -4.0]] * 3
    assert torch.equal(law.std, before.std)


def test_the_kl_of_a_step_by_hand():
    """At s = 0.5, g = (2, -1): s²|g|²/2 = 0.25 · 5/2 = 0.625 nats.

    At the points m_q ± s z the linear part of log q - log p_ref cancels, so that their mean is the KL.
    """
    _, before, law = step_of(Controlled(still([0.5, 0.5]), Constant([2.0, -1.0])), size=1)
    noise = law.std * torch.tensor([[0.3, -1.7]], dtype=torch.float64)
    pair = [law.log_ratio(before, law.mean + sign * noise) for sign in (1, -1)]
    assert torch.stack(pair).mean().item() == pytest.approx(0.625, abs=1e-12)
    normals = (torch.distributions.Normal(each.mean, each.std) for each in (law, before))
    assert torch.distributions.kl_divergence(*normals).sum().item() == pytest.approx(0.625, abs=1e-12)


def test_a_step_without_noise_cannot_be_moved():
    _, before, law = step_of(Controlled(still([0.0, 0.0]), Constant([4.0, -1.0])))
    assert torch.equal(law.mean, before.mean)
    assert law.log_ratio(before, law.sample(generator=seeded("cpu", 1))).tolist() == [0.0] * 3


def test_a_network_of_zero_is_the_reference_bit_by_bit():
    policy = Controlled(ORACLE, Constant([0.0, 0.0]))
    runs = [roll_out(process, 20, generator=seeded("cpu", 3))["states"] for process in (policy, ORACLE)]
    assert torch.equal(*runs)


def test_it_keeps_the_initial_law_and_the_clean_prediction():
    policy = Controlled(ORACLE, Constant([1.0, 1.0]))
    starts = [process.initial(20, generator=seeded("cpu", 3)) for process in (policy, ORACLE)]
    assert torch.equal(*starts)
    own, reference = (predict(process, starts[0], 2) for process in (policy, ORACLE))
    assert torch.equal(own.clean, reference.clean)
    assert not torch.equal(own.transition.mean, reference.transition.mean)


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_the_best_feedback_attains_the_best_elbo(alpha):
    """Half of it is worth less: the ELBO is strictly concave in the feedback."""
    best = ORACLE.best_policy(alpha)
    policy = Controlled(ORACLE, Feedback(best, ORACLE))
    x, t = torch.randn(50, 2, generator=seeded("cpu", 4)).double(), torch.arange(50) % 5
    assert torch.allclose(policy(x, t).transition.mean, best(x, t).transition.mean, atol=1e-12)
    estimates = elbos(policy, ORACLE, alpha, 20_000, seed=5)
    error = estimates.std() / math.sqrt(len(estimates))
    assert error < 0.03
    assert abs(estimates.mean() - ORACLE.best_elbo(alpha)) < 4 * error
    with torch.no_grad():
        for parameter in policy.network.parameters():
            parameter.mul_(0.5)
    assert elbos(policy, ORACLE, alpha, 20_000, seed=5).mean() < ORACLE.best_elbo(alpha) - 4 * error


def test_a_call_as_a_process_costs_one_call_of_the_reference():
    policy = Controlled(ORACLE, Constant([1.0, 1.0]))
    with metered() as meter:
        roll_out(policy, 7, generator=seeded("cpu", 0), kind="policy_calls")
    assert (meter.cost.policy_calls, meter.cost.reference_calls) == (35, 35)


def test_only_the_network_is_trained():
    policy = Controlled(Trainable(), Constant([1.0]))
    assert list(policy.trained()) == [policy.network.row]
    law = step_of(policy)[2]
    law.mean.sum().backward()
    assert policy.network.row.grad.item() == pytest.approx(3 * 0.25)


class Trainable(Reference):
    """A Gaussian walk whose drift could be trained, but is the reference's."""

    num_steps = 2

    def __init__(self):
        super().__init__()
        self.drift = nn.Parameter(torch.ones((), dtype=torch.float64))

    def initial(self, batch_size, *, condition=None, generator=None):
        start = torch.zeros(batch_size, 1, dtype=torch.float64)
        return start if condition is None else start + condition[:, None]

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(x + self.drift, 0.5))


def test_a_condition_reaches_the_reference():
    policy = Controlled(Trainable(), Constant([1.0]))
    rows = torch.tensor([3.0, -1.0], dtype=torch.float64)
    assert policy.initial(2, condition=rows).tolist() == [[3.0], [-1.0]]


def test_it_decodes_describes_and_draws_as_the_reference(walk):
    policy = Controlled(walk, Constant([1.0]))
    objects = policy.decode(torch.tensor([[1.0], [-2.0]]))
    assert objects == [1.0, -2.0]
    assert policy.describe(objects) == {"positive": 0.5}
    assert policy.draw(objects, ["one", "two"]) == walk.draw(objects, ["one", "two"])


def test_it_has_no_forward_process(generator):
    with pytest.raises(TypeError, match="got Controlled without noise"):
        roll_back(Controlled(ORACLE, Constant([0.0, 0.0])), torch.zeros(2, 2), generator=generator)


def test_a_network_of_another_shape_is_refused():
    policy = Controlled(ORACLE, Flat())
    with pytest.raises(ValueError, match=r"network: expected shape \(3, 2\), as the state, got \(3,\)"):
        step_of(policy)


@pytest.mark.parametrize(
    ("reference", "network", "words"),
    [
        (nn.Linear(1, 1), Flat(), "reference: expected a Reference, got Linear"),
        (ORACLE, lambda x, t: x, "network: expected a torch.nn.Module, got function"),
        (FiniteMarkovChain.random(3, 2, seed=0), Flat(), "got CategoricalTransition; policies.Finetuned"),
    ],
)
def test_bad_arguments_are_refused_by_name(reference, network, words):
    with pytest.raises(TypeError, match=words):
        Controlled(reference, network)


def test_a_policy_must_say_how_it_steers():
    with pytest.raises(TypeError, match="abstract"):
        Policy(ORACLE)


def test_a_policy_has_what_it_hands_on_and_no_forward_process():
    class Decoding(LinearGaussianChain):
        def decode(self, x):
            return x.tolist()

        def noise(self, x, t_from, t_to, *, generator=None):
            return x

    reference = Decoding.random(2, 3, seed=0)
    policy = Controlled(reference, nn.Bilinear(2, 1, 2))
    assert has(reference, "noise") and not has(policy, "noise")
    assert has(policy, "decode") and not has(policy, "describe")

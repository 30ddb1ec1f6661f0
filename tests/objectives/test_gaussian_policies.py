"""Adjoint and control objectives with policies that say no control: a fine-tuned copy, against the control it has."""

import pytest
import torch
from control_toys import ALPHA, Bent, LinearInX, chain_of, exact_batch, gaussian
from torch import nn

from svlearn.domains.analytic import GaussianReference, LinearGaussianChain, elbo
from svlearn.metering import metered
from svlearn.objectives.adjoint_matching import AdjointMatching
from svlearn.objectives.derivative_free_adjoint import DerivativeFreeAdjointMatching
from svlearn.objectives.fit import fit
from svlearn.objectives.stochastic_control import StochasticControl
from svlearn.objectives.target_score_matching import TargetScoreMatching
from svlearn.policies import Controlled, Finetuned, Policy
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition

EXACT = dict(rtol=1e-9, atol=1e-9)
NOISED = GaussianReference.ornstein_uhlenbeck(3, 8, correlation=0.7)


class Linear(Reference):
    """A linear-Gaussian chain whose means are parameters."""

    def __init__(self, oracle):
        super().__init__()
        self.num_steps, self.dim, self.start = oracle.num_steps, oracle.dim, oracle
        self.matrices, self.offsets = nn.Parameter(oracle.matrices.clone()), nn.Parameter(oracle.offsets.clone())
        self.register_buffer("stds", oracle.stds)

    def initial(self, batch_size, *, condition=None, generator=None):
        return self.start.initial(batch_size, generator=generator)

    def forward(self, x, t, previous=None):
        mean = torch.einsum("bij,bj->bi", self.matrices[t], x) + self.offsets[t]
        return Prediction(GaussianTransition(mean, self.stds[t]))


def chain():
    """With a linear-Gaussian chain as p_ref, of which target score matching knows the noising too."""
    eye, drawn = torch.eye(3, dtype=torch.float64), gaussian()
    steps = NOISED.scales[:, None, None] * eye, torch.zeros(8, 3), NOISED.stds
    return LinearGaussianChain(torch.zeros(3), NOISED.variances[0], *steps, drawn.reward)


def pair(kind):
    """The objective with a fine-tuned copy, and with the control that it has."""
    oracle = chain()
    options = (
        dict(levels=NOISED.noise_levels(), log_reference=NOISED.log_reference) if kind is TargetScoreMatching else {}
    )
    reference = Linear(oracle)
    own = kind(reference, oracle.target(ALPHA), Finetuned(reference), **options)
    other = kind(oracle, oracle.target(ALPHA), Controlled(oracle, LinearInX(3, 8)), **options)
    return oracle, own, other


def move(own, other, oracle, matrices, offsets):
    """Give both the same means."""
    own.policy.copy.matrices.data, own.policy.copy.offsets.data = matrices, offsets
    other.policy.network.weights.data = (matrices - oracle.matrices) / oracle.stds[:, :, None] ** 2
    other.policy.network.biases.data = (offsets - oracle.offsets) / oracle.stds**2


ALL = pytest.mark.parametrize(
    "kind", [StochasticControl, AdjointMatching, DerivativeFreeAdjointMatching, TargetScoreMatching]
)


@ALL
def test_loss_and_gradient_are_those_of_the_control_that_it_has(kind):
    oracle, own, other = pair(kind)
    shapes = (oracle.matrices.shape, oracle.offsets.shape)
    noise = [0.1 * torch.randn(shape, generator=seeded("cpu", 3), dtype=torch.float64) for shape in shapes]
    for scale in (0.0, 1.0):
        move(own, other, oracle, oracle.matrices + scale * noise[0], oracle.offsets + scale * noise[1])
        losses = []
        for objective in (own, other):
            batch = objective._trajectories(0, 40, seeded("cpu", 1))
            losses.append(objective.loss(batch, seeded("cpu", 2)))
        torch.testing.assert_close(*losses, **EXACT)
        copy, network = own.policy.copy, other.policy.network
        gradients = torch.autograd.grad(losses[0], [copy.matrices, copy.offsets])
        expected = torch.autograd.grad(losses[1], [network.weights, network.biases])
        assert expected[0].abs().max() > 1e-3
        torch.testing.assert_close(gradients[0], expected[0] / oracle.stds[:, :, None] ** 2, **EXACT)
        torch.testing.assert_close(gradients[1], expected[1] / oracle.stds**2, **EXACT)


@pytest.mark.parametrize("kind", [StochasticControl, AdjointMatching])
def test_the_expected_gradient_vanishes_at_the_optimal_control_and_only_there(kind):
    oracle, own, other = pair(kind)
    best = oracle.best_policy(ALPHA)
    for scale, alike in ((1.0, True), (0.9, False)):
        matrices, offsets = (
            scale * getattr(best, name) + (1 - scale) * getattr(oracle, name) for name in ("matrices", "offsets")
        )
        move(own, other, oracle, matrices, offsets)
        loss = own.loss(exact_batch(other), seeded("cpu", 0))
        if kind is StochasticControl:
            torch.testing.assert_close(loss, -elbo(chain_of(other), oracle, ALPHA), **EXACT)
        gradient = torch.cat([each.flatten() for each in torch.autograd.grad(loss, list(own.policy.trained()))])
        assert (gradient.abs().max() < 1e-10) == alike


@pytest.mark.filterwarnings("ignore:reference. not memoryless")
@ALL
def test_it_learns(kind):
    oracle, own, other = pair(kind)
    own.learning_rate, own.batch_size = 1e-2, 64
    fit(own, max_steps=40, enable_progress_bar=False)
    copy = own.policy.copy
    move(own, other, oracle, copy.matrices.data, copy.offsets.data)
    with torch.no_grad():
        learned, plain = elbo(chain_of(other), oracle, ALPHA), elbo(oracle, oracle, ALPHA)
    assert 0.5 < (learned - plain) / (oracle.best_elbo(ALPHA) - plain) <= 1
    assert torch.equal(own.reference.matrices, oracle.matrices)


def test_a_control_costs_no_call_of_the_reference_and_a_copy_one_a_state():
    calls = []
    for objective in pair(AdjointMatching)[:0:-1]:
        with metered() as meter:
            objective.loss(objective._trajectories(0, 10, seeded("cpu", 0)), seeded("cpu", 0))
        calls.append(meter.cost.reference_calls)
    assert calls == [80 + 80, 80 + 80]  # a roll-out of the control calls the reference, of the copy it does not


class Steps(Bent):
    """Scaled means, of which the std is trained, or is 0 at the last step."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.scale = kind, nn.Parameter(torch.ones((), dtype=torch.float64))
        self.log_std = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x, t, previous=None):
        last = (t == 1)[:, None, None]
        std = {
            "trained": self.log_std.exp().expand_as(x),
            "noiseless": torch.where(last, 0.0, 0.5).double(),
            "plain": torch.full_like(x, 0.5),
        }[self.kind]
        return Prediction(GaussianTransition((self.scale * x).sin(), std))


class Wider(Policy):
    """A policy of another spread."""

    def __init__(self, reference):
        super().__init__(reference)
        self.shift = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def steer(self, prediction, x, t):
        law = prediction.transition
        return GaussianTransition(law.mean + self.shift, 2 * law.std)

    def trained(self):
        return [self.shift]


@pytest.mark.parametrize("kind", [StochasticControl, AdjointMatching])
def test_a_policy_without_a_control_is_refused(kind):
    target = Target(lambda x: x.sum((1, 2)), 1.0)
    trained, noiseless, plain = (Steps(each) for each in ("trained", "noiseless", "plain"))
    with pytest.raises(ValueError, match="expected the reference's std.* got one that is trained along from Finetuned"):
        kind(trained, target, Finetuned(trained))
    kind(trained, target, Finetuned(trained, modules="scale"))
    with pytest.raises(ValueError, match="expected the reference's std.* got another from Wider at step 0"):
        kind(plain, target, Wider(plain))
    with pytest.raises(ValueError, match=r"no noise at t = 1 \(a std of 0\).* and Finetuned does"):
        kind(noiseless, target, Finetuned(noiseless))
    kind(plain, target, Finetuned(plain))

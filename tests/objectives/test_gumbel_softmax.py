"""Control by a Gumbel-softmax rollout: one step worked out by hand, the schedule of τ, and what cannot be relaxed."""

import pytest
import torch
from redrawn_toys import Redrawn
from torch import nn
from torch.nn import functional as F

from svlearn import policies
from svlearn.objectives import GumbelSoftmaxControl
from svlearn.objectives.fit import fit
from svlearn.objectives.gumbel_softmax import annealed, straight_through
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.rollouts.roll_out import roll_out
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition

ALPHA = 0.5
WORTH = torch.tensor([[0.3, -0.2, 1.0], [0.0, 0.7, -0.4]], dtype=torch.float64)
SMALL = dict(batch_size=64, num_validation=8)


class Worth(nn.Module):
    """Σ of the worth of each token at its place, of one-hots."""

    reads_one_hot = True

    def forward(self, x):
        one_hot = x if x.is_floating_point() else F.one_hot(x, 3).double()
        return (one_hot * WORTH).sum(dim=(1, 2))


class Blind(Worth):
    reads_one_hot = False


class Detached(Worth):
    def forward(self, x):
        return super().forward(x.detach())


def make(reference=None, reward=None, alpha=ALPHA, **options):
    reference = Redrawn() if reference is None else reference
    target = Target(Worth() if reward is None else reward, alpha)
    return GumbelSoftmaxControl(reference, target, policies.Finetuned(reference), **SMALL | options)


def test_one_step_is_the_formula():
    """E[soft] of logits z is a mean over Gumbel noise; -<worth, soft>/α + Σ q log q/p, with q of another weight."""
    objective = make(estimator="soft", temperature=0.7)
    weight, own = objective.policy.copy.weight, objective.reference.weight
    with torch.no_grad():
        weight += 0.5
        weight[0, 1] -= 1.0
    loss = objective.loss(objective._trajectories(0, 64, seeded("cpu", 2)), seeded("cpu", 3))
    points = torch.rand(64, 2, 3, generator=seeded("cpu", 3), dtype=torch.float64)
    log_q, log_p = weight[0].log_softmax(dim=0), own[0].log_softmax(dim=0)
    soft = ((log_q - (-points.log()).log()) / 0.7).softmax(dim=2)
    kl = 2 * (log_q.exp() * (log_q - log_p)).sum()
    wanted = -(soft * WORTH).sum(dim=(1, 2)).mean() / ALPHA + kl
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(each, weight)[0] for each in (loss, wanted)))


def test_straight_through_is_hard_with_a_soft_gradient():
    shares = torch.tensor([[0.2, 0.5, 0.3]], requires_grad=True)
    hard = straight_through(shares)
    assert hard.tolist() == [[0.0, 1.0, 0.0]]
    (slope,) = torch.autograd.grad((hard * torch.tensor([1.0, 2.0, 3.0])).sum(), shares)
    assert slope.tolist() == [[1.0, 2.0, 3.0]]


def test_the_temperature_falls_geometrically_over_a_fit():
    assert annealed(2.0, 0.5, 0.0) == 2.0 and annealed(2.0, 0.5, 0.5) == pytest.approx(1.0)
    assert annealed(2.0, 0.5, 1.0) == annealed(2.0, 0.5, 1.7) == pytest.approx(0.5)
    seen = []

    class Watched(GumbelSoftmaxControl):
        def loss(self, trajectories, generator):
            if self.training:
                seen.append(self.temperature)
            return super().loss(trajectories, generator)

    reference = Redrawn(2)
    objective = Watched(
        reference, Target(Worth(), ALPHA), policies.Finetuned(reference), temperature=(1.0, 0.25), **SMALL
    )
    fit(objective, max_steps=3, enable_progress_bar=False)
    assert seen == pytest.approx([1.0, 0.5, 0.25])
    assert make(temperature=0.3).temperature == 0.3


def test_the_states_before_the_truncation_are_tokens():
    """Three steps of which one is relaxed: both networks are asked for tokens alone."""
    kinds = []

    class Spied(Redrawn):
        def forward(self, x, t, previous=None):
            kinds.append(x.is_floating_point())
            return super().forward(x, t, previous)

    for truncation, soft in ((1, 0), (2, 2), (None, 4)):  # the first relaxed step starts from tokens
        objective = make(Spied(3), truncation=truncation)
        kinds.clear()
        with torch.no_grad():
            objective.loss(objective._trajectories(0, 8, seeded("cpu", 4)), seeded("cpu", 5))
        assert len(kinds) == 6 and sum(kinds) == soft


def test_a_step_of_independent_places_tends_to_the_optimal_law():
    """Both places have one law: q ∝ p exp(mean worth/α), which a linear reward and a small τ reach."""
    objective = make(temperature=(1.0, 0.2), learning_rate=0.05, batch_size=256)
    before = objective.reference.weight[0].detach().softmax(dim=0)
    wanted = (before.log() + WORTH.mean(dim=0) / ALPHA).softmax(dim=0)
    fit(objective, max_steps=120, enable_progress_bar=False)
    after = objective.policy.copy.weight[0].detach().softmax(dim=0)
    assert (after - wanted).abs().sum() < 0.1 * (before - wanted).abs().sum()


class Plain(Reference):
    num_steps = 2

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(2))

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(x + self.shift, 1.0))


REFUSALS = {
    "reward": (dict(reward=Blind()), TypeError, "reward: .* `reads_one_hot = True`, got Blind; PolicyGradient"),
    "gradient": (dict(reward=Detached()), ValueError, "reward: expected one that torch can differentiate"),
    "law": (
        dict(reference=Plain(), reward=Worth()),
        TypeError,
        "policy: expected laws of tokens .*, got GaussianTransition; StochasticControl",
    ),
    "network": (
        dict(reference=Redrawn(2, soft=False)),
        TypeError,
        r"reference: expected one whose networks also read soft one-hots \(2, 2, 3\).* Redrawn does not \(IndexError",
    ),
    "alpha": (dict(alpha=0.0), ValueError, "alpha: GumbelSoftmaxControl needs alpha > 0, got 0"),
    "estimator": (dict(estimator="hard"), ValueError, "estimator: expected one of straight_through, soft, got 'hard'"),
    "temperature": (dict(temperature=0.0), ValueError, "temperature: expected a finite number above 0, got 0"),
    "temperatures": (dict(temperature=[1.0, 0.5, 0.1]), ValueError, "temperature: .* got 3 numbers"),
    "truncation": (dict(truncation=2), ValueError, "truncation: expected an integer of 1 ... 1, got 2"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_it_cannot_do_is_refused(name):
    options, kind, message = REFUSALS[name]
    with pytest.raises(kind, match=message):
        make(**options)


def test_stored_trajectories_are_refused():
    objective = make()
    stored = roll_out(objective.reference, 4, target=objective.target, generator=seeded("cpu", 8))
    with pytest.raises(ValueError, match="data: GumbelSoftmaxControl learns from fresh trajectories of its own policy"):
        objective._trajectories(stored, 4, seeded("cpu", 9))

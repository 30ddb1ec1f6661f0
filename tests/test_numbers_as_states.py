"""A state may be one number, (B,): every sampler, objective and value takes it, and gives what (B, 1) gives."""

import pytest
import torch
from torch import nn

import svlearn as sv
from svlearn.inference import proposals
from svlearn.objectives import AdjointMatching, PathConsistency, PolicyGradient, StochasticControl
from svlearn.objectives.derivative_free_adjoint import DerivativeFreeAdjointMatching
from svlearn.policies import Controlled, Finetuned
from svlearn.randomness import seeded
from svlearn.values import Learned, MonteCarlo, PosteriorMean, Zero


class Walk(sv.Reference):
    """x + 0.1 + noise from 0, of numbers (B,), or of vectors (B, 1)."""

    num_steps = 3

    def __init__(self, shape=()):
        super().__init__()
        self.shape, self.drift = shape, nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, *self.shape, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        std = torch.full((len(x), *self.shape), 0.5, dtype=torch.float64)
        return sv.Prediction(sv.GaussianTransition(x + self.drift, std), clean=x)

    def noise(self, x, t_from, t_to, *, generator=None):
        return x + torch.randn(x.shape, generator=generator, dtype=x.dtype)


class Bow(nn.Module):
    """A number of each state, or a control as the state."""

    def __init__(self, control=False):
        super().__init__()
        self.scale, self.control = nn.Parameter(torch.tensor(0.3, dtype=torch.float64)), control

    def forward(self, x, t):
        return self.scale * x if self.control else self.scale * x.reshape(len(x))


TARGET = sv.Target(lambda x: -(x.reshape(len(x)) ** 2), 0.5)
SAMPLERS = {
    "ancestral": lambda r: sv.ancestral(r, TARGET),
    "best": lambda r: sv.best_of_n(r, TARGET, 3),
    "svdd": lambda r: sv.svdd(r, TARGET, PosteriorMean(TARGET), 3),
    "smc": lambda r: sv.smc(r, TARGET, MonteCarlo(r, TARGET, 2), 3),
    "guided": lambda r: sv.guidance(r, TARGET, Learned(Bow()), clip=1.0),
    "dps in smc": lambda r: sv.smc(r, TARGET, Zero(), 3, proposal=proposals.Guided(PosteriorMean(TARGET), at="state")),
    "policy": lambda r: sv.smc(r, TARGET, Zero(), 3, proposal=proposals.Policy(Controlled(r, Bow(control=True)))),
    "finetuned": lambda r: sv.smc(r, TARGET, Zero(), 3, proposal=proposals.Policy(Finetuned(r))),
    "beam": lambda r: sv.beam_search(r, TARGET, Learned(Bow()), 2, 2),
    "tree": lambda r: sv.tree_search(r, TARGET, None, 4),
    "refined": lambda r: sv.refine(sv.svdd(r, TARGET, Zero(), 2), 1, 2),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_draw_the_same_as_of_vectors(name):
    samples, exact = (SAMPLERS[name](Walk(shape)).sample(4, generator=seeded("cpu", 0)) for shape in ((), (1,)))
    assert samples.states.shape == exact.states.shape[:2]
    torch.testing.assert_close(samples.states, exact.states.squeeze(2))
    torch.testing.assert_close(samples.log_weights, exact.log_weights)


OBJECTIVES = {
    "gradient": lambda r, p: PolicyGradient(r, TARGET, p, batch_size=8, num_validation=8),
    "path": lambda r, p: PathConsistency(r, TARGET, None, p, batch_size=8, num_validation=8),
    "adjoint": lambda r, p: AdjointMatching(r, TARGET, p, batch_size=8, num_validation=8),
    "control": lambda r, p: StochasticControl(r, TARGET, p, batch_size=8, num_validation=8),
    "derivative free": lambda r, p: DerivativeFreeAdjointMatching(r, TARGET, p, batch_size=8, num_validation=8),
    "values": lambda r, p: sv.objectives.SoftQIteration(r, TARGET, Learned(Bow()), batch_size=8, num_validation=8),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_learn_the_same_as_of_vectors(name):
    moved = []
    for shape in ((), (1,)):
        reference = Walk(shape)
        policy = Controlled(reference, Bow(control=True))
        objective = OBJECTIVES[name](reference, policy)
        sv.fit(objective, max_steps=1, limit_val_batches=1, val_check_interval=1, enable_progress_bar=False)
        moved.append([each.detach() for each in objective.trained().parameters()])
    torch.testing.assert_close(*moved)

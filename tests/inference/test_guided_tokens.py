"""Guidance of tokens by the gradient in their one-hots: first order by hand, exact where the value is linear."""

import pytest
import torch
from torch import nn

from svlearn.inference.proposals import Exact, Guided
from svlearn.inference.samplers import smc
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import CategoricalTransition
from svlearn.values import Learned

PLACES, TOKENS, ALPHA = 3, 4, 0.4
TABLE = torch.randn(PLACES, TOKENS, generator=seeded("cpu", 1), dtype=torch.float64)


class Redrawn(Reference):
    """Three places of four tokens, redrawn at every step by logits that look at a neighbour; one is forbidden."""

    num_steps = 3

    def __init__(self):
        super().__init__()
        logits = torch.randn(TOKENS, TOKENS, generator=seeded("cpu", 2), dtype=torch.float64)
        logits[0, 3] = -torch.inf
        self.register_buffer("logits", logits)

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randint(TOKENS, (batch_size, PLACES), generator=generator)

    def forward(self, x, t, previous=None):
        return Prediction(CategoricalTransition(self.logits[x.roll(1, dims=1)] * (1 + 0.1 * t[:, None, None])))


def one_hot(x):
    return x if x.is_floating_point() else nn.functional.one_hot(x, TOKENS).double()


class Additive(nn.Module):
    """A number for each token at each place: linear in the one-hots."""

    def forward(self, x, t):
        return (one_hot(x) * TABLE).sum(dim=(1, 2)) * (1 + t)


class Product(nn.Module):
    """The first two places multiply: what one token is worth depends on the other."""

    def forward(self, x, t):
        first, second, third = (one_hot(x) * TABLE).sum(dim=2).unbind(1)
        return first * second + third


class Reward:
    """The same as a reward, which may say that it reads one-hots."""

    def __init__(self, network, reads_one_hot):
        self.network, self.reads_one_hot = network, reads_one_hot

    def __call__(self, x):
        return self.network(x, torch.zeros(len(x), dtype=torch.long))


TARGET = Target(Reward(Additive(), True), ALPHA)
X = torch.randint(TOKENS, (9, PLACES), generator=seeded("cpu", 3))


def law(proposal, t, target=TARGET, x=X):
    process = Redrawn()
    bound = proposal.bind(process, target)
    return bound.transition(x, t, bound.predict(process, x, t, None))


def plain(t):
    return Redrawn()(X, torch.full((len(X),), t)).transition


@pytest.mark.parametrize("t", [0, 1, 2])
def test_where_the_value_is_linear_the_first_order_is_the_optimal_step(t):
    value = Learned(Additive())
    guided, exact = law(Guided(value), t), law(Exact(value), t)
    states, log_probs = exact.outcomes(TOKENS**PLACES)
    assert log_probs.shape[1] == TOKENS**PLACES
    for place in range(log_probs.shape[1]):
        torch.testing.assert_close(guided.log_prob(states[:, place]), log_probs[:, place], rtol=0, atol=1e-12)
    assert (guided.log_probs - plain(t).log_probs).nan_to_num().abs().max() > 1


@pytest.mark.parametrize("at", ["mean", "state"])
@pytest.mark.parametrize(("scale", "t"), [(0.7, 0), ([9.0, 0.3, 9.0], 1)])
def test_the_tilt_is_the_gradient_at_the_one_hot_of_the_present_state(scale, t, at):
    """∂/∂o_1 (a·o_1)(b·o_2) = a (b·o_2), at o = one-hot of x_t."""
    worth = TABLE[torch.arange(PLACES), X]
    others = torch.stack([worth[:, 1], worth[:, 0], torch.ones(len(X)).double()], dim=1)
    factor = scale if isinstance(scale, float) else scale[t]
    expected = CategoricalTransition(plain(t).log_probs + factor * others[..., None] * TABLE / ALPHA)
    torch.testing.assert_close(law(Guided(Learned(Product()), scale, at), t).log_probs, expected.log_probs)


def test_a_clip_bounds_the_tilt_of_a_whole_state():
    worth = TABLE[torch.arange(PLACES), X]
    others = torch.stack([worth[:, 1], worth[:, 0], torch.ones(len(X)).double()], dim=1)
    tilts = others[..., None] * TABLE / ALPHA
    norms = tilts.flatten(1).norm(dim=1)
    limit = float(norms.median())
    assert (norms > limit).any() and (norms < limit).any()
    shrink = (limit / norms).clamp(max=1)[:, None, None]
    clipped = law(Guided(Learned(Product()), clip=limit), 0).log_probs
    torch.testing.assert_close(clipped, CategoricalTransition(plain(0).log_probs + shrink * tilts).log_probs)


def test_the_last_step_is_guided_only_by_a_reward_that_reads_one_hots():
    value = Learned(Product())
    blind = Target(Reward(Additive(), False), ALPHA)
    assert torch.equal(law(Guided(value), 2, blind).log_probs, plain(2).log_probs)
    expected = CategoricalTransition(plain(2).log_probs + TABLE / ALPHA)
    torch.testing.assert_close(law(Guided(value), 2).log_probs, expected.log_probs)


def test_too_many_sequences_to_list_are_counted():
    sampler = smc(Redrawn(), TARGET, Learned(Additive()), 4, proposal=Exact(Learned(Additive()), limit=63))
    with pytest.raises(ValueError, match="outcomes: 64 next states, the limit is 63"):
        sampler.sample(2, generator=seeded("cpu", 0))


def test_a_network_that_reads_tokens_alone_has_no_gradient():
    class Embedded(nn.Module):
        def forward(self, x, t):
            return TABLE[0][x.long().argmax(dim=2) if x.dim() == 3 else x].sum(dim=1)

    sampler = smc(Redrawn(), TARGET, Learned(Embedded()), 4, proposal=Guided(Learned(Embedded())))
    with pytest.raises(ValueError, match="value: expected one with a gradient in the state's floats, Learned has none"):
        sampler.sample(2, generator=seeded("cpu", 0))

"""Stochastic control whose gradient goes back through the last steps alone: exact, what is taught and what is not."""

import pytest
import torch
from causal_walks import CONDITIONS, ENCODED_TARGET, Encoded
from control_toys import disturb, exact_batch, gaussian, gradient, make
from tensordict import TensorDict

from svlearn.objectives import StochasticControl
from svlearn.policies import Finetuned
from svlearn.randomness import seeded

EXACT = dict(rtol=1e-9, atol=1e-9)
T = gaussian().num_steps


def disturbed(**options):
    objective = make(StochasticControl, **options)
    disturb(objective)
    return objective


@pytest.mark.parametrize("truncation", [1, 3, T - 1])
def test_the_last_steps_have_the_whole_gradient_and_those_before_that_of_their_own_cost(truncation):
    """Each step has weights of its own: of t >= T - K the gradient is that of -ELBO, of another that of the mean of
    s_t²|W_t x + b_t|²/2 over the law of x_t, which is held fixed."""
    objective, whole = disturbed(truncation=truncation), disturbed()
    batch = exact_batch(objective)
    loss, full = objective.loss(batch, seeded("cpu", 0)), whole.loss(batch, seeded("cpu", 0))
    torch.testing.assert_close(loss, full, rtol=0, atol=0)
    network, oracle = objective.policy.network, objective.reference
    cut = torch.autograd.grad(loss, [network.weights, network.biases])
    complete = torch.autograd.grad(full, [whole.policy.network.weights, whole.policy.network.biases])
    x, own = batch["initial"], torch.zeros(())
    for t in range(T):
        control = x @ network.weights[t].T + network.biases[t]
        own = own + 0.5 * (oracle.stds[t] * control).square().sum(dim=1).mean()
        after = x @ oracle.matrices[t].T + oracle.offsets[t] + oracle.stds[t] ** 2 * control
        x = (after + oracle.stds[t] * batch["noise"][:, t]).detach()
    costs, last = torch.autograd.grad(own, [network.weights, network.biases]), T - truncation
    for slope, entire, cost in zip(cut, complete, costs, strict=True):
        torch.testing.assert_close(slope[last:], entire[last:], **EXACT)
        torch.testing.assert_close(slope[:last], cost[:last], **EXACT)
        assert bool(((slope - entire)[:last].flatten(1).abs().amax(dim=1) > 1e-3).all())


def test_through_all_steps_it_is_the_same_as_without():
    gradients = []
    for options in ({"truncation": T}, {}):
        objective = disturbed(**options)
        gradients.append(gradient(objective, objective.loss(exact_batch(objective), seeded("cpu", 0))))
    assert torch.equal(*gradients)


def test_with_a_cache_it_is_that_of_one_that_computes_all_anew():
    """A network of the policy's own, whose cache has a gradient in what is trained."""
    figures, rows = [], CONDITIONS[:3]
    for kept in (False, True):
        reference = Encoded(kept)
        policy = Finetuned(reference, condition=rows[:1])
        for each in policy.trained():
            each.data += 0.1 * torch.randn(each.shape, generator=seeded("cpu", 1), dtype=torch.float64)
        objective = StochasticControl(reference, ENCODED_TARGET, policy, conditions=CONDITIONS, truncation=2)
        start = reference.initial(3, condition=rows, generator=seeded("cpu", 2))
        noise = torch.randn(3, reference.num_steps, 2, generator=seeded("cpu", 3), dtype=torch.float64)
        loss = objective.loss(TensorDict({"initial": start, "noise": noise}, [3]), seeded("cpu", 0))
        figures.append((loss, *torch.autograd.grad(loss, list(policy.trained()))))
    for one, other in zip(*figures, strict=True):
        torch.testing.assert_close(one, other, **EXACT)
        assert bool((one != 0).any())


@pytest.mark.parametrize("truncation", [0, T + 1, 1.5])
def test_a_truncation_out_of_range_is_refused(truncation):
    with pytest.raises(ValueError, match=f"truncation: expected an integer .*, got {truncation}"):
        make(StochasticControl, truncation=truncation)

"""The losses of path consistency by hand, and their identities over all trajectories of small Markov chains."""

import pytest
import torch
from path_toys import (
    ALPHA,
    EXACT,
    Table,
    TablePolicy,
    every_path,
    exact_parts,
    fixed_start,
    make,
    markov,
    path_law,
)
from tensordict import TensorDict

from svlearn.objectives.path_losses import VARIANTS, log_variance_loss, log_weights, pair_weights, path_loss
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Learned


def test_weights_and_losses_by_hand():
    values = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 1.0]], dtype=EXACT)
    ratios = torch.tensor([[0.5, 0.5], [-1.0, 0.0]], dtype=EXACT)
    weights = log_weights(values, ratios)
    assert weights.tolist() == [[1.0, 1.5, 3.0], [0.0, 1.0, 2.0]]
    assert path_loss(weights, pair_weights("trajectory", 3)).tolist() == pytest.approx([4.0, 4.0])
    assert path_loss(weights, pair_weights("detailed", 3)).tolist() == pytest.approx([(0.25 + 2.25) / 2, 1.0])
    assert path_loss(weights, pair_weights("steps", 3, num_steps=2)).tolist() == pytest.approx([(4 + 2.25) / 2, 2.5])
    sub = path_loss(weights, pair_weights("subtrajectory", 3, sub_lambda=0.5))
    assert sub.tolist() == pytest.approx([(0.25 + 2.25 + 0.5 * 4) / 2.5, (1 + 1 + 0.5 * 4) / 2.5])
    assert log_variance_loss(torch.tensor([[0.0, 1.0], [0.0, 4.0], [0.0, 1.0]])).item() == pytest.approx(3.0)
    grouped = log_variance_loss(torch.tensor([[0.0, 1.0], [0.0, 3.0], [0.0, 10.0], [0.0, 10.0]]), group=2)
    assert grouped.item() == pytest.approx((2.0 + 0.0) / 2)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "log_variance"])
def test_the_quadratic_form_is_the_sum_over_pairs(variant):
    weights = 50 + torch.randn(7, 6, dtype=EXACT, generator=seeded("cpu", 0))
    pairs = pair_weights(variant, 6, num_steps=2, sub_lambda=0.7)
    assert pairs.sum().item() == pytest.approx(1.0)
    gaps = weights[:, :, None] - weights[:, None, :]
    torch.testing.assert_close(path_loss(weights, pairs), (pairs * gaps**2).sum(dim=(1, 2)))


def test_pairs_of_windows_end_at_the_end():
    assert torch.equal(pair_weights("steps", 5, num_steps=1), pair_weights("detailed", 5))
    assert pair_weights("steps", 5, num_steps=3).nonzero().tolist() == [[0, 3], [1, 4], [2, 4], [3, 4]]
    assert pair_weights("steps", 4, num_steps=3).nonzero().tolist() == [[0, 3], [1, 3], [2, 3]]


def test_one_step_with_the_exact_policy_of_any_value_is_the_soft_bellman_residual():
    oracle = markov()
    table = torch.randn(7, 5, dtype=EXACT, generator=seeded("cpu", 1))
    table[-1] = oracle.reward.table
    soft = (oracle.matrices.log() + table[1:, None] / ALPHA).logsumexp(dim=2)
    residual = table[:-1] / ALPHA - soft
    policy = TablePolicy(oracle, (table[1:] / ALPHA)[:, None].expand_as(oracle.matrices))
    objective = make(oracle, "detailed", Learned(Table(table[:-1])), policy)
    batch = roll_out(oracle, 200, target=oracle.target(ALPHA), generator=seeded("cpu", 2))
    delta = -log_weights(*objective.gather(batch, seeded("cpu", 0))).diff(dim=1)
    torch.testing.assert_close(delta, residual[torch.arange(6), batch["states"][:, :-1, 0]])


def test_log_variance_and_trajectory_balance_have_the_same_gradient_at_the_best_log_z():
    oracle = fixed_start()
    logits = torch.randn(6, 5, 5, dtype=EXACT, generator=seeded("cpu", 3))
    balance = make(oracle, "trajectory", None, TablePolicy(oracle, logits.clone()))
    variance = make(oracle, "log_variance", None, TablePolicy(oracle, logits.clone()))
    batch = roll_out(oracle, 300, target=oracle.target(ALPHA), generator=seeded("cpu", 4))
    balance.loss(batch, seeded("cpu", 0)).backward()  # the first batch sets log Z to its best
    variance.loss(batch, seeded("cpu", 0)).backward()
    assert balance.log_normalizer.grad.item() == pytest.approx(0.0, abs=1e-12)
    assert balance.policy.table.grad.abs().max() > 0.01
    torch.testing.assert_close(balance.policy.table.grad, 299 / 300 * variance.policy.table.grad)


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_vanishes_at_the_exact_value_and_policy_on_any_trajectory_and_nowhere_else(variant):
    oracle = markov(num_states=3, num_steps=4)
    batch = every_path(3, 4, oracle.target(ALPHA))
    value, policy = exact_parts(oracle, ALPHA)
    objective = make(oracle, variant, value, policy, num_steps=3)
    loss = objective.loss(batch, seeded("cpu", 0))
    loss.backward()
    assert loss.item() < 1e-25
    assert max(part.grad.abs().max() for part in objective.trained().parameters()) < 1e-12
    reward_off = TensorDict(batch.clone(), batch_size=batch.batch_size)
    reward_off["rewards"] = 1.1 * batch["rewards"]
    assert objective.loss(reward_off, seeded("cpu", 0)) > 1e-4
    assert make(oracle, variant, value).loss(batch, seeded("cpu", 0)) > 1e-3
    if variant != "log_variance":  # which sees v_0 only up to a constant
        value.network.table.data[0] += 0.1
        assert objective.loss(batch, seeded("cpu", 0)) > 1e-4


def test_on_its_own_trajectories_the_gradient_is_twice_that_of_the_elbo():
    """Expected over all paths under q; the batch variance is the expected one, baselines included."""
    oracle = markov(num_states=3, num_steps=3)
    policy = TablePolicy(oracle, torch.randn(3, 3, 3, dtype=EXACT, generator=seeded("cpu", 5)))
    batch = every_path(3, 3, oracle.target(ALPHA))
    objective = make(oracle, "trajectory", "table", policy)
    objective.value.network.table.data.normal_(generator=seeded("cpu", 6))  # any baseline of x_0 will do
    weights = log_weights(*objective.gather(batch, seeded("cpu", 0)))
    law = path_law(policy.chain(), batch["states"][..., 0])
    (gradient,) = torch.autograd.grad(law @ path_loss(weights, objective.pairs), policy.table, retain_graph=True)
    gaps = weights[:, 0] - weights[:, -1]
    (spread,) = torch.autograd.grad(law @ (gaps - law @ gaps) ** 2, policy.table)

    table = policy.table.detach().clone().requires_grad_()
    moves = (oracle.matrices.log() + table).log_softmax(dim=2)
    marginal, bound = oracle.initial_probs, 0.0
    for t in range(3):
        bound = bound - marginal @ (moves[t].exp() * (moves[t] - oracle.matrices[t].log())).sum(dim=1)
        marginal = marginal @ moves[t].exp()
    bound = bound + marginal @ oracle.reward.table / ALPHA
    (expected,) = torch.autograd.grad(-2 * bound, table)
    torch.testing.assert_close(gradient, expected)
    torch.testing.assert_close(spread, expected)

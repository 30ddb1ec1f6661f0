"""Path consistency: its losses by hand, its identities, and what it learns against the exact p* of the oracles."""

import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from value_toys import QuadraticInX

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain, elbo
from svlearn.metering import metered
from svlearn.objectives.behaviour import Behaviour, Replay
from svlearn.objectives.fit import fit
from svlearn.objectives.path_consistency import PathConsistency
from svlearn.objectives.path_losses import VARIANTS, log_variance_loss, log_weights, pair_weights, path_loss
from svlearn.policies import Controlled, Policy
from svlearn.randomness import seeded
from svlearn.rollouts import RolloutData, collect, roll_out
from svlearn.targets import Target
from svlearn.transitions import CategoricalTransition
from svlearn.values import Learned, Zero

ALPHA, INF = 2.0, math.inf
OFF_POLICY = dict(exploration=0.25, replay=0.5, replay_size=4096)
EXACT = torch.float64


class LinearInX(nn.Module):
    """One free affine map for each time: it can hold the best control of a linear-Gaussian chain."""

    def __init__(self, dim, num_steps):
        super().__init__()
        self.matrices = nn.Parameter(torch.zeros(num_steps, dim, dim, dtype=EXACT))
        self.vectors = nn.Parameter(torch.zeros(num_steps, dim, dtype=EXACT))

    def forward(self, x, t):
        return torch.einsum("bij,bj->bi", self.matrices[t], x) + self.vectors[t]


class Table(nn.Module):
    """One free number for each time and state of a Markov chain."""

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(table.clone())

    def forward(self, x, t):
        return self.table[t, x[:, 0]]


class TablePolicy(Policy):
    """p_ref with free logits added, for each time, state and next state."""

    def __init__(self, reference, logits=None):
        super().__init__(reference)
        zeros = torch.zeros(reference.num_steps, reference.num_states, reference.num_states, dtype=EXACT)
        self.table = nn.Parameter(zeros if logits is None else logits)

    def steer(self, prediction, x, t):
        return CategoricalTransition(prediction.transition.log_probs + self.table[t, x[:, 0]][:, None])

    def trained(self):
        return [self.table]

    def chain(self):
        """The policy as an oracle, so that its laws are exact."""
        matrices = (self.reference.matrices.log() + self.table.detach()).softmax(dim=2)
        return FiniteMarkovChain(self.reference.initial_probs, matrices, self.reference.reward.table)


def gaussian():
    """Three dimensions, eight steps, of which x_0 still tells x_T."""
    drawn = LinearGaussianChain.random(dim=3, num_steps=8, seed=0)
    turn = torch.linalg.qr(drawn.matrices)[0]
    return LinearGaussianChain(drawn.initial_mean, 1.0, 0.95 * turn, drawn.offsets, 0.6 * drawn.stds, drawn.reward)


def markov(initial_probs=None, num_states=5, num_steps=6):
    """A few states that mostly stay where they are, so that v_0 varies."""
    drawn = FiniteMarkovChain.random(num_states=num_states, num_steps=num_steps, seed=0)
    start = drawn.initial_probs if initial_probs is None else initial_probs
    return FiniteMarkovChain(start, drawn.matrices, drawn.reward.table)


def spread():
    """Three states that mostly stay, with rewards so far apart that x_0 decides most."""
    chain = markov(num_states=3, num_steps=2)
    stay = 0.8 * torch.eye(3, dtype=EXACT) + 0.2 * chain.matrices
    return FiniteMarkovChain(chain.initial_probs, stay, [-8.0, 0.0, 8.0])


def fixed_start():
    return markov(torch.eye(5, dtype=EXACT)[2])


def exact_parts(oracle, alpha):
    """Soft value and optimal policy of a Markov chain, as trainable tables."""
    table = oracle.soft_table(alpha)
    return Learned(Table(table[:-1])), TablePolicy(oracle, (table[1:] / alpha)[:, None].expand_as(oracle.matrices))


def gap(oracle, chain, alpha):
    """best_elbo - ELBO of a chain of the same start, nats: E_p0 KL(q || p*), by dynamic programming."""
    marginals, divergence = chain.marginals(), 0.0
    for law, own, old in zip(marginals[:-1], chain.matrices, oracle.matrices, strict=True):
        divergence += law @ torch.where(own > 0, own * (own / old).log(), 0.0).sum(dim=1)
    return oracle.best_elbo(alpha) - (marginals[-1] @ oracle.reward.table / alpha - divergence)


def every_path(num_states, num_steps, target, start=None):
    """All trajectories of a Markov chain once, (S^(T + 1), T + 1, 1): the uniform law, which no policy has drawn."""
    axes = [torch.arange(num_states)] * (num_steps + 1)
    states = torch.cartesian_prod(*axes)[..., None]
    if start is not None:
        states = states[states[:, 0, 0] == start]
    return TensorDict({"states": states, "rewards": target(states[:, -1])}, batch_size=[len(states)])


def path_law(chain, states):
    """The probability of each path (N, T + 1) of tokens, (N,)."""
    law = chain.initial_probs[states[:, 0]]
    for t in range(chain.num_steps):
        law = law * chain.matrices[t, states[:, t], states[:, t + 1]]
    return law


def make(oracle, variant="trajectory", value="table", policy="table", alpha=ALPHA, **options):
    tables = {"table": Learned(Table(torch.zeros(oracle.num_steps, oracle.num_states, dtype=EXACT)))}
    policies = {"table": TablePolicy(oracle)}
    value, policy = tables.get(value, value), policies.get(policy, policy)
    return PathConsistency(oracle, oracle.target(alpha), value, policy, variant, **options)


# The losses ----------------------------------------------------------------------------------------------------------


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
    (found,) = torch.autograd.grad(law @ path_loss(weights, objective.pairs), policy.table, retain_graph=True)
    gaps = weights[:, 0] - weights[:, -1]
    (spread,) = torch.autograd.grad(law @ (gaps - law @ gaps) ** 2, policy.table)

    table = policy.table.detach().clone().requires_grad_()
    moves = (oracle.matrices.log() + table).log_softmax(dim=2)
    marginal, bound = oracle.initial_probs, 0.0
    for t in range(3):
        bound = bound - marginal @ (moves[t].exp() * (moves[t] - oracle.matrices[t].log())).sum(dim=1)
        marginal = marginal @ moves[t].exp()
    bound = bound + marginal @ oracle.reward.table / ALPHA
    (wanted,) = torch.autograd.grad(-2 * bound, table)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(spread, wanted)


# Off-policy ----------------------------------------------------------------------------------------------------------


def minimise(loss, parameters, steps=200):
    """To the bottom of a deterministic loss."""
    optimizer = torch.optim.LBFGS(parameters, max_iter=steps, line_search_fn="strong_wolfe", tolerance_change=1e-16)

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)


@pytest.mark.parametrize("variant", VARIANTS)
def test_trajectories_that_no_policy_drew_teach_the_exact_policy(variant):
    oracle = spread()
    assert oracle.soft_table(ALPHA)[0].std() > ALPHA  # x_0 decides much
    batch = every_path(3, 2, oracle.target(ALPHA))
    objective = make(oracle, variant, num_steps=2)
    start = gap(oracle, objective.policy.chain(), ALPHA)
    minimise(lambda: objective.loss(batch, seeded("cpu", 0)), list(objective.trained().parameters()))
    assert start > 0.03
    assert gap(oracle, objective.policy.chain(), ALPHA) < 1e-6
    learned, exact = objective.value.network.table[0], oracle.soft_table(ALPHA)[0]
    offset = (learned - exact).mean() if variant == "log_variance" else 0.0
    torch.testing.assert_close(learned - offset, exact, atol=1e-3, rtol=0)


def test_log_variance_off_policy_is_biased_where_v_0_is_left_out_and_not_where_x_0_is_shared():
    oracle = spread()
    batch = every_path(3, 2, oracle.target(ALPHA))  # nine consecutive paths share x_0
    shared = make(oracle, "log_variance", None, shared_start=9, batch_size=18, num_validation=18)
    shared._trajectories(batch, 27, seeded("cpu", 0))  # is accepted
    minimise(lambda: shared.loss(batch, seeded("cpu", 0)), [shared.policy.table])
    assert gap(oracle, shared.policy.chain(), ALPHA) < 1e-6
    left_out = make(oracle, "log_variance", None)
    with pytest.raises(ValueError, match="x_0 of the stored trajectories varies"):
        left_out._trajectories(batch, 27, seeded("cpu", 0))
    minimise(lambda: left_out.loss(batch, seeded("cpu", 0)), [left_out.policy.table])
    assert gap(oracle, left_out.policy.chain(), ALPHA) > 0.03


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_a_policy_the_fixed_point_is_the_mean_value_and_not_the_soft_one(variant):
    """The expected gradient, over all paths of the reference."""
    oracle = markov(num_states=3, num_steps=2)
    batch = every_path(3, 2, oracle.target(0.5))
    states = batch["states"][..., 0]
    law = path_law(oracle, states)

    def gradient(table):
        objective = make(oracle, variant, Learned(Table(table[:-1])), None, alpha=0.5, num_steps=2)
        weights = log_weights(*objective.gather(batch, seeded("cpu", 0)))
        gaps = weights[:, 0] - weights[:, -1]
        if variant == "log_variance":
            loss = law @ (gaps - law @ gaps) ** 2
        else:
            loss = law @ path_loss(weights, objective.pairs, hold_later=True)
            torch.testing.assert_close(
                objective.loss(batch, seeded("cpu", 0)), path_loss(weights, objective.pairs).mean()
            )
        loss.backward()
        return objective.value.network.table.grad.abs().max()

    assert gradient(oracle.mean_table()) < 1e-12
    assert gradient(oracle.soft_table(0.5)) > 0.01


def test_without_a_policy_the_later_value_is_held_fixed():
    oracle = markov(num_states=3, num_steps=2)
    objective = make(oracle, "detailed", policy=None)
    batch = every_path(3, 2, oracle.target(ALPHA))
    objective.value.network.table.data[1] = 1.0
    objective.loss(batch, seeded("cpu", 0)).backward()
    early, later = objective.value.network.table.grad * 3 * ALPHA**2  # two pairs, three states, reward units
    torch.testing.assert_close(early, torch.full((3,), -1.0, dtype=EXACT))
    torch.testing.assert_close(later, (1 - oracle.reward.table.mean()).expand(3))  # nothing of v_0, which is 0


# -inf ----------------------------------------------------------------------------------------------------------------


def test_a_forbidden_end_counts_as_the_floor():
    oracle = markov(num_states=3, num_steps=2).with_rewards([0.5, -INF, -0.2])
    target = Target(oracle.reward, ALPHA, floor=-20.0)
    value = Learned(Table(torch.zeros(2, 3, dtype=EXACT)))
    objective = PathConsistency(oracle, target, value, TablePolicy(oracle))
    batch = every_path(3, 2, target)
    minimise(lambda: objective.loss(batch, seeded("cpu", 0)), list(objective.trained().parameters()))
    floored = oracle.with_rewards([0.5, -20.0, -0.2])
    assert gap(floored, objective.policy.chain(), ALPHA) < 1e-6
    assert objective.policy.chain().marginals()[-1][1] < math.exp(-20 / ALPHA)


def test_a_floor_above_a_finite_reward_is_refused_and_so_is_the_mean_of_minus_infinity():
    oracle = markov(num_states=3, num_steps=2).with_rewards([0.5, -INF, -3.0])
    target = Target(oracle.reward, ALPHA, floor=-2.0)
    batch = every_path(3, 2, target)
    value = Learned(Table(torch.zeros(2, 3, dtype=EXACT)))
    with pytest.raises(ValueError, match="floor: expected one below every finite reward"):
        PathConsistency(oracle, target, value, TablePolicy(oracle)).loss(batch, seeded("cpu", 0))
    with pytest.raises(ValueError, match="mean of a reward that is -inf does not exist"):
        PathConsistency(oracle, target, value).loss(batch, seeded("cpu", 0))


def test_a_move_that_the_reference_cannot_make_is_named():
    oracle = FiniteMarkovChain([0.5, 0.5], [[[0.0, 1.0], [0.5, 0.5]]], [0.0, 1.0])
    batch = every_path(2, 1, oracle.target(ALPHA))
    objective = make(oracle)
    with pytest.raises(ValueError, match="log q - log p_ref: expected a finite number at step 0, got .* at index 0"):
        objective.loss(batch, seeded("cpu", 0))


# Whose trajectories --------------------------------------------------------------------------------------------------


def test_exploration_and_replay_make_up_a_batch():
    oracle = markov()
    target, policy = oracle.target(ALPHA), TablePolicy(oracle)
    behaviour = Behaviour(exploration=0.25, replay=0.5, replay_size=20)
    with metered() as meter:
        first = behaviour.batch(policy, oracle, target, 16, seeded("cpu", 0))
    assert len(first) == 16
    # four trajectories of the reference, twelve of the policy, which calls the reference too
    assert (meter.cost.reference_calls, meter.cost.policy_calls) == (16 * 6, 12 * 6)
    with metered() as meter:
        second = behaviour.batch(policy, oracle, target, 16, seeded("cpu", 1))
    assert (meter.cost.reference_calls, meter.cost.policy_calls) == (8 * 6, 6 * 6)
    for row in second["states"][8:]:
        assert (row == first["states"]).flatten(1).all(1).any()
    torch.testing.assert_close(second["rewards"], target(second["states"][:, -1]))


def test_replay_keeps_the_newest_in_whole_groups():
    replay = Replay(size=7, group=2)  # three groups fit
    for number in range(4):
        rows = torch.arange(2) + 2 * number
        replay.add(TensorDict({"rewards": rows}, batch_size=[2]))
        assert len(replay) == min(2 * number + 2, 6)
    drawn = replay.draw(200, seeded("cpu", 0))["rewards"].view(-1, 2)
    assert set(drawn[:, 0].tolist()) == {2, 4, 6} and (drawn[:, 1] == drawn[:, 0] + 1).all()
    replay.add(TensorDict({"rewards": torch.arange(100, 110)}, batch_size=[10]))
    assert set(replay.held["rewards"].tolist()) == set(range(104, 110))


def test_shared_starts_are_shared_by_consecutive_trajectories():
    oracle = markov(num_states=5)
    behaviour = Behaviour(exploration=0.5, replay=0.5, shared_start=4)
    for step in range(3):
        batch = behaviour.batch(TablePolicy(oracle), oracle, oracle.target(ALPHA), 64, seeded("cpu", step))
        starts = batch["states"][:, 0, 0].view(16, 4)
        assert (starts == starts[:, :1]).all() and len(starts[:, 0].unique()) > 2
        ends = batch["states"][:, -1, 0].view(16, 4)
        assert (ends != ends[:, :1]).any()


def test_a_resumed_run_with_replay_ends_where_an_uninterrupted_one_does(tmp_path):
    from pytorch_lightning.callbacks import ModelCheckpoint

    def train(**kwargs):
        objective = make(fixed_start(), "trajectory", None, batch_size=32, exploration=0.25, replay=0.5, replay_size=40)
        return fit(objective, max_steps=10, enable_progress_bar=False, **kwargs)

    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=5, save_top_k=-1)
    whole = train(callbacks=[keep], enable_checkpointing=True)
    (middle,) = tmp_path.glob("*step=5.ckpt")
    resumed = train(ckpt_path=str(middle))
    assert torch.equal(resumed.policy.table, whole.policy.table)
    assert torch.equal(resumed.log_normalizer, whole.log_normalizer)
    held = torch.load(middle, weights_only=True)["state_dict"]
    assert not any("reference" in name for name in held)


def test_validation_neither_explores_the_past_nor_adds_to_it():
    import pytorch_lightning as pl

    objective = make(markov(), "subtrajectory", replay=0.5, num_validation=64)
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    (logged,) = trainer.validate(objective, verbose=False)
    assert len(objective.behaviour.replay) == 0
    assert logged["validation/elbo"] < objective.reference.log_normalizer(ALPHA) + 0.5


def test_stored_rollouts_of_the_reference_teach_the_exact_policy(tmp_path):
    oracle = markov(num_states=3, num_steps=2)
    collect(oracle, 3000, tmp_path / "rollouts", target=oracle.target(ALPHA), progress=False)
    objective = make(oracle, "subtrajectory", learning_rate=5e-2)
    start = gap(oracle, objective.policy.chain(), ALPHA)
    fit(objective, max_steps=100, data=RolloutData(tmp_path / "rollouts"), enable_progress_bar=False)
    assert gap(oracle, objective.policy.chain(), ALPHA) < 1e-4 < start / 10


# Arguments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (dict(variant="balance"), ValueError, "variant: expected one of trajectory, .*, got 'balance'"),
        (dict(value=None, policy=None), ValueError, "policy, value: expected at least one to train, got neither"),
        (dict(value=None), ValueError, "value: expected one, as x_0 of this reference varies"),
        (dict(value=None, variant="log_variance", replay=0.5), ValueError, "x_0 of this reference varies"),
        (dict(value=None, variant="detailed"), ValueError, "value: variant 'detailed' reads v_t at every t"),
        (dict(value=Table(torch.zeros(6, 5))), TypeError, "value: expected None or a Value, got Table"),
        (dict(value=Zero(), policy=None), ValueError, "expected trainable parameters, got none"),
        (dict(policy=3), TypeError, "policy: expected a policies.Policy, got int"),
        (dict(policy=None, exploration=0.1), ValueError, "exploration, replay: expected 0 without a policy"),
        (dict(exploration=1.0), ValueError, "exploration: expected a share in"),
        (dict(replay=-0.1), ValueError, "replay: expected a share in"),
        (dict(replay_size=0), ValueError, "replay_size"),
        (dict(shared_start=0), ValueError, "shared_start: expected an integer of at least 1, got 0"),
        (dict(shared_start=2), ValueError, "shared_start: variant 'trajectory' has no use for it"),
        (dict(shared_start=2, variant="log_variance"), ValueError, "value: v_0 cancels"),
        (dict(shared_start=3, variant="log_variance", value=None), ValueError, "batch_size: expected a multiple of"),
        (dict(variant="log_variance", batch_size=1), ValueError, "at least 2 to take a variance"),
        (dict(num_steps=7), ValueError, "num_steps: expected an integer from 1 to 6, got 7"),
        (dict(sub_lambda=0.0), ValueError, "sub_lambda: expected a number above 0, got 0.0"),
        (dict(alpha=0.0), ValueError, "alpha: PathConsistency needs alpha > 0, got 0"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, error, words):
    with pytest.raises(error, match=words):
        make(markov(), **change)


def test_stored_groups_must_share_their_start():
    oracle = markov()
    objective = make(oracle, "log_variance", None, shared_start=2)
    stored = roll_out(oracle, 32, target=oracle.target(ALPHA), generator=seeded("cpu", 0))
    with pytest.raises(ValueError, match="shared_start: expected stored trajectories in rows of 2 that share x_0"):
        objective._trajectories(stored, 32, seeded("cpu", 0))


# Training ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["trajectory", "log_variance", "subtrajectory"])
def test_on_policy_it_finds_the_best_linear_control(variant):
    oracle = gaussian()
    network, value = LinearInX(3, 8), Learned(QuadraticInX(3, 8))
    objective = PathConsistency(
        oracle, oracle.target(ALPHA), value, Controlled(oracle, network), variant, learning_rate=2e-2, batch_size=256
    )
    fit(objective, max_steps=400, seed=0, enable_progress_bar=False)
    gains = oracle.stds[..., None] ** 2 * network.matrices.detach()
    learned = LinearGaussianChain(
        oracle.initial_mean,
        oracle.initial_covariance,
        oracle.matrices + gains,
        oracle.offsets + oracle.stds**2 * network.vectors.detach(),
        oracle.stds,
        oracle.reward,
    )
    start, best = elbo(oracle, oracle, ALPHA), oracle.best_elbo(ALPHA)
    found = elbo(learned, oracle, ALPHA)
    assert best - start > 0.06
    assert best - found < 0.01
    states = roll_out(oracle, 4000, generator=seeded("cpu", 99))["states"]
    for time in range(8 if variant == "subtrajectory" else 1):
        t = torch.full((4000,), time)
        with torch.no_grad():
            exact, guess = oracle.soft_value(ALPHA)(states[:, time], t), value(states[:, time], t)
        if variant == "log_variance":  # which sees v_0 only up to a constant
            guess = guess - (guess - exact).mean()
        assert 1 - ((guess - exact) ** 2).mean() / exact.var() > 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "options"),
    [(variant, {}) for variant in VARIANTS]
    + [("trajectory", OFF_POLICY), ("subtrajectory", OFF_POLICY)]
    + [("log_variance", dict(value=None, shared_start=4)), ("log_variance", dict(value=None))],
)
def test_it_finds_the_exact_policy_of_a_markov_chain(variant, options):
    oracle = markov()
    objective = make(oracle, variant, num_steps=3, learning_rate=5e-2, **options)
    start = gap(oracle, objective.policy.chain(), ALPHA)
    fit(objective, max_steps=150, seed=0, enable_progress_bar=False)
    found = gap(oracle, objective.policy.chain(), ALPHA)
    assert found < 0.01 < 0.05 < start


@pytest.mark.slow
def test_from_a_fixed_start_it_learns_log_z():
    oracle = fixed_start()
    objective = make(oracle, "trajectory", None, learning_rate=5e-2)
    fit(objective, max_steps=150, seed=0, enable_progress_bar=False)
    assert objective.log_normalizer.item() == pytest.approx(oracle.log_normalizer(ALPHA).item(), abs=0.005)
    assert gap(oracle, objective.policy.chain(), ALPHA) < 0.01

"""Iterated twists: the law that a round ends at by enumeration, what SMC hands to it, and what rounds learn."""

import math

import pytest
import torch
from path_toys import ALPHA, EXACT, Table, every_path, markov, minimise, path_law, spread
from tensordict import TensorDict

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.metering import metered
from svlearn.objectives.fit import fit
from svlearn.objectives.iterated_twist import IteratedTwist, twisted_likelihood_loss
from svlearn.objectives.trust_region import largest_beta, tilted_kl
from svlearn.objectives.twist_rounds import twisted_paths
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Learned

QUIET = dict(enable_progress_bar=False)
INF = math.inf


def twist(oracle, table=None, alpha=ALPHA, **options):
    """Iterated twists with a table of values on a Markov chain."""
    table = torch.zeros(oracle.num_steps, oracle.num_states, dtype=EXACT) if table is None else table
    options = dict(num_particles=16, round_size=256, batch_size=64, num_validation=64) | options
    return IteratedTwist(oracle, oracle.target(alpha), Learned(Table(table)), **options)


def rough(oracle, seed=0):
    return torch.randn(oracle.num_steps, oracle.num_states, dtype=EXACT, generator=seeded("cpu", seed))


def twisted_chain(oracle, table, alpha=ALPHA):
    """The chain whose moves are p_ref exp(v_{t+1}/α), v_T = r, and log E_ref[exp(v_{t+1}/α) | x_t], (T, S)."""
    later = torch.cat([table[1:], oracle.reward.table[None]]) / alpha
    joint = oracle.matrices.log() + later[:, None]
    moves = FiniteMarkovChain(oracle.initial_probs, joint.softmax(dim=2), oracle.reward.table)
    return moves, joint.logsumexp(dim=2)


# The loss ------------------------------------------------------------------------------------------------------------


def test_the_loss_by_hand():
    """Weights 1/4 and 3/4, and a move of weight 0 to a forbidden place."""
    now, later = torch.tensor([0.0, 1.0, 5.0]), torch.tensor([2.0, 0.0, -INF])
    ahead = torch.tensor([math.log(2.0), 1.0 + math.log(4.0), -INF])
    log_weights = torch.tensor([0.0, math.log(3.0), -INF])
    loss = twisted_likelihood_loss(now, later, ahead, log_weights)
    assert loss.item() == pytest.approx(math.log(0.25 * 2 + 0.75 * 4) - (0.25 * 2 - 0.75 * 1))


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_a_round_ends_at_q_i_tilted_by_w_to_the_beta_with_so_much_of_each_residual(beta):
    """q ∝ q_i^(1-β) p*^β on every path, v_t - α log E_ref[exp(v_{t+1}/α)|x_t] = (1 - β) ρ_t up to c(t)."""
    oracle = spread()
    old = rough(oracle)
    chain, ahead = twisted_chain(oracle, old)
    paths = every_path(3, 2, oracle.target(ALPHA))
    tokens, steps = paths["states"][..., 0], torch.arange(2)
    before, goal = path_law(chain, tokens), path_law(oracle.optimal(ALPHA), tokens)
    goal = goal / oracle.optimal(ALPHA).initial_probs[tokens[:, 0]] * oracle.initial_probs[tokens[:, 0]]  # given x_0
    residuals = old / ALPHA - ahead
    batch = paths.update(
        {
            "log_weights": (1 - beta) * before.log() + beta * goal.log(),
            "annealing": (1 - beta) * residuals[steps, tokens[:, :2]],
        }
    )
    objective = twist(oracle, limit=3)
    table = objective.value.network.table
    minimise(lambda: objective.loss(batch, seeded("cpu", 0)), [table], steps=400)

    learned, ahead = twisted_chain(oracle, table.detach())
    tilted = before ** (1 - beta) * goal**beta
    start = torch.nn.functional.one_hot(tokens[:, 0], 3).to(EXACT)
    torch.testing.assert_close(
        path_law(learned, tokens) / (start @ oracle.initial_probs),
        tilted / (start @ (start.T @ tilted)),
        atol=1e-6,
        rtol=0,
    )
    gap = table.detach() / ALPHA - ahead - (1 - beta) * residuals
    torch.testing.assert_close(gap, gap.mean(dim=1, keepdim=True).expand_as(gap), atol=1e-5, rtol=0)


def test_at_the_soft_value_nothing_moves():
    """Up to c(t), for any weights of the paths that keep p*'s moves, and at any β; and β is 1."""
    oracle = markov()
    exact = oracle.soft_table(ALPHA)[:-1] + torch.arange(oracle.num_steps)[:, None] ** 2
    objective = twist(oracle, exact, limit=5)
    drawn = objective._trajectories(0, 64, seeded("cpu", 0))
    assert objective.region.beta == 1.0 and objective.region.kl == pytest.approx(0, abs=1e-12)
    table = objective.value.network.table
    chain = spread()
    objective = twist(chain, chain.soft_table(ALPHA)[:-1], limit=3)
    paths = every_path(3, 2, chain.target(ALPHA))
    tokens = paths["states"][..., 0]
    own = torch.tensor([0.1, 0.6, 0.3], dtype=EXACT)[tokens[:, 0]].log()
    given_start = path_law(chain.optimal(ALPHA), tokens) / chain.optimal(ALPHA).initial_probs[tokens[:, 0]]
    paths["log_weights"] = given_start.log() + own
    objective.loss(paths, seeded("cpu", 0)).backward()
    assert objective.value.network.table.grad.abs().max() < 1e-12
    assert torch.equal(table.detach(), exact) and len(drawn) == 64


def test_the_likelihood_of_moves_alone_would_leave_each_state_a_constant_of_its_own():
    """In a tree no two states share a successor; the contrast over x_t still finds v_t up to one constant."""
    split = torch.zeros(2, 7, 7, dtype=EXACT)
    split[0, 0, 1:3] = split[1, 1, 3:5] = split[1, 2, 5:7] = torch.tensor([0.4, 0.6], dtype=EXACT)
    split[0, 1:, 0] = split[1, 0, 0] = split[1, 3:, 0] = 1.0
    chain = FiniteMarkovChain(torch.eye(7, dtype=EXACT)[0], split, torch.tensor([0, 0, 0, 3.0, 0, -1.0, 2.0]).double())
    paths = torch.tensor([[0, 1, 3], [0, 1, 4], [0, 2, 5], [0, 2, 6]])
    batch = TensorDict({"states": paths[..., None], "rewards": chain.reward(paths[:, -1:])}, batch_size=[4])
    batch["log_weights"] = path_law(chain.optimal(ALPHA), paths).log()
    objective = twist(chain, limit=7)
    table = objective.value.network.table
    minimise(lambda: objective.loss(batch, seeded("cpu", 0)), [table])
    exact = chain.soft_table(ALPHA)[1]
    assert (table[1, 1] - table[1, 2]).item() == pytest.approx((exact[1] - exact[2]).item(), abs=1e-6)


def test_candidates_stand_for_p_ref_without_bias():
    """E[exp(ahead)] = E_ref[exp(v_{t+1}/α) | x_t] at every t, for M = 2."""
    oracle = markov()
    table = 3 * rough(oracle)
    objective = twist(oracle, table, num_candidates=2)
    _, exact = twisted_chain(oracle, table)
    states = torch.arange(5).repeat(4000)[:, None]
    batch = TensorDict(
        {"states": states[:, None].expand(-1, 7, 1), "rewards": torch.zeros(20_000)}, batch_size=[20_000]
    )
    with torch.no_grad():
        ahead = objective.law.along(batch, range(6), seeded("cpu", 0)).ahead.exp().view(6, 4000, 5)
    error = ahead.std(dim=1) / math.sqrt(4000)
    assert bool(((ahead.mean(dim=1) - exact.exp()).abs() < 4 * error).all())
    assert bool((ahead.mean(dim=1).log() - ahead.log().mean(dim=1) > 0).all())


# What a round hands over ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_the_weights_of_a_round_are_the_residuals_that_resampling_has_not_spent(threshold):
    oracle = spread()
    objective = twist(oracle, 2 * rough(oracle), limit=3, ess_threshold=threshold)
    paths = twisted_paths(objective.sampler, objective.law, 8, seeded("cpu", 0))
    spent = -paths["residuals"].sum(dim=1).view(8, 16)
    log_weight = paths["log_weight"].view(8, 16)
    expected = spent - (spent.logsumexp(dim=1, keepdim=True) - math.log(16))
    torch.testing.assert_close(log_weight, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(log_weight.exp().mean(dim=1), torch.ones(8, dtype=EXACT))
    assert bool((paths["residuals"][:, 0] == 0).all()) == (threshold == 1.0)
    last = oracle.matrices[-1] @ (oracle.reward.table / ALPHA).exp()
    torch.testing.assert_close(paths["last"], last[paths["states"][:, -2, 0]].log())


def test_paths_that_are_forbidden_are_no_part_of_the_region():
    log_w = torch.tensor([0.0, -INF, math.log(3.0), -INF], dtype=EXACT)
    alive = torch.tensor([0.0, math.log(3.0)], dtype=EXACT)
    for beta in (0.5, 1.0):
        assert tilted_kl(log_w, beta).item() == pytest.approx(tilted_kl(alive, beta).item())
    assert largest_beta(log_w[None], 0.1) == pytest.approx(largest_beta(alive[None], 0.1))
    assert tilted_kl(torch.full((3,), -INF), 0.5).item() == 0


def constrained():
    chain = markov(num_states=3, num_steps=3)
    return FiniteMarkovChain(chain.initial_probs, chain.matrices, torch.tensor([-INF, 0.0, 1.0]).double())


def test_a_constraint_is_learned():
    chain = constrained()
    paths = every_path(3, 3, chain.target(ALPHA))
    paths["log_weights"] = path_law(chain, paths["states"][..., 0]).log() + paths["rewards"] / ALPHA
    objective = twist(chain, limit=3)
    minimise(lambda: objective.loss(paths, seeded("cpu", 0)), [objective.value.network.table])
    gap = objective.value.network.table.detach() - chain.soft_table(ALPHA)[:-1]
    assert (gap - gap.mean(dim=1, keepdim=True)).abs().max() < 1e-4


def test_rounds_with_forbidden_paths_train():
    objective = twist(constrained(), num_particles=4, num_candidates=1, ess_threshold=0.0, inner_steps=1)
    fit(objective, max_steps=3, **QUIET)
    held = objective.region.replay.held
    assert held["log_weight"].min() == -INF and held["last"].min() == -INF
    assert bool(held["residuals"].isfinite().all()) and bool(objective.value.network.table.isfinite().all())


def test_the_reward_is_called_for_a_round_and_not_for_its_steps():
    """N trajectories of M moves in SMC and M in what they are contrasted with at T; then nothing."""
    objective = twist(markov(), num_candidates=3, inner_steps=5, learning_rate=1e-3)
    with metered() as meter:
        drawn = objective._trajectories(0, 64, seeded("cpu", 0))
    assert meter.cost.reward_calls == 2 * 3 * 256
    with metered() as meter:
        objective.loss(drawn, seeded("cpu", 0))
    assert meter.cost.reward_calls == 0
    assert meter.cost.reference_calls == 64 * 5  # that at T - 1 is known
    assert meter.cost.value_calls == 64 * (6 + 5 * 3)


# What rounds learn ---------------------------------------------------------------------------------------------------


def r2(oracle, table):
    """Of v_t up to c(t), the sums of squares over all times, under p_ref."""
    exact, laws = oracle.soft_table(ALPHA)[:-1], oracle.marginals()[:-1]
    gap, truth = (each - (laws * each).sum(dim=1, keepdim=True) for each in (table - exact, exact))
    return float(1 - (laws * gap**2).sum() / (laws * truth**2).sum())


def log_normalizer_error(objective, oracle):
    """Root mean square error of log Z of groups of 16 particles by SMC with the value as it is, nats."""
    estimates = objective.sampler.sample(256, generator=seeded("cpu", 5)).log_normalizer
    return (estimates - oracle.log_normalizer(ALPHA)).square().mean().sqrt().item()


@pytest.mark.parametrize("how", [dict(limit=3), dict(num_candidates=16)])
def test_values_and_estimates_of_log_z_get_better_by_the_round(how):
    oracle = spread()
    objective = twist(oracle, 4 * rough(oracle), learning_rate=0.2, trust_region=0.5, round_size=512, **how)
    scores = [(r2(oracle, objective.value.network.table.detach()), log_normalizer_error(objective, oracle))]
    for seed in range(4):
        fit(objective, max_steps=60, seed=seed, **QUIET)
        scores.append((r2(oracle, objective.value.network.table.detach()), log_normalizer_error(objective, oracle)))
    agreement, error = zip(*scores, strict=True)
    assert agreement[0] < agreement[1] < agreement[2] and agreement[-1] > 0.95
    assert error[1] < error[0] and error[-1] < 0.5 * error[0]


def test_a_resumed_run_goes_on_amid_a_round(tmp_path):
    from pytorch_lightning.callbacks import ModelCheckpoint

    def train(**kwargs):
        return fit(twist(markov(), num_candidates=2, inner_steps=4), max_steps=12, **QUIET, **kwargs)

    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=6, save_top_k=-1)
    whole = train(callbacks=[keep], enable_checkpointing=True)
    (middle,) = tmp_path.glob("*step=6.ckpt")
    resumed = train(ckpt_path=str(middle))
    assert torch.equal(resumed.value.network.table, whole.value.network.table)
    assert resumed.region.get_extra_state() == whole.region.get_extra_state()


def test_the_micro_batches_of_a_step_share_its_round():
    objective = twist(markov(), num_candidates=2, inner_steps=1)
    fit(objective, max_steps=3, accumulate_grad_batches=2, **QUIET)
    assert objective.region.replay.written == 3 * 256
    logged = objective.trainer.callback_metrics
    assert 0 < logged["train/beta"] <= 1 and logged["train/kl"] <= 0.5 and 0 < logged["train/ess"] <= 1


def test_stored_trajectories_weigh_what_their_rewards_say():
    oracle = spread()
    stored = roll_out(oracle, 4000, target=oracle.target(ALPHA), generator=seeded("cpu", 1))
    objective = twist(oracle, limit=3)
    table = objective.value.network.table
    minimise(lambda: objective.loss(stored, seeded("cpu", 0)), [table])
    assert r2(oracle, table.detach()) > 0.99
    assert objective.region.replay.written == 0


# Arguments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(round_size=100), "round_size: expected a multiple of num_particles = 16, got 100"),
        (dict(num_particles=1), "num_particles: expected an integer of at least 2, got 1"),
        (dict(num_candidates=0), "num_candidates: expected an integer of at least 1, got 0"),
        (dict(trust_region=0.0), "trust_region: expected a bound above 0 and below 5.55 nats"),
        (dict(ess_threshold=2), r"ess_threshold: expected a number in \[0, 1\], got 2"),
        (dict(alpha=0.0), "alpha: smc needs alpha > 0"),
        (dict(proposal=markov()), "proposal: expected None, for SMC with the present twist"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, words):
    with pytest.raises(ValueError, match=words):
        twist(markov(), **change)

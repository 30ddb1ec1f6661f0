"""The trust region: its KL by hand, the law that an inner problem ends at, and what training ends at."""

import math

import pytest
import torch
from path_toys import (
    ALPHA,
    Table,
    TablePolicy,
    every_path,
    fixed_start,
    gap,
    make,
    markov,
    minimise,
    path_law,
    spread,
)
from tensordict import TensorDict

from svlearn.objectives.fit import fit
from svlearn.objectives.path_losses import log_variance_loss, log_weights
from svlearn.objectives.trust_region import TrustRegion, annealed, largest_beta, tilted_kl
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Learned

EXACT = torch.float64
QUIET = dict(enable_progress_bar=False)


def region(oracle, policy="table", value=None, bound=0.3, **options):
    """Trust-region log-variance on a Markov chain."""
    options = dict(replay_size=512, inner_steps=5, batch_size=64, num_validation=64) | options
    return make(oracle, "log_variance", value, policy, trust_region=bound, **options)


def rough(oracle, seed=0):
    """A policy that is neither p_ref nor p*."""
    steps, states = oracle.num_steps, oracle.num_states
    return TablePolicy(oracle, torch.randn(steps, states, states, dtype=EXACT, generator=seeded("cpu", seed)))


# The step ------------------------------------------------------------------------------------------------------------


def test_the_kl_of_a_tilt_by_hand():
    """Weights 1 and 3: W = (1/4, 3/4) at β = 1, and (1/(1 + √3), √3/(1 + √3)) at β = 1/2; q is (1/2, 1/2)."""
    log_w = torch.tensor([0.0, math.log(3.0)], dtype=EXACT)
    assert tilted_kl(log_w, 1.0).item() == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5), abs=1e-14)
    share = math.sqrt(3) / (1 + math.sqrt(3))
    half = share * math.log(2 * share) + (1 - share) * math.log(2 * (1 - share))
    assert tilted_kl(log_w, 0.5).item() == pytest.approx(half, abs=1e-14)
    assert tilted_kl(log_w + 1e4, 0.5).item() == pytest.approx(half, abs=1e-10)
    assert tilted_kl(log_w, 0.0).item() == 0
    assert tilted_kl(1000 * log_w, 1.0).item() == pytest.approx(math.log(2))


def test_the_kl_of_a_tilted_gaussian():
    """log w = c z of z ~ N(0, 1): the tilted law is N(βc, 1), at (βc)²/2 nats; on quantiles in the place of draws."""
    number = 200_000
    levels = (torch.arange(number, dtype=EXACT) + 0.5) / number
    log_w = 2.0 * torch.special.ndtri(levels)
    assert tilted_kl(log_w, 0.3).item() == pytest.approx(0.18, abs=1e-4)
    assert largest_beta(log_w[None], 0.18) == pytest.approx(0.3, abs=1e-4)


def test_the_largest_step_is_on_the_bound_or_is_the_whole_way():
    log_w = 3 * torch.randn(4, 50, dtype=EXACT, generator=seeded("cpu", 0))
    for bound in (1e-6, 0.1, 0.5):
        beta = largest_beta(log_w, bound)
        assert 0 < beta < 1
        assert bound - 1e-9 < tilted_kl(log_w, beta).mean().item() <= bound
    whole = tilted_kl(log_w, 1.0).mean().item()
    assert largest_beta(log_w, whole) == 1.0 > largest_beta(log_w, 0.999 * whole)
    assert largest_beta(1e6 * log_w, 0.1) == pytest.approx(1e-6 * largest_beta(log_w, 0.1), rel=1e-6)


def test_the_annealed_values_by_hand():
    values, spent = torch.tensor([[1.0, 0.0, 3.0], [0.0, 0.0, -2.0]], dtype=EXACT), torch.tensor([4.0, 8.0])
    assert annealed(values, spent, 0.25).tolist() == [[0.25, 0.0, 0.75 + 3.0], [0.0, 0.0, -0.5 + 6.0]]
    assert torch.equal(annealed(values, spent, 1.0), values)


# The inner problem ---------------------------------------------------------------------------------------------------


def inner(objective, beta, batch):
    """All paths as the region would hand them over, at a β that is given."""
    with torch.no_grad():
        _, log_ratios = objective.gather(batch, seeded("cpu", 0))
    objective.region.beta = beta
    return TensorDict({**batch, "log_ratio": log_ratios.sum(dim=1)}, batch_size=batch.batch_size)


@pytest.mark.parametrize("how", ["constant", "shared", "value"])
def test_the_inner_problem_ends_at_q_i_tilted_by_w_to_the_beta(how):
    """q(x_1 ... x_T | x_0) ∝ q_i (p_ref exp(r/α)/q_i)^β on every path, by enumeration."""
    beta, oracle = 0.4, spread()
    if how == "constant":
        oracle = markov(torch.eye(3, dtype=EXACT)[1], num_states=3, num_steps=2)
    options = dict(shared=dict(shared_start=9, batch_size=18, num_validation=18), value=dict(value="table"))
    policy = rough(oracle)
    objective = region(oracle, policy, **options.get(how, {}))
    before = policy.chain()
    batch = inner(objective, beta, every_path(3, 2, oracle.target(ALPHA), start=1 if how == "constant" else None))
    minimise(lambda: objective.loss(batch, seeded("cpu", 0)), list(objective.trained().parameters()), steps=400)

    paths = batch["states"][..., 0]
    start = torch.nn.functional.one_hot(paths[:, 0], 3).to(EXACT)
    weights = start @ (1 / oracle.initial_probs.clamp(min=1e-300))
    old, free = path_law(before, paths) * weights, path_law(oracle, paths) * weights
    tilted = old * (free * (batch["rewards"] / ALPHA).exp() / old) ** beta
    per_start = start.T @ tilted
    torch.testing.assert_close(
        path_law(policy.chain(), paths) * weights, tilted / (start @ per_start), atol=1e-5, rtol=0
    )
    if how == "value":  # v_0 = (α/β) log E_q_i[w^β | x_0], up to a constant
        learned, exact = objective.value.network.table[0].detach(), ALPHA / beta * per_start.log()
        torch.testing.assert_close(learned - learned.mean(), exact - exact.mean(), atol=1e-3, rtol=0)


def test_on_the_whole_way_it_is_the_plain_loss_whoever_drew():
    oracle = fixed_start()
    objective = region(oracle, rough(oracle))
    batch = roll_out(oracle, 64, target=oracle.target(ALPHA), generator=seeded("cpu", 1))
    plain = objective.loss(batch, seeded("cpu", 0))
    batch["log_ratio"] = torch.randn(64, dtype=EXACT, generator=seeded("cpu", 2))
    objective.region.beta = 1.0
    assert objective.loss(batch, seeded("cpu", 0)).item() == pytest.approx(plain.item())


def test_before_its_first_step_the_loss_is_the_variance_of_beta_log_w():
    oracle = fixed_start()
    objective = region(oracle, rough(oracle))
    batch = objective._trajectories(0, 64, seeded("cpu", 0))
    assert set(batch.keys()) == {"states", "rewards", "log_ratio", "log_weight"}
    expected = objective.region.beta**2 * batch["log_weight"].var()
    torch.testing.assert_close(objective.loss(batch, seeded("cpu", 0)).detach(), expected)
    weights = log_weights(*objective.gather(batch, seeded("cpu", 0)))
    torch.testing.assert_close(weights[:, -1].detach(), batch["log_weight"])
    torch.testing.assert_close(log_variance_loss(weights).detach(), batch["log_weight"].var())


# The outer iterations ------------------------------------------------------------------------------------------------


def draws(spreads):
    """Ten trajectories at a time, with log-weights of the next spread for each iteration."""
    calls = []

    def draw(number):
        calls.append(number)
        generator = seeded("cpu", len(calls))
        log_w = spreads[(len(calls) - 1) // 3] * torch.randn(number, dtype=EXACT, generator=generator)
        return TensorDict({"log_weight": log_w, "call": torch.full((number,), len(calls))}, batch_size=[number])

    return draw, calls


def test_an_iteration_draws_in_pieces_keeps_its_trajectories_for_its_steps_and_then_draws_anew():
    trust = TrustRegion(0.2, size=25, inner_steps=4)
    draw, calls = draws([2.0, 0.1])
    for step in range(8):
        batch = trust.batch(draw, 10, 12, seeded("cpu", step), step=step)
        assert len(batch) == 12
        assert set(batch["call"].tolist()) <= ({1, 2, 3} if step < 4 else {4, 5, 6})
        held = trust.replay.held["log_weight"]
        assert trust.ess == pytest.approx((held.exp().sum() ** 2 / (2 * held).exp().sum() / 25).item())
        assert trust.kl == pytest.approx(tilted_kl(held, trust.beta).item())
        assert (0 < trust.beta < 1 and trust.kl == pytest.approx(0.2)) if step < 4 else trust.beta == 1.0 > trust.kl
    assert calls == [10, 10, 5] * 2


def test_groups_are_normalised_by_themselves():
    log_w = torch.tensor([0.0, math.log(3.0), 50.0, 50.0 + math.log(3.0)], dtype=EXACT)
    trust = TrustRegion(0.5, size=4, inner_steps=1, group=2)
    trust.batch(lambda n: TensorDict({"log_weight": log_w}, batch_size=[4]), 4, 2, seeded("cpu", 0), step=0)
    assert trust.beta == 1.0
    assert trust.kl == pytest.approx(tilted_kl(log_w[:2], 1.0).item())
    assert trust.ess == pytest.approx((1 + 3) ** 2 / (1 + 9) / 2)


def test_training_logs_the_region():
    oracle = fixed_start()
    objective = fit(region(oracle, bound=0.05), max_steps=3, **QUIET)
    logged = objective.trainer.callback_metrics
    assert logged["train/kl"].item() == pytest.approx(0.05, abs=1e-6)
    assert 0 < logged["train/beta"] < 1 and 0 < logged["train/ess"] < 1


def test_another_fit_begins_with_trajectories_of_the_policy_as_it_is():
    objective = region(fixed_start(), bound=0.05, inner_steps=4)
    fit(objective, max_steps=3, **QUIET)
    before, policy = objective.region.replay.held.clone(), objective.policy.table.detach().clone()
    fit(objective, max_steps=1, seed=1, **QUIET)
    held = objective.region.replay.held
    assert not torch.equal(held["states"], before["states"])
    fresh = region(fixed_start(), TablePolicy(fixed_start(), policy))
    spent = fresh.log_ratios(held["states"]).sum(dim=1)
    torch.testing.assert_close(held["log_ratio"], spent.detach())


def test_a_resumed_run_goes_on_amid_an_iteration(tmp_path):
    from pytorch_lightning.callbacks import ModelCheckpoint

    def train(**kwargs):
        objective = region(fixed_start(), bound=0.05, inner_steps=4)
        return fit(objective, max_steps=12, **QUIET, **kwargs)

    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=6, save_top_k=-1)
    whole = train(callbacks=[keep], enable_checkpointing=True)
    (middle,) = tmp_path.glob("*step=6.ckpt")
    resumed = train(ckpt_path=str(middle))
    assert torch.equal(resumed.policy.table, whole.policy.table)
    assert resumed.region.get_extra_state() == whole.region.get_extra_state()


@pytest.mark.parametrize("how", [dict(shared_start=16), dict(value="table"), {}])
def test_training_ends_inside_the_region_at_the_best_elbo(how):
    """x_0 varies in the first two."""
    oracle = markov() if how else fixed_start()
    objective = region(oracle, bound=0.05, learning_rate=3e-2, inner_steps=10, **how)
    first = gap(oracle, objective.policy.chain(), ALPHA)
    fit(objective, max_steps=200, seed=0, **QUIET)
    assert first > 0.05
    assert objective.region.beta == 1.0
    assert objective.region.ess > 0.99
    assert 0 <= gap(oracle, objective.policy.chain(), ALPHA) < 1e-3


# Arguments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(trust_region=0.0), "trust_region: expected a bound above 0 and below 6.24 nats"),
        (dict(trust_region=7.0), "the most that 512 trajectories can show, got 7.0"),
        (dict(shared_start=4, trust_region=1.4), "below 1.39 nats, the most that 4 trajectories can show"),
        (dict(inner_steps=0), "inner_steps: expected an integer of at least 1, got 0"),
        (dict(replay=0.5), "trust_region: expected variant 'log_variance', a policy, and no exploration or replay"),
        (dict(exploration_noise=0.1), "trust_region: expected variant 'log_variance', a policy, and no exploration or"),
        (dict(exploration=0.5), "trust_region: expected variant 'log_variance', a policy, and no exploration or"),
        (dict(variant="trajectory"), "trust_region: expected variant 'log_variance'.* got 'trajectory'"),
        (dict(value="table", policy=None), "trust_region: expected variant 'log_variance', a policy"),
        ({}, "value: expected one, as x_0 of this reference varies"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, words):
    settings = dict(variant="log_variance", value=None, trust_region=0.1, replay_size=512) | change
    with pytest.raises(ValueError, match=words):
        make(markov(), **settings)


def test_stored_trajectories_are_refused():
    oracle = fixed_start()
    stored = roll_out(oracle, 32, target=oracle.target(ALPHA), generator=seeded("cpu", 0))
    with pytest.raises(ValueError, match="data: a trust region is about trajectories of the policy itself"):
        region(oracle)._trajectories(stored, 32, seeded("cpu", 0))


def test_a_value_is_taken_from_the_weights_and_read_at_the_start_alone():
    oracle = markov()
    table = torch.randn(6, 5, dtype=EXACT, generator=seeded("cpu", 3))
    policy = rough(oracle)
    objective = region(oracle, policy, value=Learned(Table(table)))
    batch = objective._trajectories(0, 64, seeded("cpu", 0))
    paths = batch["states"][..., 0]
    log_ratio = (path_law(policy.chain(), paths) / path_law(oracle, paths)).log()
    torch.testing.assert_close(batch["log_ratio"], log_ratio)
    torch.testing.assert_close(batch["log_weight"], (batch["rewards"] - table[0, paths[:, 0]]) / ALPHA - log_ratio)
    objective.loss(batch, seeded("cpu", 0)).backward()
    gradient = objective.value.network.table.grad.abs().sum(dim=1)
    assert gradient[0] > 0 and not gradient[1:].any()

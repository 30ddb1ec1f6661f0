"""Value objectives on trajectories of any proposal: by enumeration, they learn what those of the reference teach."""

import itertools
import math

import pytest
import torch
from tensordict import TensorDict
from value_toys import Table, gaussian, law_as_batch, markov, tiny

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.inference import proposals
from svlearn.objectives.contrastive_energy import ContrastiveEnergy, contrastive_energy_loss
from svlearn.objectives.contrastive_twist import ContrastiveTwist, contrastive_twist_loss
from svlearn.objectives.distributional_policy_gradient import DistributionalPolicyGradient
from svlearn.objectives.fit import fit
from svlearn.objectives.monte_carlo import MonteCarloRegression
from svlearn.objectives.path_consistency import PathConsistency
from svlearn.objectives.soft_q import SoftQIteration
from svlearn.policies import Controlled, Policy
from svlearn.randomness import seeded
from svlearn.rollouts import RolloutData, collect, roll_out
from svlearn.transitions import CategoricalTransition
from svlearn.values import Learned

ALPHA, INF = 2.0, math.inf
CONSTRAINED = (1.0, -INF, -0.5)
REGRESSIONS = (MonteCarloRegression, SoftQIteration)


def other_chain(chain):
    """A proposal: the same start, other moves, in eighths, some of which the reference never makes."""
    moves = [[[1, 1, 6], [1, 2, 5], [2, 1, 5]], [[2, 1, 5], [3, 1, 4], [4, 2, 2]]]
    return FiniteMarkovChain(chain.initial_probs, torch.tensor(moves).double() / 8, chain.reward.table)


def paths_of(chain, proposal):
    """Every trajectory (27, 3, 1) with its log-ratios (27, 2), and its probability under the proposal (27,)."""
    paths = torch.tensor(list(itertools.product(range(3), repeat=3)))
    moves = [(paths[:, t], paths[:, t + 1]) for t in range(2)]
    ratios = torch.stack([(chain.matrices[t][m] / proposal.matrices[t][m]).log() for t, m in enumerate(moves)], dim=1)
    probs = chain.initial_probs[paths[:, 0]]
    for t, move in enumerate(moves):
        probs = probs * proposal.matrices[t][move]
    batch = {"states": paths[:, :, None], "rewards": chain.reward(paths[:, 2:]), "log_ratios": ratios}
    return TensorDict(batch, batch_size=[27]), probs


def as_law(batch, probs, unit):
    """The trajectories, each as often as it is likely in units of 1/`unit`: a mean over rows is an expectation."""
    copies = (probs * unit).round().long()
    torch.testing.assert_close(copies / unit, probs, check_dtype=False)
    return batch[torch.arange(len(batch)).repeat_interleave(copies)]


def setting(rewards=(1.0, -2.0, -0.5)):
    """The chain, the law of the proposal as a batch, the chance of x_t there (2, 3), and a random table (2, 3)."""
    chain = tiny(rewards)
    q = other_chain(chain)
    batch, probs = paths_of(chain, q)
    table = torch.randn(2, 3, generator=seeded("cpu", 5), dtype=torch.float64)
    return chain, as_law(batch, probs, 256), q.marginals()[:2], table


def objective_at(family, chain, table, *given, **options):
    objective = family(chain, chain.target(ALPHA), Learned(Table(3, 2)), *given, **options)
    objective.value.network.table.data.copy_(table)
    return objective


def gradient(objective, batch, seed=0):
    objective.value.network.table.grad = None
    objective.loss(batch, seeded("cpu", seed)).backward()
    return objective.value.network.table.grad.clone()


def test_the_toy_is_a_proposal_whose_weights_matter():
    chain, batch, law, _ = setting()
    assert (law[1] - chain.marginals()[1]).abs().max() > 0.1
    weights = batch["log_ratios"].sum(dim=1).exp()
    assert weights.mean().item() == pytest.approx(1.0) and weights.std() > 0.5
    assert bool((batch["log_ratios"] == -INF).any())  # moves that the reference never makes


@pytest.mark.parametrize("family", REGRESSIONS)
@pytest.mark.parametrize("estimand", ["soft", "mean"])
def test_the_expected_gradient_is_the_references_at_each_state(family, estimand):
    """At every x_t: law of x_t under the proposal, times the gradient given x_t under the reference, at random v."""
    chain, batch, law, table = setting(CONSTRAINED if estimand == "soft" else (1.0, -2.0, -0.5))
    objective, plain = (objective_at(family, chain, table, estimand) for _ in range(2))
    for each in (objective, plain):
        each.reward_variance.fill_(1.0)
        if family is SoftQIteration:
            each.slow.network.table.copy_(table.flip(0))
    expected = gradient(plain, law_as_batch(chain)) / chain.marginals()[:2] * law
    torch.testing.assert_close(gradient(objective, batch), expected)
    batch.pop("log_ratios")
    assert (gradient(objective, batch) - expected).abs().max() > 0.01


@pytest.mark.parametrize("family", [ContrastiveTwist, ContrastiveEnergy])
def test_the_exact_value_is_the_zero_of_the_expected_contrastive_gradients(family):
    chain, batch, _, table = setting(CONSTRAINED)
    exact = chain.soft_table(ALPHA)[:2] + torch.tensor([[3.0], [-1.0]])
    options = dict(group_size=2) if family is ContrastiveEnergy else {}
    batch = pairs(batch) if family is ContrastiveEnergy else torch.cat([batch, batch])
    found = gradient(objective_at(family, chain, exact, **options), batch)
    torch.testing.assert_close(found, torch.zeros(2, 3).double(), atol=1e-14, rtol=0)
    assert gradient(objective_at(family, chain, table, **options), batch).abs().max() > 0.01
    batch.pop("log_ratios")
    assert gradient(objective_at(family, chain, exact, **options), batch).abs().max() > 0.01


def pairs(batch):
    """Pairs of trajectories side by side, all of them: with two to a group, the mean over groups is the expectation."""
    index = torch.arange(len(batch))
    return batch[torch.cartesian_prod(index, index).flatten()]


def test_the_twist_gradient_is_that_between_two_laws_over_that_of_the_batch():
    """Their common base is the proposal's law of x_t, for a value does not say where states come from."""
    chain, batch, law, table = setting(CONSTRAINED)
    found = gradient(objective_at(ContrastiveTwist, chain, table), torch.cat([batch, batch]))
    exact = chain.soft_table(ALPHA)[:2]
    learned, optimal = ((law.log() + each / ALPHA).softmax(dim=1) for each in (table, exact))
    torch.testing.assert_close(found, (learned - optimal) / ALPHA / 2)


def test_the_energy_gradient_is_the_exact_one_over_pairs_of_the_proposal():
    chain, batch, law, table = setting(CONSTRAINED)
    objective = objective_at(ContrastiveEnergy, chain, table, group_size=2)
    found = gradient(objective, pairs(batch))
    assert objective.level.item() == pytest.approx(chain.log_normalizer(ALPHA).item())
    guess, exact = table.clone().requires_grad_(), chain.soft_table(ALPHA)
    for t, x, y in itertools.product(range(2), range(3), range(3)):
        loss = contrastive_energy_loss(guess[t, [x, y]], exact[t, [x, y]], ALPHA, chain.log_normalizer(ALPHA))
        (law[t, x] * law[t, y] * loss / 2).backward()
    torch.testing.assert_close(found, guess.grad)


def test_weighed_negatives_by_hand():
    zero, values, log_weights = torch.zeros(1), torch.tensor([2.0, 0.0, 4.0]), torch.tensor([3.0, 1.0, 0.0]).log()
    loss = contrastive_twist_loss(zero, zero, values, 2.0, log_weights)
    assert loss.item() == pytest.approx(math.log((3 * math.e + 1) / 4))


def test_smc_positives_are_contrasted_with_the_law_of_the_reference():
    chain, batch, _, table = setting(CONSTRAINED)
    objective, found = objective_at(ContrastiveTwist, chain, table, positives="smc"), []
    for seed in range(100):
        found.append(gradient(objective, torch.cat([batch] * 4), seed))
    found = torch.stack(found)
    error = found.std(dim=0) / math.sqrt(100)
    learned = (chain.marginals()[:2].log() + table / ALPHA).softmax(dim=1)
    expected = (learned - chain.optimal(ALPHA).marginals()[:2]) / ALPHA / 2
    assert bool(((found.mean(dim=0) - expected).abs() < 4 * error).all())
    assert error.max() < 0.05 * expected.abs().max()


def test_negatives_beside_smc_positives_are_weighed_for_the_past_alone():
    chain, batch, _, table = setting(CONSTRAINED)
    found = []
    for last in (batch["log_ratios"][:, 1], torch.randn(256, generator=seeded("cpu", 1)).double()):
        batch["log_ratios"] = torch.stack([batch["log_ratios"][:, 0], last], dim=1)
        found.append(gradient(objective_at(ContrastiveTwist, chain, table, positives="smc"), batch))
    assert torch.equal(*found)


class Reversal(FiniteMarkovChain):
    """A chain with its exact forward process: p(x_t | x_T) by Bayes' rule."""

    def noise(self, x, t_from, t_to, *, generator=None):
        joint = self.marginals()[t_to] * self.clean_probs[t_to, :, x[:, 0]]
        return torch.multinomial(joint, 1, generator=generator)


@pytest.mark.parametrize("estimand", ["soft", "mean"])
def test_noised_states_are_weighed_by_their_whole_paths(estimand):
    """Then x_T, and with it x_t, is of the reference: the expected gradient is the reference's own."""
    chain, batch, _, table = setting((4.0, -2.0, -4.0))
    chain = Reversal(chain.initial_probs, chain.matrices, chain.reward.table)
    plain = objective_at(MonteCarloRegression, chain, table, estimand)
    noised = objective_at(MonteCarloRegression, chain, table, estimand, noised=True)
    for each in (plain, noised):
        each.reward_variance.fill_(1.0)
    batch = torch.cat([batch] * 4)
    found = torch.stack([gradient(noised, batch, seed) for seed in range(200)])
    error = found.std(dim=0) / math.sqrt(200)
    expected = gradient(plain, law_as_batch(chain))
    assert bool(((found.mean(dim=0) - expected).abs() < 4 * error).all())
    assert error.max() < 0.02 * expected.abs().max()
    batch.pop("log_ratios")
    plain = torch.stack([gradient(noised, batch, seed) for seed in range(200)]).mean(dim=0)
    assert bool(((plain - expected).abs() > 8 * error).any())


def test_fresh_next_states_need_no_weight():
    chain, batch, _, table = setting()
    torch.testing.assert_close(
        gradient(objective_at(SoftQIteration, chain, table, num_next=2), batch),
        gradient(objective_at(SoftQIteration, chain, table, num_next=2), batch.exclude("log_ratios")),
    )


@pytest.mark.parametrize("estimand", ["soft", "mean"])
def test_soft_q_weighs_one_move_alone(estimand):
    """Weights of what comes later would be right on average too, and noisier with every step."""
    chain, batch, _, table = setting()
    found = []
    for later in (batch["log_ratios"][:, 1], torch.zeros(256)):
        objective = objective_at(SoftQIteration, chain, table, estimand)
        batch["log_ratios"] = torch.stack([batch["log_ratios"][:, 0], later], dim=1)
        found.append(gradient(objective, batch[:5]))
    assert torch.equal(found[0][0], found[1][0]) and not torch.equal(found[0][1], found[1][1])


def test_with_the_optimal_proposal_the_soft_gradient_at_the_value_has_no_variance():
    """Every trajectory says W_t exp(r/α) = exp(v_t/α): so the second term of the loss must not be weighed."""
    chain = tiny()
    batch, _ = paths_of(chain, chain.optimal(ALPHA))
    batch = batch[chain.optimal(ALPHA).matrices[0][batch["states"][:, 0, 0], batch["states"][:, 1, 0]] > 0]
    batch = batch[batch["log_ratios"].isfinite().all(dim=1)]
    objective = objective_at(MonteCarloRegression, chain, chain.soft_table(ALPHA)[:2], "soft")
    for row in range(len(batch)):
        found = gradient(objective, batch[row : row + 1])
        torch.testing.assert_close(found, torch.zeros(2, 3).double(), atol=1e-14, rtol=0)


@pytest.mark.parametrize("family", [*REGRESSIONS, ContrastiveTwist, ContrastiveEnergy])
def test_a_proposal_that_is_the_reference_changes_no_bit(family):
    chain, _, _, table = setting()
    same = [objective_at(family, chain, table, proposal=each) for each in (None, proposals.FromReference())]
    tables = [fit(each, max_steps=3, enable_progress_bar=False).value.network.table for each in same]
    assert torch.equal(*tables)


class Tilted(Policy):
    """A chain of three states and two steps with free logits."""

    def __init__(self, chain):
        super().__init__(chain)
        drawn = torch.randn(2, 3, 3, generator=seeded("cpu", 3), dtype=torch.float64)
        self.logits = torch.nn.Parameter(0.5 * drawn)

    def steer(self, prediction, x, t):
        return CategoricalTransition(prediction.transition.log_probs + self.logits[t, x[:, 0]][:, None])

    def trained(self):
        return [self.logits]


def test_a_policy_learns_from_stored_trajectories_of_a_proposal_as_from_the_references():
    """The gradient of the mass-covering KL, expected over each law of trajectories."""
    chain = tiny()
    objective = DistributionalPolicyGradient(chain, chain.target(ALPHA), Tilted(chain))
    objective.log_scale.zero_()
    gradients = []
    for drawn_by in (chain, chain.optimal(0.5)):
        batch, probs = paths_of(chain, drawn_by)
        kept = probs > 0
        stored = objective._trajectories(batch[kept], 1, seeded("cpu", 0))
        rows = range(int(kept.sum()))
        each = torch.stack([objective.loss(stored[row : row + 1], seeded("cpu", 0)) for row in rows])
        gradients += torch.autograd.grad(probs[kept] @ each, objective.policy.logits)
    torch.testing.assert_close(*gradients)


def test_path_consistency_of_a_value_alone_refuses_what_it_cannot_weigh():
    chain, batch, *_ = setting()
    objective = PathConsistency(chain, chain.target(ALPHA), Learned(Table(3, 2)), variant="detailed")
    with pytest.raises(ValueError, match="data: without a policy.*MonteCarloRegression and SoftQIteration weigh them"):
        objective._trajectories(batch, 8, seeded("cpu", 0))


def test_log_ratios_of_another_shape_are_refused():
    chain, batch, _, table = setting()
    batch["log_ratios"] = batch["log_ratios"][:, :1]
    with pytest.raises(ValueError, match=r"trajectories\['log_ratios'\]: expected shape \(256, 2\), got \(256, 1\)"):
        objective_at(MonteCarloRegression, chain, table).loss(batch, seeded("cpu", 0))


def test_a_validation_looks_at_trajectories_as_the_reference_draws_them():
    import pytorch_lightning as pl

    oracle, _ = markov()
    proposal = oracle.optimal(1.0)
    logged = {}
    for name, q in (("reference", None), ("proposal", proposal)):
        objective = MonteCarloRegression(
            oracle, oracle.target(0.0), Learned(Table(5, 6)), num_validation=20_000, proposal=q
        )
        objective.value.network.table.data.copy_(oracle.mean_value().table[:6])
        trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
        (logged[name],) = trainer.validate(objective, verbose=False)
    for t in range(6):
        key = f"validation/r2_t{t:03d}"
        assert logged["proposal"][key] == pytest.approx(logged["reference"][key], abs=0.04)


class Push(torch.nn.Module):
    """A control that is the same everywhere."""

    def __init__(self):
        super().__init__()
        self.push = torch.nn.Parameter(torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64))

    def forward(self, x, t):
        return self.push.expand_as(x)


def make(name):
    if name == "markov":
        oracle, network = markov()
        return oracle, network, proposals.Policy(oracle.optimal(2 * ALPHA))
    oracle, network = gaussian()
    return oracle, network, Controlled(oracle, Push())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "family", "given"),
    [
        ("gaussian", MonteCarloRegression, ("soft",)),
        ("markov", MonteCarloRegression, ("mean",)),
        ("markov", SoftQIteration, ("soft",)),
        ("gaussian", SoftQIteration, ("mean",)),
        ("markov", ContrastiveTwist, ()),
        ("gaussian", ContrastiveEnergy, ()),
    ],
)
def test_it_learns_the_exact_value_from_a_proposal(name, family, given):
    oracle, network, proposal = make(name)
    options = dict(learning_rate=2e-2, batch_size=256, proposal=proposal)
    objective = family(oracle, oracle.target(ALPHA), Learned(network), *given, **options)
    fit(objective, max_steps=1500, seed=0, enable_progress_bar=False)
    exact = oracle.mean_value() if given == ("mean",) else oracle.soft_value(ALPHA)
    states = roll_out(oracle, 4000, generator=seeded("cpu", 99))["states"]
    for t in range(oracle.num_steps):
        x, times = states[:, t], torch.full((4000,), t)
        with torch.no_grad():
            miss, truth = objective.value(x, times) - exact(x, times), exact(x, times)
        unknown = 0.0 if given else miss.mean()  # the contrastive two learn it up to a constant
        assert 1 - ((miss - unknown) ** 2).mean() / truth.var() > 0.99


def test_it_learns_from_what_a_proposal_has_stored(tmp_path):
    oracle, network, proposal = make("markov")
    collect(oracle, 4000, tmp_path, target=oracle.target(ALPHA), progress=False, proposal=proposal)
    objective = MonteCarloRegression(oracle, oracle.target(ALPHA), Learned(network), "soft", learning_rate=5e-2)
    fit(objective, max_steps=300, data=RolloutData(tmp_path), enable_progress_bar=False)
    exact, law = oracle.soft_table(ALPHA)[:6], oracle.marginals()[:6]
    miss = objective.value.network.table.detach() - exact
    spread = exact - (law * exact).sum(dim=1, keepdim=True)
    assert bool(((law * miss**2).sum(dim=1) < 0.05 * (law * spread**2).sum(dim=1)).all())


def test_a_checkpoint_leaves_the_proposal_out(tmp_path):
    from pytorch_lightning.callbacks import ModelCheckpoint

    oracle, network, proposal = make("gaussian")
    objective = MonteCarloRegression(oracle, oracle.target(ALPHA), Learned(network), proposal=proposal)
    assert [type(each) for each in objective.proposal_modules] == [Controlled]
    keep = ModelCheckpoint(dirpath=tmp_path, save_last=True)
    fit(objective, max_steps=2, callbacks=[keep], enable_checkpointing=True, enable_progress_bar=False)
    held = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert {name.split(".")[0] for name in held} == {"value", "reward_variance"}

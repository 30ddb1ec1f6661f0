"""What is learned on trajectories of a proposal, drawn or stored, and what a validation and a checkpoint see of it."""

import pytest
import torch
from proposal_toys import ALPHA, objective_at, paths_of, setting
from value_toys import Table, gaussian, markov, tiny

from svlearn.inference import proposals
from svlearn.objectives.contrastive_energy import ContrastiveEnergy
from svlearn.objectives.contrastive_twist import ContrastiveTwist
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
    ("name", "family", "arguments"),
    [
        ("gaussian", MonteCarloRegression, ("soft",)),
        ("markov", MonteCarloRegression, ("mean",)),
        ("markov", SoftQIteration, ("soft",)),
        ("gaussian", SoftQIteration, ("mean",)),
        ("markov", ContrastiveTwist, ()),
        ("gaussian", ContrastiveEnergy, ()),
    ],
)
def test_it_learns_the_exact_value_from_a_proposal(name, family, arguments):
    oracle, network, proposal = make(name)
    options = dict(learning_rate=2e-2, batch_size=256, proposal=proposal)
    objective = family(oracle, oracle.target(ALPHA), Learned(network), *arguments, **options)
    fit(objective, max_steps=1500, seed=0, enable_progress_bar=False)
    exact = oracle.mean_value() if arguments == ("mean",) else oracle.soft_value(ALPHA)
    states = roll_out(oracle, 4000, generator=seeded("cpu", 99))["states"]
    for t in range(oracle.num_steps):
        x, times = states[:, t], torch.full((4000,), t)
        with torch.no_grad():
            miss, truth = objective.value(x, times) - exact(x, times), exact(x, times)
        unknown = 0.0 if arguments else miss.mean()  # the contrastive two learn it up to a constant
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

"""Trajectories that a proposal draws: whose they are, what each move weighs, and how they are stored."""

import json
import math

import pytest
import torch
from rollout_toys import Mixed, Walk, total
from torch import nn

from svlearn import Target
from svlearn.domains.analytic import TokenTree
from svlearn.inference import proposals
from svlearn.metering import metered
from svlearn.policies import Controlled
from svlearn.randomness import seeded
from svlearn.rollouts import RolloutData, Rollouts, collect, roll_out
from svlearn.targets import NonFiniteError
from svlearn.values import Value, Zero


class Push(nn.Module):
    """g(x, t) = push, in nats per unit of x."""

    def __init__(self, push=1.0):
        super().__init__()
        self.push = nn.Parameter(torch.tensor(push, dtype=torch.float64))

    def forward(self, x, t):
        return self.push.expand_as(x)


def test_the_policy_draws_and_the_ratio_is_that_of_each_move():
    walk = Walk()
    policy = Controlled(walk, Push())
    trajectories = roll_out(walk, 6, target=Target(total, 1.0), generator=seeded("cpu", 3), proposal=policy)
    own = roll_out(policy, 6, generator=seeded("cpu", 3))
    assert torch.equal(trajectories["states"], own["states"])
    moves = trajectories["states"].diff(dim=1)
    by_hand = -(moves - 0.5 * 0.25).sum(dim=2)  # log N(x'; x, s²) - log N(x'; x + s² g, s²) = -g (x' - x - s² g/2)
    torch.testing.assert_close(trajectories["log_ratios"], by_hand)
    assert trajectories["log_ratios"].dtype == torch.float64 and not trajectories["log_ratios"].requires_grad
    assert torch.equal(trajectories["rewards"], total(trajectories["states"][:, -1]))


def test_weights_carry_the_proposals_trajectories_to_the_references():
    walk, size = Walk(width=1), 40_000
    trajectories = roll_out(walk, size, generator=seeded("cpu", 0), proposal=Controlled(walk, Push(0.5)))
    weights, last = trajectories["log_ratios"].sum(dim=1).exp(), trajectories["states"][:, -1, 0]
    for estimate, exact in ((weights, 1.0), (weights * last, 0.0), (weights * last**2, 2.0)):
        assert abs(estimate.mean() - exact) < 4 * estimate.std() / math.sqrt(size)
    assert last.mean() > 0.4


def test_every_proposal_will_do_and_the_reference_weighs_one():
    walk = Walk()
    policy = Controlled(walk, Push())
    wrapped, bare = (
        roll_out(walk, 3, generator=seeded("cpu", 1), proposal=each) for each in (proposals.Policy(policy), policy)
    )
    assert bool((wrapped == bare).all())
    plain = roll_out(walk, 3, generator=seeded("cpu", 1), proposal=proposals.FromReference())
    assert plain["log_ratios"].tolist() == [[0.0] * 4] * 3
    assert torch.equal(plain["states"], roll_out(walk, 3, generator=seeded("cpu", 1))["states"])
    other = roll_out(walk, 3, generator=seeded("cpu", 1), proposal=Walk(step=1.0))  # any process is a policy
    law = torch.distributions.Normal
    moves = other["states"].diff(dim=1)
    expected = (law(0.0, 0.5).log_prob(moves) - law(0.0, 1.0).log_prob(moves)).sum(dim=2)
    torch.testing.assert_close(other["log_ratios"], expected, rtol=1e-5, atol=1e-6)


def test_tensordict_states_and_costs():
    mixed = Mixed()
    with metered(max_batch=3) as meter:
        trajectories = roll_out(mixed, 7, generator=seeded("cpu", 0), proposal=Mixed())
    assert (meter.cost.reference_calls, meter.cost.policy_calls) == (21, 21)
    assert trajectories["states"].batch_size == (7, 4)
    assert trajectories["log_ratios"].abs().max() < 1e-5


def test_what_is_no_proposal_is_refused(tmp_path):
    for call in (lambda q: roll_out(Walk(), 2, proposal=q), lambda q: collect(Walk(), 2, tmp_path / "x", proposal=q)):
        with pytest.raises(TypeError, match="proposal: expected a Proposal, or a process such as a policy, got str"):
            call("policy")


def test_a_reward_that_is_nan_tells_on_which_trajectories():
    target = Target(lambda x: torch.full((len(x),), math.nan), 1.0)
    with pytest.raises(NonFiniteError, match="got nan at index 0") as caught:
        roll_out(Walk(), 2, target=target, generator=seeded("cpu", 0))
    assert torch.equal(caught.value.trajectories["states"], roll_out(Walk(), 2, generator=seeded("cpu", 0))["states"])


def test_a_store_keeps_the_ratios_and_serves_them(tmp_path):
    walk = Walk()
    policy = Controlled(walk, Push())
    options = dict(target=Target(total, 1.0), batch_size=4, progress=False)
    store = collect(walk, 10, tmp_path / "a", proposal=policy, **options)
    assert store.data["log_ratios"].shape == (10, 4) and store.data["log_ratios"].dtype == torch.float64
    first = roll_out(walk, 4, target=options["target"], generator=seeded("cpu", 0, 0), proposal=policy)
    assert bool((store[[0, 1, 2, 3]] == first).all())
    data = RolloutData(tmp_path / "a", batch_size=5, validation_fraction=0.0)
    data.setup()
    assert set(next(iter(data.train_dataloader())).keys()) == {"states", "rewards", "log_ratios"}
    assert "log_ratios" not in collect(walk, 10, tmp_path / "b", **options).data


def test_rollouts_of_another_proposal_are_refused_by_name(tmp_path):
    walk = Walk()
    policy = Controlled(walk, Push())
    collect(walk, 4, tmp_path, proposal=policy, progress=False)
    collect(walk, 4, tmp_path, proposal=proposals.Policy(policy), progress=False)  # the same by another name
    for other in (None, Controlled(walk, Push(0.5)), proposals.FromReference()):
        with pytest.raises(ValueError, match="of other arguments: expected proposal = 'Policy [0-9a-f]+"):
            collect(walk, 4, tmp_path, proposal=other, progress=False)


def test_stores_from_before_proposals_stay_readable(tmp_path):
    collect(Walk(), 4, tmp_path, progress=False)
    manifest = tmp_path / "manifest.json"
    held = json.loads(manifest.read_bytes())
    assert held["request"].pop("proposal") is None
    manifest.write_text(json.dumps(held))
    assert len(Rollouts.open(tmp_path)) == 4
    assert len(collect(Walk(), 4, tmp_path, progress=False)) == 4
    with pytest.raises(ValueError, match="expected proposal = None, got 'FromReference'"):
        collect(Walk(), 4, tmp_path, proposal=proposals.FromReference(), progress=False)


class Pull(Value):
    """v_t(x) = -|x|² / 2."""

    def forward(self, x, t, prediction=None):
        return -0.5 * x.square().sum(dim=1)


PULLED = Target(total, 1.0)


@pytest.mark.parametrize(
    ("other", "target"),
    [
        (proposals.Guided(Pull(), scale=2.0), PULLED),
        (proposals.Guided(Pull(), scale=[1.0, 1.0, 1.0, 2.0]), PULLED),
        (proposals.Guided(Pull(), clip=1.0), PULLED),
        (proposals.Guided(Pull(), at="state"), PULLED),
        (proposals.Guided(Zero()), PULLED),
        (proposals.Exact(Pull()), PULLED),
        (proposals.Guided(Pull()), Target(total, 2.0)),
        (proposals.Guided(Pull()), Target(total, 1.0, floor=-5.0)),
    ],
    ids=["scale", "schedule", "clip", "at", "value", "class", "alpha", "floor"],
)
def test_all_that_a_proposal_depends_on_counts(tmp_path, other, target):
    def stored(proposal, target):
        return collect(Walk(), 4, tmp_path, target=target, proposal=proposal, progress=False)

    stored(proposals.Guided(Pull()), PULLED)
    stored(proposals.Guided(Pull(), scale=1), PULLED)  # the same
    with pytest.raises(ValueError, match="of other arguments: expected .*proposal_identity = "):
        stored(other, target)


def test_alpha_does_not_count_for_a_proposal_that_does_not_use_it(tmp_path):
    policy = Controlled(Walk(), Push())
    collect(Walk(), 4, tmp_path, target=PULLED, proposal=policy, progress=False)
    collect(Walk(), 4, tmp_path, target=Target(total, 2.0), proposal=policy, progress=False)


def test_measures_are_there_for_every_step_and_0_where_nothing_moves():
    """Of a tree whose texts end early, and of a proposal that is the reference's own law."""
    tree = TokenTree.random(num_tokens=2, length=3, seed=1, end=1)
    other = TokenTree(tree.probs.flip(1), 2, 3, tree.reward, end=1)
    measures = {"kl": lambda q, p, x: q.kl(p), "ratio": lambda q, p, x: q.log_ratio(p, x)}
    drawn = roll_out(tree, 60, proposal=other, measures=measures, generator=seeded("cpu", 0))
    torch.testing.assert_close(drawn["ratio"], -drawn["log_ratios"])
    for t in range(3):
        x = drawn["states"][:, t]
        moments = torch.full((60,), t)
        expected = other(x, moments).transition.kl(tree(x, moments).transition)
        torch.testing.assert_close(drawn["kl"][:, t], expected)
        assert not drawn["kl"][tree.finished(x), t].any()
    assert (drawn["kl"] > 0).any() and tree.finished(drawn["states"][:, 1]).any()
    own = roll_out(tree, 5, proposal=proposals.FromReference(), measures=measures, generator=seeded("cpu", 0))
    assert not own["kl"].any() and own["kl"].shape == (5, 3)
    with pytest.raises(ValueError, match="measures: expected a proposal beside them, got kl, ratio and none"):
        roll_out(tree, 5, measures=measures)

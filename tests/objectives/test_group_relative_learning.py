"""GRPO comes to p* of exact oracles, whatever the law; goes on where it was; and its groups are what they should be."""

import pytest
import torch
from condition_toys import PolicyByClass, markov_by_class
from control_toys import LinearInX
from distillation_toys import Table
from group_toys import ALPHA, TreeTable, make, tree, tree_paths

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain, TokenTree, elbo
from svlearn.metering import metered
from svlearn.objectives import GroupRelativePolicyGradient
from svlearn.objectives.fit import fit
from svlearn.policies import Controlled, Finetuned, Policy
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import MaskedTransition, MixtureTransition

QUIET = dict(enable_progress_bar=False)


def text_gap(policy):
    """KL(q || p*) = log Z - ELBO, nats, of the texts of a tree."""
    oracle = policy.reference
    states, own, others = tree_paths(oracle, policy)
    gains = oracle.target(ALPHA)(states[:, -1]).double() / ALPHA - (own - others)
    return float((oracle.log_normalizer(ALPHA) - (own.exp() * gains).sum()).detach())


def test_it_comes_to_p_star_of_a_token_tree():
    oracle = tree()
    objective = make(oracle, TreeTable(oracle), batch_size=128, group_size=4, learning_rate=5e-2)
    before = text_gap(objective.policy)
    fit(objective, max_steps=80, **QUIET)
    assert -1e-12 < text_gap(objective.policy) < 0.02 * before and before > 0.1


def gaussian():
    drawn = LinearGaussianChain.random(dim=2, num_steps=3, seed=0)
    turn = torch.linalg.qr(drawn.matrices)[0]
    return LinearGaussianChain(drawn.initial_mean, 1.0, 0.95 * turn, drawn.offsets, 0.6 * drawn.stds, drawn.reward)


def test_it_comes_to_the_best_elbo_of_a_gaussian_chain():
    oracle = gaussian()
    network = LinearInX(2, 3)
    options = dict(learning_rate=3e-2, batch_size=128, group_size=16)
    objective = GroupRelativePolicyGradient(oracle, oracle.target(2.0), Controlled(oracle, network), **options)

    @torch.no_grad()
    def gap():
        variances = oracle.stds**2
        matrices = oracle.matrices + variances[:, :, None] * network.weights
        laws = matrices, oracle.offsets + variances * network.biases, oracle.stds
        policy = LinearGaussianChain(oracle.initial_mean, oracle.initial_covariance, *laws, oracle.reward)
        return float(oracle.best_elbo(2.0) - elbo(policy, oracle, 2.0))

    before = gap()
    fit(objective, max_steps=200, **QUIET)
    assert -1e-9 < gap() < 0.05 * before and before > 0.005


class Unmasking(Reference):
    """Two places of two tokens, one unmasked a step, by logits for each place given what the other is."""

    num_steps, mask = 2, 2

    def __init__(self):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.randn(2, 3, 2, generator=seeded("cpu", 2), dtype=torch.float64))

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.full((batch_size, 2), self.mask)

    def forward(self, x, t, previous=None):
        logits = torch.stack([self.logits[0, x[:, 1]], self.logits[1, x[:, 0]]], dim=1)
        return Prediction(MaskedTransition(x, logits, self.mask, number=1))

    def log_law(self):
        """log p(x_T) of the four words, by both orders, (2, 4): each of an order with the same joint law counts."""
        rows = self.logits.log_softmax(dim=2)
        first = rows[0, 2][:, None] + rows[1, :2]
        last = rows[1, 2][None] + rows[0, :2].T
        return torch.stack([first.flatten(), last.flatten()]) - torch.tensor(2.0).log()


def test_it_comes_to_p_star_of_a_masked_process():
    """log Z - ELBO over paths: which place comes first, and the tokens."""
    table = torch.tensor([1.0, -0.5, 0.2, 0.9], dtype=torch.float64)
    reference = Unmasking()
    with torch.no_grad():  # of two orders with one law, so that p* is in the class
        rows = reference.logits.log_softmax(dim=2)
        joint = rows[0, 2][:, None] + rows[1, :2]
        reference.logits[1, 2] = joint.logsumexp(dim=0)
        reference.logits[0, :2] = (joint - joint.logsumexp(dim=0)).T
    policy = Finetuned(reference)
    target = Target(lambda x: table[2 * x[:, 0] + x[:, 1]], ALPHA)
    log_normalizer = (reference.log_law() + table / ALPHA).logsumexp(dim=(0, 1))

    @torch.no_grad()
    def gap():
        own, others = policy.copy.log_law(), reference.log_law()
        return float(log_normalizer - (own.exp() * (table / ALPHA - (own - others))).sum())

    before = gap()
    options = dict(batch_size=128, group_size=8, learning_rate=5e-2)
    fit(GroupRelativePolicyGradient(reference, target, policy, **options), max_steps=120, **QUIET)
    assert -1e-9 < gap() < 0.02 * before and before > 0.1


@pytest.mark.parametrize("options", [{"kl": "sampled"}, {"window": 1}, {"num_times": 1}, {"shared_start": True}])
def test_it_learns_with_every_unbiased_option(options):
    oracle = tree()
    objective = make(oracle, TreeTable(oracle), batch_size=128, group_size=4, learning_rate=5e-2, **options)
    before = text_gap(objective.policy)
    fit(objective, max_steps=120, **QUIET)
    assert text_gap(objective.policy) < 0.05 * before


def test_those_of_a_group_have_one_condition_and_with_a_shared_start_one_x_0():
    oracle = markov_by_class()
    for shared in (False, True):
        objective = GroupRelativePolicyGradient(
            *(oracle, oracle.target(ALPHA), PolicyByClass(oracle)),
            **dict(conditions=torch.arange(3), group_size=4, batch_size=40, shared_start=shared),
        )
        start = objective.drawn(40, seeded("cpu", 0))["states"][:, 0]
        groups = start.view(10, 4)
        alike = {name: bool((leaf == leaf[:, :1]).all()) for name, leaf in groups.items()}
        assert alike["condition"] and alike["x"] == shared, alike
        assert len(groups["condition"].unique()) == 3


def test_a_run_resumed_amid_an_iteration_ends_where_an_uninterrupted_one_does(tmp_path):
    from pytorch_lightning.callbacks import ModelCheckpoint

    def train(**kwargs):
        oracle = FiniteMarkovChain.random(num_states=5, num_steps=6, seed=0)
        options = dict(num_minibatches=2, num_epochs=2, batch_size=8, window=3, advantages="standardized")
        return fit(make(oracle, **options), max_steps=10, **QUIET, **kwargs)

    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=5, save_top_k=-1)
    whole = train(callbacks=[keep], enable_checkpointing=True)
    (middle,) = tmp_path.glob("*step=5.ckpt")
    assert torch.equal(train(ckpt_path=str(middle)).policy.logits, whole.policy.logits)


def test_the_window_moves_by_iterations_and_calls_for_its_steps_alone():
    oracle = FiniteMarkovChain.random(num_states=3, num_steps=5, seed=0)
    options = dict(num_minibatches=2, num_epochs=1, batch_size=4, window=2, window_every=2, num_validation=5)

    class Seen(GroupRelativePolicyGradient):
        def chosen_times(self, size, generator):
            times = super().chosen_times(size, generator)
            seen.append(times[0].tolist())
            return times

    seen = []
    objective = Seen(oracle, oracle.target(ALPHA), Table(oracle), group_size=2, **options)
    with metered() as meter:
        fit(objective, max_steps=20, **QUIET)
    first = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert seen == [[at, (at + 1) % 5] for each in first for at in (each, each)]
    assert meter.cost.policy_calls == 10 * 8 * 5 + 20 * 4 * 2  # drawn, and learned from
    frozen = make(oracle, window=2, window_moves="frozen")
    assert frozen.chosen_times(3, seeded("cpu", 0)).tolist() == [[0, 1]] * 3
    fit(objective, max_steps=1, limit_val_batches=1, val_check_interval=1, **QUIET)  # of 5, which is no multiple of 2


class Mixed(Policy):
    """A law without a closed form of its divergence."""

    def __init__(self, reference):
        super().__init__(reference)
        self.logits = torch.nn.Parameter(torch.zeros(reference.probs.shape, dtype=torch.float64))
        self.table = TreeTable(reference)
        self.table.logits = self.logits

    def steer(self, prediction, x, t):
        return MixtureTransition([self.table.steer(prediction, x, t), prediction.transition], [0.9, 0.1])

    def trained(self):
        return [self.logits]


def test_a_law_without_a_closed_form_says_what_to_take():
    oracle = TokenTree.random(num_tokens=2, length=2, seed=0)
    for kl in ("exact", "direct"):
        with pytest.raises(TypeError, match=f"kl='{kl}': expected transitions .* got MixtureTransition .*kl='sampled'"):
            make(oracle, Mixed(oracle), kl=kl)
    for kl in ("sampled", "k3"):
        objective = make(oracle, Mixed(oracle), kl=kl, learning_rate=0.05)
        fit(objective, max_steps=3, **QUIET)
        assert objective.policy.logits.any()

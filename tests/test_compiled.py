"""Compiled references, values and parts are taken, named, saved and told apart as the plain ones."""

import pytest
import torch
from torch import nn

import svlearn as sv
from svlearn import checkpoints
from svlearn.compiled import own_names, plain, plain_copy, plain_names
from svlearn.fingerprint import fingerprint
from svlearn.objectives import MonteCarloRegression, PolicyGradient, SoftQIteration
from svlearn.objectives.fit import fit
from svlearn.policies import Controlled, Finetuned
from svlearn.process import Prediction, Reference, has
from svlearn.randomness import seeded
from svlearn.rollouts import collect
from svlearn.transitions import GaussianTransition


class First(nn.Module):
    """A reward: the first coordinate."""

    def forward(self, x):
        return x[:, 0]


TARGET = sv.Target(First(), 1.0)


def compiled(module):
    return torch.compile(module, backend="eager")


class Network(nn.Module):
    def __init__(self, out):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, out))

    def forward(self, x, t):
        values = self.layers(torch.cat([x, t[:, None] / 3], dim=1))
        return values.squeeze(1)


class Walk(Reference):
    num_steps = 3

    def __init__(self, part=lambda module: module):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.network = part(Network(2))

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator)

    def forward(self, x, t, previous=None):
        mean = x + self.network(x, t)
        return Prediction(GaussianTransition(mean, 0.5), clean=mean)

    def noise(self, x, t_from, t_to, *, generator=None):
        return x


WAYS = {"whole": lambda: compiled(Walk()), "a part": lambda: Walk(compiled), "both": lambda: compiled(Walk(compiled))}
EACH = pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)


@EACH
def test_a_compiled_reference_is_one_with_the_plain_ones_fingerprint(make):
    reference, own = make(), Walk()
    assert isinstance(reference, Reference) and type(plain(reference)) is Walk
    assert fingerprint(reference) == fingerprint(own)
    assert plain_names(reference.state_dict()).keys() == own.state_dict().keys()
    assert has(reference, "noise") and not has(reference, "decode")
    assert not isinstance(compiled(nn.Linear(1, 1)), Reference)
    copied = plain_copy(reference)
    assert copied.state_dict().keys() == own.state_dict().keys()
    assert copied.network.layers[0].weight is not plain(plain(reference).network).layers[0].weight


@EACH
def test_samplers_draw_the_same_from_it(make):
    for sample in (
        lambda each: sv.svdd(each, TARGET, sv.values.PosteriorMean(TARGET), 3),
        lambda each: sv.smc(each, TARGET, sv.values.PosteriorMean(TARGET), 3),
        lambda each: sv.guidance(each, TARGET, sv.values.PosteriorMean(TARGET)),
    ):
        drawn = [sample(each).sample(4, generator=seeded("cpu", 0)).states for each in (make(), Walk())]
        torch.testing.assert_close(*drawn)


@EACH
def test_a_value_of_it_is_trained_saved_and_loaded(make, tmp_path):
    reference = make()
    objective = SoftQIteration(reference, TARGET, sv.values.Learned(compiled(Network(1))), batch_size=4)
    network = fit(objective, max_steps=2, enable_progress_bar=False).value.network
    path = checkpoints.save_value(network, tmp_path / "value.safetensors", reference)
    other = checkpoints.load_value(Network(1), path, Walk())
    again = checkpoints.load_value(compiled(Network(1)), path, reference)
    for each in (other, plain(again)):
        assert torch.equal(each.layers[0].weight, plain(network).layers[0].weight)
    collect(reference, 4, tmp_path / "rollouts", target=TARGET, batch_size=2)
    collect(Walk(), 4, tmp_path / "rollouts", target=TARGET, batch_size=2)


@EACH
@pytest.mark.parametrize("rank", [None, 1])
def test_a_policy_of_it_is_trained_and_its_copy_is_plain(make, rank):
    reference = make()
    policy = Finetuned(reference, rank)
    assert not any("_orig_mod" in name for name in policy.copy.state_dict())
    assert set(policy.adapted) == (set() if rank is None else {"network.layers.0", "network.layers.2"})
    fit(PolicyGradient(reference, TARGET, policy, batch_size=4), max_steps=2, enable_progress_bar=False)
    restored = Finetuned(Walk(), rank)
    restored.load_state_dict(policy.state_dict())
    assert fingerprint(restored) == fingerprint(policy)
    part = Controlled(reference, compiled(Network(2)))
    fit(PolicyGradient(reference, TARGET, part, batch_size=4), max_steps=2, enable_progress_bar=False)


def test_a_compiled_value_and_policy_are_taken_as_such():
    value = compiled(sv.values.Learned(Network(1)))
    fit(MonteCarloRegression(Walk(), TARGET, value, batch_size=4), max_steps=1, enable_progress_bar=False)
    sv.svdd(Walk(), TARGET, value, 2).sample(2)
    walk = Walk()
    policy = compiled(Controlled(walk, Network(2)))
    fit(PolicyGradient(walk, TARGET, policy, batch_size=4), max_steps=1, enable_progress_bar=False)


def test_a_compiled_policy_guards_nothing_on_the_memory_of_shapes():
    """Processes that were seen before may be freed while torch makes its guards."""
    from svlearn import shapes

    keys = []

    class Memory(type(shapes._seen)):
        def get(self, key, default=None):
            keys.append(torch.compiler.is_compiling())
            return super().get(key, default)

    walk = Walk()
    policy = torch.compile(Controlled(walk, Network(2)), backend="eager")
    seen, shapes._seen = shapes._seen, Memory()
    try:
        policy(walk.initial(2), torch.zeros(2, dtype=torch.long))
    finally:
        shapes._seen = seen
    assert not keys


@pytest.mark.parametrize(("first", "second"), [(compiled, lambda module: module), (lambda module: module, compiled)])
def test_a_training_goes_on_with_or_without_the_compiler(first, second, tmp_path):
    def objective(part):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(1)
            return MonteCarloRegression(Walk(), TARGET, sv.values.Learned(part(Network(1))), batch_size=4)

    settings = dict(enable_progress_bar=False, default_root_dir=tmp_path, enable_checkpointing=True)
    begun = fit(objective(first), max_steps=2, **settings)
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    assert not any("_orig_mod" in name for name in torch.load(checkpoint, weights_only=True)["state_dict"])
    resumed = objective(second)
    plain(resumed.value.network).layers[0].weight.data.zero_()
    fit(resumed, max_steps=2, enable_progress_bar=False, ckpt_path=str(checkpoint))
    networks = [plain(each.value.network) for each in (begun, resumed)]
    assert torch.equal(networks[0].layers[0].weight, networks[1].layers[0].weight)


def test_names_by_hand():
    state = {"a._orig_mod.weight": 1, "_orig_mod.b": 2}
    assert plain_names(state) == {"a.weight": 1, "b": 2}
    assert own_names({"a.weight": 1, "c": 3}, state) == {"a._orig_mod.weight": 1, "c": 3}

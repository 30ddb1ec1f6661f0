"""Fine-tuned policies: they start as the reference, train what they should, and can hold the optimum."""

import sys

import pytest
import torch
from torch import nn

import svlearn
from svlearn import checkpoints
from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.fingerprint import fingerprint
from svlearn.metering import metered
from svlearn.policies.finetuned import Finetuned
from svlearn.process import Prediction, Reference, predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.state import take
from svlearn.transitions import CategoricalTransition, GaussianTransition

CHAIN = FiniteMarkovChain.random(4, 3, seed=2)


class TokenChain(Reference):
    """A Markov chain of tokens (B, 1) whose logits (T, S, S) are parameters."""

    def __init__(self, chain):
        super().__init__()
        self.num_steps = chain.num_steps
        self.logits = nn.Parameter(chain.matrices.log())
        self.register_buffer("initial_probs", chain.initial_probs)

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.multinomial(self.initial_probs, batch_size, replacement=True, generator=generator)[:, None]

    def forward(self, x, t, previous=None):
        return Prediction(CategoricalTransition(self.logits[t, x[:, 0]][:, None]))


class Diffusion(Reference):
    """Four Gaussian steps in two dimensions, with a multilayer perceptron (or any network) for the mean."""

    num_steps = 4

    def __init__(self, network=None):
        super().__init__()
        layers = (nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 2))
        self.network = nn.Sequential(*layers).double() if network is None else network
        self.eval().requires_grad_(False)

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        mean = x + self.network(torch.cat([x, t[:, None] / 4], dim=1))
        return Prediction(GaussianTransition(mean, 0.5), clean=mean)


class Convolutions(nn.Module):
    """Of images of 1 x 3 pixels; the second convolution is grouped."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, (1, 3), padding=(0, 1)), nn.Conv1d(2, 2, 1, groups=2)
        self.embedding = nn.Embedding(3, 2)
        self.double()

    def forward(self, row):
        hidden = self.first(row[:, None, None])[:, :, 0]
        return self.second(hidden).sum(dim=2) + self.embedding.weight[0]


class Encoder(nn.Module):
    """Torch's own transformer, whose fast path reads weights without calling their layers."""

    def __init__(self, padded):
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.layers, self.padded = nn.TransformerEncoder(layer, 2), padded
        self.double()

    def forward(self, row):
        padding = torch.tensor([False, False, False, True]).expand(len(row), -1) if self.padded else None
        tokens = torch.cat([row, row[:, :1]], dim=1)[..., None].expand(-1, -1, 4)
        return self.layers(tokens, src_key_padding_mask=padding)[:, :2, 0]


def trajectories(process, size=30):
    return roll_out(process, size, generator=seeded("cpu", 7))["states"]


@torch.no_grad()  # with gradients torch picks another kernel for attention, and the last bits differ
def assert_starts_as_the_reference(policy, reference, size):
    states = trajectories(policy, size)
    assert (states == trajectories(reference, size)).all()
    for t in range(reference.num_steps):
        x, x_next = take(states, (slice(None), t)), take(states, (slice(None), t + 1))
        prediction = predict(reference, x, t)
        law = policy.steer(prediction, x, torch.full((size,), t))
        assert law.log_ratio(prediction.transition, x_next).tolist() == [0.0] * size


def disturb(policy):
    """Move all that is trained, A and B of the adapters alike."""
    with torch.no_grad():
        for parameter in policy.trained():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=seeded("cpu", 8), dtype=torch.float64))


@pytest.mark.parametrize("rank", [None, 1, 3])
def test_it_starts_as_the_reference_bit_by_bit(rank):
    reference = Diffusion()
    assert_starts_as_the_reference(Finetuned(reference, rank), reference, 30)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [None, 4])
def test_the_shipped_molecules_start_as_their_reference(rank):
    pytest.importorskip("rdkit")
    reference = svlearn.load("qm9")
    policy = Finetuned(reference, rank)
    assert_starts_as_the_reference(policy, reference, 3)
    assert sum(each.numel() for each in policy.trained()) > 0
    assert not any(each.requires_grad for each in reference.parameters())


def test_it_can_hold_the_optimum():
    """With p*'s transitions, r/α - log q/p_ref is v_0(x_0)/α along every trajectory, without spread."""
    alpha = 0.4
    reference = TokenChain(CHAIN)
    policy = Finetuned(reference)
    with torch.no_grad():
        policy.copy.logits.copy_(CHAIN.optimal(alpha).matrices.log())
    run = roll_out(policy, 200, target=CHAIN.target(alpha), generator=seeded("cpu", 0))
    states, total = run["states"], run["rewards"] / alpha
    for t in range(CHAIN.num_steps):
        laws = [predict(process, states[:, t], t).transition for process in (policy, reference)]
        total = total - laws[0].log_ratio(laws[1], states[:, t + 1])
    exact = CHAIN.soft_value(alpha)(states[:, 0], torch.zeros(200, dtype=torch.long)) / alpha
    assert torch.allclose(total, exact, atol=1e-10)
    assert torch.equal(reference.logits, CHAIN.matrices.log())


def test_an_adapted_layer_is_w_plus_b_a():
    reference = Diffusion()
    policy = Finetuned(reference, 2)
    disturb(policy)
    layer = policy.copy.network[3]
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert (tuple(a.shape), tuple(b.shape), a.dtype) == ((2, 8), (2, 2), torch.float64)
    rows, original = torch.randn(5, 8, dtype=torch.float64), reference.network[3]
    wanted = rows @ (original.weight + b @ a).T + original.bias
    assert torch.allclose(layer(rows), wanted, atol=1e-12)


def test_the_whole_copy_is_trained_and_the_reference_is_left_alone():
    reference = Diffusion()
    policy = Finetuned(reference)
    assert {id(each) for each in policy.trained()} == {id(each) for each in policy.copy.parameters()}
    before = trajectories(reference)
    disturb(policy)
    assert torch.equal(trajectories(reference), before)
    assert not torch.equal(trajectories(policy), before)
    assert not any(each.requires_grad for each in reference.parameters())


@pytest.mark.parametrize("frozen", [True, False])
def test_only_the_adapters_are_trained_and_a_frozen_base_is_shared(frozen):
    reference = Diffusion().requires_grad_(not frozen)
    policy = Finetuned(reference, 2)
    names = {name for name, each in policy.copy.named_parameters() if each.requires_grad}
    parts = [f"network.{place}.lora_{letter}.default.weight" for place in (0, 3) for letter in "AB"]
    assert names == set(parts)
    assert len(list(policy.trained())) == 4
    base = policy.copy.network[0].base_layer.weight
    assert (base is reference.network[0].weight) == frozen
    assert all(each.requires_grad != frozen for each in reference.parameters())
    before = trajectories(reference)
    disturb(policy)
    assert torch.equal(trajectories(reference), before)


def test_adapters_learn_by_gradients():
    policy = Finetuned(Diffusion(), 2)
    x, t = policy.initial(16, generator=seeded("cpu", 1)), torch.zeros(16, dtype=torch.long)
    optimizer = torch.optim.Adam(policy.trained(), lr=0.05)
    losses = []
    for _ in range(100):
        loss = ((policy(x, t).transition.mean - x) ** 2).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]


def test_the_initial_adapters_are_fixed_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    first = Finetuned(Diffusion(), 2)
    torch.set_rng_state(before)
    reference = Diffusion()
    state = torch.get_rng_state()
    second = Finetuned(reference, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert fingerprint(first) == fingerprint(second)
    assert first.copy.network[0].lora_A["default"].weight.abs().min() > 0


def test_convolutions_are_adapted_and_grouped_ones_and_embeddings_are_not():
    reference = Diffusion(Convolutions())
    policy = Finetuned(reference, 2)
    trained = [name for name, each in policy.copy.named_parameters() if each.requires_grad]
    assert trained == ["network.first.lora_A.default.weight", "network.first.lora_B.default.weight"]
    assert_starts_as_the_reference(policy, reference, 10)


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype.*")
@pytest.mark.parametrize("padded", [False, True])
def test_adapters_count_in_the_transformer_of_torch_with_and_without_gradients(padded):
    reference = Diffusion(Encoder(padded))
    policy = Finetuned(reference, 2)
    x, t = reference.initial(6, generator=seeded("cpu", 2)), torch.zeros(6, dtype=torch.long)
    with torch.no_grad():
        assert torch.allclose(policy(x, t).transition.mean, reference(x, t).transition.mean, atol=1e-12)
        disturb(policy)
        quiet = policy(x, t).transition.mean
        assert (quiet - reference(x, t).transition.mean).abs().max() > 0.01
    taught = policy(x, t).transition.mean
    assert taught.requires_grad
    assert torch.allclose(taught, quiet, atol=1e-12)


def test_dropout_stays_off():
    policy = Finetuned(Diffusion().train())
    x, t = policy.initial(10, generator=seeded("cpu", 0)), torch.zeros(10, dtype=torch.long)
    assert torch.equal(policy(x, t).transition.mean, policy(x, t).transition.mean)


def test_it_predicts_with_the_copy_alone():
    """One call, its own x̂_T; the reference's would cost a second one."""
    policy = Finetuned(Diffusion())
    disturb(policy)
    x = policy.initial(5, generator=seeded("cpu", 0))
    with metered() as meter:
        prediction = predict(policy, x, 1, kind="policy_calls")
    assert (meter.cost.policy_calls, meter.cost.reference_calls) == (5, 0)
    assert torch.equal(prediction.clean, prediction.transition.mean)


class Counting(TokenChain):
    """Its cache is how often it was called."""

    def forward(self, x, t, previous=None):
        calls = torch.zeros(len(x)) if previous is None else previous.cache
        return Prediction(super().forward(x, t).transition, cache=calls + 1)


def test_the_cache_of_the_copy_is_passed_on():
    policy = Finetuned(Counting(CHAIN))
    x = policy.initial(3, generator=seeded("cpu", 0))
    second = predict(policy, x, 1, predict(policy, x, 0))
    assert second.cache.tolist() == [2.0] * 3


@pytest.mark.parametrize("rank", [None, 2])
def test_a_checkpoint_holds_the_reference_once_and_is_restored(rank, tmp_path):
    reference = Diffusion()
    policy, restored = Finetuned(reference, rank), Finetuned(reference, rank)
    disturb(policy)
    assert all(name.startswith("copy.") for name in policy.state_dict())
    size = sum(each.numel() for each in policy.state_dict().values())
    adapters = 0 if rank is None else sum(each.numel() for each in policy.trained())
    assert size == sum(each.numel() for each in reference.parameters()) + adapters
    assert fingerprint(policy) != fingerprint(restored)
    checkpoints.load_into(restored, checkpoints.save(policy, tmp_path / "policy.safetensors"))
    assert fingerprint(policy) == fingerprint(restored)
    assert torch.equal(trajectories(policy), trajectories(restored))
    inside = nn.ModuleDict({"policy": Finetuned(reference, rank)})
    inside.load_state_dict(nn.ModuleDict({"policy": policy}).state_dict())
    assert torch.equal(trajectories(inside["policy"]), trajectories(policy))


def test_a_checkpoint_that_lacks_weights_is_refused():
    policy = Finetuned(Diffusion())
    state = policy.state_dict()
    del state["copy.network.0.weight"]
    with pytest.raises(RuntimeError, match="copy.network.0.weight"):
        policy.load_state_dict(state)


@pytest.mark.parametrize(
    ("reference", "rank", "error", "words"),
    [
        (CHAIN, None, ValueError, "expected one with parameters to train, got FiniteMarkovChain"),
        (CHAIN, 2, ValueError, "linear or convolution layers to adapt, got FiniteMarkovChain"),
        (TokenChain(CHAIN), 2, ValueError, "got TokenChain without; use lora_rank=None"),
        (Diffusion(), 0, ValueError, "lora_rank: expected None or an integer of at least 1, got 0"),
        (Diffusion(), 1.5, ValueError, "lora_rank: expected None or an integer of at least 1, got 1.5"),
        (Diffusion(), True, ValueError, "lora_rank: expected None or an integer of at least 1, got True"),
        (nn.Linear(1, 1), None, TypeError, "reference: expected a Reference, got Linear"),
    ],
)
def test_bad_arguments_are_refused_by_name(reference, rank, error, words):
    with pytest.raises(error, match=words):
        Finetuned(reference, rank)


def test_without_peft_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"svlearn\[policies\]"):
        Finetuned(Diffusion(), 2)
    Finetuned(Diffusion())

"""Low-rank adapters of a fine-tuned policy: which layers have one, what it adds, and what is trained."""

import sys

import pytest
import torch
from policy_toys import Diffusion, assert_starts_as_the_reference, disturb, trajectories
from torch import nn

from svlearn.fingerprint import fingerprint
from svlearn.policies.finetuned import Finetuned
from svlearn.randomness import seeded


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


def test_without_peft_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"svlearn\[policies\]"):
        Finetuned(Diffusion(), 2)
    Finetuned(Diffusion())

"""Low-rank adapters of a fine-tuned policy: which layers have one, what it adds, and what is trained."""

import sys

import pytest
import torch
from policy_toys import Diffusion, assert_starts_as_the_reference, disturb, trajectories
from torch import nn

from svlearn.fingerprint import fingerprint
from svlearn.policies.finetuned import Finetuned
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.transitions import CategoricalTransition


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
    expected = rows @ (original.weight + b @ a).T + original.bias
    assert torch.allclose(layer(rows), expected, atol=1e-12)


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


def test_a_weight_that_is_read_without_its_layer_has_no_adapter_and_a_warning_says_so():
    reference = Diffusion(Convolutions())
    with pytest.warns(UserWarning, match="1 weights of Diffusion have no adapter .*: network.embedding.weight; lora"):
        policy = Finetuned(reference, 2)
    assert policy.adapted == {"network.first": "Conv2d", "network.second": "Conv1d"}
    assert "lora_rank=2 at 1 Conv1d, 1 Conv2d" in repr(policy)
    assert_starts_as_the_reference(policy, reference, 10)
    with pytest.warns(UserWarning, match="2 weights of Diffusion have no adapter .*: network.second.weight, network.e"):
        assert Finetuned(reference, 3).adapted == {"network.first": "Conv2d"}  # two groups take no rank of 3


class Kinds(nn.Module):
    """A layer of every kind, each in its own term."""

    def __init__(self):
        super().__init__()
        self.linear, self.embedding = nn.Linear(3, 2), nn.Embedding(5, 2)
        self.one, self.two, self.three = nn.Conv1d(1, 1, 2), nn.Conv2d(1, 1, (1, 2)), nn.Conv3d(1, 1, (1, 1, 2))
        self.attention = nn.MultiheadAttention(2, 1, batch_first=True)
        self.parted = nn.MultiheadAttention(2, 1, kdim=1, vdim=1, batch_first=True)
        self.special = type("Special", (nn.Linear,), {})(3, 2)
        self.double()

    def forward(self, row):
        tokens = self.embedding((row[:, :2] > 0).long())
        attended = self.attention(tokens, tokens, tokens, need_weights=False)[0].sum(1)
        parted = self.parted(tokens, row[..., None], row[..., None], need_weights=False)[0].sum(1)
        one, two = self.one(row[:, None])[:, 0], self.two(row[:, None, None])[:, 0, 0]
        three = self.three(row[:, None, None, None])[:, 0, 0, 0]
        return self.linear(row) + self.special(row) + attended + parted + one + two + three


def test_every_kind_of_layer_that_peft_takes_is_adapted_and_learns():
    reference = Diffusion(Kinds())
    policy = Finetuned(reference, 2)
    kinds = {name.removeprefix("network."): kind for name, kind in policy.adapted.items()}
    assert kinds == {
        "linear": "Linear", "embedding": "Embedding", "one": "Conv1d", "two": "Conv2d", "three": "Conv3d",
        "attention": "MultiheadAttention", "parted": "MultiheadAttention", "special": "Special",
    }  # fmt: skip
    assert_starts_as_the_reference(policy, reference, 10)
    disturb(policy)
    x, t = policy.initial(6, generator=seeded("cpu", 2)), torch.zeros(6, dtype=torch.long)
    policy(x, t).transition.mean.square().sum().backward()
    flat = [name for name, each in policy.copy.named_parameters() if each.requires_grad and not each.grad.any()]
    assert flat == []
    before = fingerprint(reference)
    restored = Finetuned(reference, 2)
    restored.load_state_dict(policy.state_dict())
    assert torch.equal(trajectories(restored), trajectories(policy))
    assert fingerprint(reference) == before


def test_an_attention_is_w_plus_b_a_and_its_weights_do_not_wear():
    reference = Diffusion(Kinds())
    policy = Finetuned(reference, 2, target_modules=["attention"])
    assert policy.adapted == {"network.attention": "MultiheadAttention"}
    disturb(policy)
    own, original = policy.copy.network.attention, reference.network.attention
    for owner, weight, base in ((own, "in_proj_weight", original), (own.out_proj, "weight", original.out_proj)):
        part = owner.parametrizations[weight]
        assert part.original is getattr(base, weight)
        expected = getattr(base, weight) + part[0].lora_B @ part[0].lora_A
        assert torch.allclose(getattr(owner, weight), expected, atol=1e-12)
    with torch.inference_mode():
        first = trajectories(policy)
    assert torch.equal(trajectories(policy), first)
    assert_starts_as_the_reference(Finetuned(reference, 2), reference, 5)


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        ("all-linear", {"linear", "special"}),
        (["linear", "one"], {"linear", "one"}),
        (r"network\.(two|three)", {"two", "three"}),
        (["network.embedding"], {"embedding"}),
    ],
)
def test_target_modules_mean_what_they_do_in_peft(targets, names):
    adapted = Finetuned(Diffusion(Kinds()), 2, target_modules=targets).adapted
    assert set(adapted) == {f"network.{name}" for name in names}


@pytest.mark.parametrize(
    ("rank", "targets", "words"),
    [
        (2, ["query"], "target_modules: expected names of layers, got 'query', which names none; there are network.li"),
        (2, ["network"], r"expected layers that take an adapter, got 'network' \(a Kinds\)"),
        (2, ["out_proj"], "got 'network.attention.out_proj' .a NonDynamically"),
        (
            2,
            "nothing",
            "target_modules: expected layers to adapt .*, got none of Diffusion.* not meant; there are netw",
        ),
        (2, "*linear", r"target_modules: expected a regular expression, got '\*linear' \(nothing to repeat"),
        (None, ["linear"], r"target_modules: they are for adapters, got \['linear'\] without a lora_rank"),
    ],
)
def test_bad_targets_are_refused_by_name(rank, targets, words):
    with pytest.raises(ValueError, match=words):
        Finetuned(Diffusion(Kinds()), rank, target_modules=targets)


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize(("names", "words"), [([0], r"\[0\]: expected a name .a str., got int"), (3, ": .* got int")])
def test_what_is_no_name_is_not_taken_for_the_whole(rank, names, words):
    with pytest.raises(TypeError, match=f"modules{words}"):
        Finetuned(Diffusion(Kinds()), rank, modules=names)
    with pytest.raises(TypeError, match=f"target_modules{words}"):
        Finetuned(Diffusion(Kinds()), 2, target_modules=names)
    with pytest.raises(ValueError, match="modules: expected names of parts with parameters, as network, got ''"):
        Finetuned(Diffusion(Kinds()), rank, modules=[""])


def test_a_group_or_a_dilation_that_takes_no_adapter_is_refused_where_it_is_asked_for():
    with pytest.raises(ValueError, match="got 'network.second' .a convolution of 2 groups needs a rank that is a mult"):
        Finetuned(Diffusion(Convolutions()), 3, target_modules=["second"])
    network = Convolutions()
    network.first = nn.Conv2d(1, 2, (1, 2), dilation=2, padding=(0, 1)).double()
    with pytest.raises(ValueError, match="got 'network.first' .an adapter of a dilated"):
        Finetuned(Diffusion(network), 2, target_modules=["first"])


def test_adapters_of_a_language_model_are_at_all_its_layers():
    """GPT-2 keeps its projections in transformers' Conv1D, weights (in, out), and ties its head to its embedding."""
    transformers = pytest.importorskip("transformers")

    class Text(Reference):
        num_steps = 2

        def __init__(self):
            super().__init__()
            config = transformers.GPT2Config(vocab_size=7, n_positions=4, n_embd=4, n_layer=1, n_head=2)
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(0)
                self.network = transformers.GPT2LMHeadModel(config).double().eval()

        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.randint(7, (batch_size, 3), generator=generator)

        def forward(self, x, t, previous=None):
            return Prediction(CategoricalTransition(self.network(x).logits))

    reference = Text()
    policy = Finetuned(reference, 2)
    assert sorted(policy.adapted.values()) == ["Conv1D"] * 4 + ["Embedding"] * 2 + ["Linear"]
    assert_starts_as_the_reference(policy, reference, 6)
    disturb(policy)
    layer, original = (each.network.transformer.h[0].mlp.c_fc for each in (policy.copy, reference))
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    rows = torch.randn(5, 4, dtype=torch.float64)
    assert torch.allclose(layer(rows), rows @ (original.weight + (b @ a).T) + original.bias, atol=1e-12)
    x, t = policy.initial(3, generator=seeded("cpu", 1)), torch.zeros(3, dtype=torch.long)
    policy(x, t).transition.log_probs.square().sum().backward()
    assert all(each.grad is not None and each.grad.any() for each in policy.trained())
    assert set(Finetuned(reference, 2, target_modules=["c_attn"]).adapted.values()) == {"Conv1D"}


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

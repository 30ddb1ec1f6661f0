"""Networks over sequences: what they read, that rows stay apart, that gradients exist, and that they learn a value."""

import pytest
import torch
from torch import nn

from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.domains.sequences.networks import (
    ConvGRU,
    DilatedCNN,
    FeaturesValue,
    RotaryTransformer,
    SequenceValue,
)
from svlearn.domains.sequences.networks.transformer import rotated, rotations
from svlearn.inference.samplers import guidance, smc, svdd
from svlearn.objectives import MonteCarloRegression
from svlearn.objectives.fit import fit
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.values import Head, Learned, load_value, save_value

LENGTH, STEPS = 8, 8
BODIES = {
    "conv_gru": lambda time=8: ConvGRU(4, 8, 5, 3, 2, time),
    "cnn": lambda time=8: DilatedCNN(4, 8, 3, 2, 2, time),
    "transformer": lambda time=8: RotaryTransformer(4, 8, 1, 2, 1, time),
}


def share_of_a(x):
    """Of tokens, or of soft one-hots."""
    return (x[..., 0] if x.is_floating_point() else (x == 0).double()).mean(dim=1)


share_of_a.reads_one_hot = True
TARGET = Target(share_of_a, 0.1)


def process():
    torch.manual_seed(0)
    network = DilatedCNN(4, 8, 3, 2, 2)
    return MaskedDiffusion(network, DNA, LENGTH, STEPS, "one_place").eval().requires_grad_(False)


def value(body):
    """Not 0 any more."""
    made = SequenceValue(body, STEPS)
    nn.init.normal_(made.out[-1].weight)
    return Learned(made)


def tokens(number=5):
    return torch.randint(5, (number, LENGTH), generator=seeded("cpu", 0))


@pytest.mark.parametrize("name", BODIES)
def test_one_hots_are_read_as_tokens(name):
    network, x, t = value(BODIES[name]()), tokens(), torch.arange(5)
    soft = nn.functional.one_hot(x, 5).float()
    torch.testing.assert_close(network(soft, t), network(x, t))
    finished = x.clamp(max=3)
    torch.testing.assert_close(network(nn.functional.one_hot(finished, 4).float(), t), network(finished, t))


@pytest.mark.parametrize("name", BODIES)
def test_a_row_is_read_alone_and_so_is_its_time(name):
    network, x, t = value(BODIES[name]()), tokens(), torch.arange(5)
    torch.testing.assert_close(network(x[2:3], t[2:3])[0], network(x, t)[2])
    assert float((network(x, t) - network(x, t + 1)).detach().abs().min()) > 1e-6
    untimed = BODIES[name](0)
    assert not untimed.reads_time and BODIES[name]().reads_time
    assert torch.equal(untimed.hidden(x, torch.zeros(5)), untimed.hidden(x, torch.ones(5)))


@pytest.mark.parametrize("name", BODIES)
def test_a_value_is_a_gradient_of_its_one_hots(name):
    network, x, t = value(BODIES[name]()).double(), tokens(), torch.arange(5)
    soft = nn.functional.one_hot(x, 5).double().requires_grad_()
    (slope,) = torch.autograd.grad(network(soft, t).sum(), soft)
    step = 1e-6 * torch.randn(soft.shape, generator=seeded("cpu", 1), dtype=torch.float64)
    moved = network(soft.detach() + step, t) - network(soft.detach() - step, t)
    torch.testing.assert_close(moved, 2 * (slope * step).sum(dim=(1, 2)), rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("name", BODIES)
def test_a_value_is_zero_at_first_saved_and_loaded(name, tmp_path):
    reference, made = process(), Learned(SequenceValue(BODIES[name](), STEPS))
    t = torch.arange(5)
    assert not bool(made(tokens(), t).any())
    made = value(BODIES[name]())
    save_value(made, tmp_path / "v.safetensors", reference)
    again = load_value(tmp_path / "v.safetensors", reference)
    torch.testing.assert_close(again(tokens(), t), made(tokens(), t))


@pytest.mark.parametrize("make", ["guidance", "smc", "svdd"])
def test_a_value_guides_tokens(make):
    reference, judged = process(), value(BODIES["cnn"]())
    sampler = {
        "guidance": lambda: guidance(reference, TARGET, judged, at="mean"),
        "smc": lambda: smc(reference, TARGET, judged, 4),
        "svdd": lambda: svdd(reference, TARGET, judged, 4),
    }[make]()
    assert sampler.sample(3, generator=seeded("cpu", 0)).states.shape[2:] == (LENGTH,)


def test_a_head_reads_the_features_of_the_reference():
    reference, t = process(), torch.full((5,), 2)
    head = Head(FeaturesValue(8, STEPS))
    prediction = predict(reference, tokens(), t)
    assert head(tokens(), t, prediction).tolist() == [0.0] * 5
    assert smc(reference, TARGET, head, 4).sample(2, generator=seeded("cpu", 0)).cost.reference_calls <= 2 * 4 * STEPS


@pytest.mark.parametrize("name", BODIES)
def test_a_network_fits_a_share_and_the_time(name):
    torch.manual_seed(1)
    network, x = SequenceValue(BODIES[name](), STEPS), tokens(64)
    t = torch.arange(64) % STEPS
    wanted = (x == 0).float().mean(dim=1) + t / STEPS
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(80):
        loss = (network(x, t) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1 * float(wanted.var())


def test_a_learned_value_is_the_mean_of_what_comes():
    """The mean of A's share: what is there, and the reference's share of the rest."""
    torch.manual_seed(1)
    reference, made = process(), Learned(SequenceValue(BODIES["cnn"](), STEPS))
    x = reference.initial(64)
    for step in range(6):
        x = predict(reference, x, step).transition.sample(generator=seeded("cpu", step))
    fit(MonteCarloRegression(reference, TARGET, made, learning_rate=1e-2, batch_size=64), max_steps=60)
    t = torch.full((64,), 6)
    letters = predict(reference, x, t).transition.log_probs[..., 0].exp().double()
    wanted = torch.where(x == 4, letters, (x == 0).double()).mean(dim=1)
    with torch.no_grad():
        found = made(x, t).double()
    assert float((found - wanted).square().mean()) < 0.5 * float(wanted.var())


def test_rotations_tell_distances_alone():
    vectors = torch.randn(2, 1, 1, 6, 8, generator=seeded("cpu", 0), dtype=torch.float64)
    here, there = (rotations(torch.arange(6, dtype=torch.float64) + start, 8) for start in (0, 5))
    products = [rotated(vectors[0], turns) @ rotated(vectors[1], turns).transpose(-1, -2) for turns in (here, there)]
    torch.testing.assert_close(*products)
    assert not torch.allclose(products[0], vectors[0] @ vectors[1].transpose(-1, -2))


def test_what_does_not_fit_is_refused():
    with pytest.raises(TypeError, match=r"body: expected a module with hidden\(x, moments\) and a width, got Linear"):
        SequenceValue(nn.Linear(1, 1), 4)
    with pytest.raises(ValueError, match="kernel_size: expected an odd number, got 4"):
        DilatedCNN(kernel_size=4)
    with pytest.raises(ValueError, match="width: expected a multiple of 2 · num_heads = 8, got 20"):
        RotaryTransformer(width=20)
    with pytest.raises(ValueError, match=r"x: expected one-hots \(B, L, 4\) or \(B, L, 5\), got \(2, 3, 6\)"):
        DilatedCNN(4, 8, 3, 2)(torch.zeros(2, 3, 6), torch.zeros(2))

"""Draws by a generator of another device: made where it lies, and moved, so that a seed gives the same noise."""

import pytest
import torch
from device_toys import TARGET, Diffusion
from tracked_device import tracked

import svlearn as sv
from svlearn.placement import working_on
from svlearn.randomness import draw_by, multinomial, rand, randint, randn, randperm
from svlearn.transitions import Transition
from svlearn.values import Zero

CPU = torch.device("cpu")


@pytest.fixture
def device():
    with tracked() as found:
        yield found


def test_every_draw_is_made_where_the_generator_lies_and_moved(device):
    weights = torch.tensor([0.2, 0.5, 0.3])
    draws = {
        "randn": lambda g, place: randn((2, 3), g, place, torch.float64),
        "rand": lambda g, place: rand((4,), g, place),
        "randint": lambda g, place: randint(5, (4,), g, place),
        "randperm": lambda g, place: randperm(6, g, place),
        "multinomial": lambda g, place: multinomial(weights.to(place), 4, g),
        "draw_by": lambda g, place: draw_by(weights.to(place), 4, g),
    }
    for name, draw in draws.items():
        here = draw(torch.Generator().manual_seed(1), CPU)
        moved = draw(torch.Generator().manual_seed(1), device)
        assert moved.device == device and torch.equal(moved.cpu(), here), name
        assert draw(torch.Generator(device).manual_seed(1), CPU).device == CPU


def test_the_code_of_users_draws_by_any_generator(device):
    generator = torch.Generator().manual_seed(1)
    drawn = {
        "randn": lambda: torch.randn(3, generator=generator),
        "named": lambda: torch.rand(3, generator=generator, device=device),
        "multinomial": lambda: torch.multinomial(torch.ones(4), 3, True, generator=generator),
        "bernoulli": lambda: torch.bernoulli(torch.full((3,), 0.5), generator=generator),
        "in place": lambda: torch.zeros(3).normal_(generator=generator),
        "normal": lambda: torch.normal(torch.zeros(3), torch.ones(3), generator=generator),
    }
    for name, draw in drawn.items():
        with working_on(device, generator.manual_seed(1)):
            moved = draw()
        assert moved.device == device, name
        if name != "named":
            generator.manual_seed(1)
            assert torch.equal(moved.cpu(), draw()), name


class Own(Transition):
    """A user's law, which names no device."""

    def __init__(self, mean):
        self.mean = mean

    def sample(self, *, generator=None):
        return self.mean + torch.randn(self.mean.shape, generator=generator)

    def log_prob(self, x_next):
        return -((x_next - self.mean) ** 2).sum(dim=1) / 2

    def __getitem__(self, index):
        return Own(self.mean[index])


def test_a_law_of_the_user_draws_by_any_generator(device):
    class Ours(Diffusion):
        def forward(self, x, t, previous=None):
            return sv.Prediction(Own(self.layer(x)))

    torch.manual_seed(0)
    here = sv.svdd(Ours(), TARGET, Zero(), 3).sample(2, generator=torch.Generator().manual_seed(3)).states
    torch.manual_seed(0)
    found = sv.svdd(Ours().to(device), TARGET, Zero(), 3).sample(2, generator=torch.Generator().manual_seed(3)).states
    assert found.device == device
    torch.testing.assert_close(found.cpu(), here)

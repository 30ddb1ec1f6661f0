"""References, a reward and a network as users write them, which name no device."""

import torch
from pytorch_lightning.accelerators import Accelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import nn
from tracked_device import DEVICE

import svlearn as sv

CPU = torch.device("cpu")


class Pretended(Accelerator):
    """What Lightning asks of an accelerator, for the pretended device."""

    setup_device = teardown = lambda self, *device: None
    get_device_stats = lambda self, device: {}  # noqa: E731
    parse_devices = staticmethod(lambda devices: devices)
    get_parallel_devices = staticmethod(lambda devices: [DEVICE])
    auto_device_count = staticmethod(lambda: 1)
    is_available = staticmethod(lambda: True)
    name = staticmethod(lambda: "pretended")


def there(**options):
    """Settings of a fit on the pretended device."""
    strategy = SingleDeviceStrategy(DEVICE, Pretended())
    return dict(strategy=strategy, enable_progress_bar=False, max_steps=2) | options


class Walk(sv.Reference):
    """As users write it: without parameters, and no device named."""

    num_steps = 4

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 2) + torch.randn(batch_size, 2, generator=generator)

    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(x + torch.zeros(2), 0.5), clean=x)

    def noise(self, x, t_from, t_to, *, generator=None):
        std = 0.5 * (t_from - t_to).sqrt()[:, None]
        return x + std * torch.randn(x.shape, generator=generator)


class Diffusion(Walk):
    """The same with weights."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("stds", torch.full((16,), 0.5))

    def forward(self, x, t, previous=None):
        mean = x + torch.tensor(0.3) * self.layer(x).tanh() + torch.zeros(2)
        return sv.Prediction(sv.GaussianTransition(mean, self.stds[t][:, None]), clean=mean)


class Network(nn.Module):
    def __init__(self, out=None):
        super().__init__()
        self.layers, self.out = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, out or 1)), out

    def forward(self, x, t):
        values = self.layers(torch.cat([x, t[:, None] / 4], dim=1))
        return values.squeeze(1) if self.out is None else values


class Judge(nn.Module):
    """A reward with weights."""

    def __init__(self):
        super().__init__()
        self.layer, self.places = nn.Linear(2, 1), set()

    def forward(self, x):
        self.places.add((self.layer.weight.device, x.device))
        return self.layer(x).squeeze(1)


def near(x):
    return -(x - torch.tensor([1.0, -1.0])).norm(dim=1)


TARGET = sv.Target(near, 0.5)

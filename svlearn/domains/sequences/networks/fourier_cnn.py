"""The convolutional denoiser that masked diffusion models of DNA were published with, under its weights' names."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.domains.sequences.networks.reading import one_hot

DILATIONS = (1, 1, 4, 16, 64)
KERNEL_SIZE = 9


class FourierCNN(nn.Module):
    """The CNN of Dirichlet flow matching (arXiv 2402.05841) as SVDD (2408.08252) and DRAKES (2410.13643) use it.

    forward(x, sigma) -> logits (B, L, V + 1), the mask's last; x: token ids (B, L), or soft one-hots (B, L, V + 1);
    sigma (B,): the total noise, 0 where the model was not told it. 5 · stacks convolutions of 9 letters, dilated by 1,
    1, 4, 16 and 64, each of the normalised sum of what came before and of the time.
    """

    def __init__(self, num_letters: int = 4, hidden_dim: int = 128, stacks: int = 4):
        super().__init__()
        self.hyperparameters = dict(num_letters=num_letters, hidden_dim=hidden_dim, stacks=stacks)
        self.num_letters = num_letters
        self.linear = nn.Conv1d(num_letters + 1, hidden_dim, KERNEL_SIZE, padding=KERNEL_SIZE // 2)
        self.time_embedder = nn.Sequential(FourierProjection(hidden_dim), nn.Linear(hidden_dim, hidden_dim))
        self.convs = nn.ModuleList(
            nn.Conv1d(hidden_dim, hidden_dim, KERNEL_SIZE, padding=dilation * (KERNEL_SIZE // 2), dilation=dilation)
            for dilation in DILATIONS
            for _ in range(stacks)
        )
        self.time_layers = nn.ModuleList(Dense(hidden_dim) for _ in self.convs)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_dim) for _ in self.convs)
        self.final_conv = nn.Sequential(
            nn.Conv1d(hidden_dim, hidden_dim, 1), nn.ReLU(), nn.Conv1d(hidden_dim, num_letters + 1, 1)
        )

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        moments = F.relu(self.time_embedder(sigma))
        nodes = one_hot(x, self.num_letters, self.linear.weight.dtype).transpose(1, 2)
        nodes = F.relu(self.linear(nodes))
        for convolution, time_layer, norm in zip(self.convs, self.time_layers, self.norms, strict=True):
            shifted = (nodes + time_layer(moments)[:, :, None]).transpose(1, 2)
            nodes = nodes + F.relu(convolution(norm(shifted).transpose(1, 2)))
        return self.final_conv(nodes).transpose(1, 2)


class FourierProjection(nn.Module):
    """Sines and cosines of 2 π W sigma, with frequencies W (width/2,) that were drawn once and are not trained."""

    def __init__(self, width: int):
        super().__init__()
        self.W = nn.Parameter(30.0 * torch.randn(width // 2), requires_grad=False)

    def forward(self, sigma: Tensor) -> Tensor:
        angles = sigma[:, None].to(self.W.dtype) * self.W * 2 * math.pi
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Dense(nn.Module):
    """A linear layer, a name deeper."""

    def __init__(self, width: int):
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x)

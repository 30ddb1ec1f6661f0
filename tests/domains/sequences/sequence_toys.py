"""A small alphabet with a denoiser that is a table: everything about it can be enumerated."""

import itertools

import torch
from torch import Tensor, nn

from svlearn.domains.sequences.alphabet import Alphabet
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion

ABC = Alphabet("abc")
LENGTH = 4


class TableDenoiser(nn.Module):
    """Random logits (4^L, L, V) of every state, float64; counts the states it is called for."""

    reads_time = False

    def __init__(self, seed: int = 0, size: int = 3, length: int = LENGTH):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        states = (size + 1) ** length
        self.table = nn.Parameter(torch.randn(states, length, size, generator=generator, dtype=torch.float64))
        self.register_buffer("radix", (size + 1) ** torch.arange(length), persistent=False)
        self.size, self.calls = size, 0

    def forward(self, x: Tensor, moments: Tensor) -> Tensor:
        self.calls += len(x)
        if not x.is_floating_point():
            return self.table[(x * self.radix).sum(dim=1)]
        weights = x.new_ones(len(x), 1)
        for place in range(x.shape[1]):  # multilinear in the one-hots
            weights = (x[:, place, :, None] * weights[:, None, :]).flatten(1)
        return (weights.to(self.table.dtype) @ self.table.flatten(1)).unflatten(1, self.table.shape[1:])


def consistent(seed: int = 0) -> TableDenoiser:
    """The denoiser whose letters are the conditionals of one law of finished sequences, so that a process of one place
    a step is the exact reversal of its noise."""
    network = TableDenoiser(seed)
    finished, states = all_states(3), all_states()
    generator = torch.Generator().manual_seed(seed + 1)
    law = torch.randn(len(finished), generator=generator, dtype=torch.float64).softmax(dim=0)
    agrees = ((states[:, None] == finished) | (states[:, None] == 3)).all(dim=2)  # (256, 81)
    letters = nn.functional.one_hot(finished, 3).to(law)
    shares = torch.einsum("sf,f,flv->slv", agrees.to(law), law, letters)
    place = (states * network.radix).sum(dim=1)
    network.table.data[place] = shares.log()
    return network


class TimedDenoiser(TableDenoiser):
    """Reads the time as well."""

    reads_time = True

    def forward(self, x: Tensor, moments: Tensor) -> Tensor:
        return super().forward(x, moments) * (1 + moments)[:, None, None].double()


def toy(
    schedule: str = "log_linear", num_steps: int | None = None, network: nn.Module | None = None, **options
) -> MaskedDiffusion:
    network = TableDenoiser() if network is None else network
    return MaskedDiffusion(network, ABC, LENGTH, num_steps, schedule, **options).eval().requires_grad_(False)


def all_states(size: int = 4, length: int = LENGTH) -> Tensor:
    """Every sequence of ids 0 ... size - 1."""
    return torch.tensor(list(itertools.product(range(size), repeat=length)))


def rewards(x: Tensor) -> Tensor:
    """A reward with interactions, float64, of tokens (B, L)."""
    places = torch.arange(1, x.shape[1] + 1)
    return ((x == 1) * places).sum(dim=1).double() / 3 - 1.5 * (x[:, 0] == x[:, -1]).double()


def index_of(x: Tensor, size: int = 4) -> Tensor:
    """The place of a sequence in `all_states`."""
    return (x * size ** torch.arange(x.shape[1] - 1, -1, -1)).sum(dim=1)


class Enumerated:
    """All of p_ref and its values of a toy, by dynamic programming over every state at every t."""

    def __init__(self, reference: MaskedDiffusion, alpha: float):
        self.states, self.alpha, steps = all_states(), alpha, reference.num_steps
        number = len(self.states)
        self.logs = torch.stack([torch.zeros(number, number, dtype=torch.float64)] * steps)
        for t in range(steps):
            law = reference(self.states, torch.full((number,), t)).transition
            for place, x_next in enumerate(self.states):
                self.logs[t, :, place] = law.log_prob(x_next.expand(number, -1))
        self.rewards = rewards(self.states)
        soft, mean = [self.rewards], [self.rewards]
        for t in reversed(range(steps)):
            soft.append(alpha * (self.logs[t] + soft[-1] / alpha).logsumexp(dim=1))
            mean.append(self.logs[t].exp() @ mean[-1])
        self.soft, self.mean = torch.stack(soft[::-1]), torch.stack(mean[::-1])
        start = torch.zeros(number, dtype=torch.float64)
        start[index_of(reference.initial(1))] = 1.0
        self.reach = [start]
        for t in range(steps):
            self.reach.append(self.reach[-1] @ self.logs[t].exp())
        self.log_normalizer = float((self.soft[0] @ start).detach()) / alpha
        weights = self.reach[-1] * (self.rewards / alpha).exp()
        self.optimum = weights / weights.sum()


class Table(nn.Module):
    """One number for each time and state, float64; multilinear in soft one-hots."""

    def __init__(self, num_steps: int, table: Tensor | None = None):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(num_steps, 4**LENGTH, dtype=torch.float64) if table is None else table)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        if not x.is_floating_point():
            return self.table[t, index_of(x)]
        weights = x.new_ones(len(x), 1)
        for place in reversed(range(x.shape[1])):
            weights = (x[:, place, :, None] * weights[:, None, :]).flatten(1)
        return (weights.double() * self.table[t]).sum(dim=1)


class SoftRewards(nn.Module):
    """`rewards`, also of one-hots (B, L, V) or (B, L, V + 1), soft or not, in which it is multilinear."""

    reads_one_hot = True

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_floating_point():
            return rewards(x)
        places = torch.arange(1, x.shape[1] + 1)
        return (x[..., 1] * places).sum(dim=1).double() / 3 - 1.5 * (x[:, 0] * x[:, -1]).sum(dim=1).double()


def exact_elbo(
    reference: MaskedDiffusion, policy: MaskedDiffusion, alpha: float, truncation: int | None = None
) -> Tensor:
    """E_q[r(x_T)/α] - KL(q || p_ref), (), nats, with its gradient in the policy, by enumeration.

    truncation: the law of the states before the last so many steps is held fixed, so that the gradient is that of what
    each decides at once.
    """
    own, other, steps = Enumerated(reference, alpha), Enumerated(policy, alpha), reference.num_steps
    reach, costs = other.reach[0], torch.zeros((), dtype=torch.float64)
    for t, (q, p) in enumerate(zip(other.logs, own.logs)):
        costs = costs + reach @ (q.exp() * torch.where(q > -torch.inf, q - p, 0.0)).sum(dim=1)
        reach = reach @ q.exp()
        if truncation is not None and t < steps - truncation:
            reach = reach.detach()
    return reach @ own.rewards / alpha - costs

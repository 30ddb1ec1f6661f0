"""What a way of computing does to the law: log-probabilities against float32 ones, and log Z against the exact one."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

import svlearn as sv
from svlearn.domains.analytic import LinearGaussianChain
from svlearn.process import predict
from svlearn.randomness import device_of, seeded
from svlearn.rollouts import roll_out

Way = Callable[[], AbstractContextManager]
ALPHA = 1.0


@torch.no_grad()
def log_prob_errors(plain: sv.Reference, other: sv.Reference, way: Way, number: int) -> dict[str, float]:
    """Nats by which log p(x_{t+1}|x_t) of trajectories of the plain reference is off: the mean size of a step's error,
    the largest, and the root mean square of a trajectory's, whose exponential multiplies its weight. Steps without
    noise are left out: they have no density."""
    device = device_of(plain)
    states = roll_out(plain, number, generator=seeded(device, 0))["states"]
    errors = []
    for t in range(plain.num_steps):
        x, x_next = states[:, t], states[:, t + 1]
        exact = predict(plain, x, t).transition.log_prob(x_next).double()
        with way():
            found = predict(other, x, t).transition.log_prob(x_next).double()
        without_density = exact.isinf() | found.isinf()  # as a last step without noise, which each way ends elsewhere
        errors.append(torch.where(without_density, 0.0, found - exact))
    by_step = torch.stack(errors, dim=1)
    return {
        "mean_of_a_step_nats": float(by_step.abs().mean()),
        "largest_of_a_step_nats": float(by_step.abs().max()),
        "of_a_trajectory_nats": float(by_step.sum(dim=1).square().mean().sqrt()),
    }


class Network(nn.Module):
    """A perceptron of (x, t), in float32."""

    def __init__(self, inputs: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs + 1, 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layers(torch.cat([x.float(), t[:, None].float()], dim=1)).squeeze(1)


def ratio_of_normalizers(device: torch.device, way: Way, mode: str | None, groups: int) -> dict[str, float]:
    """E[Z_hat]/Z of SMC on a linear-Gaussian chain whose Z is exact, by a random network as value, and its standard
    error; 1 whatever the value says, as long as it says the same of a particle throughout."""
    chain = LinearGaussianChain.random(2, 6, seed=3).to(device)
    torch.manual_seed(0)
    value = sv.values.Learned(Network(2).to(device))
    if mode is not None:  # of torch.compile, as the reference has it
        value = torch.compile(value, mode=mode)  # type: ignore[assignment]
    sampler = sv.smc(chain, chain.target(ALPHA), value, 16)
    with way():
        samples = sampler.sample(groups, generator=seeded(device, 1))
    if samples.log_normalizer is None:
        raise ValueError("log_normalizer: expected that of smc, got None")
    ratios = (samples.log_normalizer.double().cpu() - float(chain.log_normalizer(ALPHA))).exp()
    return {"ratio": float(ratios.mean()), "standard_error": float(ratios.std()) / math.sqrt(groups)}

"""Reward networks of GDSS: a graph network that learns rewards of finished molecules, blurred a little."""

from collections.abc import Callable

import torch
from tensordict import TensorDict
from torch import Tensor
from tqdm.auto import tqdm

from svlearn.domains.molecules.gdss.gin import GraphValueNetwork, PredictedReward


def regress(
    new: Callable[[], GraphValueNetwork],
    draw: Callable[[], tuple[TensorDict, Tensor]],
    *,
    steps: int,
    rate: float,
    seed: int,
    scale: float = 1.0,
) -> GraphValueNetwork:
    """The network after so many steps of Adam on the mean squared error over `scale`, in evaluation mode.

    draw: a batch of graphs and their rewards. seed: of the first weights, which torch draws from its global generator.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = new()
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in tqdm(range(steps), desc="reward network"):
        graphs, rewards = draw()
        loss = (PredictedReward(network)(graphs) - rewards).square().mean() / scale
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()

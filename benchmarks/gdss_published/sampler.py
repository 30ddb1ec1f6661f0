"""The sampler of the SVDD paper's molecules as its authors' code has it, with its fault and without.

hyanan16/SVDD-molecule, solver.py, `pc_sampler_controlled`: at every noise level each of B molecules has M candidates,
every one moved by the corrector and then by the predictor, and the one of the largest score stays. Candidates of a
molecule stand in a row, molecule by molecule, but the node masks are laid out mask after mask, B of them, M times: of B
molecules, candidate k of all B M has the mask of molecule k mod B, where it should have that of molecule k // M. So a
candidate moves along the atoms of another molecule: its own atoms outside that mask stand still for a level, and new
ones grow from nothing. Nothing is cut back to a mask at the end.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.gdss_published.scores import masked_scores
from svlearn.domains.molecules.gdss import GDSS, Langevin

Normal = Callable[[tuple[int, ...]], Tensor]  # standard normal numbers of a shape
Score = Callable[[Tensor, Tensor], Tensor]  # x (B, N, F) and adj (B, N, N) to (B,), larger is better


class Level(NamedTuple):
    """Graphs after a level's two moves: as drawn, and the predictor's means, by which the last level ends."""

    x: Tensor
    adj: Tensor
    mean_x: Tensor
    mean_adj: Tensor


def owners_of_masks(batch: int, number: int, faulty: bool) -> Tensor:
    """Which molecule's mask each of M candidates of each of B molecules has, (B M,), as published or as meant."""
    molecules = torch.arange(batch)
    return molecules.repeat(number) if faulty else molecules.repeat_interleave(number)


@torch.no_grad()
def select(process: GDSS, score: Score, mask: Tensor, number: int, normal: Normal, faulty: bool) -> tuple:
    """x (B, N, F) and adj (B, N, N) of B molecules, chosen among so many candidates at every level.

    normal: where all noise comes from, in the order of the authors' code. faulty: whether candidates have the masks of
    other molecules.
    """
    batch, levels = len(mask), process.num_steps // 2
    x, adj = start(process, mask, normal)
    molecules, owners = torch.arange(batch).repeat_interleave(number), owners_of_masks(batch, number, faulty)
    alike = torch.unique(molecules * batch + owners, return_inverse=True)[1]
    for level in range(levels):
        moved = step(process, x[molecules], adj[molecules], mask[owners], level, normal, alike)
        x, adj = moved[2:] if level == levels - 1 else moved[:2]
        best = score(x, adj).view(batch, number).argmax(dim=1) + torch.arange(batch) * number
        x, adj = x[best], adj[best]
    return x, adj


def plain(process: GDSS, mask: Tensor, normal: Normal) -> Iterator[Level]:
    """Each level of an unguided sample."""
    x, adj = start(process, mask, normal)
    for level in range(process.num_steps // 2):
        moved = step(process, x, adj, mask, level, normal)
        yield moved
        x, adj = moved[:2]


def start(process: GDSS, mask: Tensor, normal: Normal) -> tuple[Tensor, Tensor]:
    batch, nodes = mask.shape
    return normal((batch, nodes, process.num_features)) * mask.unsqueeze(2), symmetric_noise(mask, normal)


def symmetric_noise(mask: Tensor, normal: Normal) -> Tensor:
    upper = normal((len(mask), mask.shape[1], mask.shape[1])).triu(1)
    return (upper + upper.mT) * (mask.unsqueeze(2) & mask.unsqueeze(1))


def step(
    process: GDSS, x: Tensor, adj: Tensor, mask: Tensor, level: int, normal: Normal, alike: Tensor | None = None
) -> Level:
    """The corrector's move and then the predictor's; what lies outside the mask gets neither score nor noise.

    alike (B,): equal numbers, from 0 on, for graphs that are the same, masks included, so that one call does for them.
    """
    if process.corrector is None:
        raise ValueError("process: expected one with a corrector, got one without")
    for move in (_correct, _predict):
        once = alike is not None and move is _correct  # after it they differ by their noise
        scores = _scores_once(process, x, adj, mask, level, alike) if once else scores_at(process, x, adj, mask, level)
        noise = normal(tuple(x.shape)) * mask.unsqueeze(2), symmetric_noise(mask, normal)
        means, moved = [], []
        for name, part, own, drawn in zip(("x", "adj"), (x, adj), scores, noise):
            mean, std = move(process, name, part, own, drawn, level)
            means.append(mean)
            moved.append(mean + std * drawn)
        x, adj = moved
    return Level(x, adj, *means)


def _scores_once(process: GDSS, x: Tensor, adj: Tensor, mask: Tensor, level: int, alike: Tensor) -> list[Tensor]:
    rows = torch.empty(int(alike.max()) + 1, dtype=torch.long).scatter_(0, alike, torch.arange(len(alike)))
    return [score[alike] for score in scores_at(process, x[rows], adj[rows], mask[rows], level)]


def scores_at(process: GDSS, x: Tensor, adj: Tensor, mask: Tensor, level: int) -> list[Tensor]:
    """∇log p_τ of both parts at a level."""
    at = torch.full((len(x),), level)
    outputs = masked_scores(process.networks, x, adj, mask)  # type: ignore[arg-type]
    return [part.score(output, at) for part, output in zip(process.parts.values(), outputs)]


def clean(process: GDSS, x: Tensor, adj: Tensor, mask: Tensor, level: int) -> list[Tensor]:
    """x̂_0 as the authors have it: of what a level left, by that level's own noise and not the next one's."""
    at, scores = torch.full((len(x),), level), scores_at(process, x, adj, mask, level)
    return [part.clean(own, score, at) for part, own, score in zip(process.parts.values(), (x, adj), scores)]


def _correct(process: GDSS, name: str, part: Tensor, score: Tensor, noise: Tensor, level: int) -> tuple:
    """The Langevin step with norms of the drawn noise and the scores, each averaged over the batch."""
    langevin: Langevin = process.corrector  # type: ignore[assignment]
    ratio = _mean_norm(noise) / _mean_norm(score)
    size = 2 * process.parts[name].alpha[level].to(part.dtype) * (langevin.snr * ratio) ** 2
    return part + size * score, langevin.scale * (2 * size).sqrt()


def _predict(process: GDSS, name: str, part: Tensor, score: Tensor, noise: Tensor, level: int) -> tuple:
    mean, std = process.parts[name].predict(part, score, torch.full((len(part),), level))
    return mean, std.to(part.dtype)[:, None, None]


def _mean_norm(part: Tensor) -> Tensor:
    return part.flatten(1).norm(dim=1).mean()

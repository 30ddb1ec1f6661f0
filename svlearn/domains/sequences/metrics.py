"""Figures of sequences: the likelihood bound under a reference, words of k letters, how different they are."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.domains.sequences.pretraining import BIT, denoising_loss, masked_at, masked_counts
from svlearn.metering import current_max_batch
from svlearn.modes import evaluating
from svlearn.randomness import seeded


@torch.no_grad()
def bits_per_letter(
    reference: MaskedDiffusion, tokens: Tensor, num_samples: int = 16, seed: int = 0
) -> tuple[float, float]:
    """The bound on -log2 p_ref(x_T) a drawn letter, of sequences (N, L), and its standard error over sequences.

    The bound of continuous time (`pretraining.denoising_loss`), at num_samples numbers of masks for each sequence,
    which are stratified over all of them.
    """
    integer(num_samples, "num_samples")
    generator, mask, means = seeded("cpu", seed), reference.alphabet.mask, []
    drawn = (reference.fixed == mask).cpu().expand_as(tokens)
    batch = current_max_batch() or 256
    rows = tokens.repeat(num_samples, 1)
    count = masked_counts(drawn.sum(dim=1).repeat(num_samples), generator)
    hidden = masked_at(rows, drawn.repeat(num_samples, 1), count, mask, generator)
    with evaluating(reference):
        for start in range(0, len(rows), batch):
            cut = slice(start, start + batch)
            x, clean = hidden[cut].to(reference.device), rows[cut].to(reference.device)
            moments = (1 - count[cut] / drawn.sum(dim=1)[0]).to(reference.device)
            means.append(denoising_loss(reference.network(x, moments), x, clean, mask).double().cpu())
    each = torch.cat(means).view(num_samples, len(tokens)).mean(dim=0) / BIT
    return float(each.mean()), float(each.std()) / math.sqrt(len(each))


def word_frequencies(tokens: Tensor, num_letters: int, length: int = 3) -> Tensor:
    """The share of each word of `length` letters among all of sequences (N, L), (V^length,), float64."""
    words = tokens.unfold(1, integer(length, "length"), 1)
    index = (words * num_letters ** torch.arange(length)).sum(dim=2).flatten()
    counts = index.bincount(minlength=num_letters**length).double()
    return counts / counts.sum()


def word_correlation(tokens: Tensor, others: Tensor, num_letters: int, length: int = 3) -> float:
    """Pearson's r between the frequencies of words in two sets of sequences, as DRAKES (arXiv 2410.13643) has it for
    words of three letters."""
    pair = torch.stack([word_frequencies(each, num_letters, length) for each in (tokens, others)])
    return float(torch.corrcoef(pair)[0, 1])


def mean_hamming_distance(sequences: Sequence[str]) -> float:
    """The mean number of places at which two of the sequences, of one length, differ; NaN for fewer than two."""
    number = len(sequences)
    if number < 2:
        return math.nan
    same = 0.0
    for letters in zip(*sequences, strict=True):
        counts = torch.tensor([letters.count(letter) for letter in set(letters)], dtype=torch.float64)
        same += float((counts * (counts - 1)).sum()) / (number * (number - 1))
    return len(sequences[0]) - same

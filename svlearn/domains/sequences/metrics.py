"""Figures of sequences: the likelihood bound under a reference, words of k letters, how different they are."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from svlearn.arguments import each_of, integer
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.domains.sequences.pretraining import BIT, denoising_loss, masked_at, masked_counts
from svlearn.metering import current_max_batch
from svlearn.modes import evaluating
from svlearn.randomness import seeded

MAX_BOUNDED = 256  # sequences whose bits `describe` bounds, spread over all,
NUM_MASKINGS = 4  # at so many numbers of masks each
MAX_PAIRS = 20_000


def describe(reference: MaskedDiffusion, sequences: Sequence[str]) -> dict[str, float]:
    """The figures that a comparison lists beside the reward of finished sequences of a reference.

    bits_per_letter, with its standard error: how natural they are, `bits_per_letter` of 256 at most; uniqueness: the
    share of different ones, so that 1 - uniqueness are doubles; edit_distance: `mean_edit_distance`.
    """
    number = len(each_of(sequences, str, "sequences"))
    chosen = np.linspace(0, number - 1, min(number, MAX_BOUNDED)).astype(int)
    tokens = reference.alphabet.encode([sequences[place] for place in chosen], reference.length)
    bits, error = bits_per_letter(reference, tokens, NUM_MASKINGS)
    return {
        "bits_per_letter": bits,
        "bits_per_letter_standard_error": error,
        "uniqueness": uniqueness(sequences),
        "edit_distance": mean_edit_distance(sequences),
    }


@torch.no_grad()
def bits_per_letter(
    reference: MaskedDiffusion, tokens: Tensor, num_samples: int = 16, seed: int = 0
) -> tuple[float, float]:
    """The bound on -log2 p_ref(x_T) a drawn letter, of sequences (N, L), and its standard error over sequences.

    The bound of continuous time (`pretraining.denoising_loss`), which for one place a step is that of the process
    itself; in few steps, which unmask several places at once as if each were alone, p_ref may lie below it. At
    num_samples numbers of masks for each sequence, which are stratified over all of them. Raises ValueError for a
    sequence that is not finished.
    """
    integer(num_samples, "num_samples")
    if bool((tokens == reference.alphabet.mask).any()):
        row = int((tokens == reference.alphabet.mask).any(dim=1).nonzero()[0])
        raise ValueError(f"tokens[{row}]: expected a finished sequence, got one with masked places")
    generator, mask, means = seeded("cpu", seed), reference.alphabet.mask, []
    drawn = (reference.fixed == mask).cpu().expand(tokens.shape)
    batch = current_max_batch() or 256
    rows = tokens.cpu().repeat(num_samples, 1)
    count = masked_counts(drawn.sum(dim=1).repeat(num_samples), generator)
    hidden = masked_at(rows, drawn.repeat(num_samples, 1), count, mask, generator)
    with evaluating(reference):
        for start in range(0, len(rows), batch):
            cut = slice(start, start + batch)
            x, clean = hidden[cut].to(reference.device), rows[cut].to(reference.device)
            moments = (1 - count[cut] / drawn.sum(dim=1)[0]).to(reference.device)
            means.append(denoising_loss(reference.network(x, moments), x, clean, mask).double().cpu())
    each = torch.cat(means).view(num_samples, len(tokens)).mean(dim=0) / BIT
    error = float(each.std()) / math.sqrt(len(each)) if len(each) > 1 else math.nan
    return float(each.mean()), error


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


def uniqueness(sequences: Sequence[str]) -> float:
    """Different sequences a sequence, in (0, 1]; NaN of none."""
    sequences = each_of(sequences, str, "sequences")
    return len(set(sequences)) / len(sequences) if sequences else math.nan


def mean_edit_distance(sequences: Sequence[str], max_pairs: int = MAX_PAIRS) -> float:
    """The mean Levenshtein distance of two of the sequences, letters: the fewest letters to insert, to delete and to
    replace, by rapidfuzz; NaN for fewer than two.

    Of all pairs, or, where there are more than max_pairs, of so many that are drawn uniformly by a generator of its
    own. Raises ImportError without rapidfuzz.
    """
    try:
        from rapidfuzz.distance import Levenshtein
        from rapidfuzz.process import cpdist
    except ImportError as error:
        raise ImportError("edit distances need rapidfuzz: pip install 'svlearn[sequences]'") from error
    sequences, max_pairs = each_of(sequences, str, "sequences"), integer(max_pairs, "max_pairs")
    number = len(sequences)
    if number < 2:
        return math.nan
    first, second = np.triu_indices(number, 1) if math.comb(number, 2) <= max_pairs else _pairs(number, max_pairs)
    ones, others = ([sequences[place] for place in places] for places in (first, second))
    return float(cpdist(ones, others, scorer=Levenshtein.distance, dtype=np.float64).mean())


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


def _pairs(number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """So many pairs of different places below `number`, uniform."""
    generator = np.random.default_rng(0)
    first, apart = generator.integers(number, size=size), generator.integers(1, number, size=size)
    return first, (first + apart) % number

"""What was measured, foretold by how often each word of k letters occurs: for where there is little to learn from."""

import torch
from torch import Tensor, nn

from svlearn.arguments import integer, real
from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.letters import letter_shares

LARGEST = 6  # 4,096 words
ROWS = 64  # sequences at a time, whose words are multiplied out


class KmerRegression(nn.Module):
    """r(x) = b + Σ_w a_w log(1 + n_w(x)), (B,), n_w: how often the word w of k letters is in x, on both strands.

    forward(x): token ids (B, L), or soft one-hots (B, L, 4), in which it has a gradient: a word counts with the product
    of the shares of its letters. `fit` finds a and b. Raises ValueError for k outside 1 ... 6, sequences of another
    length and masked places.
    """

    reads_one_hot = True

    slopes: Tensor
    centre: Tensor
    location: Tensor

    def __init__(self, length: int, k: int = 5):
        super().__init__()
        self.hyperparameters = dict(k=integer(k, "k", 1, LARGEST), length=integer(length, "length", k))
        self.register_buffer("slopes", torch.zeros(DNA.size**k))
        self.register_buffer("centre", torch.zeros(DNA.size**k))
        self.register_buffer("location", torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        kind = self.slopes.dtype
        letters = letter_shares(x, DNA, self.hyperparameters["length"], kind).to(kind)
        return self.location + (self.logarithms(letters) - self.centre) @ self.slopes

    def logarithms(self, letters: Tensor) -> Tensor:
        """log(1 + n_w), (B, 4^k), the words in the order of their letters, of letters (B, L, 4)."""
        parts = [self._counts(part) + self._counts(part.flip(1, 2)) for part in letters.split(ROWS)]
        return torch.cat(parts).log1p() if parts else letters.new_zeros(0, len(self.slopes))

    @torch.no_grad()
    def fit(self, tokens: Tensor, values: Tensor, weights: Tensor, ridge: float = 10.0) -> "KmerRegression":
        """The a that make Σ_n w_n (r(x_n) - y_n)² + ridge s |a|² least, b the mean of y weighed by w; s: the mean of
        the squared length of a sequence's centred logarithms. Tokens (N, L), values and weights (N,)."""
        ridge = real(ridge, "ridge", above=0)
        logarithms = self.logarithms(letter_shares(tokens, DNA, self.hyperparameters["length"])).double()
        values, weights = values.double(), weights.double()
        centre, location = logarithms.mean(dim=0), (weights * values).sum() / weights.sum()
        centred = logarithms - centre
        products = centred @ centred.T
        penalty = ridge * products.diagonal().mean() * torch.eye(len(values), dtype=torch.float64)
        dual = weights * torch.linalg.solve(products * weights + penalty, values - location)
        self.centre.copy_(centre)
        self.location.copy_(location)
        self.slopes.copy_(centred.T @ dual)
        return self

    def _counts(self, letters: Tensor) -> Tensor:
        places = letters.shape[1] - self.hyperparameters["k"] + 1
        words = letters[:, :places]
        for place in range(1, self.hyperparameters["k"]):
            words = (words[..., None] * letters[:, place : place + places, None, :]).flatten(2)
        return words.sum(dim=1)

"""Masked diffusion of sequences: from all masks to letters, some places a step."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.arguments import expect, integer
from svlearn.denoising import likelihood_loss
from svlearn.domains.sequences import masked_lm, mdlm
from svlearn.domains.sequences.alphabet import DNA, PROTEIN, Alphabet
from svlearn.domains.sequences.denoising import denoise, keeps_outputs
from svlearn.domains.sequences.schedules import unmasked_shares, unmasking_probabilities
from svlearn.process import Prediction, Reference
from svlearn.randomness import uniform, uniform_subset
from svlearn.state import State
from svlearn.transitions import MaskedTransition, Transition


class MaskedDiffusion(Reference):
    """x_0: all places are masked; a step unmasks some, each by the network's p(letter | x_t); x_T: a sequence.

    States are token ids (B, L), long, the mask V after the letters. schedule "log_linear" or "cosine": each masked
    place is unmasked with probability (a_{t+1} - a_t)/(1 - a_t) (`schedules`; MDLM, arXiv 2406.07524), the last step
    unmasks all that are left; "one_place": one place a step, drawn uniformly among the masked, so that no two are ever
    drawn as if they were independent. clean is the most probable letter of each masked place, clean_law draws all of
    them, each by itself; features are the network's last hidden states (B, L, C), where it says `tells_hidden =
    True` and has a method `hidden` and a `head` that makes the logits of them.

    network: (x, moments) -> logits (B, L, V); x: token ids, or soft one-hots (B, L, V + 1), if a gradient is wanted
    there; moments (B,), float: the share of the drawn places that is unmasked at t, on average. Where it says
    `reads_time = False`, what it said of a sequence serves as long as that stays: a step that unmasks nothing does not
    call it, and `Cost.reference_calls` counts the calls that it took.

    num_steps: T; None: one for each place that is drawn. fixed: a sequence of L letters with "_" at the places that are
    drawn; the others, as the flanks of a library, have these letters in every sample, and `noise` leaves them. A
    condition gives further places sample by sample.
    Raises ValueError for fewer steps than places of "one_place", an unknown schedule, and a fixed sequence that does
    not fit.
    """

    probabilities: Tensor
    shares: Tensor
    fixed: Tensor

    def __init__(
        self,
        network: nn.Module,
        alphabet: Alphabet,
        length: int,
        num_steps: int | None = None,
        schedule: str = "log_linear",
        *,
        fixed: str | None = None,
    ):
        super().__init__()
        self.network = expect(network, nn.Module, "network")
        self.alphabet, self.length = expect(alphabet, Alphabet, "alphabet"), integer(length, "length")
        sequence = alphabet.encode(["_" * self.length if fixed is None else expect(fixed, str, "fixed")], self.length)
        drawn = int((sequence == alphabet.mask).sum())
        if not drawn:
            raise ValueError("fixed: expected a '_' at one place at least, got none")
        self.num_steps = drawn if num_steps is None else integer(num_steps, "num_steps")
        self.schedule = schedule
        shares = unmasked_shares(schedule, self.num_steps)
        if schedule == "one_place" and self.num_steps < drawn:
            raise ValueError(f"num_steps: expected {drawn} at least, a step for each place, got {self.num_steps}")
        self.register_buffer("shares", shares)
        alone = schedule == "one_place"
        probabilities = unmasking_probabilities(shares)
        self.register_buffer("probabilities", torch.zeros_like(probabilities) if alone else probabilities)
        letters = torch.tensor([ord(letter) for letter in alphabet.letters])
        self.register_buffer("letters", letters)  # so that a process of other letters is another
        self.register_buffer("fixed", sequence[0])

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        length: int,
        alphabet: Alphabet = DNA,
        num_steps: int | None = 128,
        schedule: str | None = None,
        *,
        weights: str = "ema",
        fixed: str | None = None,
    ) -> "MaskedDiffusion":
        """The process of a checkpoint of MDLM's training with the CNN of SVDD and DRAKES, read without unpickling code.

        schedule: None: as its settings say, log_linear where they say nothing. weights: "ema", what MDLM samples with,
        or "last". Raises ValueError, with the path, for another file, an alphabet of another number of letters, and a
        noise that this class does not have (name a schedule then); FileNotFoundError where there is none.
        """
        network, settings = mdlm.read(path, weights)
        if network.backbone.num_letters != alphabet.size:
            raise ValueError(f"alphabet: expected {network.backbone.num_letters} letters, got {alphabet.letters!r}")
        if schedule is None and "noise" in settings and mdlm.schedule_of(settings) is None:
            raise ValueError(f"{path}: expected log-linear noise or a schedule, got {settings['noise']}")
        schedule = (mdlm.schedule_of(settings) or "log_linear") if schedule is None else schedule
        return cls(network, alphabet, length, num_steps, schedule, fixed=fixed).eval()

    @classmethod
    def from_transformers(
        cls,
        model: Any,
        length: int,
        alphabet: Alphabet = PROTEIN,
        num_steps: int | None = None,
        schedule: str = "log_linear",
        *,
        tokenizer: Any = None,
        fixed: str | None = None,
    ) -> "MaskedDiffusion":
        """The process of a masked language model of transformers, as ESM-2: by its name or folder, or the model itself
        with its tokenizer. See `masked_lm.MaskedLM`; frozen, in evaluation mode."""
        return cls(
            masked_lm.load(model, tokenizer, alphabet), alphabet, length, num_steps, schedule, fixed=fixed
        ).eval()

    def with_steps(self, num_steps: int | None = None, schedule: str | None = None) -> "MaskedDiffusion":
        """The process of the same network in another number of steps, or by another schedule; None: as it is."""
        num_steps = self.num_steps if num_steps is None else num_steps
        schedule = self.schedule if schedule is None else schedule
        (fixed,) = self.alphabet.decode(self.fixed[None])
        other = MaskedDiffusion(self.network, self.alphabet, self.length, num_steps, schedule, fixed=fixed)
        return other.to(self.device).train(self.training)

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> Tensor:
        """condition: sequences as texts with "_", or as ids (B, L), long, with the mask, at the places that are drawn.

        Raises ValueError for another length, letters outside the alphabet, and what contradicts the fixed places;
        TypeError for ids that are not long.
        """
        start = self.fixed.expand(batch_size, -1)
        if condition is None:
            return start.clone()
        given = self._tokens(condition)
        mask = self.alphabet.mask
        contradicts = (start != mask) & (given != mask) & (start != given)
        if bool(contradicts.any()):
            row, place = contradicts.nonzero()[0].tolist()
            raise ValueError(f"condition[{row}][{place}]: expected the fixed letter or the mask, got another letter")
        return torch.where(start == mask, given, start)

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        if x.is_floating_point():
            return self._relaxed(x, t)
        outputs, evaluations = denoise(self.network, x, self._moments(t), None if previous is None else previous.cache)
        law = self._law(x, outputs.logits, t)
        return Prediction(
            self._step(law, t),
            clean=law.most_probable(),
            clean_law=law.completed(),
            features=outputs.hidden,
            cache=outputs if keeps_outputs(self.network) else None,
            evaluations=evaluations,
        )

    def noise(
        self,
        x: Tensor,
        t_from: Tensor,
        t_to: Tensor,
        *,
        start: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Mask places again, each with probability 1 - a_{t_to}/a_{t_from}; of "one_place" all but t_to of them.

        The fixed places stay, and those that have a letter in x_0 = start (B, L), by a condition."""
        unmasked = (x != self.alphabet.mask) & ((self.fixed if start is None else start) == self.alphabet.mask)
        if self.schedule == "one_place":
            count = torch.minimum(unmasked.sum(dim=1), t_to)
            kept = uniform_subset(unmasked, count, generator=generator)
        else:
            share = self.shares[t_to] / self.shares[t_from].clamp(min=torch.finfo(self.shares.dtype).tiny)
            kept = uniform(x.shape, generator, x.device) < share[:, None]
        return torch.where(unmasked & ~kept, self.alphabet.mask, x)

    def denoising_loss(self, x_T: State | Prediction, x_t: State, t: Tensor, prediction: Prediction) -> Tensor:
        """The negative ELBO's term of t, (B,), nats: -log p(letter) over the masked places, times the share of them
        that a step unmasks."""
        if self.schedule == "one_place":
            share = 1 / (x_t == self.alphabet.mask).sum(dim=1).clamp(min=1).double()
        else:
            share = self.probabilities[t]
        return share * likelihood_loss(x_T, prediction)

    def finished(self, x: Tensor) -> Tensor:
        """Those without a mask."""
        return (x != self.alphabet.mask).all(dim=1)

    def decode(self, x: Tensor) -> list[str]:
        return self.alphabet.decode(x)

    def describe(self, objects: list[str]) -> dict[str, float]:
        """See `metrics.describe`."""
        from svlearn.domains.sequences import metrics  # which a worker of a pool need not load

        return metrics.describe(self, objects)

    def draw(self, objects: list[str], captions: list[str]) -> str:
        """As texts, coloured by letter."""
        from svlearn.domains.sequences import drawing

        return drawing.draw_texts(objects, captions, self.alphabet)

    def overview(self, objects: list[str]) -> str:
        """The sequence logo of all."""
        from svlearn.domains.sequences import drawing

        return drawing.draw_logo(objects, self.alphabet)

    def extra_repr(self) -> str:
        return f"{self.length} of {self.alphabet.letters!r}, {self.num_steps} steps, {self.schedule}"

    def _law(self, x: Tensor, logits: Tensor, t: Tensor) -> MaskedTransition:
        if self.schedule == "one_place":
            return MaskedTransition(x, logits, self.alphabet.mask, number=1)
        return MaskedTransition(x, logits, self.alphabet.mask, probability=self.probabilities[t])

    def _step(self, law: MaskedTransition, t: Tensor) -> Transition:
        """The law of the step, of that of unmasking."""
        return law

    def _relaxed(self, x: Tensor, t: Tensor) -> Prediction:
        """Of soft one-hots (B, L, V + 1): clean is E[one-hot of x_T] (B, L, V), in which a gradient flows back to x."""
        outputs = denoise(self.network, x, self._moments(t), None)[0]
        size = self.alphabet.size
        clean = x[..., :size] + x[..., size:] * outputs.logits.softmax(dim=-1).to(x.dtype)
        law = self._law(x.detach().argmax(dim=-1), outputs.logits, t)
        return Prediction(self._step(law, t), clean=clean, features=outputs.hidden)

    def _moments(self, t: Tensor) -> Tensor:
        """The share of the drawn places that is unmasked at t, on average."""
        dtype = torch.get_default_dtype()
        if self.schedule == "one_place":
            return (t.to(dtype) / (self.fixed == self.alphabet.mask).sum()).clamp(max=1)
        return self.shares[t].to(dtype)

    def _tokens(self, condition: Any) -> Tensor:
        if not isinstance(condition, Tensor):
            return self.alphabet.encode(condition, self.length).to(self.fixed.device)
        if condition.dtype != torch.long:
            raise TypeError(f"condition: expected texts or ids, long, got a tensor of {condition.dtype}")
        if condition.dim() != 2 or condition.shape[1] != self.length:
            raise ValueError(f"condition: expected shape (B, {self.length}), got {tuple(condition.shape)}")
        self.alphabet.decode(condition)
        return condition.to(self.fixed.device)

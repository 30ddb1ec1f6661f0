"""Whether a prefix can become a text of a grammar, as a value: with `proposals.Exact`, locally masked decoding."""

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import expect, real
from svlearn.domains.language.constraints.automaton import TokenAutomaton
from svlearn.domains.language.constraints.grammar import Grammar
from svlearn.domains.language.outcomes import outcome_tokens
from svlearn.domains.language.texts import TEXT
from svlearn.process import Prediction
from svlearn.targets import FLOOR_NATS
from svlearn.values.value import Value


class Completable(Value):
    """v_t(x_t) = 0 where some tokens complete x_t to a text of the grammar, else `floor`, (B,), reward units.

    However many tokens that takes: that the buffer ends before is not seen. A text that was finished before t counts
    where it is in the language. It is no soft value, for it does not ask how likely a completion is, but it says of all
    next tokens from one look which lead nowhere, so that

        proposals.Exact(Completable(grammar))      q(x_{t+1} | x_t) ∝ p_ref(x_{t+1} | x_t) 1[x_{t+1} can be completed]

    which is locally masked decoding, as libraries of structured generation do it. Alone its law is not p*: a prefix
    whose completions are unlikely is taken as often as p_ref has it. `smc` with this value and proposal weighs each
    step by the p_ref of the tokens that were allowed, and so targets p* whatever the floor.
    floor: finite, below 0; at alpha = 1 a token that is not allowed keeps e^floor of its probability.
    Raises TypeError for what is no Grammar, ValueError for a floor that is not below 0.
    """

    checked = True

    def __init__(self, grammar: Grammar, floor: float = FLOOR_NATS):
        super().__init__()
        self.grammar = expect(grammar, Grammar, "grammar")
        self.floor = real(floor, "floor")
        if self.floor >= 0:
            raise ValueError(f"floor: expected a finite number below 0, got {self.floor}")

    def forward(
        self,
        x: TensorDict,
        t: Tensor,
        prediction: Prediction | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        rows = list(zip(self.grammar.prefixes(x), t.tolist(), strict=True))
        size = x[TEXT].shape[1] - 1
        judged = {each: self._holds(*each, size) for each in set(rows)}
        return self._valued(torch.tensor([judged[each] for each in rows]), x)

    def of_outcomes(self, x: TensorDict, t: Tensor, prediction: Prediction) -> Tensor:
        grammar, rows = self.grammar, self.grammar.prefixes(x)
        tokens = outcome_tokens(x, prediction.transition).cpu()
        finished = grammar.reference.finished(x).cpu()[:, None]
        tokens = torch.where(finished, 0, tokens)
        grammar.check_tokens(int(tokens.max()))
        distinct = {each: place for place, each in enumerate(dict.fromkeys(rows))}
        places = torch.tensor([distinct[each] for each in rows])
        size = x[TEXT].shape[1] - 1
        allowed = torch.stack([self._next_tokens(each, size) for each in distinct])[places].gather(1, tokens)
        whole = torch.tensor([grammar.accepts(each) for each in distinct])[places]
        return self._valued(torch.where(finished, whole[:, None], allowed), x)

    def extra_repr(self) -> str:
        return f"{self.grammar!r}, floor {self.floor:g}"

    def _holds(self, row: tuple[int, ...], t: int, size: int) -> bool:
        """Of a text at t, whose buffer takes `size` tokens."""
        return self.grammar.accepts(row) if len(row) < t else self.grammar.completes(row)

    def _next_tokens(self, row: tuple[int, ...], size: int) -> Tensor:
        return self.grammar.next_tokens(row)

    def _valued(self, judged: Tensor, x: TensorDict) -> Tensor:
        return torch.where(judged, 0.0, self.floor).to(x[TEXT].device)


class CompletableInTime(Completable):
    """v_t(x_t) = 0 where tokens that fit into the buffer complete x_t to a text of the grammar, else `floor`, (B,).

    Of a regular expression, whose states over tokens are listed by outlines-core: the fewest tokens from each to a
    whole text are known, and so no draw of `proposals.Exact` leads into a dead end, if the tokens that are needed have
    a probability at all. At T - 1 it tells which next tokens are texts of the language, the reward itself from one
    look, so that `Exact(value, last="value")` asks the reward of no outcome. All else is as of `Completable`, also that
    it is no soft value. The empty text, where the language has it, is one that ends at once. Of a reference with stop
    strings and no end token a text is taken to end wherever it is whole: where it goes on, for it holds no stop string,
    the value is too hopeful, which the weights of SMC correct.
    Raises ValueError for another grammar than a regular expression, and one that outlines-core does not compile.
    """

    def __init__(self, grammar: Grammar, floor: float = FLOOR_NATS):
        super().__init__(grammar, floor)
        self.automaton = TokenAutomaton(grammar)

    def _holds(self, row: tuple[int, ...], t: int, size: int) -> bool:
        if len(row) < t or (row and row[-1] in self.grammar.ends):
            return self.grammar.accepts(row)
        return self.automaton.fits(self.automaton.after(row), size - len(row))

    def _next_tokens(self, row: tuple[int, ...], size: int) -> Tensor:
        if row and row[-1] in self.grammar.ends:
            return self.grammar.next_tokens(row)
        may = self.automaton.next_fits(self.automaton.after(row), size - len(row))
        may[list(self.grammar.ends)] = self.grammar.accepts(row)
        return may

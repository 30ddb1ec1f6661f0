"""Any causal language model of transformers as a reference: a step appends a token, to the text under a prompt."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer, integers, names_of
from svlearn.configurations import configured, digest
from svlearn.denoising import next_step_loss
from svlearn.domains.language import drawing, metrics
from svlearn.domains.language.calling import arguments_of, called, check_laws
from svlearn.domains.language.generation import warn_of_unread_settings
from svlearn.domains.language.opening import open_model, settings_of_adapters, settings_of_tokenizer
from svlearn.domains.language.prompts import Prompts
from svlearn.domains.language.reading import Called, Inputs, Look, inputs_along, inputs_at, look
from svlearn.domains.language.sampling import SamplingLaw, check_logits
from svlearn.domains.language.texts import LENGTH, PROMPT, TEXT, Text, as_texts, expect_texts, right_aligned
from svlearn.process import Prediction, Reference
from svlearn.state import State
from svlearn.transitions import AppendingTransition, FieldTransition


class CausalLM(Reference):
    """x_0: a prompt; a step appends a token ~ softmax(logits/temperature), until a text has ended; x_T: the text.

    States are TensorDicts (B,) of
        "text"    (B, T + 1) long: the buffer of T = max_new_tokens new tokens, and in the last column how many are
                  written; what stands behind them means nothing
        "prompt"  (B, P) long, padded on the left, and "length" (B,) long, how many of its tokens are real
    and no step changes the latter two. A text has ended where its last token is one of `end_tokens`, where it ends in
    one of `stop_strings`, or where its buffer is full; it then steps to itself with log-probability 0.

    A prediction has the law of the next token; features: the last hidden state at the last token (B, D), and
    features_before, that at the token before it (0 where there is none), which `NextToken` reads; and the keys and
    values of the model in transformers' own cache, of which each further step computes one position (all of them where
    the model has none). Prompts that are alike are computed once. `along` says the laws at all steps of whole
    trajectories from one pass.
    positions: of how many tokens, padding counted, hidden states were computed so far.

    model: a causal language model of transformers, or its name or folder (then with dtype= and device_map= as
    transformers has them; nothing is fetched unless a name asks for it). tokenizer: its own, by default that of the
    name or folder.
    temperature, top_k, top_p: of the law, as of `generate`: tokens that they leave out have probability 0. Greedy
    texts are those of top_k=1. `sampling` holds them, and cannot be changed. end_tokens: the model's own by default,
    else the tokenizer's. Of the model's generation_config its end tokens alone are read.
    condition: of `initial`: a list of prompts, texts or chats (lists of messages, by the tokenizer's template), or
    token ids; None stands for empty ones, which begin with the tokenizer's bos_token. `prompts` makes leaves of them.

    Warns where neither model nor tokenizer has an end token, for texts then fill their buffers, and of settings in the
    generation_config, as a repetition_penalty, that `generate` would read.
    Raises TypeError and OSError as `open_model`; ValueError for a model whose laws are not those of the tokens before
    alone, at which it looks with two short texts (an encoder, one whose places count padding), numbers out of range, a
    vocabulary smaller than the tokenizer's, a prompt that is empty where there is no bos_token, and one too long for
    the model's context; NonFiniteError, with the step and the row, for logits that are no law (`check_logits`).
    """

    settings: Tensor
    ends: Tensor

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        max_new_tokens: int = 64,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        *,
        stop_strings: Sequence[str] | str | None = None,
        end_tokens: Sequence[int] | int | None = None,
        dtype: torch.dtype | str | None = None,
        device_map: Any = None,
    ):
        super().__init__()
        self.num_steps = integer(max_new_tokens, "max_new_tokens")
        self.sampling = SamplingLaw(temperature, top_k, top_p)
        self.model: Any
        self.model, self.tokenizer = open_model(model, tokenizer, dtype, device_map)
        warn_of_unread_settings(self.model, stacklevel=3)
        self.vocabulary = int(self.model.get_input_embeddings().weight.shape[0])
        if len(self.tokenizer) > self.vocabulary:
            raise ValueError(
                f"tokenizer: expected at most the {self.vocabulary} tokens of the model, got {len(self.tokenizer)}; "
                "take the model's own, or resize the model's embeddings before it is trained"
            )
        ends = self._ends(end_tokens)
        self.register_buffer("ends", torch.tensor(ends, dtype=torch.long), persistent=False)
        pad = self.tokenizer.pad_token_id
        self.pad = pad if pad is not None else ends[0] if ends else 0
        self._prompts = Prompts(self.tokenizer, self.pad, ends, self.vocabulary)
        given = [stop_strings] if isinstance(stop_strings, str) else stop_strings
        self.stop_strings = [] if given is None else names_of(given, "stop_strings")
        self._stopping = self._stop_criteria()
        self._names = arguments_of(self.model)
        check_laws(self.model, self.vocabulary, self.pad)
        self.positions = 0
        self.register_buffer("settings", self._digest())
        self.eval()

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> State:
        leaves = self._prompts.leaves(condition, batch_size)
        self._check_length(leaves[PROMPT].shape[1], int(leaves[LENGTH].min()))
        text = torch.full((batch_size, self.num_steps + 1), self.pad)
        text[:, -1] = 0
        on = {name: leaf.to(self.device) for name, leaf in {**leaves, TEXT: text}.items()}
        return TensorDict(on, batch_size=[batch_size])

    def prompts(self, prompts: Any) -> TensorDict:
        """Prompts as rows that `condition=` and `conditions=` take, all as wide as the longest, so that states drawn
        under some of them can be joined with those drawn under others."""
        leaves = self._prompts.leaves(prompts, len(prompts), "prompts")
        self._check_length(leaves[PROMPT].shape[1], int(leaves[LENGTH].min()))
        return TensorDict(leaves, batch_size=[len(leaves[PROMPT])])

    def aligned(self, conditions: Any) -> Any:
        """A list of prompts by `prompts`, so that a training may be given one; others as they are."""
        return self.prompts(conditions) if isinstance(conditions, list) else conditions

    def finished(self, x: State) -> Tensor:
        text = expect_texts(x)[TEXT]
        written = text[:, -1]
        last = text.gather(1, (written - 1).clamp(min=0)[:, None])[:, 0]
        ended = torch.isin(last, self.ends)
        if self._stopping is not None:
            none = self.vocabulary  # no token's id, so that nothing before the text counts as part of it
            ended = ended | self._stopping(right_aligned(text[:, :-1], written, fill=none), None)
        return (written == self.num_steps) | (ended & (written > 0))

    def forward(self, x: State, t: Tensor, previous: Prediction | None = None) -> Prediction:
        x = expect_texts(x)
        said = look(self._call, *inputs_at(x, t)) if previous is None else self._further(x, cast(dict, previous.cache))
        cache = None if said.past is None else {"past": said.past, "last": said.last, "before": said.before}
        return self._prediction(x, t, said.logits, said.last, said.before, cache)

    def along(self, trajectory: State) -> Iterator[Prediction]:
        trajectory = expect_texts(trajectory)
        steps, inputs = self.num_steps, inputs_along(trajectory, self.num_steps)
        said = self._call(inputs, keep=steps + 1, past=None, cached=False)
        real = inputs.real[:, -said.hidden.shape[1] :, None]
        hidden, first = torch.where(real, said.hidden, 0.0), said.hidden.shape[1] - steps
        hidden = torch.nn.functional.pad(hidden, (0, 0, 1, 0))  # before the first token
        rows, written = torch.arange(len(hidden), device=hidden.device), trajectory[:, -1][TEXT][:, -1]
        for t in range(steps):
            places = first + written.clamp(max=t)
            last, before = hidden[rows, places + 1], hidden[rows, places]
            times = torch.full_like(written, t)
            yield self._prediction(trajectory[:, t], times, said.logits[:, first + t], last, before, None)

    def noise(self, x: State, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None) -> State:
        """Forget all but the first t_to tokens: texts are known by their beginnings. Nothing is drawn."""
        x = expect_texts(x)
        text = x[TEXT].clone()
        text[:, :-1] = text[:, :-1].masked_fill(
            torch.arange(self.num_steps, device=text.device) >= t_to[:, None], self.pad
        )
        text[:, -1] = torch.minimum(text[:, -1], t_to)
        return x.copy().set(TEXT, text)

    def denoising_loss(self, x_T: State | Prediction, x_t: State, t: Tensor, prediction: Prediction) -> Tensor:
        """The cross-entropy of the next token, (B,), nats: a text is known by its beginning, so the law of the next one
        that is learned from weighted texts is that of the weighted texts."""
        return next_step_loss(self, x_T, t, prediction)

    def decode(self, x: State) -> list[Text]:
        """The whole texts, each of which knows its prompt and its continuation."""
        return as_texts(expect_texts(x), self.tokenizer)

    def describe(self, objects: list[Text]) -> dict[str, float]:
        """Uniqueness, distinct-n, self-BLEU and length of the continuations; see `metrics.describe`."""
        return metrics.describe(objects)

    def draw(self, objects: list[Text], captions: list[str]) -> str:
        """Each below its caption, the prompt faint."""
        return drawing.draw(objects, captions)

    def extra_repr(self) -> str:
        return f"{self.num_steps} new tokens of {self.vocabulary}, temperature {self.sampling.temperature:g}"

    def _further(self, x: TensorDict, cache: dict[str, Any]) -> Look:
        """By the cache of all tokens but the last. Of a text that has ended before, what was said then stands."""
        width, past = x[PROMPT].shape[1], cache["past"]
        written = past.get_seq_length() + 1 - width
        if not 0 < written <= self.num_steps:
            most, came = width + self.num_steps - 1, past.get_seq_length()
            raise ValueError(f"previous: expected a cache of {width} to {most} tokens, got one of {came}")
        columns = torch.arange(width + written, device=x.device)
        real = columns >= (width - x[LENGTH])[:, None]
        tokens = x[TEXT][:, written - 1 : written]
        inputs = Inputs(tokens, real, (x[LENGTH] + written - 1)[:, None])
        said = self._call(inputs, keep=1, past=past, cached=True)
        ended = x[TEXT][:, -1:] < written
        last = torch.where(ended, cache["last"], said.hidden[:, -1])
        before = torch.where(ended, cache["before"], cache["last"])
        return Look(said.logits[:, -1], last, before, said.past)

    def _call(self, inputs: Inputs, keep: int, past: Any, cached: bool) -> Called:
        self.positions += inputs.tokens.numel()
        return called(self.model, self._names, inputs, keep, past, cached)

    def _prediction(
        self, x: TensorDict, t: Tensor, logits: Tensor, last: Tensor, before: Tensor, cache: Any
    ) -> Prediction:
        check_logits(logits, t)
        scores = self.sampling(logits.float() if logits.dtype != torch.float64 else logits)
        law = FieldTransition({TEXT: AppendingTransition(x[TEXT], scores, finished=self.finished(x))}, x)
        return Prediction(law, features=last, features_before=before, cache=cache)

    def _ends(self, end_tokens: Any) -> list[int]:
        if end_tokens is None:
            own = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
            own = getattr(self.model.config, "eos_token_id", None) if own is None else own
            end_tokens = self.tokenizer.eos_token_id if own is None else own
        if end_tokens is None:
            warnings.warn(
                "tokenizer: neither it nor the model has an end token, so that texts fill all of max_new_tokens; "
                "give end_tokens= or stop_strings= where they should end",
                stacklevel=3,
            )
            return []
        ends = [end_tokens] if not isinstance(end_tokens, (list, tuple)) else list(end_tokens)
        return integers(ends, "end_tokens", 0, self.vocabulary - 1)

    def _stop_criteria(self) -> Any:
        if not self.stop_strings:
            return None
        from transformers.generation.stopping_criteria import StopStringCriteria

        try:
            return StopStringCriteria(self.tokenizer, self.stop_strings)
        except ValueError as error:
            raise ValueError(f"stop_strings: transformers cannot read them by this tokenizer: {error}") from error

    def _check_length(self, width: int, shortest: int) -> None:
        config = self.model.config.get_text_config(decoder=True)
        most = getattr(config, "max_position_embeddings", None)
        if most is not None and width + self.num_steps > most:
            raise ValueError(
                f"condition: expected prompts of at most {most - self.num_steps} tokens, for the model's context is of "
                f"{most} and max_new_tokens {self.num_steps}, got one of {width}"
            )
        rotary = getattr(config, "rope_parameters", None) or {}
        short = rotary.get("original_max_position_embeddings") if rotary.get("rope_type") == "longrope" else None
        if short is not None and shortest <= short < width + self.num_steps:
            raise ValueError(
                f"condition: expected texts that stay below {short} tokens, or prompts that are all longer, for where "
                f"one passes {short} this model (of longrope) turns all positions of all texts otherwise; got prompts "
                f"of {shortest} to {width} tokens and max_new_tokens {self.num_steps}"
            )

    def _digest(self) -> Tensor:
        settings = {
            "model": configured(self.model),
            "law": self.sampling.settings,
            "ends": [self.ends.tolist(), self.stop_strings],
            "tokenizer": settings_of_tokenizer(self.tokenizer),
        }
        adapters = settings_of_adapters(self.model)
        return digest(settings | ({"adapters": adapters} if adapters else {}))

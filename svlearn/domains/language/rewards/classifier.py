"""Rewards by a classifier of transformers: the log-probability of a label, that it is the likeliest, and a score."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.arguments import integer, is_integer
from svlearn.domains.language.opening import open_network
from svlearn.domains.language.rewards.checks import texts_of
from svlearn.domains.language.rewards.pretrained import Tokens, keep_names, longest_text, padded

SEVERAL = "multi_label_classification"  # each label by itself


class Classified(nn.Module):
    """What rewards by a model with a head of classification share.

    model: one of transformers for the classification of sequences, its name or its folder, whose weights are read from
    safetensors; it is put into evaluation mode and frozen. tokenizer: its own, by default that of the name or folder.
    max_length: tokens that it reads of a text; by default as many as it can. A longer text is cut, with a warning, what
    the tokenizer puts around it kept. One without a token is read as the tokenizer's bos_token, or else its eos_token.
    batch_size: texts at once; a model whose configuration has no pad_token_id reads them one by one.
    Raises what `open_network` raises, ValueError for a max_length above what the model reads.
    """

    network: Any

    def __init__(self, model: Any, tokenizer: Any = None, max_length: int | None = None, batch_size: int = 64):
        super().__init__()
        keep_names(self, model=model, tokenizer=tokenizer)
        self.network, tokenizer = open_network("AutoModelForSequenceClassification", model, tokenizer)
        self.network.requires_grad_(False)
        self.tokens, self.batch_size = Tokens(tokenizer), integer(batch_size, "batch_size")
        most = longest_text(self.network, tokenizer)
        self.max_length = None if max_length is None else integer(max_length, "max_length", 1, most)
        self.longest = most if max_length is None else self.max_length
        self.pad = getattr(self.network.config, "pad_token_id", None)
        ends = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        self.empty = [each for each in ends if each is not None][:1]

    @torch.no_grad()
    def logits(self, texts: Any) -> Tensor:
        """(B, K), of texts, float32 at least. TypeError for what are no texts, ValueError for other outputs."""
        texts = texts_of(texts, self)
        rows = self.tokens(texts)
        if self.longest is not None and any(len(row) > self.longest for row in rows):
            warnings.warn(
                f"texts: {type(self).__name__} reads {self.longest} tokens of each, and has cut a longer one",
                stacklevel=3,
            )
            rows = self.tokens(texts, self.longest)
        rows = [row if row else self.empty for row in rows]
        if not all(rows):
            raise ValueError(f"texts[{rows.index([])}]: expected a token at least, got none, nor one that begins texts")
        device = next(self.network.parameters()).device
        size = 1 if self.pad is None else self.batch_size
        parts = [torch.zeros(0, self.network.config.num_labels, device=device)]
        for start in range(0, len(rows), size):
            inputs = padded(rows[start : start + size], 0 if self.pad is None else self.pad, device)
            logits = getattr(self.network(**inputs), "logits", None)
            wanted = (len(inputs["input_ids"]), parts[0].shape[1])
            if not isinstance(logits, Tensor) or logits.shape != wanted:
                came = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
                raise ValueError(f"model: expected logits {wanted}, got {came}")
            parts.append(logits if logits.dtype == torch.float64 else logits.float())
        return torch.cat(parts)


class Labelled(Classified):
    """A `Classified` with a label, by its number from 0 on or by its name in the model's configuration.

    Raises ValueError for an unknown label, with the known ones, and for a model of one number, which has no labels.
    """

    def __init__(
        self,
        model: Any,
        label: int | str,
        tokenizer: Any = None,
        max_length: int | None = None,
        batch_size: int = 64,
    ):
        super().__init__(model, tokenizer, max_length, batch_size)
        self.label, config = label, self.network.config
        self.several = config.problem_type == SEVERAL
        if config.num_labels < 2 and not self.several:
            raise ValueError("model: expected one of two labels at least, got one of one number, which Score returns")
        names = {str(name): int(place) for place, name in config.id2label.items()}
        if is_integer(label):
            self.place = integer(label, "label", 0, config.num_labels - 1)
        elif label in names:
            self.place = names[label]
        else:
            raise ValueError(f"label: expected one of {', '.join(names)}, or its number, got {label!r}")


class LogProbability(Labelled):
    """r = log p(label | text) of a classifier, nats, (B,), of texts: log softmax, or log sigmoid of several labels.

    model, label, tokenizer, max_length, batch_size: see `Classified` and `Labelled`. Of a model whose labels do not
    exclude each other (problem_type "multi_label_classification") p is of the one label, by itself.
    As `targets.likelihood` it gives the posterior of the label, alpha = 1.
    """

    def forward(self, texts: Any) -> Tensor:
        logits = self.logits(texts)
        return (F.logsigmoid(logits) if self.several else F.log_softmax(logits, dim=1))[:, self.place]


class IsClass(Labelled):
    """Whether a label is the likeliest, or of several labels likelier than not, bool (B,), of texts:
    `targets.constraint` takes it. model, label, tokenizer, max_length, batch_size: see `Classified` and `Labelled`."""

    def forward(self, texts: Any) -> Tensor:
        logits = self.logits(texts)
        return logits[:, self.place] > 0 if self.several else logits.argmax(dim=1) == self.place


class Score(Classified):
    """r = the number that a model of one number gives, as a reward model of preferences does, (B,), of texts.

    model, tokenizer, max_length, batch_size: see `Classified`. Raises ValueError for a model of several numbers.
    """

    def __init__(self, model: Any, tokenizer: Any = None, max_length: int | None = None, batch_size: int = 64):
        super().__init__(model, tokenizer, max_length, batch_size)
        if self.network.config.num_labels != 1:
            raise ValueError(f"model: expected one of one number, got one of {self.network.config.num_labels} labels")

    def forward(self, texts: Any) -> Tensor:
        return self.logits(texts)[:, 0]

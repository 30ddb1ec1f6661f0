"""A process that writes letters under a prompt, with texts that know their parts, as a causal language model does."""

import torch
from tensordict import TensorDict

from svlearn.process import Prediction, Reference
from svlearn.transitions import AppendingTransition, FieldTransition

LETTERS = "ab c"
LAW = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()


class Parts(str):
    """A text with `prompt` and `continuation`."""

    def __new__(cls, prompt, continuation):
        text = super().__new__(cls, prompt + continuation)
        text.prompt, text.continuation = prompt, continuation
        return text

    def __getnewargs__(self):
        return self.prompt, self.continuation


class Letters(Reference):
    """Four letters, each drawn by LAW, behind a prompt of letters; finished where the buffer is full."""

    num_steps = 4

    def __init__(self):
        super().__init__()
        self.decoded = []

    def initial(self, batch_size, *, condition=None, generator=None):
        prompts = [""] * batch_size if condition is None else condition
        width = max(1, *map(len, prompts))
        prompt = torch.zeros(batch_size, width, dtype=torch.long)
        for row, each in enumerate(prompts):
            if each:
                prompt[row, width - len(each) :] = torch.tensor([LETTERS.index(letter) for letter in each])
        leaves = {
            "text": torch.zeros(batch_size, self.num_steps + 1, dtype=torch.long),
            "prompt": prompt,
            "length": torch.tensor([len(each) for each in prompts]),
        }
        return TensorDict(leaves, batch_size=[batch_size])

    def forward(self, x, t, previous=None):
        law = AppendingTransition(x["text"], LAW.expand(len(x), -1))
        return Prediction(FieldTransition({"text": law}, x))

    def decode(self, x):
        self.decoded.append(len(x))
        texts = []
        for row, prompt, length in zip(x["text"].tolist(), x["prompt"].tolist(), x["length"].tolist()):
            parts = prompt[len(prompt) - length :], row[: row[-1]]
            texts.append(Parts(*("".join(LETTERS[token] for token in part) for part in parts)))
        return texts


def written(*texts, prompt=""):
    """The finished states of texts of four letters, behind one prompt."""
    x = Letters().initial(len(texts), condition=[prompt] * len(texts))
    rows = [[*(LETTERS.index(letter) for letter in text), len(text)] for text in texts]
    return x.set("text", torch.tensor(rows))

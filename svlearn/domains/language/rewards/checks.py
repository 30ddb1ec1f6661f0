"""What a reward on texts takes, strings, and what it returns, a number of each."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import is_number


def texts_of(texts: Any, reward: object) -> list[str]:
    """A list of texts. Raises TypeError, with what to write, for tokens, for one text and for what are no texts."""
    name = type(reward).__name__
    if isinstance(texts, (Tensor, TensorDict)):
        raise TypeError(
            f"texts: {name} expects a list of texts, got states of tokens ({type(texts).__name__}); write "
            f"OnTexts(reference, {name}(...)), which decodes them"
        )
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise TypeError(f"texts: {name} expects a list of texts, got one {type(texts).__name__}")
    texts = list(texts)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            advice = "; decode tokens to texts first" if isinstance(text, (list, tuple, Tensor, int)) else ""
            raise TypeError(f"texts[{place}]: {name} expects a text (a str), got {type(text).__name__}{advice}")
    return texts


def parts_of(text: str) -> tuple[str, str]:
    """The prompt and the continuation of a text; one that knows of none is all continuation."""
    return getattr(text, "prompt", ""), getattr(text, "continuation", text)


def numbers_of(scores: Any, number: int, reward: object) -> Tensor:
    """What a reward said of so many texts, as a tensor (N,); truth values stay what they are.

    Raises TypeError for anything but a tensor or a list of numbers, ValueError for another number of them.
    """
    name = f"reward: {getattr(reward, '__name__', type(reward).__name__)}"
    if not isinstance(scores, Tensor):
        if isinstance(scores, (str, bytes)) or not isinstance(scores, Iterable) or isinstance(scores, dict):
            raise TypeError(f"{name} should return a list of {number} numbers, got {type(scores).__name__}")
        scores = _tensor(list(scores), name)
    if scores.is_complex():
        raise TypeError(f"{name} should return real numbers, got a tensor of {scores.dtype}")
    if scores.shape != (number,):
        raise ValueError(
            f"{name} should return a number for each of {number} texts, ({number},), got {tuple(scores.shape)}"
        )
    return scores


def _tensor(scores: Sequence[Any], name: str) -> Tensor:
    """One number each, or one truth value each."""
    truths = [str(getattr(each, "dtype", type(each).__name__)) in ("bool", "torch.bool") for each in scores]
    for place, (each, truth) in enumerate(zip(scores, truths)):
        if not truth and not is_number(each):
            raise TypeError(f"{name} should return numbers, got {type(each).__name__} at [{place}]")
    if scores and all(truths):
        return torch.tensor([bool(each) for each in scores])
    return torch.tensor([float(each) for each in scores])

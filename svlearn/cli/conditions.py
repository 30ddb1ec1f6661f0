"""Conditions as a YAML holds them: texts, numbers, or rows by name."""

from typing import Any

import torch

from svlearn.recipes import Context, build, is_recipe


def as_condition(content: Any, name: str) -> Any:
    """What samples are conditioned on, from plain data.

    A list of texts stays one; numbers, or lists of them, are a tensor whose rows are the conditions; a dict has rows by
    the name of their leaf; {class_path, init_args} is what it builds, a `Dataset`, say. None is None.
    """
    if is_recipe(content):
        return build(content, Context(), name)
    if isinstance(content, dict):
        return {key: as_condition(each, f"{name}.{key}") for key, each in content.items()}
    if isinstance(content, list) and not all(isinstance(each, str) for each in content):
        try:
            return torch.tensor(content)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name}: expected texts, or rows of numbers of one length, got {content}") from error
    return content

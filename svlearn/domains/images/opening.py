"""Pipelines of diffusers by their folder or published name."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from svlearn.files import user_path


def open_pipeline(
    name: str | Path, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None
) -> Any:
    """The diffusers pipeline of a folder, or of a published name, on a device (None: the CPU), in a dtype ("float16").

    OSError where there is none, and no network to fetch it with; ValueError for an unknown dtype."""
    wanted = None if dtype is None else dtype_of(dtype)
    folder = user_path(name)
    if folder.exists():
        if not (folder / "model_index.json").is_file():
            raise FileNotFoundError(f"{folder}: expected a folder of a diffusers pipeline, without model_index.json")
        with _without_bars():  # for what takes no time
            pipeline = _read(folder, wanted, local_files_only=True)
    else:
        try:
            pipeline = _read(str(name), wanted)
        except Exception as error:
            raise OSError(
                f"pipeline: {str(name)!r} is no folder here, and could not be fetched by that name ({error}); where "
                "there is a network, save it by DiffusionPipeline.from_pretrained(name).save_pretrained(folder), and "
                "give that"
            ) from error
    return pipeline.to("cpu" if device is None else device)


@contextmanager
def _without_bars() -> Iterator[None]:
    from diffusers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def dtype_of(dtype: torch.dtype | str) -> torch.dtype:
    """A dtype of floats by its name; ValueError for another."""
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f"dtype: expected one of torch's floats, as 'float16' or 'bfloat16', got {dtype!r}")
    return found


def _read(source: str | Path, dtype: torch.dtype | None, **options: Any) -> Any:
    from diffusers import DiffusionPipeline

    if dtype is None:
        return DiffusionPipeline.from_pretrained(source, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # a newer diffusers calls it dtype
        return DiffusionPipeline.from_pretrained(source, torch_dtype=dtype, **options).to(dtype)

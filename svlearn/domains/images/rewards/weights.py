"""Published networks from where they lie: a folder, a file or a name; nothing is unpickled."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from svlearn.files import existing
from svlearn.torch_archive import content_of

LARGEST = 2**33  # bytes of a file


@contextmanager
def reading(name: Any, argument: str = "model") -> Iterator[None]:
    """What cannot be read inside, for want of a file or of a network to fetch it, is an OSError with what to do."""
    try:
        yield
    except OSError as error:
        reason = str(error).strip().split("\n")[0]
        raise OSError(
            f"{argument}: expected a folder in transformers' format, a file of the authors or a published name that "
            f"can be fetched, got {str(name)!r} ({reason}); without a network, copy the files into a folder and name "
            "that, or give the object itself"
        ) from error


def keep_names(reward: object, **arguments: Any) -> None:
    """Keep what a constructor was given as a name or a path, `_model` of model="...", so that it has a recipe."""
    for name, each in arguments.items():
        if each is None or isinstance(each, (str, Path)):
            setattr(reward, f"_{name}", None if each is None else str(each))


def published(repository: str, file: str) -> Path:
    """A file of a repository of the hub, from the hub's cache, else fetched; OSError where it is not to be had."""
    from huggingface_hub import hf_hub_download

    with reading(f"{repository}/{file}"):
        return Path(hf_hub_download(repository, file))


def read_weights(path: str | Path, kind: str) -> dict[str, Tensor]:
    """The tensors of a file by name: of safetensors, or of torch.save, there also under "state_dict".

    kind: what the file should be, in words. A file has at most 8 GiB; three times its size is held meanwhile.
    Raises FileNotFoundError where there is no file, ValueError for one that holds anything but tensors, or is damaged.
    """
    path = existing(path, kind)
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else content_of(path.read_bytes(), LARGEST)
    except (ValueError, SafetensorError) as error:
        raise ValueError(f"{path}: expected {kind}, got a file that is none ({error})") from error
    content = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(isinstance(each, Tensor) for each in content.values()):
        raise ValueError(f"{path}: expected {kind}, with tensors by name, got another")
    return dict(content)

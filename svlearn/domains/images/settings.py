"""What a pipeline does that its weights do not show, as one buffer, so that processes that differ in it differ."""

from typing import Any

from torch import Tensor, nn

from svlearn.compiled import plain
from svlearn.configurations import configured, digest
from svlearn.domains.images.denoisers import Denoiser

PLAIN = (bool, int, float, str, tuple, type(None))
OF_MODULES = {*vars(nn.Module())}  # what every module has, its mode among them


def digest_of(denoiser: Denoiser, autoencoder: nn.Module | None, pipeline: Any) -> Tensor:
    """SHA-256, uint8 (32,), over what the law of x_T depends on besides weights and steps.

    The denoiser's class and its plain attributes (shape, scale of guidance, length of a prompt, ...), and of all
    modules and of the pipeline the entries of their configurations that are not the default, so that a library which
    adds one does not make another process of the same. Of a tokenizer its class, size and longest text.
    """
    own = {name: each for name, each in vars(denoiser).items() if name not in OF_MODULES and isinstance(each, PLAIN)}
    modules = {**dict(denoiser.named_children()), **dict(getattr(denoiser, "text_encoders", {}).items())}
    modules = modules if autoencoder is None else {**modules, "autoencoder": autoencoder}
    settings: dict[str, Any] = {"kind": type(denoiser).__qualname__, "denoiser": own}
    settings |= {f"{name}.config": configured(plain(each)) for name, each in modules.items()}
    if pipeline is not None:
        tokenizers = {name: each for name, each in pipeline.components.items() if name.startswith("tokenizer")}
        settings |= {"pipeline.config": configured(pipeline)}
        settings |= {name: _tokenizer(each) for name, each in tokenizers.items() if each is not None}
    return digest(settings)


def _tokenizer(tokenizer: Any) -> list[Any]:
    kind = type(tokenizer).__name__.removesuffix("Fast")
    return [kind, len(tokenizer), getattr(tokenizer, "model_max_length", None)]

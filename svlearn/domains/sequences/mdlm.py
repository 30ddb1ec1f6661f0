"""Checkpoints of MDLM's trainings (arXiv 2406.07524): the denoiser and its settings, read without unpickling code."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.domains.sequences.networks.fourier_cnn import DILATIONS, FourierCNN
from svlearn.files import existing
from svlearn.torch_archive import Foreign, content_around_code

KIND = "a Lightning checkpoint of MDLM with a CNN of DNA"
PREFIX = "backbone."
EPSILON = 1e-3  # of the log-linear noise, -log(1 - (1 - ε) t)
SCHEDULES = {"loglinear": "log_linear"}
WEIGHTS = ("ema", "last")


class Backbone(nn.Module):
    """An MDLM denoiser as `MaskedDiffusion` calls it: (x, moments) -> logits (B, L, V) without the mask's.

    time_conditioning: whether it is told the total noise of the log-linear schedule, with the share still
    masked in the place of MDLM's time; else 0, and what it says of a sequence is the same at any time.
    """

    def __init__(self, backbone: FourierCNN, time_conditioning: bool):
        super().__init__()
        self.backbone, self.time_conditioning = backbone, time_conditioning

    @property
    def reads_time(self) -> bool:
        return self.time_conditioning

    def forward(self, x: Tensor, moments: Tensor) -> Tensor:
        sigma = -torch.log1p(-(1 - EPSILON) * (1 - moments)) if self.time_conditioning else torch.zeros_like(moments)
        return self.backbone(x, sigma)[..., : self.backbone.num_letters]


def read(path: str | Path, weights: str = "ema") -> tuple[Backbone, dict[str, Any]]:
    """The denoiser of a checkpoint, in evaluation mode, and the settings that are named in it, as plain data.

    weights: "ema", the exponential average that MDLM samples with, or "last", those of the last step.
    Raises FileNotFoundError where there is no file, ValueError, with the path, for what is no such checkpoint, for one
    of another backbone or without the average, and for unknown weights.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights: expected one of {', '.join(WEIGHTS)}, got {weights!r}")
    path = existing(path, KIND)
    try:
        content = content_around_code(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: expected {KIND}, got what cannot be read ({error})") from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not any(str(name).startswith(PREFIX) for name in state):
        raise ValueError(f"{path}: expected {KIND}, got one without a state_dict of a {PREFIX.rstrip('.')}")
    settings = plain(content.get("hyper_parameters", content.get("config")))
    settings = settings.get("config", settings) if isinstance(settings, dict) else {}
    own = {str(name).removeprefix(PREFIX): each for name, each in state.items() if str(name).startswith(PREFIX)}
    try:
        letters, size = own["linear.weight"].shape[1] - 1, own["linear.weight"].shape[0]
        stacks = sum(name.startswith("convs.") and name.endswith(".weight") for name in own) // len(DILATIONS)
        network = FourierCNN(letters, size, stacks)
        network.load_state_dict(own)
    except (KeyError, AttributeError, IndexError, RuntimeError) as error:
        kind = settings.get("backbone", "another") if isinstance(settings, dict) else "another"
        raise ValueError(f"{path}: expected {KIND}, got weights of {kind} backbone ({error})") from error
    if weights == "ema":
        _average(network, content.get("ema"), path)
    network = network.eval().requires_grad_(False)
    return Backbone(network, bool(settings.get("time_conditioning", False))), settings


def schedule_of(settings: dict[str, Any]) -> str | None:
    """The schedule that the settings name, as `MaskedDiffusion` calls it; None where they name none that it has."""
    noise = settings.get("noise")
    return SCHEDULES.get(noise.get("type", "")) if isinstance(noise, dict) else None


def plain(thing: Any) -> Any:
    """Settings as OmegaConf holds them, or as plain data, without its classes."""
    if isinstance(thing, Foreign):
        state = thing.state if isinstance(thing.state, dict) else {}
        inside = next((state[name] for name in ("_content", "_val") if name in state), None)
        return plain(inside if inside is not None else thing.items or None)
    if isinstance(thing, dict):
        return {str(key): plain(each) for key, each in thing.items()}
    return [plain(each) for each in thing] if isinstance(thing, (list, tuple)) else thing


def _average(network: nn.Module, ema: Any, path: Path) -> None:
    """Fill the trained parameters with their average, which is kept in their order."""
    trained = [each for each in network.parameters() if each.requires_grad]
    averages = ema.get("shadow_params") if isinstance(ema, dict) else None
    fits = isinstance(averages, list) and len(averages) >= len(trained)
    if not fits or any(getattr(own, "shape", None) != each.shape for own, each in zip(averages or [], trained)):
        raise ValueError(f"{path}: expected an average of {len(trained)} parameters in 'ema', got none; weights='last'")
    with torch.no_grad():
        for each, own in zip(trained, averages or []):
            each.copy_(own)

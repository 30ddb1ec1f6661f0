"""Fine-tuned policies as plain diffusers reads them: adapters for `load_lora_weights`, or a pipeline's whole folder."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.arguments import expect
from svlearn.compiled import plain, plain_names
from svlearn.domains.images.reference import DiffusersReference
from svlearn.files import replacing, user_path, writable
from svlearn.policies import Finetuned

NETWORK = "denoiser.network"
FILE = "pytorch_lora_weights.safetensors"  # where `load_lora_weights` of a folder looks
ADAPTER = "default"  # peft's name of the only one


def save_lora(policy: Finetuned, folder: str | Path) -> Path:
    """Write a policy's adapters by its pipeline's own `save_lora_weights`; returns the file.

    `pipeline.load_lora_weights(folder)` of plain diffusers then makes a network whose outputs are the policy's, to the
    bit. policy: Finetuned(reference, lora_rank=..., modules="denoiser.network"), of a `DiffusersReference`.
    A policy that leaves the steps without noise to the reference (noiseless="reference") is so in svlearn alone: a
    pipeline applies the adapters in its last step as well.
    Raises ValueError for a policy without adapters, one with adapters elsewhere, and a pipeline that reads none:
    `save_pipeline` saves that whole."""
    pipeline, part = _pipeline_of(policy)
    if policy.lora_rank is None:
        raise ValueError("policy: expected one with a lora_rank, got one that is trained whole; see save_pipeline")
    if not hasattr(pipeline, "save_lora_weights"):
        raise ValueError(
            f"policy: expected the policy of a pipeline that reads adapters, {type(pipeline).__name__} reads none; "
            "save_pipeline writes its whole folder"
        )
    for name, kind in policy.adapted.items():
        if not name.startswith(f"{NETWORK}.") or kind == "MultiheadAttention":
            raise ValueError(
                f"policy: expected adapters that the pipeline reads, got one at {name}, a {kind}; give Finetuned "
                f"modules={NETWORK!r}, and target_modules= without it"
            )
    layers: dict[str, Tensor] = {}
    for name, layer in _adapters(policy):
        for matrix in ("lora_A", "lora_B"):
            weight = getattr(layer, matrix)[ADAPTER].weight
            layers[f"{name}.{matrix}.weight"] = weight.detach().contiguous()
    with replacing(user_path(folder) / FILE) as beside:
        pipeline.save_lora_weights(beside.parent, **{f"{part}_lora_layers": layers}, weight_name=beside.name)
    return user_path(folder) / FILE


def save_pipeline(policy: Finetuned, folder: str | Path) -> Path:
    """Write a policy as the whole pipeline in diffusers' own folder, adapters merged into the weights (W + B A, in the
    weights' dtype), with the reference's scheduler; returns the folder.

    `DiffusionPipeline.from_pretrained(folder)` of plain diffusers reads it. policy: a Finetuned of a
    `DiffusersReference`, which saves no other parts than the network as they were trained.
    Raises ValueError for a reference that was given a network, without a pipeline."""
    pipeline, part = _pipeline_of(policy)
    reference: Any = plain(policy.reference)
    network = copy.deepcopy(plain(reference.denoiser.network))
    network.load_state_dict(_merged(policy))
    saved = copy.copy(pipeline)
    setattr(saved, part, network)
    saved.scheduler = reference.scheduler
    folder = writable(folder, "folder")
    saved.save_pretrained(folder)
    return folder


def _pipeline_of(policy: Any) -> tuple[Any, str]:
    """The pipeline of a policy's reference, and the name of the part that is the network."""
    expect(policy, Finetuned, "policy")
    reference: Any = plain(policy.reference)
    pipeline = getattr(reference, "pipeline", None)
    if not isinstance(reference, DiffusersReference) or pipeline is None:
        raise ValueError(
            "policy: expected one of a DiffusersReference that was given a pipeline, got one of "
            f"{type(reference).__name__}{' without' if isinstance(reference, DiffusersReference) else ''}"
        )
    network = reference.denoiser.network
    return pipeline, next(part for part in ("unet", "transformer") if getattr(pipeline, part, None) is network)


def _network_of(policy: Finetuned) -> nn.Module:
    return plain(policy.copy.get_submodule(NETWORK))


def _adapters(policy: Finetuned) -> list[tuple[str, Any]]:
    """The layers of the copy's network that peft has adapted, by their names in it."""
    return [(name, each) for name, each in _network_of(policy).named_modules() if hasattr(each, "base_layer")]


@torch.no_grad()
def _merged(policy: Finetuned) -> dict[str, Tensor]:
    """The state of the network with its adapters in the weights."""
    state = plain_names(_network_of(policy).state_dict())
    for name, layer in _adapters(policy):
        own = {each: state.pop(each) for each in list(state) if each.startswith(f"{name}.")}
        for parameter in ("weight", "bias"):
            if f"{name}.base_layer.{parameter}" in own:
                state[f"{name}.{parameter}"] = own[f"{name}.base_layer.{parameter}"]
        weight = state[f"{name}.weight"]
        state[f"{name}.weight"] = (weight.float() + layer.get_delta_weight(ADAPTER).float()).to(weight.dtype)
    return state

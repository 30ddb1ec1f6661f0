"""Fine-tuned policies as plain transformers reads them: peft's folder of adapters, or a model's whole folder."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import expect
from svlearn.compiled import plain, plain_name
from svlearn.domains.language.causal_lm import CausalLM
from svlearn.files import replacing, user_path
from svlearn.policies import Finetuned

MODEL, ADAPTER = "model.", "default"  # where the model stands in a CausalLM, and peft's name of the only adapter
WEIGHTS = "adapter_model.safetensors"  # where peft looks


def save_adapter(policy: Finetuned, folder: str | Path) -> Path:
    """Write a policy's adapters in peft's own folder, with its tokenizer; returns the folder.

    `PeftModel.from_pretrained(model, folder)` of plain peft then makes a model whose logits are the policy's, to the
    bit. policy: Finetuned(reference, lora_rank=...) of a `CausalLM`. temperature, top_k and top_p are not in it: they
    are of the reference.
    Raises ValueError for a policy without adapters (`save_model` saves that), and for one of another reference.
    """
    from peft import LoraConfig
    from safetensors.torch import save_file

    copied = _copy_of(policy)
    if policy.lora_rank is None:
        raise ValueError("policy: expected one with a lora_rank, got one that is trained whole; see save_model")
    names = [plain_name(name).removeprefix(MODEL) for name in policy.adapted]
    config = LoraConfig(r=policy.lora_rank, lora_alpha=policy.lora_rank, target_modules=names, task_type="CAUSAL_LM")
    config.inference_mode = True
    path = user_path(folder)
    path.mkdir(parents=True, exist_ok=True)
    with replacing(path / WEIGHTS) as beside:
        save_file(_weights(copied), beside)
    config.save_pretrained(str(path))
    copied.tokenizer.save_pretrained(path)
    return path


def _copy_of(policy: Any) -> CausalLM:
    expect(policy, Finetuned, "policy")
    reference = plain(policy.reference)
    if not isinstance(reference, CausalLM):
        raise ValueError(f"policy: expected one of a CausalLM, got one of {type(reference).__name__}")
    return plain(policy.copy)


def _weights(copied: CausalLM) -> dict[str, Tensor]:
    """The adapters by peft's names: a linear layer's lora_A and lora_B, an embedding's own."""
    found: dict[str, Tensor] = {}
    for name, layer in copied.model.named_modules():
        if not hasattr(layer, "base_layer"):
            continue
        place = f"base_model.model.{plain_name(name)}"
        for matrix in ("lora_A", "lora_B"):
            if ADAPTER in getattr(layer, matrix, {}):
                found[f"{place}.{matrix}.weight"] = _detached(getattr(layer, matrix)[ADAPTER].weight)
        for matrix in ("lora_embedding_A", "lora_embedding_B"):
            if ADAPTER in getattr(layer, matrix, {}):
                found[f"{place}.{matrix}"] = _detached(getattr(layer, matrix)[ADAPTER])
    return found


def _detached(weight: Tensor) -> Tensor:
    return weight.detach().to(torch.device("cpu")).contiguous().clone()


def save_model(policy: Finetuned, folder: str | Path) -> Path:
    """Write a policy that is trained whole as a model's own folder, with its tokenizer; returns the folder.

    `AutoModelForCausalLM.from_pretrained(folder)` of plain transformers reads it. Raises ValueError for one of adapters
    (`save_adapter` saves these), and for one of another reference."""
    copied = _copy_of(policy)
    if policy.lora_rank is not None:
        raise ValueError("policy: expected one that is trained whole, got one of adapters; see save_adapter")
    path = user_path(folder)
    copied.model.save_pretrained(path)
    copied.tokenizer.save_pretrained(path)
    return path

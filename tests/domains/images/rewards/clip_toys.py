"""Small networks of transformers' own classes with random weights, and tokenizers made of files on the spot."""

import json
from pathlib import Path

import torch

ENDS = "<|startoftext|>", "<|endoftext|>"
WORDS = ("cat", "dog", "seven")


def letters() -> list[str]:
    """What stands for each byte in CLIP's vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [each for each in range(256) if each not in plain]
    return [chr(each) for each in plain] + [chr(256 + place) for place in range(len(rest))]


def clip_tokenizer_files(folder: Path) -> Path:
    """A byte-pair tokenizer of CLIP's kind that knows a few words."""
    merges, pieces = [], []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append(f"{parts[0]} {parts[1]}")
            parts = [parts[0] + parts[1], *parts[2:]]
            pieces.append(parts[0])
    tokens = [*letters(), *(f"{each}</w>" for each in letters()), *pieces, *ENDS]
    vocabulary = {token: place for place, token in enumerate(dict.fromkeys(tokens))}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *dict.fromkeys(merges)]) + "\n")
    names = dict(bos_token=ENDS[0], eos_token=ENDS[1], unk_token=ENDS[1], pad_token=ENDS[1])
    config = dict(tokenizer_class="CLIPTokenizer", model_max_length=16, do_lower_case=True, **names)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def clip_tokenizer(folder: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(clip_tokenizer_files(folder)))


def bert_tokenizer_files(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    config = dict(tokenizer_class="BertTokenizer", do_lower_case=True, model_max_length=512)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def clip_model(vocabulary: int = 522, projection: int = 16, size: int = 32):
    """A CLIPModel of two layers; its weights are larger than at the start of a training, so that inputs matter."""
    from transformers import CLIPConfig, CLIPModel

    ends = dict(bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1, pad_token_id=0)
    layers = dict(num_hidden_layers=2, num_attention_heads=2)
    text = dict(vocab_size=vocabulary, hidden_size=24, intermediate_size=48, max_position_embeddings=16)
    vision = dict(hidden_size=32, intermediate_size=64, image_size=size, patch_size=8, projection_dim=projection)
    config = CLIPConfig(
        text_config={**text, **layers, **ends}, vision_config={**vision, **layers}, projection_dim=projection
    )
    model = CLIPModel(config).eval()
    scatter(model)
    return model


def scatter(model: torch.nn.Module) -> None:
    """Random weights of a size at which layers do something; norms about 1."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, each in model.named_parameters():
            noise = torch.randn(each.shape, generator=generator)
            fan = each[0].numel() if each.dim() > 1 else 1
            if "norm" in name.lower() or "ln_" in name:
                each.copy_((1 if name.endswith("weight") else 0) + 0.2 * noise)
            elif name != "logit_scale":
                each.copy_(noise * (fan**-0.5 if each.dim() > 1 else 0.2))

"""TinyStories 260K of llama2.c: its checkpoint and tokenizer, read as a Llama of transformers."""

import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from svlearn.assets import fetch
from svlearn.domains.language.causal_lm import CausalLM
from svlearn.files import existing

MODEL, TOKENIZER = "language/stories260K.bin", "language/tok512.bin"
HEADER = "<7i"  # dim, hidden, layers, heads, heads of keys and values, vocabulary, length
UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
FIRST_BYTE = 3  # the tokens 3 to 258 are bytes


def load(path: Path | None = None, **options: Any) -> CausalLM:
    """The model of 260,000 parameters that writes stories for children, of llama2.c (Karpathy; MIT).

    path: a checkpoint of llama2.c's first layout, with its tokenizer as tok512.bin beside it; None: the public files,
    which are fetched. options: of `CausalLM`. A text ends with the token that begins the next story (or the end token),
    as llama2.c has it.
    Raises ValueError for files of another layout.
    """
    tokenizer_file = fetch(TOKENIZER) if path is None else Path(path).with_name(Path(TOKENIZER).name)
    model = read_model(fetch(MODEL) if path is None else path)
    return CausalLM(model, read_tokenizer(tokenizer_file), **options).requires_grad_(False)


def read_model(path: str | Path) -> Any:
    """A `LlamaForCausalLM` of a checkpoint: seven int32, then float32 weights, layer by layer of each kind.

    Its rotary positions turn neighbours, (0, 1), (2, 3), ..., where transformers turns the two halves of a head: the
    rows of queries and keys are reordered. The classifier is the embedding. What follows the last norm are tables of
    the rotations, which are not read."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    path = existing(path, "a checkpoint of llama2.c")
    content = path.read_bytes()
    size = struct.calcsize(HEADER)
    if len(content) < size:
        raise ValueError(f"{path}: expected a checkpoint of llama2.c, got {len(content)} bytes")
    dim, hidden, layers, heads, kv_heads, vocabulary, length = struct.unpack(HEADER, content[:size])
    if min(dim, hidden, layers, heads, kv_heads, vocabulary, length) < 1 or dim % heads or heads % kv_heads:
        raise ValueError(f"{path}: expected a checkpoint of llama2.c with a tied classifier, got another header")
    kv_dim = dim // heads * kv_heads
    shapes = {
        "embed_tokens.weight": (vocabulary, dim),
        "input_layernorm.weight": (layers, dim),
        "self_attn.q_proj.weight": (layers, dim, dim),
        "self_attn.k_proj.weight": (layers, kv_dim, dim),
        "self_attn.v_proj.weight": (layers, kv_dim, dim),
        "self_attn.o_proj.weight": (layers, dim, dim),
        "post_attention_layernorm.weight": (layers, dim),
        "mlp.gate_proj.weight": (layers, hidden, dim),
        "mlp.down_proj.weight": (layers, dim, hidden),
        "mlp.up_proj.weight": (layers, hidden, dim),
        "norm.weight": (dim,),
    }
    number = sum(torch.Size(shape).numel() for shape in shapes.values())
    tables = length * dim // heads
    if len(content) != size + 4 * (number + tables):
        raise ValueError(f"{path}: expected {number + tables} weights by its header, got {(len(content) - size) // 4}")
    weights = torch.frombuffer(bytearray(content[size : size + 4 * number]), dtype=torch.float32)
    state: dict[str, Tensor] = {}
    place = 0
    for name, shape in shapes.items():
        count = torch.Size(shape).numel()
        state |= _named(name, weights[place : place + count].view(shape), heads, kv_heads)
        place += count
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=dim,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=length,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=[1, 2])
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    return model.eval()


def read_tokenizer(path: str | Path) -> Any:
    """A `PreTrainedTokenizerFast` of llama2.c's file: int32 longest, then each token's score, length and bytes.

    Its byte-pair merges are those that make one token of two, the one of the highest score first, as sentencepiece
    does; a text begins with a space and the token <s>, and a letter without a token is its bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces, scores = _pieces(existing(path, "a tokenizer of llama2.c"))
    ids = {piece: place for place, piece in enumerate(pieces)}
    merges = [
        (-scores[place], ids[piece[:cut]], ids[piece[cut:]], piece[:cut], piece[cut:])
        for piece, place in ids.items()
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids and place >= FIRST_BYTE + 256
    ]
    model = models.BPE(
        ids, [(left, right) for *_, left, right in sorted(merges)], unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True
    )
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token=UNKNOWN, bos_token=BEGIN, eos_token=END, clean_up_tokenization_spaces=False
    )


def _named(name: str, weights: Tensor, heads: int, kv_heads: int) -> dict[str, Tensor]:
    """The weights (layers, ...) of one kind by transformers' names, one for each layer where there is one in each."""
    if name in ("embed_tokens.weight", "norm.weight"):
        return {f"model.{name}": weights}
    number = {"self_attn.q_proj.weight": heads, "self_attn.k_proj.weight": kv_heads}.get(name)
    each = [layer if number is None else _halves(layer, number) for layer in weights]
    return {f"model.layers.{place}.{name}": layer for place, layer in enumerate(each)}


def _halves(weight: Tensor, heads: int) -> Tensor:
    """The rows (heads · D, d) with the even ones of each head before its odd ones."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2).contiguous()


def _pieces(path: Path) -> tuple[list[str], list[float]]:
    """The tokens as sentencepiece writes them, a space as ▁, and their scores."""
    content, place = path.read_bytes(), 4
    pieces, scores = [UNKNOWN, BEGIN, END], []
    try:
        while place < len(content):
            score, length = struct.unpack_from("<fi", content, place)
            text = content[place + 8 : place + 8 + length]
            if length < 0 or len(text) < length:
                raise ValueError("a token is cut")
            place += 8 + length
            scores.append(score)
            if len(scores) > len(pieces):
                pieces.append(text.decode().replace(" ", "▁"))
    except (struct.error, ValueError) as error:
        raise ValueError(f"{path}: expected a tokenizer of llama2.c, got what cannot be read ({error})") from error
    if len(pieces) != len(scores) or len(pieces) <= FIRST_BYTE + 256:
        raise ValueError(f"{path}: expected a tokenizer of llama2.c with tokens beyond bytes, got {len(scores)} tokens")
    return pieces, scores

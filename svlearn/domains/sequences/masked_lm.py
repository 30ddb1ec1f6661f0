"""Any masked language model of transformers as the denoiser of a masked diffusion of sequences."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.domains.sequences.alphabet import Alphabet


class MaskedLM(nn.Module):
    """A model with a head of masked tokens: (x, moments) -> logits (B, L, V) of the letters; it reads no time.

    x: token ids (B, L) of the alphabet, or soft one-hots (B, L, V + 1), whose mix of embeddings the model then reads; a
    model that drops masked tokens, as ESM-2, has no gradient there. What the tokenizer puts around a sequence is put
    there, and its logits are left out.
    Raises ValueError for a letter that is none of the tokenizer's tokens, and for a tokenizer without a mask.
    """

    reads_time = False
    model: Any  # of transformers, which is not imported here
    ids: Tensor
    before: Tensor
    after: Tensor

    def __init__(self, model: nn.Module, tokenizer: Any, alphabet: Alphabet):
        super().__init__()
        self.model = model
        if tokenizer.mask_token_id is None:
            raise ValueError("tokenizer: expected one with a mask token, got one without")
        ids = tokenizer.convert_tokens_to_ids(list(alphabet.letters))
        unknown = [letter for letter, each in zip(alphabet.letters, ids) if each in (None, tokenizer.unk_token_id)]
        if unknown:
            raise ValueError(f"alphabet: expected letters that are tokens of the tokenizer, got {', '.join(unknown)}")
        around = tokenizer.build_inputs_with_special_tokens([tokenizer.mask_token_id])
        place = around.index(tokenizer.mask_token_id)
        self.register_buffer("ids", torch.tensor([*ids, tokenizer.mask_token_id]))
        self.register_buffer("before", torch.tensor(around[:place], dtype=torch.long))
        self.register_buffer("after", torch.tensor(around[place + 1 :], dtype=torch.long))

    def forward(self, x: Tensor, moments: Tensor) -> Tensor:
        soft = x if x.is_floating_point() else None
        tokens = self.ids[x if soft is None else soft.argmax(dim=2)]
        ends = [each.expand(len(x), -1) for each in (self.before, self.after)]
        inputs = torch.cat([ends[0], tokens, ends[1]], dim=1)
        first, length = len(self.before), x.shape[1]

        def mixed(module: nn.Module, arguments: Any, embedded: Tensor) -> Tensor:
            weight = self.model.get_input_embeddings().weight[self.ids]
            own = soft.to(weight.dtype) @ weight if soft is not None else embedded[:, first : first + length]
            return torch.cat([embedded[:, :first], own, embedded[:, first + length :]], dim=1)

        hook = None if soft is None else self.model.get_input_embeddings().register_forward_hook(mixed)
        try:
            logits = self.model(input_ids=inputs, attention_mask=torch.ones_like(inputs)).logits
        finally:
            if hook is not None:
                hook.remove()
        return logits[:, first : first + length, self.ids[:-1]]


def load(model: Any, tokenizer: Any, alphabet: Alphabet) -> MaskedLM:
    """The denoiser of a model, by its name or folder or as it is; its weights are read from safetensors.

    Raises ImportError where transformers is missing, TypeError for a model as it is without its tokenizer.
    """
    if isinstance(model, (str, Path)):
        try:
            from transformers import AutoModelForMaskedLM, AutoTokenizer
        except ImportError as error:
            raise ImportError("model: the library transformers is needed for it (svlearn[sequences])") from error
        tokenizer = AutoTokenizer.from_pretrained(str(model)) if tokenizer is None else tokenizer
        model = AutoModelForMaskedLM.from_pretrained(str(model), use_safetensors=True)
    if not isinstance(model, nn.Module) or tokenizer is None:
        came = type(model).__name__ if not isinstance(model, nn.Module) else "no tokenizer"
        raise TypeError(f"model: expected a name, a folder, or a model with its tokenizer, got {came}")
    return MaskedLM(model.eval().requires_grad_(False), tokenizer, alphabet)

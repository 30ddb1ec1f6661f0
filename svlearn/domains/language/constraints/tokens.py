"""The tokens of a reference as llguidance knows them: which bytes each writes, and which end a text."""

from copy import copy
from typing import Any

from svlearn.domains.language.causal_lm import CausalLM

READABLE = "one of transformers' fast tokenizers, whose decoder is ByteLevel or has ByteFallback"


def read_tokens(reference: CausalLM) -> Any:
    """An `LLTokenizer` over all V tokens of the model; those beyond the tokenizer's write nothing.

    Raises ValueError for a tokenizer that llguidance cannot read.
    """
    import llguidance

    backend = getattr(reference.tokenizer, "backend_tokenizer", None)
    if backend is None:
        kind = type(reference.tokenizer).__name__
        raise ValueError(f"reference.tokenizer: expected {READABLE}, got a {kind}, which has no backend_tokenizer")
    backend = copy(backend)
    backend.no_padding()
    backend.no_truncation()
    ends = reference.ends.tolist()
    try:
        return llguidance.LLTokenizer(backend.to_str(), n_vocab=reference.vocabulary, eos_token=ends if ends else None)
    except ValueError as error:
        raise ValueError(
            f"reference.tokenizer: expected {READABLE}, for llguidance has to know the bytes of each token, got one "
            f"that it cannot read ({error}); set the tokenizer's backend_tokenizer.decoder to what it is"
        ) from error

"""The tokens of a reference as llguidance knows them: which bytes each writes."""

from typing import Any

from svlearn.domains.language.causal_lm import CausalLM

READABLE = "one of transformers' fast tokenizers, whose decoder is ByteLevel or has ByteFallback"
END = "<|the end, for llguidance|>"


def read_tokens(reference: CausalLM) -> tuple[Any, int]:
    """An `LLTokenizer` over all V tokens of the model, and its end, which is none of them that writes anything.

    llguidance wants one end, and takes the first token where a tokenizer has none; which tokens end a text, one,
    several or none, is the reference's to say. So it gets a token of its own, behind those of the tokenizer.
    Raises ValueError for a tokenizer that llguidance cannot read.
    """
    import llguidance
    from tokenizers import Tokenizer

    original = getattr(reference.tokenizer, "backend_tokenizer", None)
    if original is None:
        kind = type(reference.tokenizer).__name__
        raise ValueError(f"reference.tokenizer: expected {READABLE}, got a {kind}, which has no backend_tokenizer")
    backend = Tokenizer.from_str(original.to_str())
    backend.no_padding()
    backend.no_truncation()
    backend.add_special_tokens([END])
    end = backend.get_vocab()[END]
    try:
        tokens = llguidance.LLTokenizer(backend.to_str(), n_vocab=max(reference.vocabulary, end + 1), eos_token=end)
    except ValueError as error:
        raise ValueError(
            f"reference.tokenizer: expected {READABLE}, for llguidance has to know the bytes of each token, got one "
            f"that it cannot read ({error}); set the tokenizer's backend_tokenizer.decoder to what it is"
        ) from error
    return tokens, end

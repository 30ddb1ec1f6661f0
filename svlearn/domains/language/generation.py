"""What a model's own `generation_config` says that changes the law of its texts."""

import warnings
from typing import Any

NEUTRAL = {  # settings that change logits, beside temperature, top_k and top_p, and the numbers at which they do not
    "min_p": 0,
    "top_h": None,
    "typical_p": 1,
    "epsilon_cutoff": 0,
    "eta_cutoff": 0,
    "repetition_penalty": 1,
    "no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "sequence_bias": None,
    "guidance_scale": 1,
    "min_length": 0,
    "min_new_tokens": 0,
    "watermarking_config": None,
}


def warn_of_unread_settings(model: Any, stacklevel: int) -> None:
    """Warn of what `generate` would do to the law, by the model's own settings, and svlearn does not."""
    config = getattr(model, "generation_config", None)
    settings = {name: getattr(config, name, None) for name in NEUTRAL}
    unread = [f"{name} {each}" for name, each in settings.items() if each not in (None, [], {}, NEUTRAL[name])]
    if unread:
        warnings.warn(
            f"model: its generation_config has settings that generate() reads and p_ref does not: {', '.join(unread)}; "
            "the law is softmax(logits/temperature) with the top_k and top_p that are given here",
            stacklevel=stacklevel,
        )

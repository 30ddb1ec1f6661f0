"""Language: causal models of transformers as references, over texts under prompts."""

from svlearn.domains.language.causal_lm import CausalLM
from svlearn.domains.language.texts import Text

__all__ = ["CausalLM", "Text"]

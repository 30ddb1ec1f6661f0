"""Language: causal models of transformers as references, over texts under prompts."""

from svlearn.domains.language.causal_lm import CausalLM
from svlearn.domains.language.enumeration import Enumeration
from svlearn.domains.language.model_twist import ModelTwist
from svlearn.domains.language.texts import Text
from svlearn.domains.language.values import NextToken, TokenTwists

__all__ = ["CausalLM", "Enumeration", "ModelTwist", "NextToken", "Text", "TokenTwists"]

"""Grammars over the tokens of a language model: as rewards, as values of prefixes, as locally masked proposals."""

from svlearn.domains.language.constraints.completable import Completable, CompletableInTime
from svlearn.domains.language.constraints.grammar import Grammar
from svlearn.domains.language.constraints.reward import Constraint

__all__ = ["Completable", "CompletableInTime", "Constraint", "Grammar"]

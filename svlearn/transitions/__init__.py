"""The laws of the next state: one a file."""

from svlearn.transitions.categorical import CategoricalTransition, log_normalized
from svlearn.transitions.fields import FieldTransition
from svlearn.transitions.gaussian import GaussianTransition, UnclearStdError, gaussian_of
from svlearn.transitions.listed import ListedTransition
from svlearn.transitions.masked import MaskedTransition
from svlearn.transitions.mixture import MixtureTransition
from svlearn.transitions.transition import HALVES, Transition, widened

__all__ = [
    "HALVES",
    "CategoricalTransition",
    "FieldTransition",
    "GaussianTransition",
    "ListedTransition",
    "MaskedTransition",
    "MixtureTransition",
    "Transition",
    "UnclearStdError",
    "gaussian_of",
    "log_normalized",
    "widened",
]

"""The laws of the next state: one a file."""

from svlearn.transitions.appending import AppendingTransition, ended
from svlearn.transitions.categorical import CategoricalTransition, log_normalized
from svlearn.transitions.coordinates import Coordinates, LeafCoordinates, TensorCoordinates
from svlearn.transitions.fields import FieldTransition, described
from svlearn.transitions.gaussian import GaussianTransition, UnclearStdError, coordinates_of, gaussian_of
from svlearn.transitions.listed import ListedTransition
from svlearn.transitions.listed_leaf import ListedLeaf
from svlearn.transitions.listed_tokens import ListedTokens, append
from svlearn.transitions.masked import MaskedTransition
from svlearn.transitions.mixture import MixtureTransition
from svlearn.transitions.transition import HALVES, Transition, widened

__all__ = [
    "HALVES",
    "AppendingTransition",
    "CategoricalTransition",
    "Coordinates",
    "FieldTransition",
    "GaussianTransition",
    "LeafCoordinates",
    "ListedLeaf",
    "ListedTokens",
    "ListedTransition",
    "MaskedTransition",
    "MixtureTransition",
    "TensorCoordinates",
    "Transition",
    "UnclearStdError",
    "append",
    "coordinates_of",
    "described",
    "ended",
    "gaussian_of",
    "log_normalized",
    "widened",
]

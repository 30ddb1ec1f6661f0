"""Soft values: what a state x_t promises, in reward units."""

from svlearn.values.at_steps import AtSteps
from svlearn.values.ensemble import Ensemble
from svlearn.values.head import Head
from svlearn.values.learned import Learned
from svlearn.values.linearized_posterior_mean import LinearizedPosteriorMean
from svlearn.values.lower_bound import LowerBound
from svlearn.values.monte_carlo import MonteCarlo
from svlearn.values.posterior_mean import PosteriorMean
from svlearn.values.residual import Residual
from svlearn.values.saving import load_value, save_value
from svlearn.values.switch import Switch
from svlearn.values.value import Value, Zero, evaluate

__all__ = [
    "AtSteps",
    "Ensemble",
    "Head",
    "Learned",
    "LinearizedPosteriorMean",
    "LowerBound",
    "MonteCarlo",
    "PosteriorMean",
    "Residual",
    "Switch",
    "Value",
    "Zero",
    "evaluate",
    "load_value",
    "save_value",
]

"""Soft values: what a state x_t promises, in reward units."""

from svlearn.values.at_steps import AtSteps
from svlearn.values.averaged import Averaged
from svlearn.values.learned import Learned
from svlearn.values.monte_carlo import MonteCarlo
from svlearn.values.posterior_mean import PosteriorMean
from svlearn.values.relay import Relay
from svlearn.values.value import Value, Zero, evaluate

__all__ = ["AtSteps", "Averaged", "Learned", "MonteCarlo", "PosteriorMean", "Relay", "Value", "Zero", "evaluate"]

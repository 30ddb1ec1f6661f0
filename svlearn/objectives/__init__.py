"""Objectives: each a loss, a pure function of tensors, and a LightningModule that gathers, calls and logs."""

from svlearn.objectives.monte_carlo import MonteCarloRegression
from svlearn.objectives.objective import Objective

__all__ = ["MonteCarloRegression", "Objective"]

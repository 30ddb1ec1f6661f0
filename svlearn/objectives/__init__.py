"""Objectives: each a loss, a pure function of tensors, and a LightningModule that gathers, calls and logs."""

from svlearn.objectives.adjoint_matching import AdjointMatching
from svlearn.objectives.contrastive_energy import ContrastiveEnergy
from svlearn.objectives.contrastive_twist import ContrastiveTwist
from svlearn.objectives.distributional_policy_gradient import DistributionalPolicyGradient
from svlearn.objectives.monte_carlo import MonteCarloRegression
from svlearn.objectives.objective import Objective
from svlearn.objectives.path_consistency import PathConsistency
from svlearn.objectives.policy_gradient import PolicyGradient
from svlearn.objectives.soft_q import SoftQIteration
from svlearn.objectives.stochastic_control import StochasticControl

__all__ = [
    "AdjointMatching",
    "ContrastiveEnergy",
    "ContrastiveTwist",
    "DistributionalPolicyGradient",
    "MonteCarloRegression",
    "Objective",
    "PathConsistency",
    "PolicyGradient",
    "SoftQIteration",
    "StochasticControl",
]

"""Objectives: each a loss, a pure function of tensors, and a LightningModule that gathers, calls and logs."""

from svlearn.objectives.adjoint_matching import AdjointMatching
from svlearn.objectives.contrastive_energy import ContrastiveEnergy
from svlearn.objectives.contrastive_twist import ContrastiveTwist
from svlearn.objectives.derivative_free_adjoint import DerivativeFreeAdjointMatching
from svlearn.objectives.distillation import Distillation
from svlearn.objectives.distributional_policy_gradient import DistributionalPolicyGradient
from svlearn.objectives.forward_process import ForwardProcessPolicy
from svlearn.objectives.group_relative_policy_gradient import GroupRelativePolicyGradient
from svlearn.objectives.gumbel_softmax import GumbelSoftmaxControl
from svlearn.objectives.iterated_twist import IteratedTwist
from svlearn.objectives.lightning.last_checkpoint import LastCheckpoint
from svlearn.objectives.lightning.stop_on_judge import StopOnJudge
from svlearn.objectives.monte_carlo import MonteCarloRegression
from svlearn.objectives.objective import Objective
from svlearn.objectives.path_consistency import PathConsistency
from svlearn.objectives.policy_gradient import PolicyGradient
from svlearn.objectives.proximal_policy_gradient import ProximalPolicyGradient
from svlearn.objectives.soft_q import SoftQIteration
from svlearn.objectives.stochastic_control import StochasticControl
from svlearn.objectives.target_score_matching import TargetScoreMatching
from svlearn.objectives.temporal_difference import TemporalDifference

__all__ = [
    "AdjointMatching",
    "ContrastiveEnergy",
    "ContrastiveTwist",
    "DerivativeFreeAdjointMatching",
    "Distillation",
    "DistributionalPolicyGradient",
    "ForwardProcessPolicy",
    "GroupRelativePolicyGradient",
    "GumbelSoftmaxControl",
    "IteratedTwist",
    "LastCheckpoint",
    "MonteCarloRegression",
    "Objective",
    "PathConsistency",
    "PolicyGradient",
    "ProximalPolicyGradient",
    "SoftQIteration",
    "StochasticControl",
    "StopOnJudge",
    "TargetScoreMatching",
    "TemporalDifference",
]

"""Proposals: what draws x_{t+1}. Weights correct for any that covers p_ref exp(v_{t+1}/α)."""

from svlearn.inference.proposals.exact import Exact
from svlearn.inference.proposals.guided import Guided
from svlearn.inference.proposals.policy import Policy
from svlearn.inference.proposals.proposal import FromReference, Proposal

__all__ = ["Exact", "FromReference", "Guided", "Policy", "Proposal"]

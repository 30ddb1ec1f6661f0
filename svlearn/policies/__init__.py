"""Policies: trainable processes that keep the reference's initial law. A policy is a `Reference`."""

from svlearn.policies.controlled import Controlled
from svlearn.policies.finetuned import Finetuned
from svlearn.policies.policy import Policy

__all__ = ["Controlled", "Finetuned", "Policy"]

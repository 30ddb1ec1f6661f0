"""Surrogates of dear rewards: what a regressor learned from samples that were scored, with what it is unsure of."""

from svlearn.surrogates.network import NetworkRegressor
from svlearn.surrogates.rounds import Rounds, refit_in_rounds
from svlearn.surrogates.surrogate import CrossValidation, Surrogate

__all__ = ["CrossValidation", "NetworkRegressor", "Rounds", "Surrogate", "refit_in_rounds"]

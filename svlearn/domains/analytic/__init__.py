"""Oracles: a linear-Gaussian chain and a finite Markov chain whose soft values, log Z and p* are exact."""

from svlearn.domains.analytic.linear_control import elbo, path_kl
from svlearn.domains.analytic.linear_gaussian import LinearGaussianChain, QuadraticValue
from svlearn.domains.analytic.markov_chain import FiniteMarkovChain, TableReward, TableValue
from svlearn.domains.analytic.oracle import Oracle
from svlearn.domains.analytic.quadratic import Quadratic, QuadraticReward

__all__ = [
    "FiniteMarkovChain",
    "LinearGaussianChain",
    "Oracle",
    "Quadratic",
    "QuadraticReward",
    "QuadraticValue",
    "TableReward",
    "TableValue",
    "elbo",
    "path_kl",
]

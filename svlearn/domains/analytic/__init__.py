"""Oracles: processes whose soft values, log Z and p* are exact, and densities with a known log Z.

The linear-Gaussian chain, the finite Markov chain, the diffusion of a Gaussian mixture, a tree of token sequences,
several of them under a condition each, and the sampler benchmarks (40 modes, funnel, many-well, double well) with
Gaussian references to start from.
"""

from svlearn.domains.analytic.conditional import ByCondition, ConditionalOracle, ValueByCondition
from svlearn.domains.analytic.correlated_gaussian import CorrelatedGaussian
from svlearn.domains.analytic.densities import (
    Density,
    Funnel,
    MixtureDensity,
    Wells,
    double_well,
    gmm40,
    many_well,
)
from svlearn.domains.analytic.gaussian_mixture import GaussianMixtureDiffusion
from svlearn.domains.analytic.gaussian_reference import GaussianReference
from svlearn.domains.analytic.linear_control import elbo, path_kl
from svlearn.domains.analytic.linear_gaussian import LinearGaussianChain, QuadraticValue
from svlearn.domains.analytic.markov_chain import FiniteMarkovChain, TableReward, TableValue
from svlearn.domains.analytic.mixture import GaussianMixture, GaussianMixtureTransition
from svlearn.domains.analytic.mixture_ddpm import GaussianMixtureDDPM
from svlearn.domains.analytic.mixture_rewards import ComponentReward
from svlearn.domains.analytic.oracle import Oracle
from svlearn.domains.analytic.quadratic import Quadratic, QuadraticReward
from svlearn.domains.analytic.texts import TextReward, TextValue
from svlearn.domains.analytic.token_tree import FinishedTexts, TokenTree
from svlearn.schedules import cosine_schedule

__all__ = [
    "ByCondition",
    "ComponentReward",
    "ConditionalOracle",
    "CorrelatedGaussian",
    "Density",
    "FinishedTexts",
    "FiniteMarkovChain",
    "Funnel",
    "GaussianMixture",
    "GaussianMixtureDDPM",
    "GaussianMixtureDiffusion",
    "GaussianMixtureTransition",
    "GaussianReference",
    "LinearGaussianChain",
    "MixtureDensity",
    "Oracle",
    "Quadratic",
    "QuadraticReward",
    "QuadraticValue",
    "TableReward",
    "TableValue",
    "TextReward",
    "TextValue",
    "TokenTree",
    "ValueByCondition",
    "Wells",
    "cosine_schedule",
    "double_well",
    "elbo",
    "gmm40",
    "many_well",
    "path_kl",
]

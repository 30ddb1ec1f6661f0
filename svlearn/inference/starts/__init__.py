"""Starts: what draws x_0 in the place of p_0. Weights correct for them."""

from svlearn.inference.starts.crank_nicolson import CrankNicolson
from svlearn.inference.starts.start import Start, Started

__all__ = ["CrankNicolson", "Start", "Started"]

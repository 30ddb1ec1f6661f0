"""Rewards of images (B, C, H, W) in [0, 1], and `OnImages`, which makes one of states."""

from svlearn.domains.images.rewards.classifier import IsClass, LogProbability
from svlearn.domains.images.rewards.inverse import (
    Blur,
    GaussianObservation,
    Inpainting,
    SuperResolution,
    inverse_problem,
)
from svlearn.domains.images.rewards.jpeg import Compressibility, Incompressibility
from svlearn.domains.images.rewards.on_images import OnImages
from svlearn.domains.images.rewards.scoring import ImageCodec, ImageFunction

__all__ = [
    "Blur",
    "Compressibility",
    "GaussianObservation",
    "ImageCodec",
    "ImageFunction",
    "Incompressibility",
    "Inpainting",
    "IsClass",
    "LogProbability",
    "OnImages",
    "SuperResolution",
    "inverse_problem",
]

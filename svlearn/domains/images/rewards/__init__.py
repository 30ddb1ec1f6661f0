"""Rewards of images (B, C, H, W) in [0, 1], and `OnImages`, which makes one of states."""

from svlearn.domains.images.rewards.aesthetic import AestheticScore
from svlearn.domains.images.rewards.classifier import IsClass, LogProbability
from svlearn.domains.images.rewards.clip import CLIP
from svlearn.domains.images.rewards.clip_score import CLIPScore, PromptSimilarity
from svlearn.domains.images.rewards.image_reward import ImageReward
from svlearn.domains.images.rewards.inverse import (
    Blur,
    GaussianObservation,
    Inpainting,
    SuperResolution,
    inverse_problem,
)
from svlearn.domains.images.rewards.jpeg import Compressibility, Incompressibility
from svlearn.domains.images.rewards.on_images import OnImages
from svlearn.domains.images.rewards.preference import HPSv2, PickScore
from svlearn.domains.images.rewards.scoring import ImageCodec, ImageFunction

__all__ = [
    "CLIP",
    "AestheticScore",
    "Blur",
    "CLIPScore",
    "Compressibility",
    "GaussianObservation",
    "HPSv2",
    "ImageCodec",
    "ImageFunction",
    "ImageReward",
    "Incompressibility",
    "Inpainting",
    "IsClass",
    "LogProbability",
    "OnImages",
    "PickScore",
    "PromptSimilarity",
    "SuperResolution",
    "inverse_problem",
]

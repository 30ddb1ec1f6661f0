"""Rewards of texts, and `OnTexts`, which makes one of states."""

from svlearn.domains.language.rewards.classifier import IsClass, LogProbability, Score
from svlearn.domains.language.rewards.lexical import Length, MustContain, MustNotContain
from svlearn.domains.language.rewards.on_texts import OnTexts
from svlearn.domains.language.rewards.sentiment import SentimentClassifier, Vader
from svlearn.domains.language.rewards.toxicity import Toxicity

__all__ = [
    "IsClass",
    "Length",
    "LogProbability",
    "MustContain",
    "MustNotContain",
    "OnTexts",
    "Score",
    "SentimentClassifier",
    "Toxicity",
    "Vader",
]

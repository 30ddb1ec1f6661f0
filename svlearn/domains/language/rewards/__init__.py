"""Rewards of texts, and `OnTexts`, which makes one of states."""

from svlearn.domains.language.rewards.classifier import IsClass, LogProbability, Score
from svlearn.domains.language.rewards.infilling import Infilling
from svlearn.domains.language.rewards.lexical import Length, MustContain, MustNotContain
from svlearn.domains.language.rewards.on_texts import OnTexts
from svlearn.domains.language.rewards.perplexity import MeanLogLikelihood
from svlearn.domains.language.rewards.sentiment import SentimentClassifier, Vader
from svlearn.domains.language.rewards.toxicity import Toxicity

__all__ = [
    "Infilling",
    "IsClass",
    "Length",
    "LogProbability",
    "MeanLogLikelihood",
    "MustContain",
    "MustNotContain",
    "OnTexts",
    "Score",
    "SentimentClassifier",
    "Toxicity",
    "Vader",
]

"""Rewards that are black boxes: a function of one object, in a pool of processes, remembered, safe from what it does.

A domain gives a `Codec`, which says what a state is to the function, and the function.
"""

from svlearn.scoring.codec import Codec
from svlearn.scoring.counts import Counts
from svlearn.scoring.executors import ExecutorWorkers
from svlearn.scoring.failures import Failure
from svlearn.scoring.reward import ScoredReward
from svlearn.scoring.score_store import ScoreStore
from svlearn.scoring.scorer import Scorer
from svlearn.scoring.workers import Workers

__all__ = ["Codec", "Counts", "ExecutorWorkers", "Failure", "ScoreStore", "ScoredReward", "Scorer", "Workers"]

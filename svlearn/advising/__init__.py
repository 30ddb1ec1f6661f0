"""Which sampler to use for a model, a reward and a budget."""

from svlearn.advising.advice import Advice
from svlearn.advising.answer import advise
from svlearn.advising.break_even import BreakEven
from svlearn.advising.budget import Budget, Prices
from svlearn.advising.estimates import Baseline, Estimate
from svlearn.advising.guided import guided_best_of_n
from svlearn.advising.lineages import svdd_best_of_n
from svlearn.advising.schedule import candidates_by_step

__all__ = [
    "Advice",
    "Baseline",
    "BreakEven",
    "Budget",
    "Estimate",
    "Prices",
    "advise",
    "candidates_by_step",
    "guided_best_of_n",
    "svdd_best_of_n",
]

"""A reward foreseen by any regressor of any features, for where the reward itself is too dear for a sampler's loop."""

import inspect
import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from svlearn.arguments import as_seed, integer, real
from svlearn.state import State, device_of_state
from svlearn.values.calibration import agreement

ONE_SIGMA = math.erf(1 / math.sqrt(2))  # 0.683: how often a normal error is within its standard deviation
LEAST = 4  # samples of a fold
Array = np.ndarray


@dataclass(frozen=True)
class CrossValidation:
    """What a surrogate would have said of each scored sample, had it learned from the other folds alone.

    means, stds (N,), reward units, the second calibrated; rewards (N,): what they were. pearson, r2: how well the means
    agree with these.
    """

    means: Array
    stds: Array
    rewards: Array
    pearson: float
    r2: float

    def coverage(self, width: float = 1.0) -> float:
        """The share of the rewards that are within `width` standard deviations: 0.683 and 0.954 of normal errors are
        within 1 and 2. Within 1 it is at least that by construction."""
        return float((np.abs(self.rewards - self.means) <= width * self.stds).mean())


class Surrogate:
    """r̂(x_T) = m(φ(x_T)) + β s(φ(x_T)), (B,), reward units, of finished states (B, ...): a reward for a `Target`.

    φ: features, a callable of states (B, ...) that gives numbers (B, d), an array or a tensor. regressor: anything with
    fit(X, y) and predict(X) as scikit-learn has it, or a `NetworkRegressor`; of each of `folds` folds one learns from
    the others, and m is the mean of what they predict. s: how unsure they are on average, by the second of
    predict(X, return_std=True) where it takes that (Gaussian processes, Bayesian ridge), by the spread of its members
    where it has them (forests, bagging), else 1; times one number, such that 68.3 % of the scored rewards that are not
    foreseen exactly lie within ± s of what the regressor that has not seen them says (cross-conformal, arXiv
    1905.02928, without its guarantee for every law). New ones lie within m ± s about as often, or more often, for the
    mean of all errs less than each.
    beta: above 0 for what explores (an upper confidence bound), below for what is careful.

    `fit` learns from samples that were scored, anew each time; seed: of the folds, and of regressors whose
    random_state is None. A reward of -inf counts as the least finite one. It is a
    guess about samples like those: `cross_validation` says how good, and a sample is judged by the reward itself. It
    has no gradient, and is not counted as a call of the reward.

        surrogate = Surrogate(features, GaussianProcessRegressor()).fit(samples, reward(samples))
        value = values.PosteriorMean(Target(surrogate, alpha))   # SVDD-PM without the dear reward in its loop
        svdd(reference, Target(reward, alpha), value, 10)

    Raises TypeError for what cannot be called, fitted or asked; ValueError for numbers out of range, for features or
    predictions of another number of rows or that are not finite, and for being asked before it was fitted.
    """

    asynchronous, stands_in = False, True
    cross_validation: CrossValidation

    def __init__(
        self, features: Callable[[Any], Any], regressor: Any, *, beta: float = 0.0, folds: int = 5, seed: int = 0
    ):
        if not callable(features):
            raise TypeError(f"features: expected a callable of states, got {type(features).__name__}")
        missing = [name for name in ("fit", "predict") if not callable(getattr(regressor, name, None))]
        if missing:
            raise TypeError(f"regressor: expected one with fit and predict, got {type(regressor).__name__}")
        self.features, self.regressor = features, regressor
        self.beta, self.folds, self.seed = real(beta, "beta"), integer(folds, "folds", 2), as_seed(seed)
        self.fitted: list[Any] = []
        self.scale, self.least = 1.0, 0.0

    def fit(self, x: State, rewards: Tensor) -> Self:
        """Learn from finished states (N, ...) and their rewards (N,), at least four for each fold."""
        scores = finite_scores(rewards)
        inputs = self.inputs(x)
        if len(inputs) != len(scores) or len(scores) < LEAST * self.folds:
            least = f"expected a number for each of {len(inputs)} states, at least {LEAST * self.folds}"
            raise ValueError(f"rewards: {least}, got {len(scores)}")
        means, stds, fitted = np.empty(len(scores)), np.empty(len(scores)), list[Any]()
        floor = 1e-9 * max(1.0, float(np.abs(scores).max()))
        order = np.random.default_rng(self.seed).permutation(len(scores))
        for held_out in np.array_split(order, self.folds):
            others = np.setdiff1d(order, held_out)
            fitted.append(seeded_copy(self.regressor, self.seed).fit(inputs[others], scores[others]))
            means[held_out], stds[held_out] = predicted(fitted[-1], inputs[held_out], floor)
        self.scale = conformal_scale(scores - means, stds)
        pearson, r2 = agreement(torch.as_tensor(means), torch.as_tensor(scores))[:2]
        self.cross_validation = CrossValidation(means, self.scale * stds, scores, pearson, r2)
        self.fitted, self.least = fitted, floor
        return self

    def predict(self, x: State) -> tuple[Tensor, Tensor]:
        """m and s of states (B, ...), (B,) each, float64, reward units, on their device."""
        if not self.fitted:
            raise ValueError("surrogate: expected one that was fitted, got none; call fit(states, rewards) first")
        inputs, home = self.inputs(x), device_of_state(x)
        means, stds = np.mean([predicted(each, inputs, self.least) for each in self.fitted], axis=0)
        return torch.as_tensor(means, device=home), torch.as_tensor(self.scale * stds, device=home)

    def __call__(self, x: State) -> Tensor:
        mean, std = self.predict(x)
        return mean + self.beta * std

    def inputs(self, x: State) -> Array:
        """φ(x), (B, d), float64."""
        with torch.no_grad():
            given = self.features(x)
        numbers = given.detach().cpu().double().numpy() if isinstance(given, Tensor) else np.asarray(given)
        if numbers.ndim != 2 or len(numbers) != x.shape[0]:
            raise ValueError(f"features: expected shape ({x.shape[0]}, d), got {numbers.shape}")
        if not np.isfinite(numbers).all():
            raise ValueError("features: expected finite numbers, got others")
        return numbers.astype(float)


def seeded_copy(regressor: Any, seed: int) -> Any:
    """A copy whose every `random_state` that is None, in scikit-learn's parameters, is a seed: else it would draw from
    NumPy's global stream, and another time learn something else."""
    own = deepcopy(regressor)
    parameters = own.get_params() if callable(getattr(own, "get_params", None)) else {}
    unset = [name for name, held in parameters.items() if held is None and name.split("__")[-1] == "random_state"]
    return own.set_params(**dict.fromkeys(unset, seed % 2**32)) if unset else own


def finite_scores(rewards: Tensor) -> Array:
    """Rewards (N,), float64; -inf as the least of the others. Raises ValueError for NaN, +inf, and no finite one."""
    scores = rewards.detach().double().cpu().numpy().copy()
    dead = scores == -math.inf
    if scores.ndim != 1 or not np.isfinite(scores[~dead]).all() or dead.all():
        raise ValueError("rewards: expected numbers (N,), or -inf for some, got others")
    scores[dead] = scores[~dead].min()
    return scores


def predicted(regressor: Any, inputs: Array, least: float) -> tuple[Array, Array]:
    """What a fitted regressor says of inputs (N, d): means and standard deviations (N,), the second `least` or more."""
    last = regressor[-1] if hasattr(regressor, "steps") else regressor  # of a pipeline
    if "return_std" in inspect.signature(last.predict).parameters:
        mean, std = regressor.predict(inputs, return_std=True)
    else:
        mean = regressor.predict(inputs)
        members: Any = getattr(regressor, "estimators_", None)
        if isinstance(members, list):
            features = getattr(regressor, "estimators_features_", [slice(None)] * len(members))
            said = [each.predict(inputs[:, own]) for each, own in zip(members, features, strict=True)]
            std = np.std(said, axis=0)
        else:
            std = np.ones(len(inputs))
    mean, std = (np.asarray(each, dtype=float).reshape(len(inputs), -1) for each in (mean, std))
    if mean.shape[1] != 1 or not np.isfinite(mean).all() or not np.isfinite(std).all():
        raise ValueError(f"regressor: expected a finite number for each of {len(inputs)} rows, got {mean.shape}")
    return mean[:, 0], np.maximum(std[:, 0], least)


def conformal_scale(errors: Array, stds: Array) -> float:
    """The c for which 68.3 % of |error| <= c · std, by the order statistic that makes it so of a new one too.

    Of those that are not foreseen exactly: many rewards that are alike, such as those of all that is forbidden, would
    else make it nothing for the others. 0 where all are.
    """
    rows = np.abs(errors) > 1e-6 * np.abs(errors).max()
    if not rows.any():
        return 0.0
    ratios = np.sort(np.abs(errors[rows]) / stds[rows])
    return float(ratios[min(len(ratios), math.ceil((len(ratios) + 1) * ONE_SIGMA)) - 1])

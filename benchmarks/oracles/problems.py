"""The oracles of the leaderboard: what is learned there, with which networks, and exact judges of a policy."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.oracles.judges import chain_kl, gaussian_kl, path_log_ratio, squares
from benchmarks.oracles.networks import MLP, LinearInX, QuadraticInX, Table, TablePolicy, TextPolicy, TextTable
from svlearn.domains.analytic import (
    FiniteMarkovChain,
    GaussianMixtureDDPM,
    GaussianMixtureDiffusion,
    LinearGaussianChain,
    Oracle,
    TokenTree,
)
from svlearn.domains.analytic.texts import prefixes
from svlearn.inference.paths import smc_paths
from svlearn.inference.samplers import smc
from svlearn.policies import Controlled, Policy
from svlearn.process import Reference, predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.values import Learned, Value

NUM_PATHS = 4000  # on which a policy is judged where a mean over x_t is taken


@dataclass(frozen=True)
class Judgement:
    """How far a policy q is from p*, nats, on whole trajectories. gap: of its ELBO to the best of its class, None where
    that is not known; reverse: KL(q || p*); forward: KL(p* || q). exact: by enumeration or in closed form in x_{t+1};
    else estimated."""

    gap: float | None
    reverse: float
    forward: float
    exact: bool


class Problem(ABC):
    """An oracle to learn on. rates: learning rates of value and policy; a subclass makes networks and judges q."""

    batch_size = 256
    gaussian = True
    reference: Reference  # what is steered by a value
    controlled: Reference  # what is steered by a policy

    def __init__(self, name: str, title: str, oracle: Oracle, alpha: float, steps: int, rates: tuple[float, float]):
        self.name, self.title, self.oracle, self.alpha = name, title, oracle, alpha
        self.max_steps, self.rates = steps, rates
        self.reference = self.controlled = oracle

    @property
    def target(self) -> Target:
        return self.oracle.target(self.alpha)

    @abstractmethod
    def value(self) -> Value:
        """A new value to train."""

    @abstractmethod
    def policy(self) -> Policy:
        """A new policy, which starts as p_ref."""

    @abstractmethod
    def judge(self, policy: Policy) -> Judgement:
        """Of a trained policy."""

    def log_normalizer(self) -> float:
        """log Z of the process that a policy steers."""
        return float(self.oracle.log_normalizer(self.alpha))


class Gaussian(Problem):
    """A linear-Gaussian chain of which x_0 still tells x_T; networks that hold the answer, or plain ones."""

    oracle: LinearGaussianChain

    def __init__(self, dim: int, plain: bool, steps: int, rates: tuple[float, float], name: str | None = None):
        drawn = LinearGaussianChain.random(dim, num_steps=8, seed=0)
        turn = torch.linalg.qr(drawn.matrices)[0]
        start = drawn.initial_mean, 1.0
        oracle = LinearGaussianChain(*start, 0.95 * turn, drawn.offsets, 0.6 * drawn.stds, drawn.reward)
        kind = "a plain MLP" if plain else "networks that hold the answer"
        name = f"gaussian{dim}" if name is None else name
        title = f"Linear-Gaussian chain, {dim} dimensions, {kind}, {steps} steps"
        super().__init__(name, title, oracle, 2.0, steps, rates)
        self.dim, self.plain = dim, plain

    def value(self) -> Value:
        if self.plain:
            return Learned(MLP(self.dim, 8, None, width=128, depth=2))
        return Learned(QuadraticInX(self.dim, 8))

    def policy(self) -> Policy:
        network = MLP(self.dim, 8, self.dim, width=128, depth=2) if self.plain else LinearInX(self.dim, 8)
        return Controlled(self.oracle, network)

    @torch.no_grad()
    def judge(self, policy: Policy) -> Judgement:
        """With u = s_t² g - E_p*[x_{t+1} - m_t | x_t], P_t the bend of v_t/α and D = s_t²: what q loses is

        gap = Σ_t E_q[u'(D^-1 + P_{t+1}) u]/2, by completing the square in the Bellman recursion of the ELBO, and
        KL(p* || q) = KL(p*_0 || p_0) + Σ_t (KL(N(0, G_t) || N(0, D)) + E_p*[u'D^-1 u]/2), G_t = (D^-1 + P_{t+1})^-1.

        The means over x_t are over 4000 trajectories; that is all that is drawn.
        """
        oracle = self.oracle
        best, exact = oracle.best_policy(self.alpha), oracle.soft_value(self.alpha)
        bends = exact.matrices / self.alpha
        own = roll_out(policy, NUM_PATHS, generator=seeded("cpu", 7))["states"]
        optimal = oracle.optimal_trajectories(NUM_PATHS, self.alpha, generator=seeded("cpu", 8))
        gap, forward = 0.0, gaussian_kl(*_start(oracle.optimal_marginals(self.alpha)), *_start(oracle.marginals()))
        for t in range(oracle.num_steps):
            precision = torch.diag(oracle.stds[t] ** -2)
            bent = precision + bends[t + 1]
            gap += 0.5 * squares(self._excess(policy, best, own[:, t], t), bent)
            nothing = torch.zeros_like(oracle.initial_mean)
            spread = gaussian_kl(nothing, torch.linalg.inv(bent), nothing, torch.linalg.inv(precision))
            forward += spread + 0.5 * squares(self._excess(policy, best, optimal[:, t], t), precision)
        floor = float(oracle.log_normalizer(self.alpha) - oracle.best_elbo(self.alpha))
        return Judgement(gap, floor + gap, forward, exact=True)

    def _excess(self, policy: Policy, best: LinearGaussianChain, x: Tensor, t: int) -> Tensor:
        return predict(policy, x, t).transition.mean - predict(best, x, t).transition.mean


class Markov(Problem):
    """Five states, six steps, a free number for each."""

    gaussian = False
    oracle: FiniteMarkovChain

    def __init__(self, steps: int, rates: tuple[float, float]):
        oracle = FiniteMarkovChain.random(num_states=5, num_steps=6, seed=0)
        super().__init__("markov", "Markov chain, 5 states, 6 steps, tables", oracle, 0.7, steps, rates)

    def value(self) -> Value:
        return Learned(Table(self.oracle.num_steps, self.oracle.num_states))

    def policy(self) -> Policy:
        return TablePolicy(self.oracle)

    @torch.no_grad()
    def judge(self, policy: Policy) -> Judgement:
        """By dynamic programming over the laws of x_t."""
        oracle, states = self.oracle, torch.arange(self.oracle.num_states)[:, None]
        moves = [predict(policy, states, t).transition.log_probs[:, 0].exp() for t in range(oracle.num_steps)]
        own = FiniteMarkovChain(oracle.initial_probs, torch.stack(moves), oracle.reward.table)
        best = oracle.optimal(self.alpha)
        reverse, forward = float(chain_kl(own, best)), float(chain_kl(best, own))
        floor = float(oracle.log_normalizer(self.alpha) - oracle.best_elbo(self.alpha))
        return Judgement(reverse - floor, reverse, forward, exact=True)


class Tree(Problem):
    """All texts of four tokens out of four; x_0 is the empty text, so that the best ELBO is log Z."""

    gaussian = False
    oracle: TokenTree

    def __init__(self, steps: int, rates: tuple[float, float]):
        oracle = TokenTree.random(num_tokens=4, length=4, seed=0)
        super().__init__("tree", "Token tree, 4 tokens of 4, tables", oracle, 1.0, steps, rates)

    def value(self) -> Value:
        return Learned(TextTable(self.oracle.num_tokens, self.oracle.length))

    def policy(self) -> Policy:
        return TextPolicy(self.oracle)

    @torch.no_grad()
    def judge(self, policy: Policy) -> Judgement:
        """By enumeration of the texts."""
        oracle = self.oracle
        levels = prefixes(oracle.num_tokens, oracle.length)[:-1]
        rows = [predict(policy, texts, t).transition.log_probs for t, texts in enumerate(levels)]
        own = TokenTree(torch.cat(rows).exp(), oracle.num_tokens, oracle.length, oracle.reward)
        q, best = own.leaves()[1], oracle.optimal(self.alpha).leaves()[1]
        reverse, forward = float((q.exp() * (q - best)).sum()), float((best.exp() * (best - q)).sum())
        return Judgement(reverse, reverse, forward, exact=True)


class Toy(Problem):
    """The RTB toy in 2-d: values steer the exact reversal of the diffusion, policies the Gaussian steps of its DDPM.

    A Gaussian step is not the exact one, so policies have another log Z and p*, which tend to the diffusion's as 1/T.
    """

    oracle: GaussianMixtureDiffusion

    def __init__(self, num_steps: int, steps: int, rates: tuple[float, float]):
        oracle = GaussianMixtureDiffusion.rtb_toy(num_steps)
        title = f"Gaussian-mixture diffusion, 2 dimensions, {num_steps} steps, 9 modes of 25 wanted, a plain MLP"
        super().__init__("mixture", title, oracle, 1.0, steps, rates)
        self.controlled = GaussianMixtureDDPM(oracle)

    def value(self) -> Value:
        return Learned(MLP(2, self.oracle.num_steps, None, width=128, depth=3, scale=10.0))

    def policy(self) -> Policy:
        return Controlled(self.controlled, MLP(2, self.oracle.num_steps, 2, width=128, depth=3, scale=10.0))

    def log_normalizer(self) -> float:
        return self._optimum()[2]

    @torch.no_grad()
    def judge(self, policy: Policy) -> Judgement:
        """KL(q || p*) = log Z - ELBO on 4000 trajectories of q; KL(p* || q) on 4000 particles of p*, by SMC."""
        own = roll_out(policy, NUM_PATHS, target=self.target, generator=seeded("cpu", 7))
        bound = (own["rewards"] / self.alpha - path_log_ratio(policy, own["states"])).mean()
        paths, weights, log_z = self._optimum()
        gains = self.target(paths[:, -1]) / self.alpha - path_log_ratio(policy, paths)
        return Judgement(None, float(log_z - bound), float(weights @ gains - log_z), exact=False)

    def _optimum(self) -> tuple[Tensor, Tensor, float]:
        """Trajectories of p* of the DDPM, their weights and log Z, by SMC with the diffusion's exact value."""
        if not hasattr(self, "_found"):
            value = self.oracle.soft_value(self.alpha)
            arguments = (self.controlled, self.target, value, NUM_PATHS)
            paths, log_weights = smc_paths(*arguments, generator=seeded("cpu", 9))
            groups = smc(*arguments).sample(5, generator=seeded("cpu", 10)).log_normalizer
            self._found = paths, log_weights.exp(), float(groups.logsumexp(dim=0) - math.log(len(groups)))
        return self._found


def problems() -> list[Problem]:
    """All of them, in the order of the page."""
    return [
        Gaussian(3, plain=False, steps=1500, rates=(2e-2, 2e-2)),
        Gaussian(10, plain=True, steps=1500, rates=(5e-3, 5e-3)),
        Gaussian(10, plain=True, steps=6000, rates=(5e-3, 5e-3), name="gaussian10-long"),
        Markov(steps=1000, rates=(2e-2, 5e-2)),
        Tree(steps=500, rates=(5e-2, 5e-2)),
        Toy(20, steps=300, rates=(5e-3, 2e-3)),
    ]


def _start(marginals: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return marginals[0][0], marginals[1][0]

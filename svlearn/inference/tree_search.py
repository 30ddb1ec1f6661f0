"""Diffusion tree sampling: a tree of states that grows where its own soft values are high."""

from typing import Any

import torch

from svlearn.arguments import expect, integer, real
from svlearn.inference.sampler import Sampler
from svlearn.inference.selection import Keep
from svlearn.inference.tree import TreeRun
from svlearn.process import Reference
from svlearn.targets import Target
from svlearn.values.value import Value, Zero


def tree_search(
    reference: Reference,
    target: Target,
    value: Value | None = None,
    num_rollouts: int = 64,
    *,
    widening_factor: float = 2.0,
    widening_exponent: float = 0.5,
    prior_children: float = 1.0,
) -> "TreeSearch":
    """Diffusion tree sampling (DTS, arXiv 2506.20701): one tree to a group, grown by num_rollouts = R roll-outs.

    A node is a state x_t; its children are draws of p_ref(· | x_t), those of the root draws of x_0. Every roll-out
    descends from the root, to a child with probability ∝ exp(v̂/α), down to a node that N roll-outs came by and that
    has fewer than widening_factor · N^widening_exponent children (progressive widening); there it draws a new child,
    and goes on with the reference to x_T. Then, upwards, for every node that it passed, of children c_1 ... c_C,

        v̂(x_T) = r(x_T), exp(v̂(x_t)/α) = (Σ_i exp(v̂(c_i)/α) + n exp(v_t(x_t)/α))/(C + n)   (soft Bellman backup)

    with n = prior_children and v the value, or, where it is None or `Zero`, v̂ of the root. n = 0 is the paper's
    backup: there a node whose first roll-out was unlucky is hardly ever visited again, and p* is out of reach of any
    usual R. v̂ decides where the tree grows, not what the samples weigh.

    The samples are the leaves, with log-weight r/α - Σ log C over all nodes above: the probability to end there by
    descending in the finished tree by the plain backup, n = 0. They target p* as R grows. A roll-out that ended in an
    old leaf repeats it, at weight 0. `log_normalizer`, the plain backup at the root, tends to log Z, but
    exp(log_normalizer) is biased at a finite R, downwards: what looked bad at first is visited less, and so corrected
    less, than what looked good. It is unbiased where the shape of the tree knows nothing of the rewards, as at factor
    and exponent 1, which makes R independent roll-outs.

    A group costs one call of the reference (and of the value) per new node at t < T, at most R T in all, and none below
    a node that is `Reference.finished`, which has itself as its one child: nodes keep their predictions, whose
    transitions (and caches) need a class method `cat(parts)`. A reward of -inf counts as the
    target's floor where the tree grows. history.ess (B, T + 1) counts the nodes at t that the weights rest on.
    Raises ValueError for α = 0 and for numbers out of range, TypeError for wrong kinds.
    """
    if expect(target, Target, "target").alpha == 0:
        raise ValueError("alpha: tree_search needs alpha > 0, got 0; use beam_search, svdd or best_of_n")
    widths = real(widening_factor, "widening_factor", above=0), real(widening_exponent, "widening_exponent")
    if not 0 <= widths[1] <= 1:
        raise ValueError(f"widening_exponent: expected a number in [0, 1], got {widening_exponent}")
    return TreeSearch(
        expect(reference, Reference, "reference"),
        target,
        Zero() if value is None else expect(value, Value, "value"),
        integer(num_rollouts, "num_rollouts"),
        widths,
        real(prior_children, "prior_children", least=0),
    )


class TreeSearch(Sampler):
    """The sampler of `tree_search`: its groups are trees, their particles the leaves, one a roll-out.

    `resume` grows trees below given states x_t. No trajectory can be retained.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target,
        value: Value,
        num_rollouts: int,
        widths: tuple[float, float],
        prior_children: float,
    ):
        super().__init__(reference, target, value, Keep(), num_particles=num_rollouts, estimates_normalizer=True)
        self.widths, self.prior_children = widths, prior_children

    def _run(self, batch_size: int, generator: torch.Generator, **options: Any) -> TreeRun:
        return TreeRun(self.parts, batch_size, generator, self.widths, self.prior_children, **options)

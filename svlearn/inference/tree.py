"""Trees of states that grow side by side, one to a group: the pass that `tree_search` makes."""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from tqdm.auto import tqdm

from svlearn.inference.log_weights import LogWeights
from svlearn.inference.node_store import NodeStore
from svlearn.inference.particles import Particles
from svlearn.inference.parts import Parts
from svlearn.inference.resampling import ess
from svlearn.inference.run import Run
from svlearn.inference.samples import History
from svlearn.moving import moving_rows
from svlearn.process import Prediction, draw_initial, finished_rows, has, predict
from svlearn.randomness import uniform
from svlearn.state import State, concatenate, take
from svlearn.targets import NonFiniteError, Target, check_no_nan
from svlearn.values.value import Zero, evaluate


class TreeRun(Run):
    """B trees, grown by R roll-outs each.

    widths: N visits of a node allow factor · N^exponent children. prior_children: how many children the guess of a
    node's worth counts as, the value's, or without one that of the root.

    A roll-out draws at most one node at each t = start ... T, and node k at t is the one of roll-out k. So all that
    is known of the nodes is in tensors (T + 1 - start, B, R):

    parents    the node above, at t - 1; at the start 0, the root; -1 where there is no such node
    places     where its state and reward lie on the shelves of its t
    called     where its prediction lies there; -1 of a node that is `Reference.finished`: it has one child, itself
    visits     how many roll-outs came by
    scores     v̂/α, nats, float64; priors: v/α by the value, where there is one
    """

    def __init__(
        self,
        parts: Parts,
        batch_size: int,
        generator: torch.Generator,
        widths: tuple[float, float],
        prior_children: float,
        **options: Any,
    ):
        if options.get("retained") is not None:
            raise ValueError("retained: tree_search cannot retain a given trajectory; smc and svdd can")
        if options.get("keep_candidates"):
            raise ValueError("candidates: tree_search chooses among none; svdd, smc and beam_search do")
        super().__init__(parts, batch_size, generator, **options)
        self.target, self.widths, self.prior_children = cast(Target, parts.target), widths, prior_children
        self.guided = not isinstance(parts.value, Zero)

    def from_start(self, condition: Any = None) -> tuple[Particles, History]:
        """Grow the trees of which the first nodes are draws of x_0."""

        reference, generator = self.parts.reference, self.generator  # not self: a tree would then hold itself

        def draw(rows: Tensor) -> State:
            return draw_initial(reference, len(rows), condition=take(condition, rows), generator=generator)

        return self._grow(draw, 0, math.inf)

    def from_states(self, x: State, t: int) -> tuple[Particles, History]:
        """Grow the trees of which the only first node is the given x_t (B, ...)."""
        return self._grow(lambda rows: take(x, rows), t, 1)

    def _grow(self, draw: Callable[[Tensor], State], start: int, most: float) -> tuple[Particles, History]:
        """draw: the first nodes of the given trees; most: how many of these a tree may have."""
        self.draw, self.start, self.most = draw, start, most
        levels, size, device = self.last + 1 - start, self.parts.num_particles, torch.get_default_device()
        self.parents = torch.full((levels, self.batch_size, size), -1, device=device)
        self.places, self.visits = torch.zeros_like(self.parents), torch.zeros_like(self.parents)
        self.ends = has(self.parts.reference, "finished")
        self.called = torch.zeros_like(self.parents) if self.ends else self.places
        self.scores = torch.zeros(self.parents.shape, dtype=torch.float64, device=device)
        self.priors = torch.zeros_like(self.scores)
        self.states, self.predictions = [NodeStore() for _ in range(levels)], [NodeStore() for _ in range(levels - 1)]
        self.rewards = NodeStore()
        ends = []
        for k in tqdm(range(size), disable=not self.progress, desc="growing trees", leave=False):
            path = self._roll_out(k)
            self._back_up(path, k)
            ends.append(path[-1])
        return self._harvest(torch.stack(ends, dim=1))

    def _roll_out(self, k: int) -> list[Tensor]:
        """Descend until each tree widens, and draw on to T; the nodes passed at each t, (B,), k where they are new."""
        here = self.parents.new_zeros(self.batch_size)
        visits, new, rows, law = here + k + 1, torch.zeros_like(here, dtype=torch.bool), here[:0], None
        path: list[Tensor] = []
        for level in range(len(self.parents)):
            fresh = len(rows)  # the trees that were given a node just above, in the order in which `law` has them
            if fresh < self.batch_size:
                widens, chosen = self._descend(level, here, visits, k)
                rows = torch.cat([rows, (widens & ~new).nonzero().squeeze(1)])
            if len(rows):
                law = self._add(level, k, rows, here[rows], fresh, law)
            here, new = torch.where(widens, k, chosen), widens
            self.visits[level].scatter_add_(1, here[:, None], torch.ones_like(here)[:, None])
            visits = self.visits[level].gather(1, here[:, None]).squeeze(1)
            path.append(here)
        return path

    def _descend(self, level: int, here: Tensor, visits: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Whether the nodes `here` (B,), at the level above, widen, and a child of each, drawn ∝ exp(score)."""
        scores, number = self._children(level, here[:, None], k)
        factor, exponent = self.widths
        limit = factor * visits.double() ** exponent
        if self.ends and level:
            limit = torch.where(self.called[level - 1].gather(1, here[:, None])[:, 0] < 0, 1.0, limit)
        widens = number.squeeze(1) < (limit if level else limit.clamp(max=self.most))
        uniforms = uniform(scores.shape, self.generator, here.device)
        return widens, (scores - (-uniforms.log()).log()).argmax(dim=1)  # Gumbel's way to draw from a softmax

    def _add(
        self, level: int, k: int, rows: Tensor, above: Tensor, fresh: int, law: Prediction | None
    ) -> Prediction | None:
        """Draw node k of the given trees below the nodes `above`; what the reference says of it, None at T.

        The first `fresh` trees were given a new node just above; `law` is what the reference says of these.
        """
        t = self.start + level
        moving = None
        if level == 0:
            x = self.draw(rows)
        else:
            moving = moving_rows(self.called[level - 1, rows, above] < 0) if self.ends else None
            x, law = self._step(level - 1, rows, above, fresh, law, moving)
        self.parents[level, rows, k] = above
        if self.keep_states:
            check_no_nan(x, t)
        kept = x if self.keep_states or self.ends or t == self.last else None
        self.places[level, rows, k] = self.states[level].add(kept, len(rows)).to(rows.device)
        if t == self.last:
            rewards = self.target(x)
            self.rewards.add(rewards, len(rows))
            self.scores[level, rows, k] = rewards.double().clamp(min=self.target.floor) / self.target.alpha
            return None
        if moving is not None:
            if self.guided:  # what stands still keeps its value
                self.priors[level, rows, k] = self.priors[level - 1, rows, above]
            self.called[level, rows, k] = -1
            x, rows = take(x, moving), rows[moving]
        return self._predict(level, k, rows, x, law) if len(rows) else None

    def _step(
        self, level: int, rows: Tensor, above: Tensor, fresh: int, law: Prediction | None, moving: Tensor | None
    ) -> tuple[State, Prediction | None]:
        """Draw a child of each of the nodes `above` at a level; and what the reference says of those that move."""
        if moving is not None:
            x = self.states[level][self.places[level, rows, above]]
            fresh = int((moving < fresh).sum())
            rows, above = rows[moving], above[moving]
            if not len(rows):
                return x, None
        laws = [law] if fresh else []
        if fresh < len(rows):
            laws.append(self.predictions[level][self.called[level, rows[fresh:], above[fresh:]]])
        law = concatenate(laws)
        drawn = law.transition.sample(generator=self.generator)
        if moving is None:
            return drawn, law
        x[moving] = drawn
        return x, law

    def _predict(self, level: int, k: int, rows: Tensor, x: State, law: Prediction | None) -> Prediction | None:
        """What the reference says of node k of the given trees, at x, of those that are not finished; None where all
        are. The value is asked for once where it is finished, too, and then the reference if it reads that."""
        t, reference, value = self.start + level, self.parts.reference, self.parts.value
        going = moving_rows(finished_rows(reference, x)) if self.ends else None
        reads = going is None or (self.guided and value.reads(t))
        called = None if reads else going
        number = len(rows) if called is None else len(called)
        prediction = predict(reference, take(x, called), t, law, parents=called) if number else None
        if self.guided:
            values = evaluate(value, x, t, prediction if reads else None, generator=self.generator)
            self.priors[level, rows, k] = values.double() / self.target.alpha
        if going is not None:
            self.called[level, rows, k] = -1
            rows = rows[going]
            if not len(rows):
                return None
        kept = cast(Prediction, prediction)
        kept = kept.trimmed() if t + 1 < self.last else Prediction(kept.transition)
        kept = take(kept, going if reads else None)
        places = self.predictions[level].add(kept, len(rows))
        if self.ends:
            self.called[level, rows, k] = places.to(rows.device)
        return kept

    def _back_up(self, path: list[Tensor], k: int) -> None:
        """Score the nodes of the path anew, upwards, by the mean of exp(score) of their children and of the guess."""
        log_share = math.log(self.prior_children) if self.prior_children else -math.inf
        if k == 0:
            self.root = self.scores[-1, :, :1].clone()
        for level in reversed(range(len(path) - 1)):
            here = path[level][:, None]
            below, number = self._children(level + 1, here, k)
            guess = self.priors[level].gather(1, here) if self.guided else self.root
            terms = torch.cat([below, guess + log_share], dim=1)
            total = terms.logsumexp(dim=1, keepdim=True) - (number + self.prior_children).log()
            self.scores[level].scatter_(1, here, total)
        below, number = self._children(0, torch.zeros_like(path[0])[:, None], k)
        self.root = below.logsumexp(dim=1, keepdim=True) - number.log()
        if not math.isfinite(self.root.sum().item()) and not bool(self.root.isfinite().all()):
            group = int((~self.root.isfinite()).nonzero()[0, 0])
            raise NonFiniteError(
                f"reward / alpha: expected numbers that a float64 can hold, got others in the tree of group {group}"
            )

    def _children(self, level: int, above: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The scores (B, k + 1) of the children of a node (B, 1) each, -inf for other nodes; how many these are."""
        children = self.parents[level, :, : k + 1] == above
        scores = self.scores[level, :, : k + 1].masked_fill(~children, -math.inf)
        return scores, children.sum(dim=1, keepdim=True).double()

    def _harvest(self, ends: Tensor) -> tuple[Particles, History]:
        """The leaves (B, R) that the roll-outs ended in, weighed by the finished trees."""
        there = self.parents >= 0
        log_shares = -there[0].sum(dim=1, keepdim=True).double().log().expand(ends.shape)
        for parents, exist in zip(self.parents[1:], there[1:], strict=True):
            above = parents.clamp(min=0)
            numbers = torch.zeros_like(log_shares).scatter_add(1, above, exist.double())
            log_shares = (log_shares - numbers.log()).gather(1, above)
        leaves = self.places[-1].gather(1, ends).flatten()
        rewards = self.rewards[leaves]
        log_twists = rewards.double() / self.target.alpha
        log_weights = (log_twists.view(ends.shape) + log_shares).masked_fill(~there[-1], -math.inf)
        history = self._history(ends, log_weights)
        particles = Particles(
            x=self.states[-1][leaves],
            rewards=rewards,
            prediction=None,
            log_twists=log_twists,
            weights=LogWeights(log_weights + math.log(ends.shape[1])),
            exponents=log_weights.new_ones(len(ends)),
        )
        return particles, history

    def _history(self, ends: Tensor, log_weights: Tensor) -> History:
        """The lineage of the leaves, and the ESS, in nodes, of the law that the finished trees have at each t."""
        own = torch.arange(ends.shape[1], device=ends.device).expand_as(ends)
        nodes = [*torch.where(self.parents[:-1] >= 0, own, 0), ends]  # node 0 is always there
        ancestors = [own, *(parents.gather(1, node) for parents, node in zip(self.parents[1:], nodes[1:], strict=True))]
        weights = log_weights.softmax(dim=1).nan_to_num(nan=0.0)  # of a group that died
        history = History(weights[:, :0], weights[:, :0], tuple(ancestors), None, self.start)
        masses = [torch.zeros_like(weights).scatter_add(1, places, weights) for places in history.lineage.unbind(1)]
        effective = torch.stack([ess(mass.log()) for mass in masses], dim=1)
        states = None
        if self.keep_states:
            found = zip(self.states, self.places, nodes, strict=True)
            states = tuple(shelf[at.gather(1, node).flatten()].unflatten(0, ends.shape) for shelf, at, node in found)
        never = torch.zeros_like(effective, dtype=torch.bool)
        return History(effective, never, tuple(ancestors), states, self.start)

"""The parts that the sampling loop runs with."""

from dataclasses import replace

from svlearn.inference.proposals import FromReference, Proposal
from svlearn.inference.selection import Selection
from svlearn.inference.starts import Start
from svlearn.inference.tempering import Tempering
from svlearn.process import Prediction, Reference
from svlearn.targets import Target
from svlearn.values.children import asks_parents
from svlearn.values.value import Value


class Parts:
    """What is plugged into the loop.

    proposal       who draws x_{t+1}: q(· | x_t)
    start          who draws x_0; None: p_0
    value, target  how good a candidate is: v_{t+1}(x_{t+1}), and r(x_T) itself at T
    tempering      λ_t, how much of the value counts at t; None: all of it
    selection      who survives
    num_particles  K particles to a group; num_candidates M candidates to a particle, one number per step 0 ... T

    log w_0 = λ_0 v_0(x_0)/α; log w_{t+1} = log w_t + (λ_{t+1} v_{t+1}(x_{t+1}) - λ_t v_t(x_t))/α + log p_ref - log q,
    in float64. The reference is called once per kept state, and once per candidate where the value reads its
    prediction; the survivor's prediction is then reused. A value that asks the prediction of a candidate's parent
    (`Value.of_children`) has it called once per kept state.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target | None,
        value: Value,
        selection: Selection,
        *,
        proposal: Proposal | None = None,
        tempering: Tempering | None = None,
        num_particles: int = 1,
        num_candidates: list[int] | None = None,
        start: Start | None = None,
        estimates_normalizer: bool = False,
    ):
        self.reference, self.target, self.value, self.selection = reference, target, value, selection
        self.proposal = (FromReference() if proposal is None else proposal).bind(reference, target)
        self.start = None if start is None else start.bind(reference, target, value)
        self.tempering = tempering
        if tempering is not None:
            tempering.check(reference.num_steps)
        self.num_particles = num_particles
        self.num_candidates = [1] * (reference.num_steps + 1) if num_candidates is None else num_candidates
        self.estimates_normalizer = estimates_normalizer

    def asks_parents(self, t: int) -> bool:
        """Whether the value asks what was predicted for the parents of the candidates for x_t, not for these."""
        return t < self.num_steps and asks_parents(self.value, t)

    def keep(self, prediction: Prediction, t: int) -> Prediction:
        """What the next step reads of the prediction of kept states x_t: what the proposal does, and the value."""
        kept = self.proposal.keep(prediction)
        return replace(kept, clean=prediction.clean) if self.asks_parents(t + 1) else kept

    @property
    def num_steps(self) -> int:
        """T, of the reference."""
        return self.reference.num_steps

"""Policy objectives whose optimum is p* where the reference is memoryless, and say before a fit where it is not."""

from typing import Any

from svlearn.objectives.memoryless import FEW_PAIRS, MEMORY, warn_of_memory
from svlearn.objectives.policy_objective import PolicyObjective
from svlearn.placement import working_on
from svlearn.policies import Policy
from svlearn.process import Reference
from svlearn.progress import say
from svlearn.randomness import seeded
from svlearn.targets import Target


class MemorylessObjective(PolicyObjective):
    """A `PolicyObjective` that looks for the reference's memory before its first step.

    check_memory: whether to. It costs 64 trajectories of the reference, 64 T calls, and up to 448 where these leave it
    open; where a progress bar is shown a line says so. False where it is known. Of several conditions one is looked at,
    drawn at random.
    """

    def __init__(
        self, reference: Reference, target: Target, policy: Policy, *, check_memory: bool = True, **options: Any
    ):
        super().__init__(reference, target, policy, **options)
        self.check_memory = check_memory

    def on_fit_start(self) -> None:
        if not self.check_memory or self.trainer.ckpt_path is not None:  # who goes on has been told
            return
        if self.trainer.progress_bar_callback is not None and self.global_rank == 0:
            calls = 2 * FEW_PAIRS * self.reference.num_steps
            say(f"looking whether x_0 tells of x_T: {calls:,} reference calls or more, none with check_memory=False")
        generator = seeded(self.device, self.seed, MEMORY)
        rows = self.draw_conditions(1, generator)
        with working_on(self.device):
            warn_of_memory(self.reference, condition=rows, generator=generator, max_batch=self.batch_size)

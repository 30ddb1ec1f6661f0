"""What the objectives that train a policy share: whose trajectories they see, log q - log p_ref, the ELBO."""

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.fingerprint import fingerprint
from svlearn.objectives.objective import Objective
from svlearn.policies import Policy
from svlearn.process import Reference, predict
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import State, times
from svlearn.targets import Target


class PolicyObjective(Objective):
    """Train a policy q towards p*(x_{0:T}), or as near as its class comes; alpha > 0.

    Its own data are trajectories of the policy as it is at that step (on-policy). Validation logs the ELBO
    E_q[r(x_T)/α] - KL(q || p_ref), nats, of fresh trajectories of the policy: at most log Z.
    Raises TypeError for what is not a policy, ValueError for a policy of another reference and for alpha = 0.
    """

    def __init__(self, reference: Reference, target: Target, policy: Policy, **options: Any):
        super().__init__(reference, target, **options)
        if not isinstance(policy, Policy):
            raise TypeError(f"policy: expected a policies.Policy, got {type(policy).__name__}")
        if policy.reference is not reference:
            if fingerprint(policy.reference) != fingerprint(reference):
                raise ValueError("policy: expected one of this reference, got one of another")
            policy.reference = reference  # an equal one, as from a YAML: hold it once
        if target.alpha == 0:
            raise ValueError(f"alpha: {type(self).__name__} needs alpha > 0, got 0; its target law would be a point")
        self.policy = policy

    def trained(self) -> nn.Module:
        return nn.ParameterList(self.policy.trained())

    def log_ratios(self, states: State) -> Tensor:
        """log q(x_{t+1}|x_t) - log p_ref(x_{t+1}|x_t) along trajectories (B, T + 1, ...), (B, T), nats, float64."""
        ratios = []
        for t in range(self.reference.num_steps):
            x, x_next = states[:, t], states[:, t + 1]
            prediction = predict(self.reference, x, t)
            law = self.policy.steer(prediction, x, times(t, len(x), self.device))
            ratios.append(law.log_ratio(prediction.transition, x_next))
        return torch.stack(ratios, dim=1)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        super().on_save_checkpoint(checkpoint)
        state = checkpoint["state_dict"]  # a policy holds the reference too, by another name
        checkpoint["state_dict"] = {name: x for name, x in state.items() if not name.startswith("policy.reference.")}

    def validate(self, trajectories: TensorDict, generator: torch.Generator) -> None:
        own = roll_out(self.policy, self.num_validation, target=self.target, generator=generator, kind="policy_calls")
        elbo = own["rewards"].double() / self.target.alpha - self.log_ratios(own["states"]).sum(dim=1)
        self.log("validation/elbo", elbo.mean(), prog_bar=True, batch_size=len(own))

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        if isinstance(batch, TensorDict):
            return batch
        return roll_out(self.policy, size, target=self.target, generator=generator, kind="policy_calls")

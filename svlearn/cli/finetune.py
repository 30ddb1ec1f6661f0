"""Fine-tune a policy of a reference process towards a reward, by any policy objective of svlearn.

    svlearn finetune --config qm9 --config qm9/policies/policy_gradient

The first YAML is what all policies of a reference share; the second names one family of configs/.../policies and
stands over the first. What they say: which reference and reward (`model.init_args.reference`, `.target`; alpha > 0),
which policy (`.policy`: `Controlled` for Gaussian processes, `Finetuned` for any, whole or by low-rank adapters), and
which objective (`model.class_path`). Validation logs the ELBO E_q[r/alpha] - KL(q || p_ref), in nats, which rises to
at most log Z. Any value can be overridden on the command line; go on after a stop with
`--ckpt_path <trainer.default_root_dir>/checkpoints/last.ckpt`.

The policy is written to <trainer.default_root_dir>/policy.safetensors with the fingerprint of its reference.
"""

from svlearn import checkpoints
from svlearn.cli.training import ObjectiveCLI, train
from svlearn.fingerprint import fingerprint
from svlearn.objectives.policy_objective import PolicyObjective


class FinetunePolicy(ObjectiveCLI):
    """Save after the fit."""

    def after_fit(self) -> None:
        path = self.output("policy.safetensors")
        reference = self.model.reference
        record = {"reference": fingerprint(reference), "num_steps": reference.num_steps}
        record["objective"] = type(self.model).__name__
        checkpoints.save(self.model.policy, path, **record)
        print(f"policy written to {path}")


def run() -> None:
    train(FinetunePolicy, __doc__, "policy.yaml", PolicyObjective, subclass_mode_model=True)

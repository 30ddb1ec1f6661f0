"""Fine-tune a policy of a reference process towards a reward, by any policy objective of svlearn.

    python scripts/finetune_policy.py fit --config configs/molecules/qm9/policy_gradient.yaml

What the YAML says: which reference and reward (`model.init_args.reference`, `.target`; alpha > 0), which policy
(`.policy`: `Controlled` for Gaussian processes, `Finetuned` for any, whole or by low-rank adapters), and which
objective (`model.class_path`). Validation logs the ELBO E_q[r/alpha] - KL(q || p_ref), in nats, which rises to at
most log Z. Any value can be overridden on the command line; go on after a stop with `--ckpt_path`.

The policy is written to <trainer.default_root_dir>/policy.safetensors with the fingerprint of its reference.
"""

from pathlib import Path

from pytorch_lightning.cli import LightningCLI

from svlearn import checkpoints
from svlearn.fingerprint import fingerprint
from svlearn.objectives.fit import no_wrong_advice
from svlearn.objectives.policy_objective import PolicyObjective
from teaching import TeachingFormatter


class FinetunePolicy(LightningCLI):
    """Save after the fit."""

    def before_fit(self) -> None:
        self.model.reference.eval()
        self.model.seed = self.config.fit.seed_everything

    def after_fit(self) -> None:
        path = Path(self.trainer.default_root_dir) / "policy.safetensors"
        record = {"reference": fingerprint(self.model.reference), "objective": type(self.model).__name__}
        checkpoints.save(self.model.policy, path, **record)
        print(f"policy written to {path}")


if __name__ == "__main__":
    with no_wrong_advice():
        FinetunePolicy(
            PolicyObjective,
            subclass_mode_model=True,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"description": __doc__, "formatter_class": TeachingFormatter},
        )

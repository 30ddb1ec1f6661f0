"""Fine-tune a policy of a reference process towards a reward, by any policy objective of svlearn.

    svlearn finetune --config qm9 --config qm9/policies/policy_gradient

The first YAML is what all policies of a reference share; the second names one family of configs/.../policies and
stands over the first. What they say: which reference and reward (`model.init_args.reference`, `.target`; alpha > 0),
which policy (`.policy`: `Controlled` for Gaussian processes, `Finetuned` for any, whole or by low-rank adapters), and
which objective (`model.class_path`). Validation logs the ELBO E_q[r/alpha] - KL(q || p_ref), in nats, which rises to
at most log Z, the mean reward, the KL and the reference's own figures, as diversity. A held-out reward as
`model.init_args.judge` is logged beside them, and the callback svlearn.objectives.StopOnJudge ends a training whose
judge falls while its reward rises, with the weights before. Any value can be overridden on the command line; go on
after a stop with `--ckpt_path <trainer.default_root_dir>/checkpoints/last.ckpt`.

The policy is written to <trainer.default_root_dir>/policy.safetensors with the fingerprint of its reference, and
beside it, where there were validations, their figures to validation.csv and validation.svg.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from svlearn import checkpoints
from svlearn.cli.training import ObjectiveCLI, train
from svlearn.cli.written import show_written
from svlearn.evaluation.report.training import validation_curves
from svlearn.files import write
from svlearn.fingerprint import fingerprint
from svlearn.objectives import StopOnJudge
from svlearn.objectives.lightning.validation_history import ValidationHistory
from svlearn.objectives.policy_objective import PolicyObjective


class FinetunePolicy(ObjectiveCLI):
    """Save after the fit, and draw its validations."""

    history: ValidationHistory

    def before_fit(self) -> None:
        super().before_fit()
        self.history = ValidationHistory()
        trainer: Any = self.trainer
        trainer.callbacks.append(self.history)

    def after_fit(self) -> None:
        show_written(self.save_policy() | self.save_validations())

    def save_validations(self) -> dict[Path, str]:
        """Their figures and their picture, where there were any; what was written, by file."""
        trainer: Any = self.trainer
        kept = [each.best for each in trainer.callbacks if isinstance(each, StopOnJudge) and each.stopped]
        picture = validation_curves(self.history.rows, kept[0]["step"] if kept and kept[0] is not None else None)
        if picture is None:
            return {}
        pd.DataFrame(self.history.rows).to_csv(self.output("validation.csv"), index=False)
        write(self.output("validation.svg"), picture)
        return {self.output("validation.csv"): "its validations", self.output("validation.svg"): "their curves"}

    def save_policy(self) -> dict[Path, str]:
        path = self.output("policy.safetensors")
        reference = self.model.reference
        record = {"reference": fingerprint(reference), "num_steps": reference.num_steps}
        record["objective"] = type(self.model).__name__
        checkpoints.save(self.model.policy, path, **record)
        return {path: "the policy"}


def run() -> None:
    train(FinetunePolicy, __doc__, "policy.yaml", PolicyObjective, subclass_mode_model=True)

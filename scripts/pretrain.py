"""Train a reference process of svlearn from data.

    python scripts/pretrain.py fit --config configs/molecules/qm9/pretrain.yaml

Go on after a stop with `--ckpt_path runs/qm9/last.ckpt`; any value of the YAML can be overridden on the command
line, as in `--trainer.max_steps 1000`. `fit --help` lists them. `scripts/export_reference.py` then measures the
trained network and writes the weights and the card that `svlearn.load` reads.
"""

from pytorch_lightning.cli import LightningCLI

from svlearn.objectives.fit import no_wrong_advice
from teaching import TeachingFormatter

if __name__ == "__main__":
    with no_wrong_advice():
        LightningCLI(
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"description": __doc__, "formatter_class": TeachingFormatter},
        )

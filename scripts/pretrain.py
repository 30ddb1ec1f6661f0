"""Train a reference process of svlearn from data.

    python scripts/pretrain.py fit --config configs/molecules/qm9/pretrain.yaml

Go on after a stop with `--ckpt_path runs/qm9/last.ckpt`; any value of the YAML can be overridden on the command
line, as in `--trainer.max_steps 1000`. `--help` lists them. `scripts/export_reference.py` then measures the trained
network and writes the weights and the card that `svlearn.load` reads.
"""

from pytorch_lightning.cli import LightningCLI

if __name__ == "__main__":
    LightningCLI(
        save_config_kwargs={"overwrite": True}, seed_everything_default=0, parser_kwargs={"description": __doc__}
    )

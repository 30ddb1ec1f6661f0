"""Train a reference process of svlearn from data.

    python scripts/pretrain.py fit --config configs/molecules/qm9/pretrain.yaml

Go on after a stop with `--ckpt_path runs/qm9/last.ckpt`; any value of the YAML can be overridden on the command
line, as in `--trainer.max_steps 1000`. `fit --help` lists them. `scripts/export_reference.py` then measures the
trained network and writes the weights and the card that `svlearn.load` reads.
"""

from training import TrainingCLI, run

if __name__ == "__main__":
    run(TrainingCLI, __doc__)

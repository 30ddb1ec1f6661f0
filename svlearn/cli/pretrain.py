"""Train a reference process of svlearn from data.

    svlearn pretrain --config qm9

Go on after a stop with `--ckpt_path runs/qm9/last.ckpt`; any value of the YAML can be overridden on the command
line, as in `--trainer.max_steps 1000`. `svlearn export` then measures the trained network and writes the weights and
the card that `svlearn.load` reads.
"""

from svlearn.cli.training import TrainingCLI, train


def run() -> None:
    train(TrainingCLI, __doc__, "pretrain.yaml")

"""What an objective needs of Lightning: its module and trainer, checkpoints, progress, numbers that are not finite."""

from svlearn.objectives.lightning.nonfinite import load_batch

__all__ = ["load_batch"]

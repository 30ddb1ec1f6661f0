"""How a network is pretrained: AdamW, a linear warm-up, then a cosine decay."""

import pytorch_lightning as pl
import torch

from svlearn.objectives.lightning.cosine_decay import CosineDecay


def warmed_up(module: pl.LightningModule, learning_rate: float, weight_decay: float, warmup_steps: int) -> dict:
    """What `configure_optimizers` returns: AdamW over all parameters. Its rate rises from 1 % of `learning_rate` in
    `warmup_steps` steps, and falls to 1 % by the last step of the run that is asked for (see `CosineDecay`)."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=weight_decay)
    total = int(module.trainer.estimated_stepping_batches)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=warmup_steps)
    decay = CosineDecay(optimizer, max(1, total - warmup_steps), eta_min=0.01 * learning_rate)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, decay], [warmup_steps])
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

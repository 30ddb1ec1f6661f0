"""Objectives whose losses are exact on stored trajectories, and the rows that each of several processes is served."""

import pytorch_lightning as pl
import torch
from distillation_toys import make as distillation
from distillation_toys import markov
from forward_toys import make as forward_process
from path_toys import TablePolicy, fixed_start, make
from tensordict import TensorDict
from value_toys import Table, tiny

from svlearn import objectives
from svlearn.objectives.fit import fit
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Learned

ROWS, STEPS = 12, 3  # trajectories of a step, and steps


def valued(family, **options):
    chain = tiny()
    objective = family(chain, chain.target(1.0), Learned(Table(3, 2)), batch_size=6, num_validation=6, **options)
    objective.value.network.table.data.copy_(torch.randn(2, 3, generator=seeded("cpu", 5), dtype=torch.float64))
    return objective


def steered(variant):
    chain = fixed_start()
    logits = torch.randn(6, 5, 5, generator=seeded("cpu", 0), dtype=torch.float64)
    return make(chain, variant, None, TablePolicy(chain, logits), batch_size=6, num_validation=6)


def of_texts():
    chain = fixed_start()
    policy = TablePolicy(chain)
    return objectives.DistributionalPolicyGradient(chain, chain.target(2.0), policy, batch_size=6, num_validation=6)


FAMILIES = {
    "Monte Carlo": lambda: valued(objectives.MonteCarloRegression),
    "contrastive twist": lambda: valued(objectives.ContrastiveTwist),
    "contrastive twist at one time": lambda: valued(objectives.ContrastiveTwist, num_times=1),
    "contrastive energy": lambda: valued(objectives.ContrastiveEnergy),
    "contrastive energy in groups": lambda: valued(objectives.ContrastiveEnergy, group_size=3),
    "iterated twist": lambda: valued(objectives.IteratedTwist, limit=16, num_particles=6, round_size=12),
    "log-variance": lambda: steered("log_variance"),
    "trajectory balance": lambda: steered("trajectory"),
    "distributional policy gradient": of_texts,
    "distillation": lambda: distillation(markov(), None, batch_size=6, num_validation=6),
}


def rows_of(name, objective):
    """The trajectories of all steps, (STEPS, ROWS); of some, every third has no weight."""
    reference, batches = objective.reference, []
    for step in range(STEPS):
        rows = roll_out(reference, ROWS, target=objective.target, generator=seeded("cpu", 7, step))
        if name == "distillation":
            weights = rows["rewards"].double() / objective.target.alpha
            rows = TensorDict({"states": rows["states"], "log_weights": weights}, batch_size=[ROWS])
        if name == "iterated twist":
            rows["rewards"][:6:3] = -torch.inf
        batches.append(rows)
    return batches


class Batches:
    """What a trainer iterates over."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)

    def __len__(self):
        return len(self.batches)


class ByStep(Batches):
    """The batch of the step that its trainer is at, as of a training that goes on."""

    def __init__(self, batches, trainer):
        super().__init__(batches)
        self.trainer = trainer

    def __iter__(self):
        while True:
            yield self.batches[min(self.trainer.global_step, STEPS - 1)]


class Served(pl.LightningDataModule):
    """The batches of each process: the rows of a step, cut by rank; of one process alone, all of them.

    interleaved: of a loss that splits its batch in two halves, alone, the first halves of all processes come first."""

    def __init__(self, batches, interleaved=False):
        super().__init__()
        self.batches, self.interleaved = batches, interleaved

    def _cut(self):
        rank, number = self.trainer.global_rank, self.trainer.world_size
        if number > 1:
            return [batch.chunk(number)[rank] for batch in self.batches]
        if self.interleaved:
            return [torch.cat([batch[0:3], batch[6:9], batch[3:6], batch[9:12]]) for batch in self.batches]
        return self.batches

    def train_dataloader(self):
        return ByStep(self._cut(), self.trainer)

    def val_dataloader(self):
        return Batches(self._cut()[:1])


def trained(name, **options):
    """The trained parameters of a family, the gradient of each step, and the figures of its validation."""
    objective, gradients = FAMILIES[name](), []

    class Watch(pl.Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            parameters = [each for group in optimizer.param_groups for each in group["params"]]
            gradients.append([each.grad.clone() for each in parameters])

    settings = dict(max_steps=STEPS, gradient_clip_val=0, enable_progress_bar=False, callbacks=[Watch()])
    data = Served(rows_of(name, objective), interleaved=name.startswith("contrastive twist"))
    validates = dict(limit_val_batches=1, val_check_interval=STEPS)
    fit(objective, data=data, **settings, **validates, **options)
    figures = {key: float(each) for key, each in objective.trainer.callback_metrics.items()}
    return {
        "parameters": [each.detach().clone() for each in objective.trained().parameters()],
        "gradients": gradients,
        "validation": {key: each for key, each in figures.items() if key.startswith("validation/")},
    }


def begun_or_ended(name, path, ends, **options):
    """The trained parameters of a family, of which a checkpoint is written after its second step, or read from there
    and trained to the end."""

    class Amid(pl.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
            if trainer.global_step == 2 and not ends:
                trainer.save_checkpoint(path, weights_only=False)

    objective = FAMILIES[name]()
    data = Served(rows_of(name, objective), interleaved=name.startswith("contrastive twist"))
    settings = dict(max_steps=STEPS, gradient_clip_val=0, enable_progress_bar=False, callbacks=[Amid()])
    fit(objective, data=data, ckpt_path=str(path) if ends else None, **settings, **options)
    return [each.detach().clone() for each in objective.trained().parameters()]


def on_policy(kind):
    """PPO and iterated twists on trajectories of their own, several steps to an iteration."""
    if kind == "PPO":
        chain = fixed_start()
        settings = dict(num_minibatches=2, num_epochs=4, normalize_advantages=True, batch_size=4)
        return objectives.ProximalPolicyGradient(chain, chain.target(2.0), TablePolicy(chain), **settings)
    return valued(objectives.IteratedTwist, limit=16, num_particles=6, round_size=12, inner_steps=4)


def resumed(kind, path, options):
    """The trained parameters of four steps, from a checkpoint that was written after two: amid an iteration.

    options: makes those of a trainer, anew for each."""

    class Amid(pl.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
            if trainer.global_step == 2:
                trainer.save_checkpoint(path, weights_only=False)

    fit(on_policy(kind), max_steps=3, enable_progress_bar=False, callbacks=[Amid()], **options())
    objective = fit(on_policy(kind), max_steps=4, enable_progress_bar=False, ckpt_path=str(path), **options())
    return [each.detach().clone() for each in objective.trained().parameters()]


def pulls_of_nft(rewards, own, **options):
    """What DiffusionNFT makes of the rewards (B,) of a batch, of which `own` are this process': recorded in a fit."""
    objective = forward_process(variant="nft", batch_size=4, num_validation=2)
    recorded = []

    class Asked(pl.Callback):
        def on_train_start(self, trainer, module):
            recorded.append(module.pulls(rewards[own])[0])

    fit(objective, max_steps=1, enable_progress_bar=False, callbacks=[Asked()], **options)
    return recorded[0]

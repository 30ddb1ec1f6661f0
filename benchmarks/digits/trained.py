"""What the study of digits trains: values of all classes at once, and policies, a file each in runs/digits_study."""

import json
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file
from tensordict import TensorDict
from torch import Tensor, nn

from benchmarks.common.artifacts import missing
from benchmarks.common.clock import clock, since
from benchmarks.common.paths import RUNS as ALL_RUNS
from benchmarks.digits.problem import CLASSES, NUM_STEPS, process, rewarding, target
from svlearn.checkpoints import load_policy, load_value, save, save_value
from svlearn.domains.images.digits.data import part
from svlearn.domains.images.values import ImageValue
from svlearn.files import write
from svlearn.fingerprint import fingerprint
from svlearn.objectives import AdjointMatching, MonteCarloRegression, Objective, PathConsistency, ProximalPolicyGradient
from svlearn.objectives.fit import fit
from svlearn.policies import Controlled, Policy
from svlearn.randomness import seeded
from svlearn.rollouts.batches import Batches, Shuffled
from svlearn.rollouts.roll_out import roll_out
from svlearn.values import Learned

RUNS = ALL_RUNS / "digits_study"
SEED, NUM_TRAJECTORIES = 0, 2_000
VALUE_STEPS, VALUE_BATCH, VALUE_RATE = 2_500, 128, 2e-3
POLICY_RATE = 1e-3


class Labelled:
    """Trajectories {states, rewards} of unconditional samples (N, T + 1, 1, 28, 28), each under a class that is drawn
    anew whenever it is read: the process does not depend on it, so every image has a reward under all ten."""

    def __init__(self, samples: Tensor, log_probs: Tensor):
        self.samples, self.log_probs = samples, log_probs
        self.generator = seeded("cpu", SEED)

    def __getitem__(self, rows: Tensor) -> TensorDict:
        number, times = len(rows), self.samples.shape[1]
        labels = torch.randint(CLASSES, (number,), generator=self.generator)
        leaves = {"sample": self.samples[rows], "class": labels[:, None].expand(-1, times)}
        rewards = self.log_probs[rows].gather(1, labels[:, None]).squeeze(1)
        return TensorDict(
            {"states": TensorDict(leaves, batch_size=[number, times]), "rewards": rewards}, batch_size=[number]
        )


class Stored(pl.LightningDataModule):
    """Batches of them, in an order of their own in each epoch."""

    def __init__(self, trajectories: Labelled):
        super().__init__()
        self.trajectories = trajectories

    def train_dataloader(self) -> Batches:
        number = len(self.trajectories.samples)
        order = Shuffled(torch.arange(number), lambda: seeded("cpu", SEED))
        return Batches(self.trajectories, order, number, VALUE_BATCH, self, drop_last=True)


def finished(samples: Tensor) -> Tensor:
    """Log-probabilities of the ten classes (N, 10) of finished samples in [-1, 1]."""
    with torch.no_grad():
        return torch.cat([rewarding()((part / 2 + 0.5).clamp(0, 1)) for part in samples.split(500)])


def simulated() -> Labelled:
    """Trajectories of the reference."""
    file = RUNS / "trajectories.safetensors"
    if missing(file, reference=fingerprint(process()), number=NUM_TRAJECTORIES, seed=SEED):
        start = clock()
        parts = []
        for batch in range(NUM_TRAJECTORIES // 200):
            drawn = roll_out(process(), 200, generator=seeded("cpu", SEED, batch), condition=torch.zeros(200).long())
            parts.append(drawn["states"]["sample"])
        save_file({"samples": torch.cat(parts)}, file)
        note(file, start)
    samples = load_file(file)["samples"]
    return Labelled(samples, finished(samples[:, -1]))


def real() -> Labelled:
    """Real digits of the training part, as ends of trajectories: what leads there is noised from them as it is read."""
    images, _ = part("train")
    return Labelled(images[:, None].expand(-1, NUM_STEPS + 1, -1, -1, -1), finished(images))


VALUES: dict[str, Callable[[], Labelled]] = {"simulated": simulated, "noised real digits": real}


def network() -> ImageValue:
    torch.manual_seed(SEED)  # of the network's first weights
    return ImageValue(1, NUM_STEPS, num_classes=CLASSES)


def learned(kind: str) -> Learned:
    """The soft value at alpha = 1, log E[p(class | x_T) | x_t], of all classes, trained where there is none yet."""
    file = RUNS / f"{kind.replace(' ', '_')}.safetensors"
    made_of = {"steps": VALUE_STEPS, "batch": VALUE_BATCH, "rate": VALUE_RATE, "seed": SEED}
    if missing(file, reference=fingerprint(process()), trajectories=NUM_TRAJECTORIES, **made_of):
        data, own = Stored(VALUES[kind]()), network()
        objective = MonteCarloRegression(
            process(),
            target(1.0),
            Learned(own),
            "soft",
            noised=True,
            num_times=2,
            batch_size=VALUE_BATCH,
            learning_rate=VALUE_RATE,
        )
        start = clock()
        fit(objective, max_steps=VALUE_STEPS, seed=SEED, data=data, enable_progress_bar=False)
        note(file, start)
        save_value(own, file, process())
    return Learned(load_value(network(), file, process()).eval().requires_grad_(False))


class Control(nn.Module):
    """g(x, t) of `policies.Controlled`: a small UNet2DModel of sample, time and wanted class; 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        self.network = UNet2DModel(
            sample_size=28,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(16, 24, 32),
            down_block_types=("DownBlock2D",) * 3,
            up_block_types=("UpBlock2D",) * 3,
            norm_num_groups=8,
            num_class_embeds=CLASSES,
            add_attention=False,
        )
        nn.init.zeros_(self.network.conv_out.weight)
        nn.init.zeros_(self.network.conv_out.bias)

    def forward(self, x: TensorDict, t: Tensor) -> TensorDict:
        times = t * (1000 // NUM_STEPS)
        moved = self.network(x["sample"], times, class_labels=x["class"]).sample
        return TensorDict({"sample": moved}, batch_size=x.batch_size)


def adjoint(alpha: float, policy: Policy) -> tuple[Objective, int]:
    given = dict(conditions=CLASSES_ROWS, batch_size=20, learning_rate=POLICY_RATE)
    return AdjointMatching(process(), target(alpha), policy, **given), 60


def proximal(alpha: float, policy: Policy) -> tuple[Objective, int]:
    objective = ProximalPolicyGradient(
        process(),
        target(alpha),
        policy,
        conditions=CLASSES_ROWS,
        batch_size=64,
        num_minibatches=2,
        num_epochs=2,
        num_times=8,
        normalize_advantages=True,
        learning_rate=POLICY_RATE,
    )
    return objective, 80


def balance(alpha: float, policy: Policy) -> tuple[Objective, int]:
    """Log-variance among trajectories that share start and class, so that no log Z is to be learned."""
    objective = PathConsistency(
        process(),
        target(alpha),
        policy=policy,
        variant="log_variance",
        shared_start=8,
        conditions=CLASSES_ROWS,
        batch_size=64,
        learning_rate=POLICY_RATE,
    )
    return objective, 60


CLASSES_ROWS = torch.arange(CLASSES)
POLICIES = {"adjoint matching": adjoint, "DDPO": proximal, "trajectory balance": balance}


def policy(kind: str, alpha: float) -> Policy:
    """The policy of an objective at an alpha, of all classes, trained where there is none yet."""
    file = RUNS / f"{kind.replace(' ', '_')}_{alpha:g}.safetensors"
    objective, steps = POLICIES[kind](alpha, Controlled(process(), Control(), condition=CLASSES_ROWS[:1]))
    if missing(file, reference=fingerprint(process()), steps=steps, rate=POLICY_RATE, alpha=alpha, seed=SEED):
        start = clock()
        fit(objective, max_steps=steps, seed=SEED, enable_progress_bar=False)
        note(file, start)
        save(objective.policy, file, reference=fingerprint(process()), num_steps=NUM_STEPS)
    return load_policy(Controlled(process(), Control(), condition=CLASSES_ROWS[:1]), file, process())


def note(file: Path, start: tuple[float, float]) -> None:
    """What a training took, beside what it made."""
    write(file.with_suffix(".json"), json.dumps(since(start)))


def training(folder: Path = RUNS) -> dict[str, dict]:
    """What the trainings that are in a folder of runs/ took."""
    notes = [each for each in sorted(folder.glob("*.json")) if not each.name.endswith("made_of.json")]
    return {each.stem: json.loads(each.read_text()) for each in notes}

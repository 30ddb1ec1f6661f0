"""A head on the hidden states of the denoiser's middle, trained on those that are kept of simulated trajectories."""

from functools import cache

import torch
from safetensors.torch import load_file, save_file
from tensordict import TensorDict
from torch import Tensor, nn

from benchmarks.common.artifacts import missing
from benchmarks.common.clock import clock
from benchmarks.digits.problem import CLASSES, NUM_STEPS, channels_last, process, target
from benchmarks.digits.trained import RUNS, SEED, Labelled, Stored, finished, note
from svlearn.checkpoints import load_value, save_value
from svlearn.domains.images.values import FeaturesValue
from svlearn.fingerprint import fingerprint
from svlearn.objectives import MonteCarloRegression
from svlearn.objectives.fit import fit
from svlearn.process import draw_initial, predict
from svlearn.randomness import seeded
from svlearn.values import Head, Learned

STEPS, BATCH, RATE = 3_000, 128, 2e-3
CHANNELS, HIDDEN = 48, 128  # of the middle, and of the head
NUM_TRAJECTORIES, PART, TOGETHER = 1_000, 250, 50  # in all, in a file, in a call


class OnKept(nn.Module):
    """The network of a head as one of (x, t), of states {"sample": hidden states (B, C, H, W), "class": (B,)}: what the
    denoiser says of a state is kept, and it is not called again for each look."""

    def __init__(self, network: FeaturesValue):
        super().__init__()
        self.network = network

    def forward(self, x: TensorDict, t: Tensor) -> Tensor:
        return self.network(x["sample"], t, x["class"])


@torch.no_grad()
def drawn(number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Of trajectories of the reference the hidden states at t = 0 ... T - 1 (N, T, C, H, W), in half precision, and the
    x_T (N, 1, 28, 28)."""
    condition = torch.zeros(number, dtype=torch.long)  # which nothing reads here
    x, kept = draw_initial(channels_last(), number, condition=condition, generator=generator), []
    for t in range(NUM_STEPS):
        prediction = predict(channels_last(), x, t)
        kept.append(prediction.features.half())
        x = prediction.transition.sample(generator=generator)
    return torch.stack(kept, dim=1), x["sample"]


def kept() -> dict[str, Tensor]:
    """ "features" and "finished" of all trajectories, drawn where they are not there yet."""
    parts = [kept_part(part) for part in range(NUM_TRAJECTORIES // PART)]
    return {name: torch.cat([each[name] for each in parts]) for name in parts[0]}


def kept_part(part: int) -> dict[str, Tensor]:
    file = RUNS / f"features_{part}.safetensors"
    if missing(file, reference=fingerprint(process()), number=PART, seed=[SEED, part]):
        start = clock()
        batches = [drawn(TOGETHER, seeded("cpu", SEED, part, each)) for each in range(PART // TOGETHER)]
        features, samples = (torch.cat(each) for each in zip(*batches, strict=True))
        save_file({"features": features, "finished": samples}, file)
        note(file, start)
    return load_file(file)


def network() -> FeaturesValue:
    torch.manual_seed(SEED)  # of the network's first weights
    return FeaturesValue(CHANNELS, NUM_STEPS, HIDDEN, num_classes=CLASSES)


@cache
def head() -> Head:
    """The soft value at alpha = 1, log E[p(class | x_T) | x_t], of all classes, trained where there is none yet."""
    file = RUNS / "head.safetensors"
    made_of = {"steps": STEPS, "batch": BATCH, "rate": RATE, "seed": SEED}
    if missing(file, reference=fingerprint(process()), trajectories=NUM_TRAJECTORIES, **made_of):
        held, own = kept(), network()
        options = dict(num_times=4, batch_size=BATCH, learning_rate=RATE)
        objective = MonteCarloRegression(process(), target(1.0), Learned(OnKept(own)), "soft", **options)
        data = Stored(Labelled(held["features"], finished(held["finished"])))
        start = clock()
        fit(objective, max_steps=STEPS, seed=SEED, data=data, enable_progress_bar=False)
        note(file, start)
        save_value(own, file, process())
    return Head(load_value(network(), file, process()).eval().requires_grad_(False))

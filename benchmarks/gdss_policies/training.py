"""What the policies of GDSS are made of: a reward network that knows the process's own molecules, and each training.

The reward network is fitted to the QED of finished molecules of the process and of ZINC-250k, with a note of how well
it tells those that it has not seen. A run that was killed goes on where it was; so do the policies, which are trained
by the script of all policies.
"""

import json

import torch
import yaml
from rdkit import Chem
from safetensors.torch import load_file, save_file
from scipy import stats
from tensordict import TensorDict
from torch import Tensor
from tqdm.auto import tqdm

from benchmarks.common.artifacts import configs, missing
from benchmarks.common.artifacts import train as run_script
from benchmarks.common.clock import clock, since
from benchmarks.common.paths import ROOT
from benchmarks.common.paths import RUNS as ALL_RUNS
from benchmarks.gdss.regression import regress
from benchmarks.gdss.zinc250k import smiles
from svlearn.domains.molecules.gdss import GDSS, GDSSCodec
from svlearn.domains.molecules.gdss.encode import encode
from svlearn.domains.molecules.gdss.gin import GraphValueNetwork, PredictedReward, save_network
from svlearn.domains.molecules.gdss.pretrained import predictor_alone
from svlearn.domains.molecules.gdss.state import continuous_state
from svlearn.domains.molecules.rewards import QED
from svlearn.files import replacing, write
from svlearn.fingerprint import fingerprint
from svlearn.inference.samplers import ancestral
from svlearn.randomness import seeded
from svlearn.state import concatenate

CONFIGS = ROOT / "configs/molecules/gdss"
RUNS = ALL_RUNS / "gdss_policies"
NUM_STEPS = 25  # as in policy.yaml
FINER = 50  # of the process that draws what the reward network learns from
BATCH, NUM_BATCHES, HELD_OUT, SEED = 128, 12, 2, 0  # of the process's own molecules; the last batches validate
NUM_KNOWN = 20_000  # molecules of ZINC-250k
WIDTH, DEPTH, STEPS, ROWS, RATE, BLUR = 48, 3, 2000, 128, 2e-3, 0.2  # of a batch, half are the process's own


def process(num_steps: int = NUM_STEPS) -> GDSS:
    return predictor_alone(num_steps)


def made() -> QED:
    return QED(correct=True, num_workers=1, codec=GDSSCodec())


def finished(number: int) -> tuple[TensorDict, Tensor]:
    """A batch of finished graphs of the process at twice as many steps, as they come, and their QED."""
    file = RUNS / f"finished/{number}.safetensors"
    reference, reward = process(FINER), made()
    if missing(file, process=fingerprint(reference), molecules=BATCH, seed=SEED):
        graphs = ancestral(reference).sample(BATCH, generator=seeded("cpu", SEED, number)).states[:, 0]
        parts = {name: graphs[name].contiguous() for name in ("x", "adj", "mask")}
        with replacing(file) as beside:
            save_file(parts | {"rewards": reward(graphs)}, beside)
        reward.scorer.close()
    held = load_file(file)
    return continuous_state(held["x"], held["adj"], held["mask"]), held["rewards"]


def reward_network() -> dict:
    """Train r_θ where there is none yet; the seconds it took and its correlations with QED on unseen molecules."""
    file = RUNS / "reward_network.safetensors"
    note = file.with_suffix(".json")
    network_of = {"width": WIDTH, "depth": DEPTH, "steps": STEPS, "rows": ROWS, "rate": RATE, "blur": BLUR}
    molecules = {"of the process": BATCH * NUM_BATCHES, "of ZINC-250k": NUM_KNOWN, "seed": SEED}
    if missing(note, process=fingerprint(process(FINER)), network=network_of, molecules=molecules):
        batches = [finished(number) for number in tqdm(range(NUM_BATCHES), desc="molecules", unit="batch")]
        graphs, rewards = (list(each) for each in zip(*batches, strict=True))
        known, qed = known_molecules()
        unseen = NUM_KNOWN // 10
        start = clock()
        network = fitted(
            [(concatenate(graphs[:-HELD_OUT]), torch.cat(rewards[:-HELD_OUT])), (known[unseen:], qed[unseen:])]
        )
        spent = since(start)
        own = concatenate(graphs[-HELD_OUT:]), torch.cat(rewards[-HELD_OUT:])
        content = {
            "pearson": correlation(network, *own),
            "pearson_on_zinc250k": correlation(network, known[:unseen], qed[:unseen]),
            "molecules": {"of the process": len(own[0]) * NUM_BATCHES // HELD_OUT, "of ZINC-250k": NUM_KNOWN},
            "held_out": {"of the process": len(own[0]), "of ZINC-250k": unseen},
        }
        save_network(network, file, objective="squared error on QED")
        write(note, json.dumps(content | spent))
    return json.loads(note.read_text())


def known_molecules() -> tuple[TensorDict, Tensor]:
    """Some of ZINC-250k as finished graphs, and their QED."""
    known = smiles()
    chosen = torch.randperm(len(known), generator=seeded("cpu", SEED))[:NUM_KNOWN].tolist()
    molecules = [Chem.MolFromSmiles(known[place]) for place in chosen]
    reward = made()
    qed = reward.of_molecules(molecules)
    reward.scorer.close()
    return encode(molecules, len(process().size_weights), losses="count"), qed


def fitted(sources: list[tuple[TensorDict, Tensor]]) -> GraphValueNetwork:
    """The squared error, half of each batch from either source, all graphs blurred a little."""
    generator = seeded("cpu", SEED)

    def draw() -> tuple[TensorDict, Tensor]:
        rows = [torch.randint(len(qed), (ROWS // len(sources),), generator=generator) for _, qed in sources]
        batch = concatenate([graphs[row] for (graphs, _), row in zip(sources, rows, strict=True)])
        for part in ("x", "adj"):
            noise = torch.randn(batch[part].shape, generator=generator)
            batch[part] = batch[part] + BLUR * (noise if part == "x" else (noise + noise.mT) / 2**0.5)
        return batch, torch.cat([qed[row] for (_, qed), row in zip(sources, rows, strict=True)])

    return regress(lambda: GraphValueNetwork(FINER, width=WIDTH, depth=DEPTH), draw, steps=STEPS, rate=RATE, seed=SEED)


@torch.no_grad()
def correlation(network: GraphValueNetwork, graphs: TensorDict, rewards: Tensor) -> float:
    """Pearson's, of r_θ with the reward."""
    guesses = torch.cat([PredictedReward(network)(some) for some in graphs.split(ROWS)])
    return float(stats.pearsonr(guesses.numpy(), rewards.numpy()).statistic)


def train(family: str) -> dict:
    """Train a policy by the script where there is none yet: its steps, trajectories a step, and seconds."""
    folder = RUNS / family
    note = folder / "cost.json"
    settings = [CONFIGS / "policy.yaml", CONFIGS / f"policies/{family}.yaml"]
    if missing(note, configs=configs(*settings), process=fingerprint(process())):
        reward_network()
        checkpoints = sorted(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
        again = ["--ckpt_path", str(checkpoints[-1])] if checkpoints else []
        write(note, json.dumps(run_script("finetune_policy", settings, folder, *again)))
    config = yaml.safe_load(next(folder.rglob("config.yaml")).read_text())
    size = {"steps": config["trainer"]["max_steps"], "batch_size": config["model"]["init_args"]["batch_size"]}
    return size | json.loads(note.read_text())

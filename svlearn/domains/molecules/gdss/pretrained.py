"""The authors' pretrained processes by name: what `svlearn.load` calls; and values of them that svlearn ships."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from svlearn.assets import fetch
from svlearn.checkpoints import check_reference, read_record
from svlearn.domains.molecules.gdss.decode import GDSSCodec
from svlearn.domains.molecules.gdss.gin import read_network
from svlearn.domains.molecules.gdss.reference import GDSS
from svlearn.domains.molecules.surrogate import Surrogate
from svlearn.loading import shipped
from svlearn.values import Learned

VALUED, FAMILIES = ("QED", "SA", "parp1"), ("contrastive_twist", "monte_carlo")
DOCKED = ("parp1",)


def load(asset: str, path: Path | None = None) -> GDSS:
    """The process of a checkpoint at 200 predictor steps, each corrected; of the named public file for None."""
    return GDSS.from_checkpoint(fetch(asset) if path is None else path)


def predictor_alone(num_steps: int = 200, asset: str = "gdss/gdss_zinc250k.pth") -> GDSS:
    """The process of a checkpoint without its corrector: what adjoint matching can train a policy of.

    Its molecules are worse for it: a mean QED of 0.39 at 200 steps, where the corrected process has 0.62
    (benchmarks/gdss_baseline).
    """
    return GDSS.from_checkpoint(fetch(asset), num_steps=num_steps, corrector=False)


def value(reference: GDSS, reward: str, family: str = "contrastive_twist") -> Learned:
    """A shipped value of GDSS on ZINC-250k: f(x_t, t), (B,), in units of the reward, ready for `svdd`.

    reward: one of QED and SA, in [0, 1], or parp1, the docking score in kcal/mol. family: "contrastive_twist", a soft
    value at α = 0.1 (parp1: 1.5 kcal/mol), or "monte_carlo", the mean value. What they are worth stands in
    docs/leaderboards/gdss.md and docs/leaderboards/docking.md.
    Raises ValueError for another reward, family or reference.
    """
    for name, choice, known in (("reward", reward, VALUED), ("family", family, FAMILIES)):
        if choice not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}, got {choice!r}")
    file = shipped(f"gdss_{reward}_{family}.safetensors")
    check_reference(read_record(file), file, reference)
    return Learned(read_network(file)).eval()


def surrogate(receptor: str = "parp1", **options: Any) -> Surrogate:
    """What forests learn of the docking scores, kcal/mol, of 1,024 molecules of GDSS on ZINC-250k; svlearn ships these.

    It is fitted when it is called, which takes seconds; options are those of `Surrogate`. Finished graphs are read as
    GDSS does, their valences repaired. What it is worth in a sampler stands in docs/leaderboards/docking.md.
    Raises ValueError for another receptor.
    """
    if receptor not in DOCKED:
        raise ValueError(f"receptor: expected one of {', '.join(DOCKED)}, got {receptor!r}")
    table = json.loads(shipped(f"gdss_{receptor}_docked.json").read_text())
    return Surrogate(table["smiles"], table["rewards"], **{"correct": True, "codec": GDSSCodec(), **options})


qed_contrastive_twist = partial(value, reward="QED", family="contrastive_twist")
qed_monte_carlo = partial(value, reward="QED", family="monte_carlo")
sa_contrastive_twist = partial(value, reward="SA", family="contrastive_twist")
sa_monte_carlo = partial(value, reward="SA", family="monte_carlo")
parp1_contrastive_twist = partial(value, reward="parp1", family="contrastive_twist")
parp1_monte_carlo = partial(value, reward="parp1", family="monte_carlo")

zinc250k = partial(load, "gdss/gdss_zinc250k.pth")
zinc250k_v2 = partial(load, "gdss/gdss_zinc250k_v2.pth")
qm9 = partial(load, "gdss/gdss_qm9.pth")

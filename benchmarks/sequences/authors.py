"""The rewards that the authors of SVDD logged of their own samples: theirs, by another oracle and reference."""

import io
from typing import Any

import numpy as np

from svlearn.assets import fetch

QUANTILES = (0.2, 0.5, 0.8, 0.9)
LOGS = {
    "mrl": {"DPS": "rna-MRL_DPS", "TDS": "rna-MRL_TDS", "SVDD-MC": "rna-MRL", "SVDD-PM": "rna-MRL_tw"},
    "hepg2": {"DPS": "dna-HepG2_DPS", "TDS": "dna-HepG2_TDS", "SVDD-MC": "dna-HepG2", "SVDD-PM": "dna-HepG2_tw"},
}


def quantiles() -> dict[str, dict[str, Any]]:
    """20, 50, 80 and 90 % quantiles by problem and method; what the reference gives is of the log of SVDD-PM."""
    found: dict[str, dict[str, Any]] = {}
    for problem, logs in LOGS.items():
        for method, name in logs.items():
            arrays = read(name)
            if method == "SVDD-PM":
                found.setdefault(problem, {})["pretrained"] = of(arrays["baseline"])
            found.setdefault(problem, {})[method] = of(arrays["decoding"])
    return found


def read(name: str) -> dict[str, np.ndarray]:
    """The arrays of a log; nothing in it is unpickled."""
    content = fetch(f"dna/svdd_logs/svdd_{name}.npz").read_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {each: arrays[each] for each in arrays.files}


def of(rewards: np.ndarray) -> dict[str, Any]:
    cuts = np.quantile(rewards.astype(np.float64), QUANTILES)
    return {"number": len(rewards), "quantiles": [round(float(each), 3) for each in cuts]}

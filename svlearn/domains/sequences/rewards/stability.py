"""The stability of an RNA: minus its minimum free energy, by ViennaRNA in worker processes.

It needs the extra `sequences` (viennarna).
"""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from svlearn.arguments import real
from svlearn.domains.sequences.alphabet import RNA
from svlearn.domains.sequences.scoring import SequenceCodec
from svlearn.scoring import ScoredReward, Scorer, ScoreStore

DANGLES = (0, 1, 2, 3)


class Stability(ScoredReward):
    """r(x) = minus the minimum free energy of x as an RNA, kcal/mol, at least 0, float32 (B,).

    Token ids (B, L) of RNA, or of DNA, whose T is the U of its RNA. Each distinct sequence is folded once, in the pool.
    temperature: °C. dangles: how bases beside a helix count, as RNAfold's -d; 2, the default there.
    cache: a SQLite file that keeps every energy, under the temperature, the dangles and ViennaRNA's version.
    options: those of `Scorer`, as num_workers and timeout.
    Raises ImportError where ViennaRNA is missing, ValueError for bad options and for masked places.
    Source: Lorenz et al., Algorithms for Molecular Biology 6, 26 (2011), with the energies of Turner 2004.
    """

    def __init__(
        self,
        temperature: float = 37.0,
        dangles: int = 2,
        cache: str | Path | None = None,
        **options: Any,
    ):
        if dangles not in DANGLES:
            raise ValueError(f"dangles: expected one of {', '.join(map(str, DANGLES))}, got {dangles!r}")
        function = MinusFreeEnergy(real(temperature, "temperature", above=-273.15), int(dangles))
        self.settings = {"viennarna": version_of_viennarna(), **asdict(function)}
        store = None if cache is None else ScoreStore(cache, json.dumps(self.settings, sort_keys=True))
        super().__init__(Scorer(function, SequenceCodec(RNA), store=store, **options))

    def _function(self) -> dict[str, Any]:
        return self.settings


@dataclass(frozen=True)
class MinusFreeEnergy:
    """Minus the minimum free energy of an RNA, kcal/mol.

    Its letters are ACGU: T pairs as U does, but the loops that ViennaRNA knows by their letters are not found with T.
    """

    temperature: float
    dangles: int

    def __call__(self, sequence: str) -> float:
        import RNA

        settings = RNA.md()
        settings.temperature, settings.dangles = self.temperature, self.dangles
        return -RNA.fold_compound(sequence, settings).mfe()[1]


def version_of_viennarna() -> str:
    """ImportError, saying what to install, where it is missing."""
    try:
        return version("viennarna")
    except PackageNotFoundError as error:
        raise ImportError(
            "Stability needs viennarna, which is not installed: pip install 'svlearn[sequences]'"
        ) from error

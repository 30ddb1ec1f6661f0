"""The molecules of ZINC-250k."""

import gzip

from svlearn.assets import fetch


def smiles() -> list[str]:
    """All of them, as the file has them."""
    return gzip.decompress(fetch("molecules/zinc250k_smiles.txt.gz").read_bytes()).decode().split()

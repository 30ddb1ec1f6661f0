"""How many molecules of each data set have 1, 2, 3 ... heavy atoms: where the node counts are drawn from.

Counted in the public files "molecules/zinc250k_smiles.txt.gz" (249,455 molecules) and "molecules/qm9_smiles.csv"
(132,040) of `svlearn.assets`; a test counts again.
"""

SIZES: dict[str, tuple[int, ...]] = {
    "ZINC250k": (
        *(0, 0, 0, 0, 0, 3, 5, 16, 72, 194),
        *(722, 1184, 1781, 2814, 4311, 6300, 8652, 11618, 14577, 17676),
        *(20447, 18622, 21065, 23147, 22830, 19298, 15753, 10047, 7788, 6121),
        *(4771, 3725, 2610, 1742, 1025, 401, 136, 2),
    ),
    "QM9": (3, 5, 9, 31, 129, 614, 3172, 18077, 110000),
}

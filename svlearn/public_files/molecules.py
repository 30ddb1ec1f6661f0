"""Public files of molecules: GDSS's networks, SMILES, receptors."""

from svlearn.public_files.asset import Asset

GDSS = ("harryjo97/GDSS", "24cc490e0c5b39cbd265fda33ab2bc8b528d4454")
MOL_OPT = ("wenhao-gao/mol_opt", "2da631be85af8d10a2bb43f2de76a03171166190")
MOOD = ("SeulLee05/MOOD", "ac9730818325a72f68d748802721762ab6134552")

MOLECULES: dict[str, Asset] = {
    "gdss/gdss_zinc250k.pth": Asset(
        GDSS,
        "checkpoints/ZINC250k/gdss_zinc250k.pth",
        "a7674d23823052110cf5d97b09744ba78bd54dc3562c6a49ede7ba015b6014e4",
        "none stated: fetch, do not redistribute",
    ),
    "gdss/gdss_zinc250k_v2.pth": Asset(
        GDSS,
        "checkpoints/ZINC250k/gdss_zinc250k_v2.pth",
        "eece95ad54a98737e0a4da4b9fc968d974748f3a25103544bd606b344cabf1a7",
        "none stated: fetch, do not redistribute",
    ),
    "gdss/gdss_qm9.pth": Asset(
        GDSS,
        "checkpoints/QM9/gdss_qm9.pth",
        "2502b7bc30b9bd9ffbcd3777721e04e449582de3564b8e3d70fbce89b48b56bc",
        "none stated: fetch, do not redistribute",
    ),
    "molecules/zinc250k_smiles.txt.gz": Asset(
        MOL_OPT,
        "data/zinc.txt.gz",
        "f991bbe4d19a0636862aa574e42903307ad9295f773af3e549a1bb09c44b873f",
        "MIT",
        text_sha256="df0aa677c770f15c9943684d6600cba8e7076c67be6a090c12f24da3aaa55b70",
    ),
    "molecules/valid_idx_zinc250k.json": Asset(
        GDSS,
        "data/valid_idx_zinc250k.json",
        "cf1af3a8588c947493ff0a2b60178db6726e9a4dbb445235b149cd3bbe6831df",
        "none stated: fetch, do not redistribute",
    ),
    "molecules/qm9_smiles.csv": Asset(
        MOL_OPT,
        "main/pasithea/datasets/0SelectedSMILES_QM9.txt",
        "49a1d3adb6daf3ba81e9c08afb4b071cfafc6cce942addf81fa51abdf07772fe",
        "MIT",
    ),
    "docking/parp1.pdbqt": Asset(
        MOOD,
        "scorer/receptors/parp1.pdbqt",
        "8d0891ddf915f51cf3108f39dd9dc01dfcf86be342c566021956afdd79eb4ad9",
        "MIT",
    ),
    "docking/fa7.pdbqt": Asset(
        MOOD,
        "scorer/receptors/fa7.pdbqt",
        "bfd705fb8220c52e1b447afce23a3810bc6deddb06983e98a2b0934b24ba092d",
        "MIT",
    ),
    "docking/5ht1b.pdbqt": Asset(
        MOOD,
        "scorer/receptors/5ht1b.pdbqt",
        "6ab5ac2d63be05c4d7992f96175258c2b253ccc41539833af4fb12465ee3a59f",
        "MIT",
    ),
    "docking/braf.pdbqt": Asset(
        MOOD,
        "scorer/receptors/braf.pdbqt",
        "707b21bfb654321cb14d33ea07e9accab4cb9a884378285cd562c2324a31213a",
        "MIT",
    ),
    "docking/jak2.pdbqt": Asset(
        MOOD,
        "scorer/receptors/jak2.pdbqt",
        "cb900f3f75dcf2ac3efe6538528ed1e87ec934a527b3b060c2b09dfe3a11d9b6",
        "MIT",
    ),
}

"""The table of named public files: where each comes from, its SHA-256 and its licence."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from svlearn.files import sha256_of
from svlearn.unpacking import text_sha256

GDSS = ("harryjo97/GDSS", "24cc490e0c5b39cbd265fda33ab2bc8b528d4454")
MOL_OPT = ("wenhao-gao/mol_opt", "2da631be85af8d10a2bb43f2de76a03171166190")
MOOD = ("SeulLee05/MOOD", "ac9730818325a72f68d748802721762ab6134552")
OPTIMUS = ("pjsample/human_5utr_modeling", "d53df410c7fb3fcd4bc4541bd7e8c6dc52b66fbe")
SMART5UTR = ("deepomicslab/Smart5UTR", "70e9284aba05498d55ada5f735d0f49a5f1c6686")
PROMOTERS = ("de-Boer-Lab/random-promoter-dream-challenge-2022", "abce63b4cc761d28b38f12312acf2b377cf562b8")
DRAGONN = ("kundajelab/MPRA-DragoNN", "2799ed87821130fc537836651d37e45a3247382d")
PLANT_PROMOTERS = (
    "tobjores/Synthetic-Promoter-Designs-Enabled-by-a-Comprehensive-Analysis-of-Plant-Core-Promoters",
    "fd211ee15cca1ff90ad1f9418caac728d39b3c69",
)
MPRA_ACTIVITY = ("kircherlab/MPRAlib", "cf37ee659f9a52e9e3e96335eb14693ef8a682a2")
MPRA_DESIGN = ("kircherlab/MPRAsnakeflow", "28f8e0c03971d2b8e6a3095481cd547b513733b0")
SVDD = ("masa-ue/SVDD", "5ce225a0e363c711e4892acfdc9c74988c3c6fa6")
CHAR_RNN = ("karpathy/char-rnn", "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e")
MLDE = ("fhalab/MLDE", "39e9edccc346119a834c62677d16e39dd49dfbdb")
LLAMA2_C64 = ("ytmytm/llama2.c64", "12b5bec82eb980362b8a7bfe86992a552a492481")
SST2 = ("clairett/pytorch-sentiment-classification", "457ffd83de90a9d6d472d8ffc31bbffe40a8b236")
AESTHETIC = ("christophschuhmann/improved-aesthetic-predictor", "fe88a163f4661b4ddabba0751ff645e2e620746e")
MNIST = ("HaouchatY/diffusion_tomography", "5661a420f6ec80276e3490525f6dca49b9f3d25b")
DDPM_MNIST = ("BrianPulfer/PapersReimplementations", "9ebf59af99219b8888695ba0133c299d8251dc7f")
MNIST_CNN_A = ("graykode/DeepLearning-Study", "0af921431124d87993700973a1bf2e223f1294bf")
MNIST_CNN_B = ("ChengYuHsieh/explanation_robustness", "a8e5ef269ced75e34d554b71ad1dacc2c04088fc")


@dataclass(frozen=True)
class Asset:
    """Where a file comes from and what it must be.

    source     repository and full commit; path inside it
    sha256     of the file, which is what lies at the address byte for byte
    text_sha256  only for a file that is made after the download: the address holds a tar archive of one text, which is
               packed again with gzip. No sum of the archive is known, and two gzip libraries pack one text into
               different bytes: a file that differs from `sha256` is right as well if its text has this sum.
    measured   only for a table that is made of two: designed sequences, at the address, and their measurements
    """

    source: tuple[str, str]
    path: str
    sha256: str
    licence: str
    text_sha256: str | None = None
    measured: "Asset | None" = None

    @property
    def address(self) -> str:
        repository, commit = self.source
        return f"https://raw.githubusercontent.com/{repository}/{commit}/{quote(self.path)}"

    def matches(self, path: Path) -> bool:
        """Whether a file holds what is named here."""
        if sha256_of(path) == self.sha256:
            return True
        return self.text_sha256 is not None and text_sha256(path) == self.text_sha256


ASSETS: dict[str, Asset] = {
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
    "utr5/mrl_egfp_m1pseudo2_20k.csv": Asset(
        SMART5UTR,
        "fig_scripts/utr_RFregr_m1pseudo_2_MFE.testdata.csv",
        "d5d9e9f38f8c88761a89162fdfd6a723c0dfcd1a9e983e4e6583de7d317016f1",
        "data public in GEO (GSE114002); repository GPL-3.0",
    ),
    "utr5/human_snv_mrl.csv": Asset(
        OPTIMUS,
        "human_5utrs/data/snv_phenotype_log_diff.csv",
        "9e61df9e4d47cde80c028c618f9f96ab0890033b5ad3be2fdb06efe042d61cbb",
        "GPL-3.0: fetch, do not redistribute",
    ),
    "utr5/optimus5prime_evolution.hdf5": Asset(
        OPTIMUS,
        "modeling/saved_models/evolution_model.hdf5",
        "892052000f74bde49f5612fd10c83cfaa259b479647aa227807bff5d3adfea1c",
        "GPL-3.0: fetch, do not redistribute",
    ),
    "utr5/optimus5prime_retrained_evolution.hdf5": Asset(
        OPTIMUS,
        "modeling/saved_models/retrained_evolution_model.hdf5",
        "fdf0f676b0c16a3ef594bb09c2382637266a42e7cee8b16730a8c0e2d2d42c9b",
        "GPL-3.0: fetch, do not redistribute",
    ),
    "promoters/yeast_promoters_demo.tsv": Asset(
        PROMOTERS,
        "dream/data/demo_train.txt",
        "277090c096efb1592d1b017fffef6d83d96817ae4430109ddc5ba45b66dd8ede",
        "MIT",
    ),
    "dna/hepg2_lentimpra_171bp.tsv": Asset(
        MPRA_DESIGN,
        "resources/assoc_basic/design.fa",
        "cf0c2d841dfa9c1f94b6c84969536b6c7fa95f249f34a1a87899e373e82b09b4",
        "MIT",
        measured=Asset(
            MPRA_ACTIVITY,
            "tests/data/reporter_activity.bc1.output.tsv.gz",
            "0cf4447a1588a8a967d1147de4ddc78d2a7d4b5a076ecce407d60a2af787b632",
            "MIT",
        ),
    ),
    "dna/mpra_dragonn_convmodel.hdf5": Asset(
        DRAGONN,
        "kipoi/ConvModel/pretrained.hdf5",
        "27eb5aee40317b012a17a6a409f545825292eb1787c2ad506d6d37b97990f006",
        "MIT",
    ),
    "dna/mpra_dragonn_convmodel.json": Asset(
        DRAGONN,
        "kipoi/ConvModel/model.json",
        "bdef9dbea48e493b27464f186b09544fc8810e591361a63751258f5e8fce1e4b",
        "MIT",
    ),
    "dna/svdd_logs/svdd_dna-HepG2.npz": Asset(
        SVDD,
        "log/dna-HepG2.npz",
        "ec56e23f28b9ae6114c942fdd071d9c0f2c304d0921bee53f74e8891e6b8cfe1",
        "none stated: fetch, do not redistribute",
    ),
    "dna/svdd_logs/svdd_dna-HepG2_DPS.npz": Asset(
        SVDD,
        "log/dna-HepG2_DPS.npz",
        "824dcd940ebb0da35c484d1f22fe53b27196096a1e119da882730745348f2261",
        "none stated: fetch, do not redistribute",
    ),
    "dna/svdd_logs/svdd_dna-HepG2_TDS.npz": Asset(
        SVDD,
        "log/dna-HepG2_TDS.npz",
        "723d55fb9d7f732f688e3886b1181cee29a6b3572cf4dc58c1cb99cd7591c339",
        "none stated: fetch, do not redistribute",
    ),
    "dna/svdd_logs/svdd_dna-HepG2_tw.npz": Asset(
        SVDD,
        "log/dna-HepG2_tw.npz",
        "83a16558066ccabb6a3cb565a8449e8119518fb2dbc1b05b236b8fca2bbc5f99",
        "none stated: fetch, do not redistribute",
    ),
    "dna/svdd_logs/svdd_rna-MRL.npz": Asset(
        SVDD,
        "log/rna-MRL.npz",
        "ae2131ee7a12a19450e42a19d8bee3108317482cde202e200351e581a1d42668",
        "none stated: fetch, do not redistribute",
    ),
    "dna/svdd_logs/svdd_rna-MRL_DPS.npz": Asset(
        SVDD,
        "log/rna-MRL_DPS.npz",
        "c9190205f65245d4d276583e6cb48b632e02ead8ca192d43015f04d2c1db6719",
        "none stated: fetch, do not redistribute",
    ),
    "dna/svdd_logs/svdd_rna-MRL_TDS.npz": Asset(
        SVDD,
        "log/rna-MRL_TDS.npz",
        "cc6e5a80f92692cebddee12ca298e4d23f6d9a96ee21e44ce9abc7550dbaa242",
        "none stated: fetch, do not redistribute",
    ),
    "dna/svdd_logs/svdd_rna-MRL_tw.npz": Asset(
        SVDD,
        "log/rna-MRL_tw.npz",
        "c4e2730f8785ce1e111f9e4104b3677a5a12c4a27e8f7aa54230059600af69fc",
        "none stated: fetch, do not redistribute",
    ),
    "dna/plant_promoters_leaf.tsv": Asset(
        PLANT_PROMOTERS,
        "CNN/CNN_test_leaf.tsv",
        "8015b4ee25564eb04f9fbe360dc349c599a95aadb5357845e8822ccc960e59c7",
        "none stated: fetch, do not redistribute",
    ),
    "dna/plant_promoters_leaf_cnn.tsv": Asset(
        PLANT_PROMOTERS,
        "CNN/CNN_test_leaf_pred.tsv",
        "ebfd6c0f6f05711c9ecbd31b9fb5566c02a05ed59cf9d0e139b290854d5eb4c2",
        "none stated: fetch, do not redistribute",
    ),
    "proteins/gb1_four_site.csv": Asset(
        MLDE,
        "code/validation/basic_test_data/Gb1Dataset.csv",
        "b82393d47b09281db823c661a3df6acac89179119eb2e0d1daa793052fe0228b",
        "data CC BY 4.0 (eLife 5, e16965); repository non-commercial: fetch, do not redistribute",
    ),
    "language/tinyshakespeare.txt": Asset(
        CHAR_RNN,
        "data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "public domain",
    ),
    "language/stories260K.bin": Asset(
        LLAMA2_C64,
        "stories260K.bin",
        "b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696",
        "MIT (karpathy/tinyllamas)",
    ),
    "language/tok512.bin": Asset(
        LLAMA2_C64,
        "tok512.bin",
        "037cb335abb25d1fa9e8ecae30ed2a3a8ace9302862ebcdc05d51a6bbb10c312",
        "MIT (karpathy/tinyllamas)",
    ),
    "language/sst2_train.tsv": Asset(
        SST2,
        "data/SST2/train.tsv",
        "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920",
        "none stated: fetch, do not redistribute",
    ),
    "language/sst2_dev.tsv": Asset(
        SST2,
        "data/SST2/dev.tsv",
        "eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359",
        "none stated: fetch, do not redistribute",
    ),
    "language/sst2_test.tsv": Asset(
        SST2,
        "data/SST2/test.tsv",
        "831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7",
        "none stated: fetch, do not redistribute",
    ),
    "images/laion_aesthetic_v2_head.pth": Asset(
        AESTHETIC,
        "sac+logos+ava1-l14-linearMSE.pth",
        "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0",
        "Apache-2.0",
    ),
    "images/mnist_t10k-images-idx3-ubyte.gz": Asset(
        MNIST,
        "data/MNIST/raw/t10k-images-idx3-ubyte.gz",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "CC BY-SA 3.0",
    ),
    "images/mnist_t10k-labels-idx1-ubyte.gz": Asset(
        MNIST,
        "data/MNIST/raw/t10k-labels-idx1-ubyte.gz",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "CC BY-SA 3.0",
    ),
    "images/ddpm_mnist.pt": Asset(
        DDPM_MNIST,
        "ddpm/ddpm_mnist.pt",
        "384f86fd83b97f05d5c4d1c84e3470497164ea88c051e862bdfdd4bf7776546a",
        "MIT",
    ),
    "images/mnist_cnn_a.pt": Asset(
        MNIST_CNN_A,
        "mnist_cnn.pt",
        "c37c32c653aedc4664b31475e052c5295b8d2de24c43ad468b70702e855bdb6c",
        "none stated: fetch, do not redistribute",
    ),
    "images/mnist_cnn_b.pt": Asset(
        MNIST_CNN_B,
        "mnist_cnn.pt",
        "625bfd1683741532f4bb49f211fbb12e0ef3f935b72c72810f05617181dabc3d",
        "none stated: fetch, do not redistribute",
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

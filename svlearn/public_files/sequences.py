"""Public files of sequences: measured 5'UTRs, promoters, enhancers and proteins, and networks of them."""

from svlearn.public_files.asset import Asset

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
MLDE = ("fhalab/MLDE", "39e9edccc346119a834c62677d16e39dd49dfbdb")

SEQUENCES: dict[str, Asset] = {
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
}

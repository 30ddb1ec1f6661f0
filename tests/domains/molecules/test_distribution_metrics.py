"""Distances between sets of molecules: closed forms, sets by hand, and what the libraries say themselves."""

import math
import sys

import numpy as np
import pytest
from rdkit import Chem

from svlearn.domains.molecules.distribution_metrics import (
    Activations,
    chemnet_activations,
    frechet_chemnet_distance,
    frechet_distance,
    nspdk_mmd,
)

DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "CC(=O)Nc1ccc(O)cc1"]
CHAINS = ["CCO", "CCCC", "CCCCN", "CC(C)C"]


def molecules(*smiles: str | None) -> list[Chem.Mol | None]:
    return [None if text is None else Chem.MolFromSmiles(text) for text in smiles]


@pytest.fixture
def fcd():
    return pytest.importorskip("fcd", reason="FCD needs fcd: the extra `metrics`")


@pytest.fixture
def eden():
    return pytest.importorskip("eden.graph", reason="NSPDK needs eden-kernel: the extra `metrics`")


# Fréchet distance


def test_the_distance_of_gaussians_with_common_axes():
    # In one dimension (m - m')² + (s - s')²; along common axes their sum, however the axes are turned.
    generator = np.random.default_rng(0)
    axes, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    one = Activations(axes @ [1.0, 0.0, 2.0], axes @ np.diag([4.0, 1.0, 0.0]) @ axes.T)
    other = Activations(axes @ [0.0, 0.0, 5.0], axes @ np.diag([1.0, 9.0, 0.25]) @ axes.T)
    expected = (1 + 0 + 9) + (1 + 4 + 0.25)
    assert frechet_distance(one, other) == pytest.approx(expected, abs=1e-12)
    assert frechet_distance(other, one) == pytest.approx(expected, abs=1e-12)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-12)


def test_the_distance_of_gaussians_with_other_axes():
    # Two dimensions: tr (C^½ C' C^½)^½ = (tr CC' + 2 (det C det C')^½)^½.
    first, second = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, -0.5], [-0.5, 2.0]])
    shared = math.sqrt(np.trace(first @ second) + 2 * math.sqrt(np.linalg.det(first) * np.linalg.det(second)))
    expected = 1 + np.trace(first) + np.trace(second) - 2 * shared
    one, other = Activations(np.zeros(2), first), Activations(np.array([0.0, 1.0]), second)
    assert frechet_distance(one, other) == pytest.approx(expected, abs=1e-12)


def test_fcd_is_that_of_the_library(fcd):
    drugs, chains = molecules(*DRUGS, None), molecules(*CHAINS)
    known = chemnet_activations(chains)
    assert (known.mean.shape, known.covariance.shape, known.mean.dtype) == ((512,), (512, 512), np.float64)
    assert frechet_chemnet_distance(chains, known) == pytest.approx(0, abs=1e-9)
    rows = [
        fcd.get_predictions(fcd.load_ref_model(), [Chem.CanonSmiles(text) for text in some], n_jobs=0, device="cpu")
        for some in (DRUGS, CHAINS)
    ]
    one, other = ((part.mean(0), np.cov(part.T)) for part in rows)
    expected = fcd.calculate_frechet_distance(one[0], one[1], other[0], other[1])
    # The library's matrix root is less exact for so few molecules, by a few 1e-6.
    assert frechet_chemnet_distance(drugs, known) == pytest.approx(expected, abs=1e-4)


def test_fcd_needs_two_molecules(fcd):
    with pytest.raises(ValueError, match="molecules: expected at least two valid ones, got 1"):
        chemnet_activations(molecules("C", None))


# NSPDK


def test_mmd_of_a_set_with_itself_is_nothing(eden):
    assert nspdk_mmd(molecules("CCO", None, "CC"), molecules("CC", "OCC")) == pytest.approx(0, abs=1e-14)


def test_mmd_by_the_kernel_matrix(eden):
    # Features have length 1: of sets {a, a, b} and {b}, |(2a + b)/3 - b|² = 4/9 |a - b|² = 8/9 (1 - k(a, b)).
    between = nspdk_mmd(molecules("CCO"), molecules("CC")) / 2  # 1 - k(a, b)
    assert 0 < between < 1
    assert nspdk_mmd(molecules("CCO", "OCC", "CC"), molecules("CC")) == pytest.approx(8 / 9 * between, abs=1e-12)
    assert nspdk_mmd(molecules("F"), molecules("O")) == pytest.approx(2, abs=1e-12)  # nothing in common


def test_mmd_tells_elements_and_orders(eden):
    for one, other in (("CO", "CN"), ("CC", "C=C"), ("C1CCCCC1", "C1=CCCCC1")):
        assert nspdk_mmd(molecules(one), molecules(other)) > 0.1
    assert nspdk_mmd(molecules("c1ccccc1"), molecules("C1CCCCC1")) == pytest.approx(0, abs=1e-14)  # as GDSS: order 1


def test_mmd_needs_molecules(eden):
    with pytest.raises(ValueError, match="known: expected at least one valid molecule, got none of 1"):
        nspdk_mmd(molecules("C"), [None])


@pytest.mark.parametrize(
    ("module", "call"),
    [("fcd", lambda: chemnet_activations([])), ("eden.graph", lambda: nspdk_mmd([], []))],
)
def test_without_the_libraries_the_error_says_what_to_install(monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"this figure needs .*: pip install 'svlearn\[metrics\]'"):
        call()

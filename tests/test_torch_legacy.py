"""Torch's older layout, read without a pickle: the same tensors, and no file that is cut, longer or names code."""

import io
import random
import re
from fractions import Fraction

import pytest
import torch

from svlearn import torch_legacy
from svlearn.torch_archive import NamesCode
from svlearn.torch_legacy import legacy_content_of


def saved(content):
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def equal(one, other):
    return list(one) == list(other) and all(
        torch.equal(one[k], other[k]) and one[k].dtype == other[k].dtype for k in other
    )


@pytest.fixture
def content():
    grid = torch.arange(12.0).view(3, 4)
    return {
        "a": grid,
        "b": grid.T[1:, ::2],
        "c": torch.tensor(7),
        "d": torch.randn(3, dtype=torch.float64),
        "e": grid[:0],
    }


def test_what_torch_writes_comes_back(content):
    assert equal(legacy_content_of(saved(content)), content)


def test_the_public_classifiers_hold_what_torch_reads(assets):
    for name in ("images/mnist_cnn_a.pt", "images/mnist_cnn_b.pt"):
        path = assets(name)
        assert equal(legacy_content_of(path.read_bytes()), torch.load(path, weights_only=True, map_location="cpu"))


def test_a_file_that_is_cut_or_longer_is_refused(content):
    whole = saved(content)
    for length in random.Random(0).sample(range(len(whole)), 100):
        with pytest.raises(ValueError):  # noqa: PT011
            legacy_content_of(whole[:length])
    with pytest.raises(ValueError, match="more bytes than the storages have"):
        legacy_content_of(whole + b"\0")


def test_changed_bits_end_in_content_or_in_an_error(content):
    """300 of them; nothing but ValueError comes out."""
    generator, whole, refused = random.Random(1), saved(content), 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
        try:
            legacy_content_of(bytes(damaged))
        except ValueError:
            refused += 1
    assert refused > 100


def test_a_storage_of_another_length_is_refused():
    whole = saved({"a": torch.ones(2)})
    count = (2).to_bytes(8, "little") + torch.ones(2).numpy().tobytes()
    assert whole.endswith(count)
    with pytest.raises(ValueError, match="a storage of 3 elements and 8 bytes, not 2 and 8"):
        legacy_content_of(whole[: -len(count)] + b"\3" + count[1:])
    with pytest.raises(ValueError, match="storages of more bytes than the file has"):
        legacy_content_of(re.sub(rb"(cpuq.)K\x02", lambda place: place[1] + b"J\xff\xff\xff\x7f", whole))


def test_names_are_not_looked_up():
    with pytest.raises(NamesCode, match=r"^fractions.Fraction$"):
        legacy_content_of(saved(Fraction))


@pytest.mark.parametrize("file", [b"", b"PK\3\4", torch_legacy.MAGIC])
def test_what_is_of_another_layout_is_refused(file):
    with pytest.raises(ValueError, match="no file of torch in its older layout"):
        legacy_content_of(file)


def test_a_long_file_is_refused(monkeypatch, content):
    monkeypatch.setattr(torch_legacy, "MAX_BYTES", 99)
    with pytest.raises(ValueError, match="more than 99 bytes"):
        legacy_content_of(saved(content))

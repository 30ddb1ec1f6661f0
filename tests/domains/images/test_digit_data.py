"""The files of digits: what is read, what is held out, what is refused."""

import gzip

import pytest
import torch

from svlearn.domains.images.digits.data import IMAGES, LABELS, DigitData, part, read, split
from svlearn.domains.images.digits.idx import read_idx


def written(path, shape, content, kind=8):
    header = bytes([0, 0, kind, len(shape)]) + b"".join(each.to_bytes(4, "big") for each in shape)
    path.write_bytes(gzip.compress(header + bytes(content)))
    return path


def test_an_idx_file_is_read_by_rows(tmp_path):
    path = written(tmp_path / "a.gz", (2, 1, 3), [0, 1, 2, 253, 254, 255])
    assert read_idx(path, 3).tolist() == [[[0, 1, 2]], [[253, 254, 255]]]


@pytest.mark.parametrize(
    ("shape", "content", "kind", "error"),
    [
        ((2, 3), range(6), 8, "in 3 dimensions, which begins with 00000803, got 18 bytes that begin with 00000802"),
        ((1, 2, 3), range(6), 13, "begins with 00000803, got 22 bytes that begin with 00000d03"),
        ((1, 2, 3), range(5), 8, "expected 1 x 2 x 3 = 6 bytes, got 5"),
        ((1, 2, 3), range(7), 8, "expected 1 x 2 x 3 = 6 bytes, got 7"),
        ((0, 2, 3), [], 8, "expected at least one entry"),
        ((2**31, 2**31, 4), [1], 8, "bytes, got 1"),
    ],
)
def test_what_is_not_the_array_is_refused(tmp_path, shape, content, kind, error):
    with pytest.raises(ValueError, match=error) as raised:
        read_idx(written(tmp_path / "a.gz", shape, content, kind), 3)
    assert str(tmp_path / "a.gz") in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"idx", gzip.compress(b"idx", mtime=0)[:-3], gzip.compress(b"", mtime=0)])
def test_what_is_not_packed_or_cut_is_refused(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(ValueError, match="expected an idx file") as raised:
        read_idx(tmp_path / "a.gz", 1)
    assert str(tmp_path / "a.gz") in str(raised.value)


def test_a_digit_is_scaled_to_its_range(tmp_path):
    pixels = [0] * 784 + [255] * 784 + [51] * 784
    images, labels = written(tmp_path / "i.gz", (3, 28, 28), pixels), written(tmp_path / "l.gz", (3,), [9, 0, 4])
    digits, classes = read(images, labels)
    assert digits.shape == (3, 1, 28, 28)
    assert classes.tolist() == [9, 0, 4]
    torch.testing.assert_close(digits[:, 0, 3, 7], torch.tensor([-1.0, 1.0, -0.6]))


@pytest.mark.parametrize(
    ("size", "labels", "error"),
    [
        (27, [1], "expected images of 28 x 28, got \\(27, 27\\)"),
        (28, [1, 2], "expected a label of each of 1 images, got 2"),
        (28, [10], "expected labels of 0 ... 9, got 10"),
        (28, [1], "expected more than the 1000 that are held out, got 1"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, size, labels, error):
    images = written(tmp_path / "i.gz", (1, size, size), [0] * size**2)
    named = written(tmp_path / "l.gz", (len(labels),), labels)
    with pytest.raises(ValueError, match=error):
        part("train", images, named)


def test_the_split_is_the_same_everywhere_and_leaves_none_out():
    """The first numbers were worked out with sha256sum."""
    rows = split(10_000)
    assert {name: len(each) for name, each in rows.items()} == {"train": 9000, "validation": 500, "test": 500}
    assert torch.cat(list(rows.values())).sort().values.tolist() == list(range(10_000))
    assert rows["train"][:3].tolist() == [1039, 3633, 5848]
    with pytest.raises(ValueError, match="one of train, validation, test, got 'all'"):
        part("all")


def test_the_public_digits(assets):
    assets(IMAGES)
    assets(LABELS)
    digits, classes = read()
    assert digits.shape == (10_000, 1, 28, 28)
    assert classes[:5].tolist() == [7, 2, 1, 0, 4]
    assert (float(digits.min()), float(digits.max())) == (-1, 1)
    data = DigitData()
    data.setup()
    assert (len(data.train), len(data.validation), len(data.test)) == (9000, 500, 500)
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (64, 1, 28, 28)
    assert labels.shape == (64,)
    held_out = next(iter(data.val_dataloader()))
    assert torch.equal(held_out[1], data.validation.tensors[1][:250])

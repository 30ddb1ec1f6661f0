"""Torch's archives, read without a pickle: the same tensors, no damage unseen, and no file that takes for ever."""

import io
import pickle
import random
import struct
import zipfile

import pytest
import torch
from gdss_files import PARAMS_ADJ, PARAMS_X, config, random_content, raw, write

from svlearn import torch_archive as archive
from svlearn.domains.molecules.gdss.checkpoint import read
from svlearn.torch_archive import NamesCode, content_of

NAMES = ("gdss/gdss_zinc250k.pth", "gdss/gdss_zinc250k_v2.pth", "gdss/gdss_qm9.pth")


def equal(one, other):
    if isinstance(other, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(other, dict):
        return isinstance(one, dict) and list(one) == list(other) and all(equal(one[k], other[k]) for k in other)
    if isinstance(other, (list, tuple)):
        return type(one) is type(other) and all(equal(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other) and one == other


def saved(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def packed(pickled, **parts):
    """An archive with right checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packing:
        for name, content in {"data.pkl": pickled, **parts}.items():
            packing.writestr(f"archive/{name}", content)
    return file.getvalue()


def unpacked(file):
    with zipfile.ZipFile(io.BytesIO(file)) as held:
        return {name.partition("/")[2]: held.read(name) for name in held.namelist()}


@pytest.mark.parametrize("name", NAMES)
def test_the_authors_files_hold_what_torch_reads(name, assets):
    assert equal(content_of(assets(name).read_bytes()), raw(assets(name)))


def test_what_torch_writes_comes_back():
    grid = torch.arange(12.0).view(3, 4)
    content = {
        "tensors": [grid, grid.T, grid[1:, ::2], grid.half(), grid.bfloat16(), grid.long(), grid.bool(), grid.double()],
        "empty": (torch.empty(0, 3), torch.tensor(3.0), torch.nn.Parameter(torch.ones(2))),
        "plain": {"a": None, 7: [True, False, -1, 2**40, 1.5, "α", (), (1, 2), (1,), [], {}]},
    }
    content["again"] = content["plain"]
    again = content_of(saved(content))
    content["empty"] = (*content["empty"][:2], torch.ones(2))
    assert equal(again, content) and again["again"] is again["plain"]


def test_a_changed_bit_is_seen(tmp_path):
    """200 of them: a damaged file is refused, or what it says has not changed."""
    path, generator = write(random_content(), tmp_path / "a.pth"), random.Random(0)
    whole = path.read_bytes()
    original, refused = content_of(whole), 0
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
        try:
            assert equal(content_of(bytes(damaged)), original)
        except ValueError:
            refused += 1
    assert refused > 80  # many bytes are padding, which is of no part


def test_a_changed_weight_is_refused(tmp_path):
    path = write(random_content(), tmp_path / "a.pth")
    whole = path.read_bytes()
    weights = random_content()["x_state_dict"]["layers.0.weight"].numpy().tobytes()
    place = whole.index(weights)
    path.write_bytes(whole[: place + 2] + bytes([whole[place + 2] ^ 64]) + whole[place + 3 :])
    with pytest.raises(ValueError, match=r"a.pth: .*got a corrupt file \(.*wrong checksum of .*data/"):
        read(path)


def test_a_changed_pickle_is_one_error_or_a_checkpoint(tmp_path):
    """Its checksums right, as who writes such a file would have them: nothing but a ValueError, and no time at all."""
    path, generator = write(random_content(), tmp_path / "a.pth"), random.Random(0)
    parts = unpacked(path.read_bytes())
    pickled, messages = parts.pop("data.pkl"), []
    for _ in range(150):
        changed = bytearray(pickled)
        for _ in range(generator.randint(1, 4)):
            place, kind = generator.randrange(len(changed)), generator.randrange(3)
            if kind == 0:
                changed[place] = generator.randrange(256)
            elif kind == 1:
                del changed[place : place + generator.randint(1, 8)]
            else:
                changed[place:place] = generator.choice([b"t", b"s", b"R", b"Q", b"b", b"h\x01", b"(", b"K\x05", b"N"])
        path.write_bytes(packed(bytes(changed), **parts))
        try:
            read(path)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 75
    assert all(each.startswith(f"{path}: expected a GDSS checkpoint") and len(each) < 1000 for each in messages)


def nested_keys():
    """Tuples of twins, 60 deep: the hash of such a key would take 2^60 steps."""
    made = b"\x80\x02})"
    for place in range(60):
        made += b"q" + bytes([place]) + b"h" + bytes([place]) + b"\x86"
    return made + b"K\x01s."


def nested_lists(depth=60):
    """A list of twins that would print 2^60 times."""
    made = []
    for _ in range(depth):
        made = [made, made]
    return made


def rebuilt(storage_length, offset, shape, strides):
    """The pickle of a tensor over the four floats of part 0."""

    def ints(numbers):
        return b"(" + b"".join(b"J" + struct.pack("<i", each) for each in numbers) + b"t"

    held = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + ints([storage_length])[1:-1]
    )
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
        + held
        + b"tQ"
        + ints([offset])[1:-1]
        + ints(shape)
        + ints(strides)
        + b"\x89ccollections\nOrderedDict\n)RtR."
    )


def test_a_tensor_by_hand():
    four = struct.pack("<4f", 0, 1, 2, 3)
    assert content_of(packed(rebuilt(4, 1, [3], [1]), **{"data/0": four})).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (packed(nested_keys()), "tuple in the place of str"),
        (packed(rebuilt(4, 0, [10**9], [0]), **{"data/0": bytes(16)}), "shape that cannot be"),
        (packed(rebuilt(4, 0, [10**6], [0]), **{"data/0": bytes(16)}), "more numbers than its part has"),
        (packed(rebuilt(4, 1, [4], [1]), **{"data/0": bytes(16)}), "more numbers than its part has"),
        (packed(rebuilt(4, 0, [2], [4]), **{"data/0": bytes(16)}), "more numbers than its part has"),
        (packed(rebuilt(4, -1, [2], [1]), **{"data/0": bytes(16)}), "shape that cannot be"),
        (packed(rebuilt(2**30, 0, [4], [1]), **{"data/0": bytes(16)}), "16 bytes for 1073741824 numbers"),
        (packed(b"\x80\x02(((((."), "opcode|values to unpack"),
        (packed(b"\x80\x02K\x01K\x02."), "too many values"),
        (packed(b"\x80\x02t."), "pop from empty"),
        (packed(b"\x80\x02h\x05."), "KeyError"),
        (packed(pickle.dumps({1, 2})), "opcode"),
        (packed(bytes(archive.MAX_PICKLE + 1)), "a pickle of more than 1048576 bytes"),
        (packed(b"N.", **{"more/data.pkl": b"N."}), "no archive of torch"),
        (packed(b"N.", byteorder="big"), "big-endian"),
        (b"", "not a zip file"),
    ],
)
def test_what_is_no_archive_of_data(file, message):
    with pytest.raises(ValueError, match=message):
        content_of(file)


def test_names_are_not_looked_up():
    with pytest.raises(NamesCode, match=r"^builtins.bytearray, os.system$"):
        content_of(packed(b"\x80\x02cos\nsystem\ncbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R."))


def test_compressed_parts_are_refused():
    """A gigabyte of zeros takes a megabyte so."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packing:
        packing.writestr("archive/data.pkl", b"N." + bytes(10**6))
    with pytest.raises(ValueError, match="compressed or overlap"):
        content_of(file.getvalue())


def test_a_long_file_is_refused(monkeypatch):
    file = saved(torch.zeros(100))
    assert len(content_of(file)) == 100
    monkeypatch.setattr(archive, "MAX_BYTES", 399)
    with pytest.raises(ValueError, match="more than 399 bytes"):
        content_of(file)
    assert len(content_of(file, most=len(file))) == 100
    with pytest.raises(ValueError, match=f"more than {len(file) - 1} bytes"):
        content_of(file, most=len(file) - 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"params_adj": PARAMS_ADJ | {"num_layers": 10**7}}, "num_layers: expected an integer of 1 ... 100, got 1000"),
        ({"params_adj": PARAMS_ADJ | {"num_linears": 10**7}}, "num_linears: expected an integer of 1 ... 100"),
        ({"params_adj": PARAMS_ADJ | {"c_hid": 10**9}}, "c_hid: expected an integer of 1 ... 10000"),
        ({"params_adj": PARAMS_ADJ | {"c_hid": 10**4, "adim": 10**4}}, "size mismatch|entry 'attn"),
        ({"params_x": PARAMS_X | {"depth": 10**7}}, "depth: expected an integer of 1 ... 100"),
        ({"params_x": PARAMS_X | {"nhid": 10**4}}, "size mismatch"),
        (
            {"params_x": PARAMS_X | {"model_type": nested_lists()}},
            "model_type: expected a string or a number, got list",
        ),
        (
            {"model_config": config() | {"data": {"data": "QM9", "max_node_num": 10**9}}},
            "max_node_num: expected an int",
        ),
        ({"model_config": config() | {"sde": {"x": {"type": nested_lists()}}}}, "type: expected a string or a number"),
    ],
)
def test_no_network_is_built_that_a_file_does_not_fill(content, message, tmp_path):
    with pytest.raises(ValueError, match=f"a.pth: expected a GDSS checkpoint .*({message})"):
        read(write(random_content() | content, tmp_path / "a.pth"))

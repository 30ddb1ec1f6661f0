"""The manifest of a store: what is corrupt, contradicts itself or is absurd is refused at once."""

import json

import pytest
from rollout_toys import Walk, rewrite

from svlearn.rollouts import Rollouts, collect


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"format": 2, "request": {}, "complete": [], "files": null}',
        '{"format": 1, "request": {"kind": "process"}, "complete": [], "files": null}',
        '{"format": 1, "request": null, "complete": [], "files": null}',
        "\x00\xff",
    ],
)
def test_a_corrupt_manifest_is_refused(stored, text):
    (stored / "manifest.json").write_text(text, encoding="latin-1")
    for use in (Rollouts.open, lambda path: collect(Walk(), 10, path, batch_size=4, progress=False)):
        with pytest.raises(ValueError, match="manifest.json: expected a manifest of svlearn rollouts, format 1, got"):
            use(stored)


@pytest.mark.parametrize(
    "changes",
    [
        {"complete": [0, 1, 2, 2]},
        {"complete": [0, 1, 3]},
        {"complete": ["0", "1", "2"]},
        {"complete": [[0], [1], [2]]},
        {"complete": 3},
        {"files": None},
        {"files": {}},
        {"files": [1]},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(stored, changes):
    rewrite(stored, **changes)
    with pytest.raises(ValueError, match="got a corrupt one"):
        Rollouts.open(stored)


HELD = {"kind": "process", "num_trajectories": 10, "num_steps": 4, "batch_size": 4, "seed": 0, "process": "p"}


def manifest_of(complete=(0, 1, 2), files=None, format=1, **request):
    files = {"data/rewards.memmap": 80} if files is None else files
    return json.dumps({"format": format, "request": HELD | request, "complete": complete, "files": files})


@pytest.mark.parametrize(
    "text",
    [
        manifest_of(num_trajectories=10**9, batch_size=1),
        manifest_of(num_trajectories=10**30, batch_size=10**29),
        manifest_of(num_trajectories=10**9, batch_size=1000, complete=[10**9]),
        manifest_of(num_trajectories=True),
        manifest_of(num_trajectories=10.0),
        manifest_of(num_trajectories="10"),
        manifest_of(num_trajectories=float("nan")),
        manifest_of(num_trajectories=[10]),
        manifest_of(num_steps=0),
        manifest_of(num_steps=10**12),
        manifest_of(batch_size=False),
        manifest_of(batch_size=float("inf")),
        manifest_of(seed=-1),
        manifest_of(seed=None),
        manifest_of(seed=True),
        manifest_of(kind=3),
        manifest_of(kind=None),
        manifest_of(process=["p"]),
        manifest_of(reward=3),
        manifest_of(reward_identity={}),
        manifest_of(finished_states=True),
        manifest_of(proposal=[]),
        manifest_of(another=1),
        manifest_of(format=True),
        manifest_of(format=1.0),
        manifest_of(complete=[True, 1, 2]),
        manifest_of(complete=[0.0, 1, 2]),
        manifest_of(complete=[-1, 1, 2]),
        manifest_of(complete={"0": 1}),
        manifest_of(complete=[0] * 1000),
        manifest_of(complete=None),
        manifest_of(files={"data/rewards.memmap": True}),
        manifest_of(files={"data/rewards.memmap": -80}),
        manifest_of(files={"data/rewards.memmap": "80"}),
        manifest_of(files={"data/rewards.memmap": None}),
        manifest_of(files={"../store/data/rewards.memmap": 80}),
        manifest_of(files={"/etc/passwd": 80}),
        manifest_of(files={"data/a\0b": 80}),
        manifest_of(files={f"data/{i}": 0 for i in range(10_001)}),
        "[" * 100_000 + "]" * 100_000,
        '{"format": ' + "[" * 100_000,
        '{"format": 1' + "0" * 5000 + "}",
    ],
    ids=range(42),
)
def test_a_manifest_of_absurd_entries_is_refused_at_once(stored, text):
    (stored / "manifest.json").write_text(text)
    for use in (Rollouts.open, lambda path: collect(Walk(), 10, path, batch_size=4, progress=False)):
        with pytest.raises(
            ValueError, match=f"^{stored}/manifest.json: expected a manifest .*, got a corrupt"
        ) as raised:
            use(stored)
        assert len(str(raised.value)) < 1000


def test_a_manifest_is_read_to_its_limit(stored):
    with (stored / "manifest.json").open("wb") as opened:
        opened.truncate(2**40)
    with pytest.raises(ValueError, match="manifest.json: .*1099511627776 bytes, where at most 67108864 are read"):
        Rollouts.open(stored)


def test_more_chunks_than_a_store_may_have_are_refused(tmp_path):
    with pytest.raises(ValueError, match="batch_size: expected at least 10, for 1000000 chunks or fewer of 10000000"):
        collect(Walk(), 10_000_000, tmp_path / "store", batch_size=9, progress=False)
    assert not (tmp_path / "store").exists()

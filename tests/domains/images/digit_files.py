"""Random digits in files as the public ones are, and a short training by a shipped configuration."""

import gzip

import torch

from svlearn import cli
from svlearn.randomness import seeded

SMALL = {
    "model.init_args.network.init_args.block_out_channels": "[8,8,8]",
    "model.init_args.network.init_args.attention_head_dim": 8,
    "model.init_args.warmup_steps": 1,
    "data.init_args.batch_size": 8,
    "trainer.enable_progress_bar": "false",
    "trainer.limit_val_batches": 0,
}


def write_digits(folder):
    """1,016 of them, 16 to train on."""
    generator = seeded("cpu", 0)
    for name, shape in (("images", (1016, 28, 28)), ("labels", (1016,))):
        content = torch.randint(10, shape, generator=generator, dtype=torch.uint8).numpy().tobytes()
        header = bytes([0, 0, 8, len(shape)]) + b"".join(each.to_bytes(4, "big") for each in shape)
        (folder / name).write_bytes(gzip.compress(header + content, 1))


def pretrained(name, digits, folder, steps, monkeypatch, *more):
    """The last checkpoint of `svlearn pretrain --config NAME` in a folder: a small network, the digits of another."""
    data = {f"data.init_args.{each}": digits / each for each in ("images", "labels")}
    options = {**SMALL, **data, "trainer.max_steps": steps}
    words = [word for option, setting in options.items() for word in (f"--{option}", str(setting))]
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["svlearn", "pretrain", "--config", name, *words, *map(str, more)])
    cli.main()
    return folder / "runs" / name / "last.ckpt"

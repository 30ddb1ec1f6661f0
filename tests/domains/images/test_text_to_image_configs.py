"""The configurations for text to image run as they are, with small pipelines in the place of the published ones."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
from diffusers import PNDMScheduler
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

from svlearn.cli import evaluate
from svlearn.domains.images.rewards.heads import score_head


def clip_folder(folder: Path) -> str:
    """A small CLIP with embeddings of 768 numbers, as ViT-L/14's, and its tokenizer."""
    layers = dict(num_hidden_layers=1, num_attention_heads=2, hidden_size=16, intermediate_size=32)
    text = {**tiny_pipelines.clip_text().config.to_dict(), **layers}
    vision = dict(image_size=16, patch_size=8, projection_dim=768, **layers)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=768)).save_pretrained(folder)
    tiny_pipelines.clip_tokenizer(folder / "files").save_pretrained(folder)
    return str(folder)


def run(name: str, pipeline: Any, folder: Path, monkeypatch: Any, *words: str) -> dict:
    pipeline.save_pretrained(folder / "pipeline")
    changes = {
        "reference.init_args.pipeline": folder / "pipeline",
        "reference.init_args.num_steps": 2,
        "reference.init_args.device": "cpu",
        "reference.init_args.dtype": "float32",
        "condition": "[cat, a dog]",
        "samplers.best-of-20.init_args.n": 2,
        "samplers.SVDD-PM.init_args.num_candidates": 2,
        "judges.CLIP score.init_args.reward.init_args.model": clip_folder(folder / "clip"),
        "num_samples": 2,
        "output": folder / "report",
    }
    overrides = [word for key, value in changes.items() for word in (f"--{key}", str(value))]
    monkeypatch.setattr(sys, "argv", ["evaluate", "--config", name, *overrides, *words])
    evaluate.run()
    pages = [(folder / "report" / file).read_text() for file in ("report.html", "samples.svg")]
    assert re.search('<img alt="[^"]*" src="data:image/', pages[0])  # whatever holds the images
    assert "data:image/png;base64" in pages[1]
    return json.loads((folder / "report/comparison.json").read_text())


def test_small_as_jpeg(tmp_path: Path, monkeypatch: Any) -> None:
    scheduler = PNDMScheduler(**tiny_pipelines.BETAS, skip_prk_steps=True, steps_offset=1)  # as the published one's
    pipeline = tiny_pipelines.stable_diffusion(tmp_path, scheduler)
    figures = run("sd15/compressibility", pipeline, tmp_path, monkeypatch)["figures"]
    assert set(figures) == {"pretrained", "best-of-20", "SVDD-PM"}


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("sd15/aesthetic", tiny_pipelines.stable_diffusion),
        ("sd3/aesthetic", tiny_pipelines.stable_diffusion_3),
    ],
)
def test_by_the_aesthetic_score(name: str, build: Any, tmp_path: Path, monkeypatch: Any) -> None:
    save_file(score_head().state_dict(), tmp_path / "head.safetensors")
    reward = "--targets.greedy.reward.init_args.reward.init_args"
    words = [f"{reward}.model", clip_folder(tmp_path / "scorer"), f"{reward}.head", str(tmp_path / "head.safetensors")]
    figures = run(name, build(tmp_path), tmp_path, monkeypatch, *words)["figures"]
    assert set(figures) == {"pretrained", "best-of-20", "SVDD-PM"}

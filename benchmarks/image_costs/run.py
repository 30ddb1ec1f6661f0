"""What text to image would cost on one GPU of 24 GB: predicted from the operations of a call and the calls of a run.

    python -m benchmarks image_costs

The networks are those of Stable Diffusion 1.5 and 3 (medium) in their published sizes, without weights (on torch's meta
device): their operations are counted by torch, their bytes from their parameters. Calls are svlearn's for T = 50 and
M = 20, the settings of the SVDD paper. Seconds are predicted, not measured: operations over an assumed rate.
docs/leaderboards/image_costs.md is written from benchmarks/results/image_costs.json.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel, UNet2DConditionModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common.dots import FREE, LEARNED, OTHER, Dot, Panel, chart
from benchmarks.common.pages import not_measured, opening, reproduce
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from svlearn.evaluation.report.numbers import plain
from svlearn.evaluation.report.provenance import provenance

RESULTS, PAGE = Results("image_costs", {"parts": {}}), PAGES / "image_costs.md"
NAME = "image_costs.svg"
TITLE = "Text to image on one GPU of 24 GB, predicted"
STEPS, CANDIDATES = 50, 20
RATE = 60e12  # operations a second: about a third of the dense peak of a consumer card in half precision
BLOCKS = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
WIDTHS = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}


def half(*shape: int) -> Tensor:
    return torch.empty(*shape, dtype=torch.float16)


def unet() -> tuple[nn.Module, Callable]:
    network = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    return network, lambda own: own(half(1, 4, 64, 64), torch.empty(1, dtype=torch.long), half(1, 77, 768))


def transformer() -> tuple[nn.Module, Callable]:
    network = SD3Transformer2DModel(
        sample_size=128,
        num_layers=24,
        num_attention_heads=24,
        attention_head_dim=64,
        joint_attention_dim=4096,
        caption_projection_dim=1536,
        pooled_projection_dim=2048,
        pos_embed_max_size=192,
    )
    return network, lambda own: own(half(1, 16, 128, 128), half(1, 333, 4096), half(1, 2048), torch.empty(1))


def decoder(channels: int, side: int) -> tuple[nn.Module, Callable]:
    network = AutoencoderKL(3, 3, latent_channels=channels, **BLOCKS, **WIDTHS)
    return network, lambda own: own.decode(half(1, channels, side, side))


PARTS: dict[str, Callable[[], tuple[nn.Module, Callable]]] = {
    "SD 1.5, UNet": unet,
    "SD 1.5, autoencoder's decoder, 512 x 512": partial(decoder, 4, 64),
    "SD 3 medium, transformer": transformer,
    "SD 3 medium, autoencoder's decoder, 1024 x 1024": partial(decoder, 16, 128),
}
MODELS = {"SD 1.5": tuple(PARTS)[:2], "SD 3 medium": tuple(PARTS)[2:]}


def arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def measure(options: argparse.Namespace) -> None:
    for name in PARTS:
        RESULTS.finish(partial(count, name), "parts", name)


def count(name: str) -> dict:
    """Parameters, and operations (two a multiplication and addition) of a call for one image."""
    with torch.device("meta"), torch.no_grad():
        network, call = PARTS[name]()
        network.half()
        with FlopCounterMode(display=False) as counter:
            call(network)
    parameters = sum(each.numel() for each in network.parameters())
    return {"parameters": parameters, "operations": counter.get_total_flops(), "provenance": provenance()}


def rows() -> dict[str, tuple[int, int]]:
    """By method, evaluations of the network (two a call, by classifier-free guidance) and decodings, an image."""
    moves = STEPS * CANDIDATES
    return {
        "pretrained": (2 * STEPS, 1),
        "best-of-20": (2 * STEPS * CANDIDATES, CANDIDATES),
        "SVDD-PM, M = 20, a reward of pixels": (2 * moves, moves),
        "SVDD, learned value of latents, M = 20": (2 * STEPS, CANDIDATES),
    }


def pages() -> dict[Path, str]:
    parts = RESULTS.read()["parts"]
    return {PAGE: page(parts)} | {PAGE.with_name(name): drawing for name, drawing in figures(parts).items()}


def figures(parts: dict) -> dict[str, str]:
    """SVG by file name: predicted seconds of an image by row, a panel a model."""
    if any(name not in parts for name in PARTS):
        return {}
    panels = []
    for model, (network, autoencoder) in MODELS.items():
        dots = []
        for row, (evaluations, decodings) in rows().items():
            work = evaluations * parts[network]["operations"] + decodings * parts[autoencoder]["operations"]
            kind = OTHER if row == "pretrained" else LEARNED if "learned" in row else FREE
            dots.append(Dot(row, work / RATE, work / RATE, work / RATE, kind))
        panels.append(Panel(model, "seconds an image, predicted", dots, best="low", logarithmic=True))
    return {NAME: chart("image_costs", panels)}


def page(parts: dict) -> str:
    if any(name not in parts for name in PARTS):
        return not_measured(TITLE, "image_costs")
    counted = ["| Part | parameters, millions | GB in half precision | operations of a call, 10¹² |"]
    counted += ["| --- | --: | --: | --: |"]
    for name in PARTS:
        size, work = parts[name]["parameters"], parts[name]["operations"]
        counted.append(f"| {name} | {plain(size / 1e6, 4)} | {plain(2 * size / 1e9, 2)} | {plain(work / 1e12, 3)} |")
    predicted = ["| Model | Row | evaluations | decodings | seconds an image, predicted | of these, decoding |"]
    predicted += ["| --- | --- | --: | --: | --: | --: |"]
    share = {}
    for model, (network, autoencoder) in MODELS.items():
        work = parts[network]["operations"], parts[autoencoder]["operations"]
        for row, (evaluations, decodings) in rows().items():
            seconds = evaluations * work[0] / RATE, decodings * work[1] / RATE
            share[model, row] = seconds[1] / sum(seconds)
            cells = [model, row, str(evaluations), str(decodings), plain(sum(seconds), 3), f"{share[model, row]:.0%}"]
            predicted.append(f"| {' | '.join(cells)} |")
    pixels = share["SD 1.5", "SVDD-PM, M = 20, a reward of pixels"]
    first = (
        f"**Predicted, not measured: of SVDD-PM with a reward of pixels on Stable Diffusion 1.5, {pixels:.0%} of the "
        "operations are the autoencoder's, which decodes every candidate; a value of latents decodes the last alone.**"
    )
    head = opening(TITLE, first, {NAME: "Predicted seconds of an image, by method and model"})
    return "\n".join([head, *predicted, "", *counted, NOTES, reproduce("image_costs", parts)])


NOTES = f"""
Operations are torch's count of the published sizes on the meta device, without weights; evaluations and decodings are
svlearn's own for T = {STEPS} and M = {CANDIDATES} (classifier-free guidance is two evaluations). Seconds are the
operations over {RATE / 1e12:.0f} · 10¹² a second, an assumption for half precision on a consumer card of 24 GB; no
such card was at hand. Memory: the parts above and the text encoders (SD 1.5: 0.25 GB; SD 3: 1.7 GB without T5, which
is 9.5 GB more and may be left out) lie in 24 GB; activations grow with `max_batch`, and the decoder's with
`decode_chunk`, 8 images at a time by default.
"""

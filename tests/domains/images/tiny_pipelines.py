"""Small random pipelines of diffusers' own classes, with real tokenizers made on the spot."""

import json
from pathlib import Path
from typing import Any

from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
VAE_SCALE = 2  # pixels of a latent


def clip_tokenizer(folder: Path, length: int = 16) -> CLIPTokenizer:
    """Of letters, alone and at the end of a word, and of two merges."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "ca", "cat</w>", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=length)


def t5_tokenizer(folder: Path, length: int = 16) -> T5TokenizerFast:
    """A Unigram model of letters and two words, as T5's is."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -2.0), ("▁cat", -3.0), ("▁dog", -3.0)]
    tokenizer = Tokenizer(models.Unigram([*pieces, *((letter, -4.0) for letter in LETTERS)], unk_id=2))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    settings = {"tokenizer_class": "T5TokenizerFast", "model_max_length": length, "extra_ids": 0, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return T5TokenizerFast.from_pretrained(folder)


def clip_text(width: int = 16, *, projection: bool = False) -> CLIPTextModel | CLIPTextModelWithProjection:
    tokens = 2 * len(LETTERS) + 4
    config = CLIPTextConfig(
        vocab_size=tokens,
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=tokens - 2,
        eos_token_id=tokens - 1,
        pad_token_id=tokens - 1,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def t5_text(width: int = 16) -> T5EncoderModel:
    config = T5Config(vocab_size=len(LETTERS) + 6, d_model=width, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    return T5EncoderModel(config).eval()


def autoencoder(channels: int = 4, **settings: Any) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[8, 8],
        norm_num_groups=4,
        latent_channels=channels,
        sample_size=16,
        **settings,
    ).eval()


def stable_diffusion(folder: Path, scheduler: Any = None, **settings: Any) -> StableDiffusionPipeline:
    """As SD 1.5: a UNet with cross-attention, latents (4, 8, 8)."""
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
        **settings,
    ).eval()
    pipeline = StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=clip_text(),
        tokenizer=clip_tokenizer(folder / "tokenizer"),
        unet=unet,
        scheduler=DDIMScheduler(**BETAS, clip_sample=False, steps_offset=1) if scheduler is None else scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return quiet(pipeline)


def stable_diffusion_xl(folder: Path, scheduler: Any = None) -> StableDiffusionXLPipeline:
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=(2, 2),
        use_linear_projection=True,
        norm_num_groups=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=6 * 8 + 16,
    ).eval()
    pipeline = StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=clip_text(),
        text_encoder_2=clip_text(projection=True),
        tokenizer=clip_tokenizer(folder / "tokenizer"),
        tokenizer_2=clip_tokenizer(folder / "tokenizer_2"),
        unet=unet,
        scheduler=DDIMScheduler(**BETAS, clip_sample=False) if scheduler is None else scheduler,
        add_watermarker=False,
    )
    return quiet(pipeline)


def stable_diffusion_3(folder: Path, scheduler: Any = None) -> StableDiffusion3Pipeline:
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        pos_embed_max_size=16,
    ).eval()
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0) if scheduler is None else scheduler,
        vae=autoencoder(shift_factor=0.06),
        text_encoder=clip_text(projection=True),
        text_encoder_2=clip_text(projection=True),
        text_encoder_3=t5_text(32),
        tokenizer=clip_tokenizer(folder / "tokenizer"),
        tokenizer_2=clip_tokenizer(folder / "tokenizer_2"),
        tokenizer_3=t5_tokenizer(folder / "tokenizer_3"),
    )
    return quiet(pipeline)


def flux(folder: Path, scheduler: Any = None, *, guidance: bool = True) -> FluxPipeline:
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guidance,
    ).eval()
    own = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_image_seq_len=4, max_image_seq_len=64)
    pipeline = FluxPipeline(
        transformer=transformer,
        scheduler=own if scheduler is None else scheduler,
        vae=autoencoder(shift_factor=0.06),
        text_encoder=clip_text(),
        text_encoder_2=t5_text(32),
        tokenizer=clip_tokenizer(folder / "tokenizer"),
        tokenizer_2=t5_tokenizer(folder / "tokenizer_2"),
    )
    return quiet(pipeline)


def pixart(folder: Path, scheduler: Any = None) -> PixArtAlphaPipeline:
    transformer = PixArtTransformer2DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=16,
        out_channels=8,
    ).eval()
    pipeline = PixArtAlphaPipeline(
        transformer=transformer,
        scheduler=DDIMScheduler(**BETAS, clip_sample=False) if scheduler is None else scheduler,
        vae=autoencoder(),
        text_encoder=t5_text(32),
        tokenizer=t5_tokenizer(folder / "tokenizer"),
    )
    return quiet(pipeline)


def dit(scheduler: Any = None) -> DiTPipeline:
    transformer = DiTTransformer2DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        num_embeds_ada_norm=1000,
    ).eval()
    own = DDIMScheduler(clip_sample=False) if scheduler is None else scheduler
    return quiet(DiTPipeline(transformer=transformer, vae=autoencoder(), scheduler=own))


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ddpm(scheduler: Any = None) -> DDPMPipeline:
    """Unconditional, of pixels (1, 8, 8)."""
    unet = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=4,
    ).eval()
    return quiet(DDPMPipeline(unet=unet, scheduler=DDPMScheduler() if scheduler is None else scheduler))

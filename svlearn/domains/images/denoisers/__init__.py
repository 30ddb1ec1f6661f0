"""How the networks of diffusers are called, a kind a file."""

from svlearn.domains.images.denoisers.choosing import denoiser_of
from svlearn.domains.images.denoisers.denoiser import Denoised, Denoiser
from svlearn.domains.images.denoisers.dit import DiT
from svlearn.domains.images.denoisers.flux import Flux
from svlearn.domains.images.denoisers.guidance import classifier_free
from svlearn.domains.images.denoisers.pixart import PixArt
from svlearn.domains.images.denoisers.prompted import Prompted
from svlearn.domains.images.denoisers.sd3 import SD3
from svlearn.domains.images.denoisers.unet2d import UNet2D
from svlearn.domains.images.denoisers.unet2d_condition import UNet2DCondition

__all__ = [
    "SD3",
    "Denoised",
    "Denoiser",
    "DiT",
    "Flux",
    "PixArt",
    "Prompted",
    "UNet2D",
    "UNet2DCondition",
    "classifier_free",
    "denoiser_of",
]

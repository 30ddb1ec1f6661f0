"""How the networks of diffusers are called, a kind a file."""

from svlearn.domains.images.denoisers.denoiser import Denoised, Denoiser
from svlearn.domains.images.denoisers.guidance import classifier_free
from svlearn.domains.images.denoisers.unet2d import UNet2D

__all__ = ["Denoised", "Denoiser", "UNet2D", "classifier_free"]

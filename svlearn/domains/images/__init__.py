"""Images: pipelines of diffusers, diffusion and flow matching, as references."""

from svlearn.domains.images.reference import DiffusersReference

__all__ = ["DiffusersReference"]

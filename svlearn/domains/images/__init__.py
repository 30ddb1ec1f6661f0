"""Images: pipelines of diffusers, diffusion and flow matching, as references."""

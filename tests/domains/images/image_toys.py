"""Small random networks of diffusers' own classes, for tests."""

import torch
from diffusers import UNet2DModel


def small_unet(num_class_embeds=None, channels=1, size=8, seed=0):
    """A UNet2DModel of a few thousand parameters, random by its seed; its last layer is not zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet2DModel(
            sample_size=size,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=(8, 8),
            layers_per_block=1,
            num_class_embeds=num_class_embeds,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        )
    return network.eval()

"""How far a flow's times are shifted towards noise, by the size of its images."""

from typing import Any


def dynamic_shift(scheduler: Any, tokens: int, most: float = 1.15) -> float:
    """μ of `FlowMatchEulerDiscreteScheduler`, linear in the number of an image's tokens, as diffusers' pipelines have
    it: `base_shift` at `base_image_seq_len` tokens, `max_shift` (most, where it has none) at `max_image_seq_len`."""
    config = scheduler.config
    few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    low, high = config.get("base_shift", 0.5), config.get("max_shift", most)
    slope = (high - low) / (many - few)
    return float(tokens * slope + low - slope * few)

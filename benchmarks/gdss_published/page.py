"""The page of the published rows of GDSS: what their figures are made of, and what of it is a fault."""

from typing import NamedTuple

from benchmarks.common.pages import not_measured

MASKS = ("masks of others", "their own masks")


class Kind(NamedTuple):
    """What a row chooses by, in words."""

    label: str


ROWS = {
    "reward": Kind("the reward of the noisy graph itself"),
    "rewd": Kind("network of the reward of the same noisy graph"),
    "PM": Kind("network of the reward of x̂_0"),
    "ori": Kind("network of the final reward"),
}


def page(held: dict, table: dict) -> str:
    return not_measured("GDSS: the SVDD paper's rows as published", "gdss_published")


def figure(held: dict, table: dict) -> str:
    return "<svg></svg>\n"

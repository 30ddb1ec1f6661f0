"""Analytic processes have one law of x_0: a condition is refused, and never ignored."""

import pytest
import torch

import svlearn as sv
from svlearn.domains.analytic import (
    FiniteMarkovChain,
    GaussianMixtureDDPM,
    GaussianMixtureDiffusion,
    GaussianReference,
    LinearGaussianChain,
    TokenTree,
)
from svlearn.process import draw_initial

PROCESSES = {
    "chain": lambda: LinearGaussianChain.random(2, 3, seed=0),
    "markov": lambda: FiniteMarkovChain.random(3, 3, seed=0),
    "tree": lambda: TokenTree.random(2, 3, seed=0),
    "mixture": lambda: GaussianMixtureDiffusion.rtb_toy(3),
    "ddpm": lambda: GaussianMixtureDDPM(GaussianMixtureDiffusion.rtb_toy(3)),
    "reference": lambda: GaussianReference.brownian(2, 3),
}


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("condition", [torch.tensor([0, 1]), [0, 1], ["a", "b"]])
def test_a_condition_is_refused_with_what_takes_one(name, condition):
    process = PROCESSES[name]()
    words = f"condition: expected None, as {type(process).__name__} starts .* got a {type(condition).__name__}; a Condi"
    with pytest.raises(TypeError, match=words):
        draw_initial(process, 2, condition=condition)
    with pytest.raises(TypeError, match=words):
        sv.ancestral(process).sample(2, condition=condition)
    assert len(draw_initial(process, 2)) == 2

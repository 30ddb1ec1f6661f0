"""The networks of molecules run in every kind of floats, and say there what they say in float32, but for rounding."""

import pytest
import torch
from molecule_toys import graphs_of

import svlearn as sv
from svlearn.domains.molecules.gin import GraphIsomorphismNetwork
from svlearn.domains.molecules.masked_diffusion import MaskedGraphDiffusion
from svlearn.domains.molecules.transformer import GraphTransformer
from svlearn.randomness import seeded
from svlearn.values import Learned

TOLERANCE = {torch.float64: 1e-5, torch.bfloat16: 0.1, torch.float16: 0.02}


def reference():
    network = GraphTransformer(num_atoms=4, width=16, pair_width=8, depth=2, num_heads=2)
    return MaskedGraphDiffusion(network, torch.ones(4)).eval()


def gin(steps):
    return GraphIsomorphismNetwork(steps, width=8, depth=2).eval()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_denoiser_and_the_value_in_every_dtype(dtype):
    process, graphs = reference(), graphs_of("CCO", "CN", size=4)
    t = torch.zeros(2, dtype=torch.long)
    noised = process.noise(graphs, t + process.num_steps, t + 3, generator=seeded("cpu", 0))
    value = gin(process.num_steps)
    with torch.no_grad():
        exact, exact_values = process(noised, t).clean_law, value(noised, t)
        law, values = process.to(dtype)(noised, t).clean_law, value.to(dtype)(noised, t)
    tolerance = dict(rtol=0, atol=TOLERANCE[dtype])
    for name in ("atoms", "bonds"):
        log_probs = law.laws[name].log_probs
        assert log_probs.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert torch.allclose(log_probs.exp().sum(-1), torch.ones((), dtype=log_probs.dtype), atol=1e-5)
        torch.testing.assert_close(log_probs.float(), exact.laws[name].log_probs, **tolerance)
    torch.testing.assert_close(values.float(), exact_values, **tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_graphs_are_drawn_guided_and_chosen_in_every_dtype(dtype):
    process = reference().to(dtype)
    target = sv.Target(lambda x: x["mask"].sum(dim=1).float(), 1.0)
    value = Learned(gin(process.num_steps).to(dtype))
    for sampler in (sv.svdd(process, target, value, 2), sv.guidance(process, target, value)):
        assert sampler.sample(2, generator=seeded("cpu", 0)).log_weights.isfinite().all()

"""The exact answers of an oracle that was brought to a device lie there, and are the numbers of the CPU."""

import pytest
import torch
from tracked_device import tracked

from svlearn.domains.analytic import FiniteMarkovChain, GaussianMixtureDiffusion, LinearGaussianChain, TokenTree
from svlearn.randomness import seeded

ALPHA = 1.0
ORACLES = {
    "tree": lambda: TokenTree.random(3, 4, seed=1),
    "tree with an end": lambda: TokenTree.random(3, 4, seed=2, end=0),
    "markov": lambda: FiniteMarkovChain.random(4, 4, seed=1),
    "gaussian": lambda: LinearGaussianChain.random(2, 4, seed=1),
    "mixture": lambda: GaussianMixtureDiffusion.rtb_toy(4),
}


def drawn(oracle):
    return oracle.optimal_trajectories(5, ALPHA, generator=seeded("cpu", 0))


def valued(oracle):
    return oracle.soft_value(ALPHA)(drawn(oracle)[:, 1], torch.ones(5, dtype=torch.long, device=oracle.device))


ANSWERS = {
    "log Z": lambda oracle: oracle.log_normalizer(ALPHA),
    "KL": lambda oracle: oracle.optimal_kl(ALPHA),
    "best ELBO": lambda oracle: oracle.best_elbo(ALPHA),
    "information": lambda oracle: oracle.mutual_information(),
    "trajectories": drawn,
    "value": valued,
}


@pytest.fixture
def device():
    with tracked() as found:
        yield found


@pytest.mark.parametrize("name", ORACLES)
def test_answers_lie_where_the_oracle_does(name, device):
    here, there = ORACLES[name](), ORACLES[name]().to(device)
    for answer in ANSWERS.values():
        found = answer(there)
        assert found.device == device
        torch.testing.assert_close(found.cpu(), answer(here))


@pytest.mark.parametrize("end", [None, 0])
def test_what_a_tree_makes_of_itself_lies_with_it(end, device):
    """As it was: the texts of p* were made on the CPU, its probabilities lay on the device."""
    here = TokenTree.random(3, 3, seed=1, end=end)
    there = TokenTree.random(3, 3, seed=1, end=end).to(device)
    for make in (lambda tree: tree.optimal(ALPHA), lambda tree: tree.with_reward(tree.reward)):
        mine, other = make(here), make(there)
        assert {each.device for each in other.buffers()} == {device}
        for one, two in zip(mine.leaves(), other.leaves(), strict=True):
            torch.testing.assert_close(two.cpu(), one)
        x = other(other.initial(4), torch.zeros(4, dtype=torch.long, device=device)).transition.sample(
            generator=seeded("cpu", 0)
        )
        assert x.device == device

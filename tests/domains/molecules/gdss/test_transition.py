"""The Gaussian step of a graph against torch.distributions on what is free of it."""

import torch
from gdss_toys import symmetric
from torch.distributions import Normal, kl_divergence

from svlearn.domains.molecules.gdss.state import continuous_state, from_vector, to_vector
from svlearn.domains.molecules.gdss.transition import GraphGaussianTransition

SIZES = torch.tensor([4, 3, 1, 2])
MASK = torch.arange(4) < SIZES[:, None]
STDS = torch.tensor([0.5, 1.0, 2.0, 0.3], dtype=torch.float64), torch.tensor([1.5, 0.2, 1.0, 0.7], dtype=torch.float64)


def state(seed, mask=MASK):
    """A random state of graphs of 4, 3, 1 and 2 nodes, with zeros where nothing exists."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(mask), 4, 3, generator=generator, dtype=torch.float64) * mask[:, :, None]
    adj = symmetric(len(mask), 4, generator) * mask[:, :, None] * mask[:, None, :]
    return continuous_state(x, adj, mask)


def law(seed=0, stds=STDS):
    return GraphGaussianTransition(state(seed), *stds)


def free(graph, row):
    """The features and the edges that are free of one graph, cut out by hand."""
    size = int(SIZES[row])
    pairs = [(i, j) for i in range(size) for j in range(i)]
    edges = torch.stack([graph["adj"][row, i, j] for i, j in pairs]) if pairs else torch.zeros(0, dtype=torch.float64)
    return graph["x"][row, :size].flatten(), edges


def test_a_vector_holds_every_edge_once():
    graph = state(0)
    vector = to_vector(graph["x"], graph["adj"])
    assert vector.shape == (4, 4 * 3 + 6)
    back = from_vector(vector, MASK)
    assert all(torch.equal(back[name], graph[name]) for name in ("x", "adj", "mask"))


def test_densities_are_those_of_the_free_entries():
    mean, x = state(0), state(1)
    log_probs = law().log_prob(x)
    for row in range(4):
        expected = 0.0
        for std, value, centre in zip(STDS, free(x, row), free(mean, row)):
            expected = expected + Normal(centre, std[row]).log_prob(value).sum()
        torch.testing.assert_close(log_probs[row], expected)


def test_another_set_of_nodes_is_out_of_reach():
    x = state(1)
    x["mask"] = MASK.flip(0)
    assert (law().log_prob(x) == -torch.inf).tolist() == [True, True, True, True]
    stray = state(1)
    stray["x"][1, 3, 0] = 0.1  # of a node that does not exist
    assert (law().log_prob(stray) == -torch.inf).tolist() == [False, True, False, False]


def test_ratios_are_differences_of_densities():
    x, other = state(2), GraphGaussianTransition(state(1), STDS[1], STDS[0])
    torch.testing.assert_close(law().log_ratio(other, x), law().log_prob(x) - other.log_prob(x))


def test_samples_are_symmetric_graphs_of_the_law(generator):
    number = 20_000
    step = law()[torch.arange(4).repeat(number)]
    drawn = step.sample(generator=generator)
    assert torch.equal(drawn["adj"], drawn["adj"].transpose(1, 2))
    assert (drawn["adj"].diagonal(dim1=1, dim2=2) == 0).all() and torch.equal(drawn["mask"], MASK.repeat(number, 1))
    mean = state(0)
    for name, std in zip(("x", "adj"), STDS):
        samples = drawn[name].view(number, 4, *drawn[name].shape[1:])
        scale = std[:, None, None] * (mean[name] != 0)
        assert ((samples.mean(dim=0) - mean[name]).abs() <= 5 * scale / number**0.5).all()
        spread = samples.var(dim=0, correction=0)
        assert ((spread - scale**2).abs() <= 5 * scale**2 * (2 / number) ** 0.5).all()
    drawn, again = step[:4].sample(generator=torch.Generator().manual_seed(3)), law()
    twice = torch.stack([again.log_prob(drawn), step[:4].log_prob(drawn)])
    assert torch.equal(twice[0], twice[1])


def test_mean_log_density_is_minus_the_entropy(generator):
    number = 20_000
    step = law()[torch.arange(4).repeat(number)]
    log_probs = step.log_prob(step.sample(generator=generator)).view(number, 4)
    free_of_x, free_of_adj = SIZES * 3, SIZES * (SIZES - 1) // 2
    entropy = free_of_x * Normal(0.0, STDS[0]).entropy() + free_of_adj * Normal(0.0, STDS[1]).entropy()
    error = ((free_of_x + free_of_adj) / 2 / number) ** 0.5  # Var[log p] = d/2
    assert ((log_probs.mean(dim=0) + entropy).abs() < 4 * error).all()


def test_a_tilt_moves_an_edge_by_both_of_its_gradients():
    """For f linear in the whole of adj, N(mean) exp(f) / E[exp(f)] is exactly the tilted law."""
    generator = torch.Generator().manual_seed(5)
    gradient = {
        "x": torch.randn(4, 4, 3, generator=generator, dtype=torch.float64),
        "adj": torch.randn(4, 4, 4, generator=generator, dtype=torch.float64),  # not symmetric: g_ij + g_ji counts
    }
    tilted = law().tilt(gradient)
    points = [state(seed) for seed in (2, 3)]
    gaps = [
        tilted.log_prob(x) - law().log_prob(x) - sum((gradient[k] * x[k]).flatten(1).sum(1) for k in gradient)
        for x in points
    ]
    torch.testing.assert_close(gaps[0], gaps[1])  # what is left is the normaliser, the same at every x


def test_the_score_of_a_tilted_law_is_moved_by_the_gradient():
    """By autograd: ∇log p_tilted = ∇log p + g on the free entries, for g = ∇f of a function of the whole state."""
    x = state(2)
    leaves = {name: x[name].clone().requires_grad_() for name in ("x", "adj")}
    value = (leaves["adj"][:, 0, 1] * 2.0 + leaves["x"][:, 0, 0] * 3.0).sum()
    gradient = dict(zip(leaves, torch.autograd.grad(value, list(leaves.values()))))
    vector = to_vector(x["x"], x["adj"]).requires_grad_()
    slopes = []
    for step in (law().tilt(gradient), law()):
        total = step.law.log_prob(vector)[torch.tensor([0, 1, 3])].sum()  # graphs that have the edge 0-1
        slopes.append(torch.autograd.grad(total, vector)[0])
    moved = (slopes[0] - slopes[1])[[0, 1, 3]]
    expected = torch.zeros_like(moved)
    expected[:, 0], expected[:, 12] = 3.0, 2.0
    torch.testing.assert_close(moved, expected)


def test_a_tilt_leaves_what_does_not_exist():
    ones = {"x": torch.ones(4, 4, 3), "adj": torch.ones(4, 4, 4)}
    mean = law().tilt(ones).mean
    assert (mean["x"][~MASK] == 0).all() and (mean["adj"][2] == 0).all()
    torch.testing.assert_close(mean["adj"][3, 0, 1] - state(0)["adj"][3, 0, 1], 2 * STDS[1][3] ** 2)


def test_a_step_without_noise_is_a_dirac():
    still = law(stds=(torch.zeros(4), torch.zeros(4)))
    x = still.sample(generator=torch.Generator().manual_seed(0))
    assert torch.equal(x["adj"], state(0)["adj"])
    assert torch.equal(still.log_prob(x), torch.zeros(4, dtype=torch.float64))
    assert (still.log_prob(state(1)) == -torch.inf).all()
    assert torch.equal(still.log_ratio(still.tilt(x), x), torch.zeros(4, dtype=torch.float64))


def test_laws_follow_the_particles():
    x, index = state(1), torch.tensor([3, 0, 0])
    torch.testing.assert_close(law()[index].log_prob(x[index]), law().log_prob(x)[index])
    joined = GraphGaussianTransition.cat([law()[:1], law()[1:]])
    torch.testing.assert_close(joined.log_prob(x), law().log_prob(x))


def test_the_divergence_is_that_of_the_free_entries_and_infinite_for_other_nodes():
    ours, theirs = law(0), law(1, (STDS[0] * 1.3, STDS[1] * 0.8))
    kl = ours.kl(theirs)
    for row in range(4):
        parts = zip(STDS, (1.3, 0.8), free(state(0), row), free(state(1), row))
        expected = sum(kl_divergence(Normal(m, s[row]), Normal(n, s[row] * f)).sum() for s, f, m, n in parts)
        torch.testing.assert_close(kl[row], torch.as_tensor(expected, dtype=torch.float64))
    others = GraphGaussianTransition(state(0, MASK.flip(0)), *STDS)
    assert (law(0).kl(others) == torch.inf).all()

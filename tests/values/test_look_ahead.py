"""Values that look ahead: draws of x_T from the network's law, rollouts within a budget; exact on the oracles."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from svlearn.domains.analytic import (
    CorrelatedGaussian,
    FiniteMarkovChain,
    GaussianMixture,
    GaussianMixtureDiffusion,
    GaussianReference,
    LinearGaussianChain,
    QuadraticReward,
    TokenTree,
    cosine_schedule,
)
from svlearn.inference.samplers import smc, svdd
from svlearn.metering import metered
from svlearn.process import Prediction, predict
from svlearn.randomness import seeded
from svlearn.targets import Target, constraint
from svlearn.transitions import GaussianTransition
from svlearn.values import MonteCarlo, PosteriorMean, evaluate

MIXTURE = GaussianMixture(torch.ones(2), [[-1.0, 0.5], [2.0, 0.0]], 0.4)
REWARD = QuadraticReward(0.2 * torch.eye(2), [0.6, -0.3])
ORACLES = {
    "markov": FiniteMarkovChain.random(5, 5, seed=1),
    "gaussian": LinearGaussianChain.random(2, 5, seed=1),
    "mixture": GaussianMixtureDiffusion(MIXTURE, cosine_schedule(5), REWARD),
    "tree": TokenTree.random(3, 4, seed=2, end=0),
}
each_oracle = pytest.mark.parametrize("kind", ORACLES)
each_estimand = pytest.mark.parametrize("estimand", ["soft", "mean"])


def some_states(oracle, t, number):
    """States that the process visits at t."""
    x = oracle.initial(number, generator=seeded("cpu", 5))
    for step in range(t):
        x = predict(oracle, x, step).transition.sample(generator=seeded("cpu", 6, step))
    return x


@each_oracle
@each_estimand
@pytest.mark.parametrize("t", [1, 3])
def test_draws_of_the_exact_law_estimate_the_value_without_bias(kind, estimand, t):
    """E[exp(v_hat/α)] = exp(v/α) and E[v'_hat] = v', from 3 draws as from any number."""
    oracle, alpha, number = ORACLES[kind], 0.7, 20_000
    target = oracle.target(alpha)
    x = some_states(oracle, t, 4)
    exact = oracle.soft_value(alpha) if estimand == "soft" else oracle.mean_value()
    value = PosteriorMean(target, num_samples=3, estimand=estimand)
    rows = torch.arange(4).repeat_interleave(number)
    estimates = evaluate(value, x[rows], t, predict(oracle, x[rows], t), generator=seeded("cpu", 7)).view(4, number)
    truth = evaluate(exact, x, t)
    if estimand == "soft":
        estimates, truth = (estimates / alpha).exp(), (truth / alpha).exp()
    error = estimates.std(dim=1) / math.sqrt(number)
    assert ((estimates.mean(dim=1) - truth).abs() <= 4 * error + 1e-12).all()
    assert (error < 0.05 * (1 + truth.abs())).all()


def test_the_clean_laws_sum_to_the_soft_value():
    """α log Σ p(x_T | x_t) exp(r/α) over all x_T is v_t, and of a text that has ended its own reward."""
    alpha = 0.7
    tree, chain = ORACLES["tree"], ORACLES["markov"]
    texts, _ = tree.leaves()
    for oracle, finished in ((tree, texts), (chain, torch.arange(5)[:, None])):
        rewards = oracle.reward(finished).double()
        for t in range(oracle.num_steps):
            x = some_states(oracle, t, 12)
            law = predict(oracle, x, t).clean_law
            log_probs = torch.stack([law.log_prob(each.expand(12, -1)) for each in finished], dim=1)
            torch.testing.assert_close(log_probs.logsumexp(1).exp(), torch.ones(12).double(), rtol=1e-12, atol=0)
            values = alpha * (log_probs + rewards / alpha).logsumexp(1)
            torch.testing.assert_close(
                values, evaluate(oracle.soft_value(alpha), x, t).double(), rtol=1e-12, atol=1e-12
            )
    some = some_states(tree, 2, 12)
    law = predict(tree, some, 2).clean_law
    assert (law.log_prob(tree.noise(texts[:1], texts[:1, -1], torch.tensor([1])).expand(12, -1)) == -math.inf).any()
    drawn = type(law).cat([law[:5], law[5:]]).sample(generator=seeded("cpu", 0))
    assert torch.equal(drawn, law.sample(generator=seeded("cpu", 0))) and tree.finished(drawn).all()


def test_the_clean_law_of_the_chain_is_its_correlated_gaussian():
    chain = LinearGaussianChain.random(3, 5, seed=2)  # in two dimensions the axes may be their own transpose
    x, drawn = some_states(chain, 2, 6), some_states(chain, 5, 6)
    prediction = predict(chain, x, 2)
    law = prediction.clean_law
    expected = MultivariateNormal(prediction.clean, chain.clean_covariances[2]).log_prob(drawn)
    torch.testing.assert_close(law.log_prob(drawn), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(CorrelatedGaussian.cat([law[:2], law[2:]]).log_prob(drawn), expected)
    many = law[torch.zeros(40_000, dtype=torch.long)].sample(generator=seeded("cpu", 0))
    covariance = torch.cov(many.T)
    scale = chain.clean_covariances[2].diagonal().outer(chain.clean_covariances[2].diagonal())
    error = ((chain.clean_covariances[2] ** 2 + scale) / 40_000).sqrt()
    assert ((covariance - chain.clean_covariances[2]).abs() < 4 * error).all()
    with pytest.raises(ValueError, match=r"mean: expected \(B, d\), with axes"):
        CorrelatedGaussian(law.mean, law.axes, law.stds[:, :1])


def test_an_axis_without_noise_stays_at_its_mean():
    steps = (torch.eye(2).expand(2, 2, 2), torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    chain = LinearGaussianChain(torch.zeros(2), 1.0, *steps, REWARD)
    x = torch.tensor([[0.3, -0.8]], dtype=torch.float64)
    drawn = predict(chain, x, 0).clean_law.sample(generator=seeded("cpu", 0))
    assert drawn[0, 1] == -0.8 and drawn[0, 0] != 0.3


def law_of(*points):
    """A prediction whose law of x_T is a Dirac at the given points (B, 1)."""
    mean = torch.tensor(points, dtype=torch.float64)[:, None]
    return Prediction(GaussianTransition(mean, 1.0), clean_law=GaussianTransition(mean, 0.0))


def test_estimates_by_hand():
    class Cycle:  # a law that gives 0, 1, 2, ... in turn
        drawn = -1

        def __getitem__(self, index):
            return self

        def sample(self, *, generator=None):
            self.drawn += 1
            return torch.tensor([[0.0], [10.0]], dtype=torch.float64) + self.drawn

    x, t = torch.zeros(2, 1), torch.zeros(2, dtype=torch.long)
    for alpha, estimand, expected in (
        (0.5, None, 0.5 * math.log((1 + math.exp(2) + math.exp(4)) / 3)),
        (0.5, "mean", 1.0),
        (0.0, None, 1.0),
    ):
        target = Target(lambda x: x[:, 0], alpha)
        prediction = Prediction(GaussianTransition(x, 1.0), clean_law=Cycle())
        with metered() as meter:
            estimates = evaluate(PosteriorMean(target, 3, estimand), x, t, prediction)
        assert estimates.tolist() == pytest.approx([expected, 10 + expected], rel=1e-12)
        assert meter.cost.reward_calls == 6 and meter.cost.reference_calls == 0


def test_the_floor():
    x = torch.zeros(2, 1)
    target = constraint(lambda x: x[:, 0] > 0)
    estimates = evaluate(PosteriorMean(target, 4), x, 0, law_of(-1.0, 1.0))
    assert estimates.tolist() == pytest.approx([math.log(1e-4), 0.0])
    with pytest.raises(ValueError, match="estimand: the mean of a reward that is -inf does not exist"):
        evaluate(PosteriorMean(target, 4, "mean"), x, 0, law_of(-1.0, 1.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda target: PosteriorMean(target, 0), "num_samples: expected None or an integer of at least 1, got 0"),
        (lambda target: PosteriorMean(target, 2, "median"), "estimand: expected one of mean, soft, got 'median'"),
        (lambda target: PosteriorMean(target, estimand="mean"), "estimand: one point has the same value in each"),
        (
            lambda target: PosteriorMean(Target(target.reward, 0.0), 2, "soft"),
            "estimand: the soft value needs alpha > 0",
        ),
        (
            lambda target: MonteCarlo(None, target),
            "num_rollouts: expected this or budget, got None and a budget of None",
        ),
        (lambda target: MonteCarlo(None, target, 2, budget=3), "num_rollouts: expected this or budget, got 2 and"),
        (lambda target: MonteCarlo(None, target, budget=0), "budget: expected an integer of at least 1, got 0"),
    ],
)
def test_what_is_refused(target, make, message):
    with pytest.raises(ValueError, match=message):
        make(target)


def test_a_reference_without_a_law_of_the_end(walk, target):
    sampler = svdd(walk, target, PosteriorMean(target, num_samples=2), 3)
    with pytest.raises(
        ValueError, match="prediction.clean_law: PosteriorMean with num_samples = 2 needs the law of x_T"
    ):
        sampler.sample(2)


def test_a_sampler_runs_on_it_whatever_max_batch_is():
    chain = ORACLES["gaussian"]
    target = chain.target(0.5)
    sampler = svdd(chain, target, PosteriorMean(target, num_samples=4), 6)
    whole, cut = (sampler.sample(8, generator=seeded("cpu", 3), max_batch=limit) for limit in (None, 7))
    torch.testing.assert_close(whole.states, cut.states, rtol=1e-12, atol=1e-12)
    assert whole.cost.reference_calls == 8 * 6 * 5 and whole.cost.reward_calls == 8 * 6 * (5 * 4 + 1)


def test_smc_stays_unbiased_with_a_random_value():
    chain = ORACLES["gaussian"]
    target = chain.target(0.5)
    samples = smc(chain, target, PosteriorMean(target, num_samples=2), 8).sample(4000, generator=seeded("cpu", 4))
    ratio = (samples.log_normalizer - chain.log_normalizer(0.5)).exp()
    error = ratio.std() / math.sqrt(len(ratio))
    assert error < 0.05 and abs(ratio.mean() - 1) < 4 * error


@pytest.mark.parametrize(("budget", "rollouts"), [(12, [3, 4, 6, 12]), (3, [1, 1, 1, 3]), (1, [1, 1, 1, 1])])
def test_a_budget_of_reference_calls_a_state(walk, target, budget, rollouts):
    value = MonteCarlo(walk, target, budget=budget)
    for t, number in enumerate(rollouts):  # T = 4
        with metered() as meter:
            evaluate(value, torch.zeros(5, 1).double(), t, generator=seeded("cpu", 0))
        assert meter.cost.reward_calls == 5 * number
        assert meter.cost.reference_calls == 5 * number * (4 - t) <= 5 * max(budget, 4 - t)


@each_estimand
def test_a_budget_is_that_many_rollouts(walk, target, estimand):
    x = torch.tensor([[0.5], [-1.0], [2.0]], dtype=torch.float64)
    budgeted = MonteCarlo(walk, target, estimand=estimand, budget=12)
    for t, number in enumerate([3, 4, 6, 12]):
        fixed = MonteCarlo(walk, target, number, estimand)
        one, other = (evaluate(value, x, t, generator=seeded("cpu", 1)) for value in (budgeted, fixed))
        assert torch.equal(one, other.double())
    mixed = torch.tensor([3, 2, 3])
    generator = seeded("cpu", 2)
    estimates = evaluate(budgeted, x, mixed, generator=generator)
    generator = seeded("cpu", 2)
    early = evaluate(MonteCarlo(walk, target, 6, estimand), x[[1]], 2, generator=generator)
    late = evaluate(MonteCarlo(walk, target, 12, estimand), x[[0, 2]], 3, generator=generator)
    assert estimates.tolist() == [late[0].item(), early[0].item(), late[1].item()]


def test_the_reference_of_the_benchmarks_has_its_law():
    reference = GaussianReference.ornstein_uhlenbeck(1, 4, correlation=0.3)
    target = Target(lambda x: x[:, 0], 1.0)
    x, t = torch.full((50_000, 1), 0.8, dtype=torch.float64), 2
    estimates = evaluate(PosteriorMean(target, 1), x, t, predict(reference, x, t), generator=seeded("cpu", 0)).exp()
    kept = 0.3**0.5  # two of four steps: log E[e^x] = kept x + (1 - kept²)/2
    expected = math.exp(kept * 0.8 + (1 - kept**2) / 2)
    assert abs(estimates.mean() - expected) < 4 * estimates.std() / math.sqrt(50_000)

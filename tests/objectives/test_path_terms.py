"""What value and policy say along trajectories: as one step after the other says it, whatever shares a call."""

import pytest
import torch
from path_toys import ALPHA, EXACT, Table, TablePolicy, make, markov

from svlearn.metering import metered
from svlearn.objectives import path_terms
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Learned
from svlearn.values.value import Value, evaluate

CHAIN, SIZE = markov(num_steps=4), 7
STATES = roll_out(CHAIN, SIZE, generator=seeded("cpu", 0))["states"]


class Foreseen(Value):
    """Reads the law of x_T that the reference predicts, and the state beside it."""

    needs_prediction = True

    def forward(self, x, t, prediction=None):
        return prediction.clean_law.log_probs[:, 0].exp() @ CHAIN.reward.table + 0.1 * x[:, 0]


VALUES = {
    "none": None,
    "of (x, t)": Learned(Table(torch.randn(4, 5, dtype=EXACT, generator=seeded("cpu", 1)))),
    "of the prediction": Foreseen(),
}


@pytest.mark.parametrize("rows", [1, 2 * SIZE, 3 * SIZE + 2, 4096])
@pytest.mark.parametrize("times", [range(1), range(4), [1, 3]])
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("steered", [False, True])
def test_they_are_those_of_each_step_alone(steered, value, times, rows, monkeypatch):
    monkeypatch.setattr(path_terms, "ROWS", rows)
    logits = torch.randn(4, 5, 5, dtype=EXACT, generator=seeded("cpu", 2))
    policy = TablePolicy(CHAIN, logits) if steered else None
    with metered() as meter, torch.no_grad():
        values, log_ratios = path_terms.path_terms(STATES, CHAIN, policy, value, times, seeded("cpu", 3))
    assert values.shape == log_ratios.shape == (4, SIZE)
    for t in range(4):
        x, prediction = STATES[:, t], predict(CHAIN, STATES[:, t], t)
        with torch.no_grad():
            expected = torch.zeros(SIZE).double()
            if value is not None and t in times:
                expected = evaluate(value, x, t, prediction if value.needs_prediction else None)
            torch.testing.assert_close(values[t], expected, rtol=0, atol=1e-12)
            ratios = torch.zeros(SIZE).double()
            if policy is not None:
                law, x_next = policy.steer(prediction, x, torch.full((SIZE,), t)), STATES[:, t + 1]
                ratios = law.log_prob(x_next) - prediction.transition.log_prob(x_next)
            torch.testing.assert_close(log_ratios[t], ratios, rtol=0, atol=1e-12)
    read = 0 if value is None else len(times)
    reads_prediction = value is not None and value.needs_prediction
    assert meter.cost.value_calls == SIZE * read
    assert meter.cost.reference_calls == SIZE * (4 if steered else read if reads_prediction else 0)


@pytest.mark.parametrize(("variant", "read"), [("trajectory", 1), ("log_variance", 1), ("detailed", 4)])
def test_a_variant_reads_the_values_that_it_needs(variant, read):
    objective = make(CHAIN, variant)
    batch = roll_out(CHAIN, SIZE, target=CHAIN.target(ALPHA), generator=seeded("cpu", 0))
    with metered() as meter:
        values, _ = objective.gather(batch, seeded("cpu", 0))
    assert meter.cost.value_calls == SIZE * read
    torch.testing.assert_close(values[:, -1], CHAIN.reward(batch["states"][:, -1]) / ALPHA)

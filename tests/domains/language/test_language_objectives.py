"""Every value family learns the exact soft values of a small model's texts; policies come nearer to the target law."""

import pytest
import torch
from language_toys import tiny_llama, tiny_reference, wave_of_tokens
from torch import nn

from svlearn import objectives
from svlearn.domains.language import Enumeration, ModelTwist, NextToken, TokenTwists
from svlearn.objectives.fit import fit
from svlearn.policies import Finetuned
from svlearn.targets import Target
from svlearn.testing import check_value
from svlearn.values import Head, load_value, save_value

STEPS = 3
TARGET = Target(wave_of_tokens, 0.7)
REFERENCE = tiny_reference(STEPS)
TEXTS = Enumeration(REFERENCE, TARGET, ["ab"])
CONDITION = REFERENCE.prompts(["ab"])


def next_token(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return NextToken(TokenTwists(16, 4, STEPS, width=64).double())


class LastHidden(nn.Module):
    """A head of the last hidden state and t."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layers = [nn.Linear(16 + STEPS, 256), nn.SiLU(), nn.Linear(256, 256), nn.SiLU(), nn.Linear(256, 1)]
            self.layers = nn.Sequential(*layers).double()

    def forward(self, features, t):
        times = nn.functional.one_hot(t, STEPS).to(features)
        return self.layers(torch.cat([features, times], dim=1))[:, 0]


def r2(value, up_to_constant=False):
    """Of v_t over the texts at t = 1 ... T - 1, each weighted by p_ref and p* in equal parts."""
    errors, spreads = [], []
    with torch.no_grad():
        for t in range(1, STEPS):
            level = TEXTS.levels[t]
            times = torch.full((len(level.log_probs),), t)
            learned = value(level.states, times, REFERENCE(level.states, times))
            weights = (level.log_probs.exp() + TEXTS.log_target_at(t).exp()) / 2
            exact = TEXTS.soft_values[t]
            error = learned - exact
            error = error - (weights * error).sum() if up_to_constant else error
            errors.append(float((weights * error**2).sum()))
            spreads.append(float((weights * (exact - (weights * exact).sum()) ** 2).sum()))
    return 1 - sum(errors) / sum(spreads)


OPTIONS = {"conditions": CONDITION, "batch_size": 256, "learning_rate": 1e-2}
FAMILIES = {
    "Monte Carlo": (objectives.MonteCarloRegression, {"estimand": "soft"}, False),
    "soft Q": (objectives.SoftQIteration, {}, False),
    "contrastive twist": (objectives.ContrastiveTwist, {}, True),
    "contrastive energy": (objectives.ContrastiveEnergy, {}, True),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_next_token_twists_learn_the_exact_soft_values(name):
    family, options, up_to_constant = FAMILIES[name]
    value = next_token()
    before = r2(value, up_to_constant)
    fit(family(REFERENCE, TARGET, value, **options, **OPTIONS), max_steps=250, seed=1, enable_progress_bar=False)
    assert r2(value, up_to_constant) > 0.97 > 0.5 > before


def test_iterated_twists_of_all_next_tokens_learn_them():
    """From one look at each text, with the twists that were learned as the proposal of the next round."""
    value = next_token()
    rounds = dict(limit=4, inner_steps=25, round_size=512, num_particles=32)
    objective = objectives.IteratedTwist(REFERENCE, TARGET, value, **rounds, **OPTIONS | {"learning_rate": 3e-2})
    fit(objective, max_steps=75, seed=1, enable_progress_bar=False)
    assert r2(value, True) > 0.95


def test_a_head_of_the_last_hidden_state_learns_most_of_them():
    # the tokens before the last are known to it by what 16 random features keep of them
    value = Head(LastHidden())
    objective = objectives.MonteCarloRegression(REFERENCE, TARGET, value, estimand="soft", **OPTIONS)
    fit(objective, max_steps=250, seed=1, enable_progress_bar=False)
    assert r2(value) > 0.75


def model_twist(lora_rank):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ModelTwist(REFERENCE, TokenTwists(16, 4, STEPS, width=64).double(), lora_rank, condition=["ab"])


@pytest.mark.parametrize("lora_rank", [None, 4])
def test_a_model_of_its_own_learns_them(lora_rank):
    value = model_twist(lora_rank)
    check_value(value, REFERENCE, condition=["ab", "c", "bca", "a"])
    objective = objectives.MonteCarloRegression(REFERENCE, TARGET, value, estimand="soft", **OPTIONS)
    fit(objective, max_steps=150, seed=1, enable_progress_bar=False)
    assert r2(value) > 0.8
    check_value(value, REFERENCE, condition=["ab", "c", "bca", "a"])


@pytest.mark.parametrize("make", [next_token, lambda: model_twist(4)], ids=["head", "model"])
def test_a_value_is_saved_and_read_again(make, tmp_path):
    value = make()
    value.network.float()
    with torch.no_grad():
        value.network.out.bias.add_(torch.arange(4.0))
    save_value(value, tmp_path / "value.safetensors", REFERENCE)
    loaded = load_value(tmp_path / "value.safetensors", REFERENCE)
    x = TEXTS.levels[2].states
    t = torch.full((len(x),), 2)
    prediction = REFERENCE(x, t)
    torch.testing.assert_close(loaded(x, t, prediction), value(x, t, prediction), rtol=0, atol=0)


POLICIES = {
    "path consistency": (objectives.PathConsistency, {"variant": "log_variance"}),
    "policy gradient": (objectives.ProximalPolicyGradient, {}),
    "group-relative": (objectives.GroupRelativePolicyGradient, {}),
    "distributional": (objectives.DistributionalPolicyGradient, {}),
}


def kl_to_target(policy):
    """KL(q || p*), nats, exactly: of the policy's texts under the prompt."""
    own = torch.zeros(1, dtype=torch.float64)
    with torch.no_grad():
        for t in range(STEPS):
            level, after = TEXTS.levels[t], TEXTS.levels[t + 1]
            law = policy(level.states, torch.full((len(level.log_probs),), t)).transition
            own = own[after.parents] + law[after.parents].log_prob(after.states)
    return float((own.exp() * (own - TEXTS.log_target)).sum())


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("lora_rank", [None, 4])
def test_policies_come_nearer_to_the_target_law(name, lora_rank):
    family, options = POLICIES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        policy = Finetuned(REFERENCE, lora_rank, condition=CONDITION)
    before = kl_to_target(policy)
    keywords = {"conditions": CONDITION, "batch_size": 128, "learning_rate": 1e-2, **options}
    fit(family(REFERENCE, TARGET, policy=policy, **keywords), max_steps=60, seed=1, enable_progress_bar=False)
    assert kl_to_target(policy) < 0.3 * before


def test_a_policy_of_adapters_is_one_of_its_own_model():
    model = tiny_llama()
    policy = Finetuned(tiny_reference(STEPS, model), 2, condition=CONDITION)
    assert policy.copy.model is not model
    assert {"Linear", "Embedding"} >= set(policy.adapted.values())

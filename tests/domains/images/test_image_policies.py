"""Fine-tuned policies of DDPM references, whose last step has no noise: they train, and stay finite."""

import pytest
import tiny_pipelines
import torch
from diffusers import DDIMScheduler

from svlearn import checkpoints
from svlearn.domains.images import DiffusersReference
from svlearn.fingerprint import fingerprint
from svlearn.inference import proposals
from svlearn.inference.samplers import smc
from svlearn.objectives import AdjointMatching, GroupRelativePolicyGradient, PathConsistency, StochasticControl
from svlearn.objectives.fit import fit
from svlearn.objectives.proximal_policy_gradient import ProximalPolicyGradient
from svlearn.policies import Finetuned
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.values import Zero

SMALL = dict(batch_size=4, num_validation=4, learning_rate=3e-3)
STEPS = 3
QUIET = dict(enable_progress_bar=False)


@pytest.fixture
def reference() -> DiffusersReference:
    return DiffusersReference(tiny_pipelines.ddpm(), STEPS)


TARGET = Target(lambda x: x.mean(dim=(1, 2, 3)), 0.02)


def by_proximal_policy_gradient(reference, policy):
    return ProximalPolicyGradient(reference, TARGET, policy, **SMALL)


def by_group_relative_policy_gradient(reference, policy):
    return GroupRelativePolicyGradient(reference, TARGET, policy, group_size=2, window=2, **SMALL)


def by_trajectory_balance(reference, policy):
    return PathConsistency(reference, TARGET, None, policy, variant="log_variance", **SMALL)


def by_adjoint_matching(reference, policy):
    return AdjointMatching(reference, TARGET, policy, check_memory=False, **SMALL)


def by_stochastic_control(reference, policy):
    return StochasticControl(reference, TARGET, policy, check_memory=False, **SMALL)


FAMILIES = [
    by_proximal_policy_gradient,
    by_group_relative_policy_gradient,
    by_trajectory_balance,
    by_adjoint_matching,
    by_stochastic_control,
]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_policy_that_leaves_the_last_step_is_trained(family, reference, tmp_path):
    assert reference.steps.stds[-1] == 0
    policy = Finetuned(
        reference, 2, modules="denoiser.network", target_modules=["to_q", "conv1"], noiseless="reference"
    )
    before = [each.clone() for each in policy.trained()]
    fit(family(reference, policy), max_steps=3, default_root_dir=tmp_path, enable_progress_bar=False)
    after = list(policy.trained())
    assert all(each.isfinite().all() for each in after)
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
    samples = smc(reference, TARGET, Zero(), 4, proposal=proposals.Policy(policy)).sample(2, generator=seeded("cpu", 0))
    assert samples.log_normalizer.isfinite().all()
    assert roll_out(policy, 2, generator=seeded("cpu", 0))["states"].isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_one_that_would_move_it_is_refused(family, reference):
    with pytest.raises(ValueError, match="noiseless='reference'"):
        family(reference, Finetuned(reference, 2, modules="denoiser.network"))


def test_the_last_step_adds_nothing_to_log_q(reference):
    policy = Finetuned(reference, modules="denoiser.network", noiseless="reference")
    with torch.no_grad():
        for each in policy.trained():
            each.add_(0.02 * torch.randn(each.shape, generator=seeded("cpu", 2)))
    objective = by_proximal_policy_gradient(reference, policy)
    states = roll_out(policy, 4, generator=seeded("cpu", 0))["states"]
    ratios = objective.log_ratios(states)
    assert ratios[:, -1].tolist() == [0.0] * 4
    assert (ratios[:, :-1] != 0).all() and ratios.isfinite().all()


@pytest.mark.parametrize("frozen", [True, False])
def test_what_is_frozen_is_shared(frozen, tmp_path):
    reference = DiffusersReference(tiny_pipelines.stable_diffusion(tmp_path), STEPS)
    if frozen:
        reference.requires_grad_(False)
    policy = Finetuned(reference, 2, modules="denoiser.network", target_modules=["to_q"])
    held = {id(each) for each in reference.parameters()}
    for part in (policy.copy.denoiser.text_encoders, policy.copy.autoencoder):
        assert {id(each) for each in part.parameters()} <= held
    own = {id(each) for each in policy.copy.parameters()} - held
    assert (own == {id(each) for each in policy.trained()}) == frozen


def test_a_policy_is_trained_under_prompts(tmp_path):
    scheduler = DDIMScheduler(**tiny_pipelines.BETAS, clip_sample=False)
    reference = DiffusersReference(tiny_pipelines.stable_diffusion(tmp_path, scheduler), STEPS)
    assert reference.steps.stds[-1] == 0
    target = Target(lambda x: x["sample"].mean(dim=(1, 2, 3)), 0.1)
    options = dict(modules="denoiser.network", target_modules=["to_q", "to_v"], noiseless="reference")
    policy = Finetuned(reference, 2, **options)
    prompts = {"prompt": ["a cat", "a dog"], "negative_prompt": ["", "fog"]}
    objective = ProximalPolicyGradient(reference, target, policy, conditions=prompts, **SMALL)
    fit(objective, max_steps=2, default_root_dir=tmp_path, enable_progress_bar=False)
    assert all(each.isfinite().all() for each in policy.trained())
    states = roll_out(policy, 2, condition=prompts, generator=seeded("cpu", 0))["states"]
    ratios = objective.log_ratios(states)
    assert ratios.isfinite().all() and ratios[:, -1].tolist() == [0.0, 0.0]
    assert (ratios[:, :-1] != 0).any()


def test_a_policy_of_five_steps_loads_into_that_of_ten(tmp_path):
    """Of one pipeline: its network says of the time of each step what it learned of that time."""
    pipeline = tiny_pipelines.ddpm()
    few, many = DiffusersReference(pipeline, 5), DiffusersReference(pipeline, 10)
    options = dict(modules="denoiser.network", target_modules=["to_q", "conv1"], noiseless="reference")
    trained, policy = Finetuned(few, 2, **options), Finetuned(many, 2, **options)
    fit(by_group_relative_policy_gradient(few, trained), max_steps=2, **QUIET)
    path = checkpoints.save(trained, tmp_path / "policy.safetensors", reference=fingerprint(few), num_steps=5)
    checkpoints.load_policy(policy, path, many, trained_on=few)
    x = roll_out(many, 3, generator=seeded("cpu", 0))["states"][:, 5]
    at, t = torch.full((3,), 5), torch.full((3,), 2)
    same = many.steps.network_input(x, at)[1] == few.steps.network_input(x, t)[1]
    assert bool(same.all()) and not torch.equal(policy.copy(x, at).clean, many(x, at).clean)
    torch.testing.assert_close(policy.copy(x, at).clean, trained.copy(x, t).clean)
    assert trained.on(DiffusersReference(pipeline, 8, scheduler="DDIMScheduler")).num_steps == 8  # by another sampler

"""Fine-tuned policies: they start as the reference, train what they should, and can hold the optimum."""

import pytest
import torch
from policy_toys import CHAIN, Diffusion, TokenChain, assert_starts_as_the_reference, disturb, trajectories
from torch import nn

import svlearn
from svlearn import checkpoints
from svlearn.fingerprint import fingerprint
from svlearn.metering import metered
from svlearn.policies.finetuned import Finetuned
from svlearn.process import Prediction, Reference, predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.transitions import GaussianTransition


@pytest.mark.parametrize("rank", [None, 1, 3])
def test_it_starts_as_the_reference_bit_by_bit(rank):
    reference = Diffusion()
    assert_starts_as_the_reference(Finetuned(reference, rank), reference, 30)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [None, 4])
def test_the_shipped_molecules_start_as_their_reference(rank):
    pytest.importorskip("rdkit")
    reference = svlearn.load("qm9")
    policy = Finetuned(reference, rank)
    assert_starts_as_the_reference(policy, reference, 3)
    assert sum(each.numel() for each in policy.trained()) > 0
    assert not any(each.requires_grad for each in reference.parameters())


def test_it_can_hold_the_optimum():
    """With p*'s transitions, r/α - log q/p_ref is v_0(x_0)/α along every trajectory, without spread."""
    alpha = 0.4
    reference = TokenChain(CHAIN)
    policy = Finetuned(reference)
    with torch.no_grad():
        policy.copy.logits.copy_(CHAIN.optimal(alpha).matrices.log())
    run = roll_out(policy, 200, target=CHAIN.target(alpha), generator=seeded("cpu", 0))
    states, total = run["states"], run["rewards"] / alpha
    for t in range(CHAIN.num_steps):
        laws = [predict(process, states[:, t], t).transition for process in (policy, reference)]
        total = total - laws[0].log_ratio(laws[1], states[:, t + 1])
    exact = CHAIN.soft_value(alpha)(states[:, 0], torch.zeros(200, dtype=torch.long)) / alpha
    assert torch.allclose(total, exact, atol=1e-10)
    assert torch.equal(reference.logits, CHAIN.matrices.log())


def test_the_whole_copy_is_trained_and_the_reference_is_left_alone():
    reference = Diffusion()
    policy = Finetuned(reference)
    assert {id(each) for each in policy.trained()} == {id(each) for each in policy.copy.parameters()}
    before = trajectories(reference)
    disturb(policy)
    assert torch.equal(trajectories(reference), before)
    assert not torch.equal(trajectories(policy), before)
    assert not any(each.requires_grad for each in reference.parameters())


class Painter(Reference):
    """A Gaussian step by a network, and a decoder that no step reads."""

    num_steps = 3

    def __init__(self, forward=None):
        super().__init__()
        self.encoder, self.network, self.decoder = (nn.Linear(2, 2).double() for _ in range(3))
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(self.scale * self.network(self.encoder(x)), 0.5))


def names_of(policy):
    return {name for name, each in policy.copy.named_parameters() if each.requires_grad}


WHOLE = {f"{part}.{name}" for part in ("encoder", "network", "decoder") for name in ("weight", "bias")} | {"scale"}


def test_frozen_parts_stay_frozen_and_are_shared():
    reference = Painter()
    reference.encoder.requires_grad_(False)
    policy = Finetuned(reference)
    assert names_of(policy) == {name for name in WHOLE if not name.startswith("encoder")}
    assert policy.copy.encoder.weight is reference.encoder.weight
    assert policy.copy.network.weight is not reference.network.weight
    assert "13 of 19 parameters are trained" in repr(policy)
    adapted = Finetuned(reference, 1)
    assert adapted.adapted == {"network": "Linear", "decoder": "Linear"}
    assert not any("encoder" in name for name in names_of(adapted))


def test_of_a_reference_that_is_frozen_as_a_whole_all_is_trained():
    reference = Painter().requires_grad_(False)
    assert names_of(Finetuned(reference)) == WHOLE
    assert set(Finetuned(reference, 1).adapted) == {"encoder", "network", "decoder"}
    assert not any(each.requires_grad for each in reference.parameters())


def test_modules_name_the_parts_that_are_trained():
    reference = Painter()
    reference.encoder.requires_grad_(False)
    assert names_of(Finetuned(reference, modules="encoder")) == {"encoder.weight", "encoder.bias"}
    assert names_of(Finetuned(reference, modules=["network", "scale"])) == {"network.weight", "network.bias", "scale"}
    assert set(Finetuned(reference, 1, modules=["encoder"]).adapted) == {"encoder"}
    assert [each.requires_grad for each in reference.encoder.parameters()] == [False, False]
    with pytest.raises(ValueError, match="modules: expected names .* as decoder, encoder, network, scale, got 'unet'"):
        Finetuned(reference, modules=["network", "unet"])


def test_what_no_step_reads_is_refused_for_it_would_learn_nothing():
    for rank in (None, 1):
        with pytest.raises(ValueError, match="expected a law of the next state that depends on"):
            Finetuned(Painter(), rank, modules="decoder")

    class Quiet(Painter):
        @torch.no_grad()
        def forward(self, x, t, previous=None):
            return super().forward(x, t)

    for rank in (None, 1):
        with pytest.raises(ValueError, match="expected a law of the next state that depends on"):
            Finetuned(Quiet(), rank)


def test_what_is_read_at_a_later_step_alone_is_taken_and_prompts_are_not_asked_for():
    class Late(Painter):
        def forward(self, x, t, previous=None):
            mean = x if int(t[0]) < 2 else self.network(x)
            return Prediction(GaussianTransition(mean, 0.5))

    class Prompted(Painter):
        def initial(self, batch_size, *, condition=None, generator=None):
            if condition is None:
                raise ValueError("condition: expected prompts, got none")
            return condition

    with metered() as meter:
        assert "network.weight" in names_of(Finetuned(Late(), modules="network"))
        assert names_of(Finetuned(Prompted())) == WHOLE
    assert (meter.cost.reference_calls, meter.cost.policy_calls) == (0, 0)


def test_the_look_at_what_is_read_leaves_modes_gradients_and_the_global_generator_alone():
    reference = Diffusion().train()
    state = torch.get_rng_state()
    for rank in (None, 2):
        Finetuned(reference, rank)
        assert reference.training and reference.network.training
        assert not any(each.requires_grad or each.grad is not None for each in reference.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_stays_off():
    policy = Finetuned(Diffusion().train())
    x, t = policy.initial(10, generator=seeded("cpu", 0)), torch.zeros(10, dtype=torch.long)
    assert torch.equal(policy(x, t).transition.mean, policy(x, t).transition.mean)


def test_it_predicts_with_the_copy_alone():
    """One call, its own x̂_T; the reference's would cost a second one."""
    policy = Finetuned(Diffusion())
    disturb(policy)
    x = policy.initial(5, generator=seeded("cpu", 0))
    with metered() as meter:
        prediction = predict(policy, x, 1, kind="policy_calls")
    assert (meter.cost.policy_calls, meter.cost.reference_calls) == (5, 0)
    assert torch.equal(prediction.clean, prediction.transition.mean)


class Counting(TokenChain):
    """Its cache is how often it was called."""

    def forward(self, x, t, previous=None):
        calls = torch.zeros(len(x)) if previous is None else previous.cache
        return Prediction(super().forward(x, t).transition, cache=calls + 1)


def test_the_cache_of_the_copy_is_passed_on():
    policy = Finetuned(Counting(CHAIN))
    x = policy.initial(3, generator=seeded("cpu", 0))
    second = predict(policy, x, 1, predict(policy, x, 0))
    assert second.cache.tolist() == [2.0] * 3


@pytest.mark.parametrize("rank", [None, 2])
def test_a_checkpoint_holds_the_reference_once_and_is_restored(rank, tmp_path):
    reference = Diffusion()
    policy, restored = Finetuned(reference, rank), Finetuned(reference, rank)
    disturb(policy)
    assert all(name.startswith("copy.") for name in policy.state_dict())
    size = sum(each.numel() for each in policy.state_dict().values())
    adapters = 0 if rank is None else sum(each.numel() for each in policy.trained())
    assert size == sum(each.numel() for each in reference.parameters()) + adapters
    assert fingerprint(policy) != fingerprint(restored)
    checkpoints.load_into(restored, checkpoints.save(policy, tmp_path / "policy.safetensors"))
    assert fingerprint(policy) == fingerprint(restored)
    assert torch.equal(trajectories(policy), trajectories(restored))
    inside = nn.ModuleDict({"policy": Finetuned(reference, rank)})
    inside.load_state_dict(nn.ModuleDict({"policy": policy}).state_dict())
    assert torch.equal(trajectories(inside["policy"]), trajectories(policy))


def test_a_checkpoint_that_lacks_weights_is_refused():
    policy = Finetuned(Diffusion())
    state = policy.state_dict()
    del state["copy.network.0.weight"]
    with pytest.raises(RuntimeError, match="copy.network.0.weight"):
        policy.load_state_dict(state)


@pytest.mark.parametrize(
    ("reference", "rank", "error", "words"),
    [
        (CHAIN, None, ValueError, "expected one with parameters to train, got FiniteMarkovChain"),
        (CHAIN, 2, ValueError, "one with layers to adapt, got FiniteMarkovChain"),
        (TokenChain(CHAIN), 2, ValueError, "got TokenChain without; use lora_rank=None"),
        (Diffusion(), 0, ValueError, "lora_rank: expected None or an integer of at least 1, got 0"),
        (Diffusion(), 1.5, ValueError, "lora_rank: expected None or an integer of at least 1, got 1.5"),
        (Diffusion(), True, ValueError, "lora_rank: expected None or an integer of at least 1, got True"),
        (nn.Linear(1, 1), None, TypeError, "reference: expected a Reference, got Linear"),
    ],
)
def test_bad_arguments_are_refused_by_name(reference, rank, error, words):
    with pytest.raises(error, match=words):
        Finetuned(reference, rank)

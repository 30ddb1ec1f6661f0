"""A plain list of prompts of unequal lengths is taken wherever conditions are drawn from again and again."""

import pytest
import torch
from language_toys import PROMPTS, random_twists, tiny_reference, wave_of_tokens

import svlearn as sv
from svlearn import objectives
from svlearn.domains.language.texts import LENGTH, PROMPT
from svlearn.policies import Finetuned
from svlearn.rollouts import collect
from svlearn.state import concatenate
from svlearn.targets import Target

TARGET = Target(wave_of_tokens, 0.7)
TRAINER = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False, "enable_model_summary": False}


def reference():
    return tiny_reference(2, end_tokens=[])


def policy(process):
    return Finetuned(process, condition=process.prompts(["ab"]))


@pytest.mark.parametrize(
    "make",
    [
        lambda r, **own: objectives.ProximalPolicyGradient(r, TARGET, policy(r), **own),
        lambda r, **own: objectives.ContrastiveTwist(r, TARGET, random_twists(num_steps=2), positives="smc", **own),
    ],
    ids=["PPO", "contrastive twist"],
)
def test_an_objective_takes_them_as_it_takes_rows(make):
    trained = []
    process = reference()
    for conditions in (PROMPTS, process.prompts(PROMPTS)):
        objective = make(process, conditions=conditions, batch_size=2)
        sv.fit(objective, max_steps=3, **TRAINER)
        trained.append([each.detach() for each in objective.trained().parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*trained, strict=True))


def test_rollouts_are_of_one_width(tmp_path):
    process = reference()
    rollouts = collect(process, 8, tmp_path, target=TARGET, batch_size=2, conditions=PROMPTS, progress=False)
    states = rollouts[torch.arange(8)]["states"][:, -1]
    assert states[PROMPT].shape == (8, 3) and set(states[LENGTH].tolist()) <= {1, 2, 3}
    assert len(set(states[LENGTH].tolist())) > 1
    again = collect(policy(process), 4, tmp_path / "policy", batch_size=2, conditions=PROMPTS, progress=False)
    assert again[torch.arange(4)]["states"][PROMPT].shape == (4, 3, 3)


def test_a_comparison_names_each_prompt():
    """In seeds of which each draws other widths."""
    sampler = sv.smc(reference(), TARGET, sv.values.Zero(), 2)
    table = sv.compare({"SMC": sampler}, 2, seed=[0, 1], condition=PROMPTS).table
    assert set(table.index.get_level_values("condition")) == {"all", *PROMPTS}


def test_what_is_drawn_by_a_callable_is_told_of_rows():
    """It can return prompts of any length: those of one draw do not join those of another."""
    process = reference()
    lengths = iter(range(1, 20))
    objective = objectives.ProximalPolicyGradient(
        process, TARGET, policy(process), conditions=lambda number, _: ["a" * next(lengths)] * number, batch_size=2
    )
    with pytest.raises(ValueError, match=r"one shape, .*, give rows of one shape, which `reference.prompts` makes"):
        sv.fit(objective, max_steps=3, **TRAINER)
    parts = [process.initial(1, condition=[each]) for each in ("ab", "c")]
    with pytest.raises(ValueError, match=r"got length \(\), prompt \(2,\), text \(3,\) and length \(\), prompt \(1,\)"):
        concatenate(parts)

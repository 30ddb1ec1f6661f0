"""compare(together=True): what two processes draw is, to the bit, what one draws; errors reach both; one writes."""

import json

import pytest
import torch
from condition_toys import ALPHA, gaussian_by_class
from forking import run_ranks
from together_toys import CALLS, ROWS, Shown, compared, samplers, told

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.evaluation.compare import compare
from svlearn.evaluation.outcome import BLOCKS
from svlearn.evaluation.units import units_of, waves
from svlearn.inference.samplers import ancestral
from svlearn.randomness import seeded
from svlearn.rollouts import collect

TWO = """
import warnings
warnings.simplefilter("ignore")
import json, torch
from pathlib import Path
from together_toys import CALLS, compared, samplers, told
from functools import partial as given
from together_toys import ROWS
from svlearn.evaluation.compare import compare as of_conditions
from svlearn.evaluation.partial import Partial
from svlearn.process_group import joined, number

compare = given(of_conditions, condition=ROWS)

def raised(call):
    try:
        call()
    except Exception as error:
        return f"{{type(error).__name__}}: {{error}}"

folder = Path({folder!r})
with joined() as together:
    assert together
    rank = number()
    partial = Partial(folder / "partial.json", {{}})
    said = {{name: told(compared(name, together=True)) for name in CALLS}}
    some = {{name: each for name, each in samplers().items() if name != "broken"}}
    said["written"] = told(compare(some, 4, seed=[0, 1], together=True, partial=partial))
    said["resumed"] = told(compare(some, 4, seed=[0, 1], together=True, partial=Partial(folder / "partial.json", {{}})))
    said["raise"] = raised(lambda: compare(samplers(), 4, seed=[0, 1], errors="raise", together=True))
    said["numbers"] = raised(lambda: compare(some, 4 + rank, seed=rank, together=True))
    mine = dict(list(some.items())[rank:])
    said["samplers"] = raised(lambda: compare(mine, 4, together=True))
    other = {{**some, "SMC": samplers()["SVDD"]}} if rank else some
    said["a sampler"] = raised(lambda: compare(other, 4, together=True))
    said["a file"] = raised(lambda: compare(some, 5, together=True, partial=Partial(folder / "partial.json", {{}})))
    (folder / f"rank{{rank}}.json").write_text(json.dumps(said))
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What each of two processes says, by rank."""
    folder = tmp_path_factory.mktemp("two")
    script = folder / "two.py"
    script.write_text(TWO.format(folder=str(folder)))
    done = run_ranks(script)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_processes_find_what_one_finds(both, name):
    alone = told(compared(name))
    assert "no more" in alone  # what fails, fails in both
    assert both[0][name] == alone and both[1][name] == alone


def test_one_of_them_keeps_what_is_done_and_all_take_it_from_there(both):
    assert both[0]["resumed"].count("positive") == both[0]["written"].count("positive")
    for name in ("written", "resumed"):
        assert both[0][name] == both[1][name]


def test_an_error_is_raised_in_both(both):
    texts = sorted(each["raise"] for each in both)
    assert texts == ["RuntimeError: on another rank: ZeroDivisionError: no more", "ZeroDivisionError: no more"]


def test_arguments_that_differ_are_named_in_both(both):
    for each in both:
        assert each["numbers"] == (
            "ValueError: expected the same arguments on every rank, got num_samples: 4 on rank 0, 5 on rank 1; "
            "seed: 0 on rank 0, 1 on rank 1"
        )
        assert "got samplers: ['SMC', 'SVDD', 'plain'] on rank 0, ['SMC', 'SVDD'] on rank 1" in each["samplers"]
        assert "got samplers['SMC']: " in each["a sampler"] and "samplers['SVDD']" not in each["a sampler"]
        assert each["a file"].startswith("ValueError") and "another seeds" in each["a file"]


def test_blocks_make_up_a_seed_and_leave_none_out():
    units = units_of("a", [3, 4], 10, 4)
    assert [(unit.seed, unit.block, unit.size) for unit in units[:3]] == [(3, 0, 4), (3, 1, 4), (3, 2, 2)]
    assert len(units) == 6 and len(set(units)) == 6
    many = {name: units_of(name, [0], 4, None) for name in "abcde"}
    assert [list(wave) for wave in waves(many, 2)] == [["a", "b"], ["c", "d"], ["e"]]
    assert [list(wave) for wave in waves(many, 1)] == [[name] for name in "abcde"]


def test_blocks_are_drawn_as_calls_of_their_own_would_be():
    """A block is the samples of the stream (seed, BLOCKS, block), and stands where it would without blocks."""
    plain = samplers()["plain"]
    found = compare({"plain": plain}, 7, seed=5, block_size=3, condition=ROWS).by_condition
    for place, label in enumerate(found):
        rewards = []
        for block, size in enumerate((3, 3, 1)):
            generator = seeded("cpu", 5, BLOCKS, block)
            samples = plain.sample(3 * size, condition=ROWS.repeat_interleave(size), generator=generator)
            rewards.append(samples.rewards.reshape(3, size)[place])
        assert found[label].rewards["plain"].tolist() == torch.cat(rewards).tolist()


def test_without_a_group_it_is_said_how_to_open_one():
    with pytest.raises(ValueError, match=r"together: expected a process group of torch.distributed, got none; start"):
        compare(samplers(), 4, together=True)


def test_blocks_are_not_the_chunks_of_a_rollout_store(tmp_path):
    """A value is judged by samples that it did not learn from, though both have seed 0."""
    chain = FiniteMarkovChain.random(50, 3, seed=0)
    target = chain.target(1.0)
    stored = collect(chain, 64, tmp_path / "store", target=target, batch_size=32, seed=0)
    judged = compare({"plain": ancestral(chain, target)}, 64, seed=0, block_size=32)
    assert sorted(stored.rewards.tolist()) != sorted(judged.rewards["plain"].tolist())


def test_an_interrupt_while_samples_are_decoded_keeps_what_is_done():
    class Interrupted(Shown):
        def decode(self, x):
            if len(x) > 2:  # not when it is tried before the run
                raise KeyboardInterrupt
            return super().decode(x)

    oracle = Interrupted(list(gaussian_by_class().oracles))
    some = {"plain": samplers()["plain"], "ended": ancestral(oracle, oracle.target(ALPHA))}
    with pytest.warns(UserWarning, match="ended failed, seed 0: KeyboardInterrupt"):
        done = compare(some, 4, condition=ROWS)
    assert "plain" in done.rewards and list(done.failures) == ["ended"]

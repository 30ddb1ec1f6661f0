"""The benchmark of the loop's cost: what it calls the bare run, and that its page is that of its results."""

import pytest

from benchmarks.overhead import run as overhead
from svlearn.randomness import seeded


def numbers(calls):
    return [(module, tuple(x.shape), t.tolist(), graded) for module, x, t, graded in calls]


@pytest.mark.parametrize("kind", ["vectors", "tokens", "graphs"])
def test_the_bare_run_makes_the_calls_of_the_sampler(kind):
    """On the same batches, in the same order, with a gradient where the sampler takes one."""
    model = overhead.build(kind, 8)
    for name in overhead.SAMPLERS:
        if kind != "vectors" and "at the state" in name:
            continue
        sampler = model.sampler(name, 3)  # before: at construction it looks once whether the reference has noise
        with overhead.recorded(model.called) as calls, overhead.recorded(model.networks) as inner:
            sampler.sample(2, generator=seeded("cpu", 0))
        assert calls and any(graded for *_, graded in calls) == name.startswith("guidance")
        for made in (calls, inner):
            with overhead.recorded(tuple({module for module, *_ in made})) as again:
                overhead.bare(made)
            assert numbers(again) == numbers(made)


def test_every_case_was_measured():
    results = overhead.RESULTS.read()
    measured = [(each["states"], each["sampler"], each["groups"], each["candidates"]) for each in results["entries"]]
    assert measured == overhead.cases()


def test_a_hundred_candidates_were_held_in_the_memory_of_ten():
    memory = overhead.RESULTS.read()["memory"]
    assert len(memory) >= 6
    assert all(each["many"]["candidates"] == 100 and each["ratio"] <= 1.2 for each in memory)

"""The study of constraints: its truth by other means, and that its page says what was found."""

import math
import re

import pytest
import torch

from benchmarks.constraint_bias import beside, problem
from benchmarks.constraint_bias import run as study
from svlearn.domains.language.constraints import Grammar


@pytest.fixture
def results():
    return study.RESULTS.read()


@pytest.fixture
def model(assets):
    """Skips where the files of the model are not here."""
    assets("language/stories260K.bin"), assets("language/tok512.bin")
    return problem.reference()


def written(tokenizer):
    """What each token writes; nothing for special ones."""
    pieces = [each.replace("▁", " ") for each in tokenizer.convert_ids_to_tokens(range(512))]
    return [
        "" if k < 3 else chr(int(each[3:-1], 16)) if each.startswith("<0x") else each for k, each in enumerate(pieces)
    ]


def test_the_truth_is_that_of_the_model_and_of_python_s_expressions(model):
    law, letters = problem.truth(), written(model.tokenizer)
    assert float(law.log_probs.flatten().logsumexp(0)) == pytest.approx(0.0, abs=1e-5)
    ids = model.tokenizer(problem.PROMPT)["input_ids"]
    with torch.no_grad():
        first = model.model(torch.tensor([ids])).logits[0, -1].double().log_softmax(0)
        after = model.model(torch.tensor([[*ids, token] for token in range(512)])).logits[:, -1].double().log_softmax(1)
    inside = torch.zeros(512, 512, dtype=torch.float64)
    for token in range(3, 512):
        for other in range(512):
            if other and re.fullmatch(problem.PATTERN, letters[token] + letters[other]):
                inside[token, other] = (first[token] + after[token, other]).exp()
    assert law.log_normalizer == pytest.approx(float(inside.sum().log()), abs=1e-4)
    torch.testing.assert_close(law.posterior, inside / inside.sum(), rtol=1e-3, atol=1e-6)


def test_the_laws_of_masking_are_those_of_a_hand_made_grammar():
    """Three tokens: the first allowed two, of which one leads nowhere."""
    first, second = (
        torch.tensor([0.5, 0.3, 0.2]).log(),
        torch.tensor([[0.2, 0.8, 0.0], [0.5, 0.25, 0.25], [1, 0, 0]]).log(),
    )
    may, after = (
        torch.tensor([True, True, False]),
        torch.tensor([[False, False, False], [True, True, False], [True] * 3]),
    )
    law = problem.masked(first, second, may, after)
    expected = torch.tensor([[0.625 * 0.2, 0.625 * 0.8, 0], [0.375 * 2 / 3, 0.375 / 3, 0], [0, 0, 0]])
    torch.testing.assert_close(law, expected)


def test_few_draws_come_near_their_laws(model):
    """Masking alone has its own law, by sampling; the same code measures all rows."""
    sampler = study.ROWS["locally masked, in time"]()
    samples = sampler.sample(2_000, condition=[problem.PROMPT] * 2_000, generator=torch.Generator().manual_seed(1))
    law = problem.truth().masked_in_time.flatten()
    drawn = torch.bincount(problem.places(samples.states[:, 0]), minlength=len(law)) / 2_000
    noise = float((law * (1 - law) / 2_000).sqrt().sum()) / 2
    assert 0.5 * float((drawn - law).abs().sum()) < 1.5 * noise
    ratios = (samples.log_normalizer - problem.truth().log_normalizer).exp()
    assert abs(float(ratios.mean()) - 1) < 3 * float(ratios.std()) / math.sqrt(2_000)


def test_log_z_of_long_texts_is_the_sum_over_all_ways_to_write_them(model):
    """By teacher forcing of every way to cut the texts into tokens."""
    letters = written(model.tokenizer)
    ids = model.tokenizer(problem.PROMPT)["input_ids"]
    ends = [token for token in range(512) if letters[token] == beside.END]
    assert sorted(beside.reference().ends.tolist()) == ends

    def cuts(text):
        if not text:
            return [[]]
        starts = [token for token in range(3, 512) if letters[token] and text.startswith(letters[token])]
        return [[token, *rest] for token in starts for rest in cuts(text[len(letters[token]) :])]

    ways = [way for text in (" dog", " big boy") for way in cuts(text)]
    total = 0.0
    for size in sorted({len(way) for way in ways}):
        alike = torch.tensor([way for way in ways if len(way) == size])
        for part in alike.split(2048):
            with torch.no_grad():
                laws = model.model(torch.cat([torch.tensor(ids).expand(len(part), -1), part], dim=1)).logits
            laws = laws[:, len(ids) - 1 :].double().log_softmax(2)
            written_out = laws[:, :-1].gather(2, part[:, :, None]).sum(dim=(1, 2))
            total += float((written_out[:, None] + laws[:, -1, ends]).exp().sum())
    log_normalizer, number = beside.summed(Grammar.regex(" (dog|big boy)", beside.reference()))
    assert number == len(ways) > 100 and log_normalizer == pytest.approx(math.log(total), abs=1e-4)


def test_the_page_shows_every_row(results):
    assert set(results["rows"]) == set(study.ROWS)
    text = study.PAGE.read_text()
    for name in [*results["rows"], *(each for each in results["beside"] if each != "exact")]:
        assert f"| {name} |" in text


def test_what_the_page_says_is_what_was_found(results):
    exact, rows = results["truth"]["exact"], results["rows"]
    floor = exact["floor"][0]

    def distance(name):
        return rows[name]["total_variation"]

    for name in ("locally masked", "locally masked, in time"):
        assert exact[name]["total_variation"] > 0.7 > 10 * floor
        assert abs(distance(name) - exact[name]["total_variation"]) < 2 * floor
        assert rows[name]["matching"] == pytest.approx(exact[name]["matching"], abs=0.01)
    for kind in ("SMC", "SMC in time"):
        assert distance(f"{kind}, K = 64") < 0.6 * distance(f"{kind}, K = 4")
    assert distance("SMC in time, K = 64") < 0.5 * distance("importance sampling, K = 64")
    assert distance("SVDD, M = 64") > 1.5 * distance("SMC, K = 64")
    assert distance("SVDD, M = 64") > 1.5 * distance("importance sampling, K = 64")
    limit = exact["SVDD, ever more candidates"]["total_variation"]
    assert limit < distance("SVDD, M = 64") < distance("SVDD, M = 16") < distance("SVDD, M = 4")
    for row in rows.values():
        if row["log_normalizer"] is not None:
            assert abs(row["log_normalizer"] - exact["log_normalizer"]) < 4 * row["standard_error"]
    for n in (16, 64):  # what is wrong is what does not match, at a rate that is known
        share = 1 - math.exp(exact["log_normalizer"])
        assert rows[f"best-of-{n}"]["matching"] == pytest.approx(1 - share**n, abs=0.02)


def test_both_libraries_agree_with_the_exact_log_z(results):
    log_z = results["beside"]["exact"]["log_normalizer"]
    measured = {name: row for name, row in results["beside"].items() if name != "exact"}
    assert {name.split(",")[0] for name in measured} == {"svlearn", "genlm-control"}
    for row in measured.values():
        assert abs(row["log_normalizer"] - log_z) < 4 * row["standard_error"] < 0.5

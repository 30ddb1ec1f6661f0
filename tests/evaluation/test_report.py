"""What a comparison writes: sentences, tables, JSON and the HTML page."""

import base64
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from svlearn.evaluation.compare import compare
from svlearn.evaluation.comparison import Comparison
from svlearn.evaluation.report.html import embed
from svlearn.evaluation.report.numbers import between, plain, ratio, with_error
from svlearn.evaluation.summary import OWN_FIGURES
from svlearn.files import write
from svlearn.inference.samplers import ancestral, smc, svdd
from svlearn.values import PosteriorMean

EVIL = "<script>alert('$x$ & \"y\"')</script>|_%"


def row(mean, error, calls, seconds, **others):
    figures = dict.fromkeys(OWN_FIGURES, math.nan)
    figures.update({name: 0.0 for name in OWN_FIGURES if "_calls_" in name})
    figures.update(mean_reward=mean, mean_reward_standard_error=error, minus_infinity_fraction=0.0)
    figures.update(mean_finite_reward=mean, mean_finite_reward_standard_error=error, num_samples=100, num_seeds=1)
    figures.update(reference_calls_per_sample=calls, seconds_per_sample=seconds)
    return {**figures, **others}


def comparison_of(**figures):
    return Comparison({name: np.zeros(2) for name in figures}, figures)


class Page(HTMLParser):
    """Collects tags with attributes, and text, of a page."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br", "link", "use", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def comparison(walk, target, value):
    samplers = {
        "pretrained": ancestral(walk, target),
        EVIL: svdd(walk, target, value, num_candidates=3),
        "_SVDD-PM": svdd(walk, target, PosteriorMean(target), num_candidates=3),
        "SMC": smc(walk, target, value, num_particles=4),
    }
    frame = pd.DataFrame({"t": range(4), "pearson": [math.nan, 0.5, 0.7, 0.9], "r2": [-1.0, 0.2, 0.5, 0.8]})
    frame["spread"] = [0.0, 2.5, 0.7, 0.9]
    return compare(samplers, 12, calibrations={EVIL: frame})


def test_verdict_is_the_sentence():
    comparison = comparison_of(**{"SVDD-MC": row(0.612, 0.003, 4, 0.31), "SVDD-PM": row(0.605, 0.004, 40, 1.0)})
    assert comparison.verdict("SVDD-MC", "SVDD-PM") == (
        "SVDD-MC reaches 0.612 ± 0.003 mean reward against 0.605 ± 0.004 for SVDD-PM (difference +0.007 ± 0.005: "
        "within noise) with 0.10 of its reference calls and 0.31 of its seconds."
    )


@pytest.mark.parametrize(
    ("mean", "verdict"), [(0.6195, "within noise"), (0.6197, "higher"), (0.5805, "within noise"), (0.5803, "lower")]
)
def test_verdict_calls_differences_by_their_noise(mean, verdict):
    # √(0.006² + 0.008²) = 0.01, of which 1.96 make 0.0196
    comparison = comparison_of(a=row(mean, 0.006, 1, 1), b=row(0.6, 0.008, 1, 1))
    assert f"± 0.010: {verdict})" in comparison.verdict("a", "b")


def test_verdict_without_an_error_or_a_cost():
    comparison = comparison_of(a=row(0.5, math.nan, 4, math.nan), b=row(0.25, math.nan, 0, 1.0))
    assert comparison.verdict("a", "b") == (
        "a reaches 0.5 mean reward against 0.25 for b (difference +0.25: noise unknown)."
    )


def test_verdict_counts_policy_calls():
    comparison = comparison_of(a=row(1, 0.1, 4, 1, policy_calls_per_sample=4), b=row(1, 0.1, 40, 2))
    assert comparison.verdict("a", "b").endswith("with 0.20 of its reference and policy calls and 0.50 of its seconds.")


def test_verdict_of_a_constraint_compares_shares():
    # shares 90 % and 80 % of 100: √(9 + 16) = 5 points
    finite = {"mean_finite_reward_standard_error": 0.05}
    comparison = comparison_of(
        a=row(-math.inf, math.nan, 1, 1, minus_infinity_fraction=0.1, mean_finite_reward=2.0, **finite),
        b=row(-math.inf, math.nan, 1, 1, minus_infinity_fraction=0.2, mean_finite_reward=1.5, **finite),
    )
    assert comparison.verdict("a", "b") == (
        "a has a finite reward in 90.0 % of its samples against 80.0 % for b (difference +10 ± 5: higher, in points), "
        "and among those a mean reward of 2.00 ± 0.05 against 1.50 ± 0.05 for b (difference +0.50 ± 0.07: higher) "
        "with 1.00 of its reference calls and 1.00 of its seconds."
    )


def test_verdict_of_an_unknown_name():
    with pytest.raises(ValueError, match="baseline: expected one of a, got 'b'"):
        comparison_of(a=row(1, 0.1, 1, 1)).verdict("a", "b")


def test_without_pairs_the_best_is_set_against_the_others():
    comparison = comparison_of(a=row(1, 0.1, 1, 1), b=row(3, 0.1, 1, 1), c=row(2, 0.1, 1, 1))
    assert [sentence.split(" for ")[1][0] for sentence in comparison.verdicts()] == ["a", "c"]
    assert all(sentence.startswith("b reaches 3.00 ± 0.10") for sentence in comparison.verdicts())


def test_numbers_are_written_to_the_place_of_their_error():
    assert with_error(0.61234, 0.00312) == "0.612 ± 0.003"
    assert with_error(0.61234, 0.00132) == "0.6123 ± 0.0013"
    assert with_error(0.61234, 0.0099) == "0.612 ± 0.010"
    assert with_error(1234.5, 25.0) == "1234 ± 25"
    assert with_error(-math.inf, math.nan) == "-inf" and with_error(math.nan, math.nan) == "–"
    assert with_error(0.5, 0.0, sign=True) == "+0.5"
    assert [plain(each) for each in (3.0, 0.123456, 123456.7, math.inf)] == ["3", "0.1235", "1.235e+05", "inf"]
    assert between(0.6061, 0.6182) == "0.606 to 0.618" and between(2.0, 2.0) == "2 to 2"
    assert between(math.nan, math.nan) == "–" and between(-math.inf, 1.5) == "-inf to 1.5"
    assert [ratio(1, 4), ratio(1, 1000), ratio(1, 0)] == ["0.25", "0.001", None]


def test_markdown_is_a_table_that_survives_any_name(comparison):
    lines = comparison.to_markdown().splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert len(lines) == 2 + 4 and len({len(each) for each in cells}) == 1
    assert [each.strip() for each in cells[0]][:4] == ["Sampler", "Mean reward ± s.e.", "Top 20 %", "Top 10 %"]
    assert {"Positive", "Reference calls / sample", "Seconds / sample"} <= {each.strip() for each in cells[0]}
    assert len({len(line) for line in lines}) == 1
    place = [each.strip() for each in cells[0]].index("Weighted mean (particles)")
    assert [each[place].strip() == "–" for each in cells[2:]] == [True, True, True, False]


def test_json_round_trip(comparison, tmp_path):
    path = comparison.to_json(tmp_path / "deep" / "result.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads(path.read_text(), parse_constant=refuse)
    assert {name: np.array(values).tolist() for name, values in content["rewards"].items()} == {
        name: values.tolist() for name, values in comparison.rewards.items()
    }
    for name, figures in comparison.figures.items():
        for key, figure in figures.items():
            read = content["figures"][name][key]
            assert math.isnan(figure) if read is None else float(read) == figure
    assert content["calibrations"][EVIL]["pearson"] == [None, 0.5, 0.7, 0.9]
    assert len(content["curves"]["SMC"]["ess"]) == 5 and content["curves"]["pretrained"]["ess"] == [None] * 5
    assert (
        content["diagnoses"] == comparison.diagnoses and "Value miscalibrated at t = 1" in content["diagnoses"][EVIL][0]
    )
    assert content["verdicts"] == comparison.verdicts()
    origin = content["provenance"]
    assert origin["seeds"] == [0] and origin["num_samples"] == 12
    assert {"date", "command", "git_commit", "torch", "threads", "cpu", "cores"} <= origin.keys()


def test_json_says_minus_infinity(tmp_path):
    comparison = Comparison({"a": np.array([1.0, -np.inf])}, {"a": row(-math.inf, math.nan, 1, 1)})
    content = json.loads(comparison.to_json(tmp_path / "a.json").read_text())
    assert content["rewards"]["a"] == [1.0, "-inf"] and float(content["figures"]["a"]["mean_reward"]) == -math.inf


def test_csv_round_trip(comparison, tmp_path):
    read = pd.read_csv(comparison.to_csv(tmp_path / "a.csv"), index_col="sampler")
    pd.testing.assert_frame_equal(read, comparison.table, check_dtype=False, rtol=1e-14)


def test_the_page_asks_nothing_of_the_network(comparison, tmp_path):
    source = comparison.to_html(tmp_path / "report.html").read_text()
    page = Page(source)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "base", "object")
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:image/")), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "@import" not in source and not re.search(r"url\((?!#)", source)
    assert page.open == []


def test_the_page_shows_all_parts_and_escapes_names(comparison, tmp_path):
    title = "Values & <b>costs</b>"
    source = comparison.to_html(tmp_path / "report.html", title=title).read_text()
    page = Page(source)
    text = "".join(page.text)
    assert "<script" not in source and "<b>" not in source
    assert title in text and EVIL in text
    for sentence in comparison.verdicts():
        assert sentence in text
    for sentence in comparison.diagnoses[EVIL]:
        assert sentence in text
    headings = ("Rewards", "Reward against cost", "Value against reward", "Effective sample size and lineage")
    for heading in (*headings, "Spread of the log-weights", "Diagnosis", "Provenance"):
        assert heading in text
    assert "prefers-color-scheme: dark" in source
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert len(labels) == 9  # histograms, two costs, pearson, R², ESS, ancestors, two spreads
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 2 * 4  # best and random of four samplers
    drawn = base64.b64decode(pictures[0].split(",")[1]).decode()
    assert plain(comparison.rewards["pretrained"].max(), 3) in drawn


def test_inline_figures_are_well_formed_and_share_no_id(comparison, tmp_path):
    source = comparison.to_html(tmp_path / "report.html").read_text()
    figures = re.findall(r"<figure>(<svg.*?</svg>)\s*</figure>", source, flags=re.DOTALL)
    assert len(figures) == 9
    identifiers = []
    for figure in figures:
        root = ElementTree.fromstring(figure)
        own = [each.attrib["id"] for each in root.iter() if "id" in each.attrib]
        used = set(re.findall(r'href="#(.+?)"|url\(#(.+?)\)', figure))
        assert {one or other for one, other in used} <= set(own)
        identifiers += own
        assert "#010203" not in figure and "currentColor" in figure
        assert "mathdefault" not in figure
    assert len(set(identifiers)) == len(identifiers)


def test_a_page_of_hard_cases(tmp_path):
    figures = {
        "all dead": row(-math.inf, math.nan, 0, 1, minus_infinity_fraction=1.0, mean_finite_reward=math.nan),
        "one value": row(2.0, math.nan, 3, 1),
    }
    comparison = Comparison({"all dead": np.full(3, -np.inf), "one value": np.array([2.0])}, figures)
    text = "".join(Page(comparison.to_html(tmp_path / "a.html").read_text()).text)
    assert "all dead (100.0 % -inf)" in text and "Reward finite (%)" in text and "Mean reward" not in text
    nothing = Comparison({"all dead": np.full(3, -np.inf)}, {"all dead": figures["all dead"]})
    assert nothing.verdicts() == [] and nothing.to_html(tmp_path / "b.html").exists()


def test_many_samplers_share_a_page(tmp_path):
    names = [f"sampler {place} with a rather long name to be cut" for place in range(11)]
    rewards = {name: np.random.default_rng(place).normal(size=50) for place, name in enumerate(names)}
    comparison = Comparison(rewards, {name: row(0.1, 0.1, 1 + place, 1) for place, name in enumerate(names)})
    assert comparison.to_html(tmp_path / "a.html").stat().st_size > 10_000


def test_pictures_must_stand_alone():
    once = embed("<svg><circle r='1'/></svg>")
    assert 'xmlns="http://www.w3.org/2000/svg"' in base64.b64decode(once.split(",")[1].rstrip('">')).decode()
    assert embed('<img src="data:image/png;base64,AA==">') == '<img src="data:image/png;base64,AA==">'
    for outside in ('<img src="https://example.org/a.png">', "<p>text</p>", "<img>"):
        with pytest.raises(ValueError, match="draw: expected one <svg> or an <img>"):
            embed(outside)


def test_a_file_is_whole_or_not_there(tmp_path):
    path = write(tmp_path / "a.txt", "old")
    with pytest.raises(TypeError):
        write(path, 3)
    assert path.read_text() == "old" and [each.name for each in tmp_path.iterdir()] == ["a.txt"]

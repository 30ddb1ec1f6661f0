"""What counts as the same page and the same picture."""

import re
from functools import partial

import pytest
from matplotlib.figure import Figure
from shipped import check_shipped

from benchmarks.common import figures as drawing

PAGE = "# Of 32\n\n| SVDD-PM | 0.812 ± 0.013 | 1,234.5 | 1.25e+01 |\n"


@pytest.fixture
def drawn():

    def draw(heights=(1.0, 2.0, 4.0), label="SVDD", color="#0072B2", salt="a", width=5.0):
        with drawing.style(salt):
            figure = Figure(figsize=(width, 3))
            for axes in figure.subplots(1, 2):
                axes.errorbar(range(len(heights)), heights, 0.1, label=label, color=color, capsize=2, marker="o")
                axes.axhline(1.5, color="black")
            return drawing.svg(figure, axes)

    return draw


@pytest.fixture
def check(tmp_path):
    def against(shipped, text, name="page.svg"):
        (tmp_path / name).write_text(shipped, encoding="utf-8")
        check_shipped(tmp_path / name, text, "draw")

    return against


def test_ids_are_counted_and_those_of_the_picture(drawn):
    first, again = drawn(salt="first"), drawn(salt="first")
    assert first == again
    ids = set(re.findall(r' id="([^"]+)"', first))
    assert {*re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', first)} and not re.search(
        r'"#?[a-zC_0]*[0-9a-f]{10}"', first
    )
    used = {a or b for a, b in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', first)}
    assert used == {f"first-{place}" for place in range(len(used))} and used <= ids
    other = drawn(salt="second")
    assert not used & set(re.findall(r' id="([^"]+)"', other))
    assert other.replace("second-", "first-") == first


def test_ids_do_not_hang_on_what_matplotlib_hashed():
    """As another processor would have it: other hashes, the same picture."""
    numbered = drawing.numbered
    picture = (
        '<svg><g clip-path="url(#p1)"/><use xlink:href="#m2"/><g id="axes_1"/><path id="m2"/><clipPath id="p1"/></svg>'
    )
    other = picture.replace("p1", "pffff").replace("m2", "maaaa")
    assert numbered(picture, "a") == numbered(other, "a")
    assert numbered(picture, "a").count("a-0") == numbered(picture, "a").count("a-1") == 2
    assert 'id="axes_1"' in numbered(picture, "a")


def test_a_picture_drawn_elsewhere_is_the_same(drawn, check):
    shipped = drawn()
    check(shipped, drawn(salt="other"))
    check(shipped, re.sub(r"\d+\.\d{6}", lambda match: f"{float(match[0]) + 3e-6:.6f}", shipped))
    check(shipped, drawn(width=5.05))  # as another font would move it


@pytest.mark.parametrize(
    "change", [{"heights": (1.0, 2.02, 4.0)}, {"heights": (1.0, 2.0)}, {"label": "SMC"}, {"color": "#D55E00"}]
)
def test_a_picture_of_other_data_is_another(change, drawn, check):
    with pytest.raises(AssertionError, match=r"page.svg: part \d+: expected .*run python -m benchmarks draw --quote"):
        check(drawn(), drawn(**change))


def test_a_page_rounded_elsewhere_is_the_same(check):
    check_page = partial(check, PAGE, name="page.md")
    check_page(PAGE)
    check_page(PAGE.replace("0.812", "0.813").replace("1,234.5", "1,234.4").replace("1.25e+01", "1.26e+01"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.812", "0.814"),
        ("0.812", "0.8121"),
        ("32", "33"),
        ("1.25e+01", "1.25e+02"),
        ("PM", "MC"),
        ("0.013 |", "0.013 | 0.1 |"),
        (" 0.013", " -0.013"),
        (" |\n", ""),
    ],
)
def test_a_page_that_says_something_else_is_another(old, new, check):
    with pytest.raises(AssertionError, match=r"page.md: part \d+: expected .*run python -m benchmarks draw"):
        check(PAGE, PAGE.replace(old, new), name="page.md")

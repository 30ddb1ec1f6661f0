"""Every page and figure of a study is that of its results."""

import pytest
from shipped import check_shipped

from benchmarks.common.command import studies, study

WITHOUT_PAGES = {
    "docking",
    "soak_mixed",
    "soak_rollouts",
    "soak_scores",
}  # docking's figures stand in the documentation of `Docking`


@pytest.mark.parametrize("name", sorted(studies().keys() - WITHOUT_PAGES))
def test_pages_are_those_of_the_results(name):
    pages = study(name).pages()
    assert pages
    for path, text in pages.items():
        check_shipped(path, text, name)


@pytest.mark.parametrize("name", sorted(WITHOUT_PAGES))
def test_the_others_have_none(name):
    assert not hasattr(study(name), "pages")

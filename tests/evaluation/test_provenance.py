"""The commit that a figure was measured at: changed where code is, and not where the figure itself was written."""

import subprocess

import pytest

from svlearn.evaluation.report import provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with a package and results, in the place of ours."""

    def git(*arguments):
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    for name in ("svlearn/__init__.py", "results/figures.json", "configs/a/b.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    git("init")
    git("add", ".")
    git("commit", "-m", "all")
    monkeypatch.setattr(provenance.svlearn, "__file__", str(tmp_path / "svlearn/__init__.py"))
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "expected"),
    [(None, False), ("results/figures.json", False), ("svlearn/__init__.py", True), ("configs/a/b.yaml", True)],
)
def test_what_decides_a_figure_is_a_change(checkout, changed, expected):
    if changed is not None:
        (checkout / changed).write_text("1")
    assert provenance.provenance()["git_commit"].endswith("+changes") == expected

"""`svlearn doctor`: what it says of libraries that work, that are not there, that are too old and that break."""

import json
import sys

import pytest

from svlearn.cli import doctor, main


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a distribution: its metadata, and a module of its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name, version="1.0", requires=(), extras=(), code=""):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Provides-Extra: {each}" for each in extras] + [f"Requires-Dist: {each}" for each in requires]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        (folder / "top_level.txt").write_text(f"{name}\n")
        (folder / "RECORD").write_text(f"{name}.py,,\n")
        (tmp_path / f"{name}.py").write_text(code)

    return install


def libraries_of(distribution, extra):
    return doctor.libraries(extra, doctor.requirements_of(distribution)[extra])


def test_requirements_are_those_of_this_machine_by_extra(installed):
    requires = ["toy_a>=1", 'toy_b<3,>=2; extra == "fast"', 'toy_c; sys_platform == "other"']
    installed("toy_package", requires=requires, extras=["fast"])
    requirements = doctor.requirements_of("toy_package")
    assert {extra: [str(each.name) for each in own] for extra, own in requirements.items()} == {
        "core": ["toy_a"],
        "fast": ["toy_b"],
    }


def test_an_extra_that_works_names_its_versions(installed):
    installed("toy_a", "2.5")
    installed("toy_package", requires=['toy_a>=2; extra == "fast"'], extras=["fast"])
    finding = libraries_of("toy_package", "fast")
    assert (finding.state, finding.words, finding.remedy) == ("ok", "toy_a 2.5", "")


def test_an_extra_that_is_not_there_says_how_to_get_it(installed):
    installed("toy_a")
    installed("toy_package", requires=['toy_a; extra == "fast"', 'toy_none; extra == "fast"'], extras=["fast"])
    finding = libraries_of("toy_package", "fast")
    assert (finding.state, finding.words) == ("absent", "without toy_none; toy_a there")
    assert finding.remedy == f'pip install --upgrade "{doctor.source_of("svlearn")}[fast]"'


def test_what_to_install_is_what_was_installed(installed, tmp_path):
    installed("toy_package")
    assert doctor.source_of("toy_package") == "toy_package"
    recorded = tmp_path / "toy_package-1.0.dist-info" / "direct_url.json"
    recorded.write_text(json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}}))
    assert doctor.source_of("toy_package") == str(tmp_path)
    recorded.write_text(json.dumps({"url": (tmp_path / "gone").as_uri(), "dir_info": {}}))
    assert doctor.source_of("toy_package") == "toy_package"
    assert doctor.source_of("toy_none") == "toy_none"


def test_a_core_without_a_library_is_broken(installed):
    installed("toy_package", requires=["toy_none"])
    assert libraries_of("toy_package", "core").state == "broken"


def test_an_old_version_is_broken(installed):
    installed("toy_a", "1.9")
    installed("toy_package", requires=['toy_a>=2; extra == "fast"'], extras=["fast"])
    finding = libraries_of("toy_package", "fast")
    assert (finding.state, finding.words) == ("broken", "toy_a 1.9 is not >=2")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise ImportError('no symbol')", "ImportError: no symbol"),
        ("import os\nos._exit(3)", "the worker process died with exit code 3"),
    ],
)
def test_a_library_that_breaks_at_import_is_said_to(installed, code, why):
    installed("toy_a", code=code)
    installed("toy_b")
    installed("toy_package", requires=['toy_a; extra == "fast"', 'toy_b; extra == "fast"'], extras=["fast"])
    finding = libraries_of("toy_package", "fast")
    assert (finding.state, finding.words) == ("broken", f"toy_a cannot be imported: {why}")


def test_imports_are_tried_here_where_there_are_no_workers(installed, monkeypatch):
    installed("toy_a", code="raise ImportError('no symbol')")
    monkeypatch.setitem(sys.modules, "svlearn.scoring", None)
    assert doctor.failures(["toy_a"]) == {"toy_a": "ImportError: no symbol"}


def test_the_command_says_what_is_there_and_fails_where_something_is_broken(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["svlearn"])
    monkeypatch.setattr(doctor, "libraries", lambda extra, requirements: doctor.Finding(extra, "ok", "all"))
    monkeypatch.setenv("SVLEARN_CACHE", str(tmp_path / "files"))
    monkeypatch.delenv("SVLEARN_ASSETS", raising=False)
    main(["doctor"])
    text = capsys.readouterr().out
    assert "core             ok      all\n" in text and "cpu              ok" in text
    assert f"downloads        ok      go to {tmp_path / 'files'}\n" in text
    monkeypatch.setenv("SVLEARN_ASSETS", str(tmp_path / "none"))
    with pytest.raises(SystemExit) as stop:
        main(["doctor"])
    assert stop.value.code == 1
    assert f"files            broken  SVLEARN_ASSETS={tmp_path / 'none'} is no folder\n" in capsys.readouterr().out


def test_a_reference_that_loads_and_one_that_does_not(monkeypatch):
    monkeypatch.setattr(doctor, "apart", lambda function, names: ["ModuleNotFoundError: no rdkit"] + [""] * 99)
    found = list(doctor.references())
    assert (found[0].state, found[1].state, found[1].words) == ("absent", "ok", "loads")
    with pytest.raises(ValueError, match="name_or_path"):
        doctor._load("no such reference")


def test_the_module_of_a_distribution_has_another_name_at_times():
    expected = {"pyyaml": ["yaml"], "pebble": ["pebble"], "scikit-learn": ["sklearn"]}
    assert doctor.modules_of(list(expected)) == expected

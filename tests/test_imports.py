"""The import arrows of svlearn, read from the source of every module, function-level imports included.

core ← values, policies ← inference ← objectives, rollouts ← evaluation ← advising ← cli; a domain stands beside these:
it may use the core, no part of the core knows a domain, and no domain knows another.
"""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import svlearn

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "svlearn"
RANKS = {
    **dict.fromkeys(("arguments", "compiled", "files", "locks", "modes", "processes", "progress", "raising"), 0),
    "process_group": 0,
    **dict.fromkeys(("randomness", "metering"), 0),
    **dict.fromkeys(("fingerprint", "bytecode", "plain_text", "identity", "caches", "shapes", "unpacking", "state"), 0),
    "torch_archive": 0,
    "torch_legacy": 0,
    "public_files": 0,
    "reference_reward": 0,
    "denoising": 0,
    "configurations": 0,
    **dict.fromkeys(
        ("transitions", "process", "trajectories", "conditions", "reward", "targets", "schedules", "assets"), 0
    ),
    **dict.fromkeys(("saved_state", "checkpoints", "loading", "recipes", "description"), 0),
    **dict.fromkeys(("placement", "deferred_checks", "moving", "scoring"), 0),
    **dict.fromkeys(("values", "policies"), 1),
    **dict.fromkeys(("inference", "testing"), 2),
    **dict.fromkeys(("objectives", "rollouts", "surrogates"), 3),
    "evaluation": 4,
    "advising": 5,
    "cli": 6,
    "__main__": 7,
}
NEIGHBOURS = {("rollouts", "objectives"), ("objectives", "rollouts")}
HEAVY = {
    "rdkit": {"molecules"},
    "torch_geometric": {"molecules"},
    "h5py": {"sequences"},
    "RNA": {"sequences"},
    "logomaker": {"sequences"},
    "rapidfuzz": {"sequences"},
    "diffusers": {"images"},
    "llguidance": {"language"},
    "outlines_core": {"language"},
    "transformers": {"images", "language", "sequences"},
    "nltk": {"language"},
    "vaderSentiment": {"language"},
    "profanity_check": {"language"},
}
OPTIONAL = {"svlearn.policies.adapters": {"peft"}}  # of an extra, imported only where it is used
OUTSIDE = ("scripts", "benchmarks", "tests")


def imports(source: str, module: str, is_package: bool = False) -> set[str]:
    """The absolute names that a module's source imports, wherever it does; import_module("name") counts."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            if called in ("import_module", "__import__"):
                names.add(str(node.args[0].value))
    return names


def place(name: str) -> tuple[str | None, str | None]:
    """(part, domain) of a name below svlearn: ("values", None), ("domains", "molecules"), (None, None) for outside."""
    parts = name.split(".")
    if parts[0] != "svlearn" or len(parts) == 1:
        return None, None
    return parts[1], parts[2] if parts[1] == "domains" and len(parts) > 2 else None


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What a module's source imports against the arrows, one sentence each."""
    part, domain = place(module)
    messages = []
    for name in sorted(imports(source, module, is_package)):
        imported, imported_domain = place(name)
        root = name.split(".")[0]
        if root in OUTSIDE:
            messages.append(f"{module} imports {name}: the package knows no {root}")
        elif root in HEAVY and domain not in HEAVY[root]:
            messages.append(f"{module} imports {name}: only the domain {' or '.join(sorted(HEAVY[root]))} may")
        elif imported == "domains":
            if part != "domains":
                messages.append(f"{module} imports {name}: the core knows no domain")
            elif imported_domain != domain and imported_domain is not None:
                messages.append(f"{module} imports {name}: no domain knows another")
        elif imported in RANKS and part in RANKS:
            ahead = RANKS[imported] > RANKS[part]
            beside = RANKS[imported] == RANKS[part] != 0 and imported != part and (part, imported) not in NEIGHBOURS
            if ahead or beside:
                messages.append(f"{module} imports {name}: {imported} comes after {part} or stands beside it")
    return messages


def modules() -> dict[str, Path]:
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = modules()


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_arrows(module):
    path = MODULES[module]
    assert violations(path.read_text(), module, path.name == "__init__.py") == []


def test_every_part_has_a_rank():
    parts = {place(module)[0] for module in MODULES} - {None, "domains"}
    assert parts <= RANKS.keys()


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("svlearn.state", "from svlearn.values import Zero", "values comes after state"),
        ("svlearn.process", "def f():\n    from svlearn.inference import sampler", "inference comes after process"),
        (
            "svlearn.values.learned",
            "import svlearn.policies.controlled",
            "policies comes after values or stands beside",
        ),
        ("svlearn.values.learned", "from ..objectives import fit", "objectives comes after values"),
        ("svlearn.values.learned", "from .. import inference", "inference comes after values"),
        ("svlearn.rollouts.collect", "from svlearn import evaluation", "evaluation comes after rollouts"),
        ("svlearn.loading", "from svlearn.domains.molecules import qm9", "the core knows no domain"),
        ("svlearn.loading", "import_module('svlearn.domains.molecules')", "the core knows no domain"),
        ("svlearn.evaluation.compare", "import importlib as i\ni.import_module('rdkit')", "only the domain molecules"),
        ("svlearn.domains.images.digits", "from svlearn.domains.molecules import graph", "no domain knows another"),
        ("svlearn.domains.images.digits", "from ..molecules import graph", "no domain knows another"),
        (
            "svlearn.domains.molecules.graph",
            "import transformers",
            "only the domain images or language or sequences may",
        ),
        ("svlearn.evaluation.metrics", "from rdkit import Chem", "only the domain molecules may"),
        ("svlearn.evaluation.metrics", "from scripts import demo", "the package knows no scripts"),
        ("svlearn.objectives.fit", "from benchmarks.common.clock import clock", "the package knows no benchmarks"),
    ],
)
def test_a_bad_import_is_found(module, source, reason):
    messages = violations(source, module)
    assert len(messages) == 1
    assert reason in messages[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("svlearn.values.learned", "from svlearn.values.value import Value\nfrom .value import Zero"),
        ("svlearn.objectives.soft_q", "from svlearn.rollouts.store import Store"),
        ("svlearn.domains.molecules.gin", "import torch_geometric\nfrom svlearn.domains.molecules import graph"),
        ("svlearn.domains.molecules.qm9", "from svlearn.loading import shipped\nfrom svlearn import checkpoints"),
        ("svlearn.state", "import transformerslike, torch"),
    ],
)
def test_a_good_import_passes(module, source):
    assert violations(source, module) == []


def test_a_relative_import_in_a_package_starts_at_the_package():
    assert imports("from .value import Zero", "svlearn.values", is_package=True) == {"svlearn.values.value.Zero"}
    assert imports("from .value import Zero", "svlearn.values") == {"svlearn.value.Zero"}


def test_the_core_imports_only_what_the_project_depends_on():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in project["dependencies"]}
    distributions = packages_distributions()
    undeclared = {}
    for module, path in MODULES.items():
        for name in imports(path.read_text(), module) if place(module)[0] != "domains" else ():
            root = name.split(".")[0]
            if root in sys.stdlib_module_names or root == "svlearn" or root in OPTIONAL.get(module, ()):
                continue
            owners = {owner.lower().replace("_", "-") for owner in distributions.get(root, ["not installed"])}
            if not owners & declared:
                undeclared[module] = name
    assert undeclared == {}


def test_importing_svlearn_imports_nothing_heavy():
    heavy = ["torch", "pandas", "matplotlib", "pytorch_lightning", *HEAVY]
    code = f"import sys, svlearn; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"


def test_the_core_runs_without_the_extras():
    """Their metadata is hidden as well: torchmetrics imports transformers where that says it is installed."""
    code = (
        "import sys, importlib.metadata as metadata\n"
        f"extras = {[*HEAVY, 'peft']}\n"
        "for name in extras: sys.modules[name] = None\n"
        "find = metadata.Distribution.from_name\n"
        "def visible(name):\n"
        "    if name.replace('-', '_') in extras: raise metadata.PackageNotFoundError(name)\n"
        "    return find(name)\n"
        "metadata.Distribution.from_name = staticmethod(visible)\n"
        "import svlearn\n"
        "for name in svlearn.__all__: getattr(svlearn, name)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", svlearn.__all__)
def test_every_public_name_is_there(name):
    assert getattr(svlearn, name) is not None
    assert name in dir(svlearn)


def test_an_unknown_public_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="no attribute 'svd'; it has .*svdd"):
        svlearn.svd  # noqa: B018

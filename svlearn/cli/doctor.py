"""Say what of svlearn works on this machine, and how to mend what does not.

    svlearn doctor
    svlearn doctor --load         # and load every shipped reference, which takes a minute

Looks at the core and at each extra of the package, imports every library (in a process of its own, so that one that
crashes is said to), computes on every device, and finds the folders of files. Written to the standard output; the exit
status is 1 where something that is installed does not work, and 0 where an extra is merely not there.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import svlearn

CORE = "core"
TOOLS = ("dev", "docs")  # extras of those who change svlearn: not imported, and no news where they are not there
PATIENCE = 180.0  # seconds that an import or a loading may take


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is "ok", "absent" or "broken", in words, and what to do about it."""

    subject: str
    state: str
    words: str
    remedy: str = ""


def run() -> None:
    parser = argparse.ArgumentParser(
        prog=sys.argv[0], description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--load", action="store_true", help="load every shipped reference too")
    options = parser.parse_args(sys.argv[1:])
    python = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    print(f"svlearn {svlearn.__version__} in {Path(svlearn.__file__).parent}\n{python}\n")
    broken = False
    for finding in findings(options.load):
        broken |= finding.state == "broken"
        print(f"{finding.subject:16} {finding.state:7} {finding.words}", flush=True)
        if finding.remedy:
            print(f"{'':24} {finding.remedy}", flush=True)
    if broken:
        sys.exit(1)


def findings(load: bool = False) -> Iterator[Finding]:
    """All that is looked at, in the order in which it is said."""
    core_works = True
    for extra, requirements in requirements_of("svlearn").items():
        finding = libraries(extra, requirements)
        core_works &= extra != CORE or finding.state == "ok"
        if finding.state != "absent" or extra not in TOOLS:
            yield finding
    if not core_works:  # what comes next would fail by it
        return
    yield from devices()
    yield from folders()
    if load:
        yield from references()


def requirements_of(distribution: str) -> dict[str, list[Requirement]]:
    """The requirements of an installed package that hold on this machine, those of the core and of each extra."""
    found: dict[str, list[Requirement]] = defaultdict(list, {CORE: []})
    extras = importlib.metadata.metadata(distribution).get_all("Provides-Extra") or []
    for line in importlib.metadata.requires(distribution) or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found[CORE].append(requirement)
        else:
            for extra in extras:
                if requirement.marker.evaluate({"extra": extra}):
                    found[extra].append(requirement)
    return dict(found)


def libraries(extra: str, requirements: list[Requirement]) -> Finding:
    """Whether the libraries of an extra are there, of a version that svlearn takes, and can be imported."""
    present, absent, old = {}, [], []
    for each in requirements:
        try:
            present[each.name] = importlib.metadata.version(each.name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(each.name)
            continue
        if not each.specifier.contains(present[each.name], prereleases=True):
            old.append(f"{each.name} {present[each.name]} is not {each.specifier}")
    name = source_of("svlearn") + ("" if extra == CORE else f"[{extra}]")
    remedy = f'pip install --upgrade "{name}"'
    if absent:
        some = f"; {', '.join(present)} there" if present else ""
        state = "broken" if extra == CORE else "absent"
        return Finding(extra, state, f"without {', '.join(absent)}{some}", remedy)
    if old:
        return Finding(extra, "broken", "; ".join(old), remedy)
    failed = failures(list(present)) if extra not in TOOLS else {}
    if failed:
        words = "; ".join(f"{each} cannot be imported: {why}" for each, why in failed.items())
        return Finding(extra, "broken", words, f'pip install --force-reinstall "{name}"')
    return Finding(extra, "ok", ", ".join(f"{each} {version}" for each, version in present.items()))


def source_of(distribution: str) -> str:
    """What pip installs a package from: the folder that it was installed from, where that is still there, else its
    name."""
    try:
        recorded = importlib.metadata.distribution(distribution).read_text("direct_url.json") or "{}"
    except importlib.metadata.PackageNotFoundError:
        return distribution
    parts = urlsplit(json.loads(recorded).get("url", ""))
    folder = url2pathname(parts.path)
    return folder if parts.scheme == "file" and Path(folder).is_dir() else distribution


def failures(distributions: list[str]) -> dict[str, str]:
    """Which distributions cannot be imported, and why."""
    modules = modules_of(distributions)
    pairs = [(each, module) for each in distributions for module in modules[each]]
    return {each: why for (each, _), why in zip(pairs, apart(import_module, [module for _, module in pairs])) if why}


def modules_of(distributions: list[str]) -> dict[str, list[str]]:
    """The module of each distribution that has one: the one of its name, where it has several."""
    found: dict[str, list[str]] = {each: [] for each in distributions}
    own = importlib.metadata.packages_distributions()
    for each in distributions:
        name = canonicalize_name(each)  # of which metadata has other spellings
        names = [module for module, owners in own.items() if name in map(canonicalize_name, owners)]
        names = [module for module in names if not module.startswith("_")]
        same = [module for module in names if module.lower() == each.lower().replace("-", "_")]
        found[each] = same or names[:1]
    return found


def apart(function: Callable[[str], object], names: list[str]) -> list[str]:
    """Why function(name) fails, in a process of its own; "" where it does not."""
    try:
        from svlearn.scoring import Failure, Workers
    except ImportError:  # torch or pebble itself, which is what is looked at
        return [_why_here(function, name) for name in names]
    workers = Workers(1, PATIENCE)
    try:
        results = workers.map(partial(_run, function), names, per_task=1)
    finally:
        workers.close()
    return [result.why if isinstance(result, Failure) else "" for result in results]


def _run(function: Callable[[str], object], name: str) -> None:
    """What a function returns, as a module, need not come back from its process."""
    function(name)


def _why_here(function: Callable[[str], object], name: str) -> str:
    try:
        function(name)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def devices() -> Iterator[Finding]:
    """The CPU, and each accelerator that torch sees, or why it sees none."""
    import torch

    yield Finding("cpu", "ok", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(number).total_memory / 2**30
            yield _computes(f"cuda:{number}", f"{torch.cuda.get_device_name(number)}, {memory:.0f} GiB")
    elif torch.version.cuda is None and torch.version.hip is None:
        yield Finding("cuda", "absent", "this build of torch is for the CPU", "where there is a GPU: pytorch.org")
    else:
        yield Finding("cuda", "absent", "torch sees no GPU", "where there is one: its driver (nvidia-smi)")
    if torch.backends.mps.is_available():
        yield _computes("mps", "Apple's GPU; svlearn trains on the CPU beside it, for it has no float64")


def _computes(device: str, words: str) -> Finding:
    import torch

    try:
        x = torch.ones(64, 64, device=device)
        right = float((x @ x).sum()) == 64**3
    except RuntimeError as error:
        return Finding(device, "broken", f"{words}: {error}", "its driver, or torch for another version of it")
    return Finding(device, "ok" if right else "broken", words)


def folders() -> Iterator[Finding]:
    """Where public files are read from and kept."""
    from svlearn.assets import CACHE_VARIABLE, FOLDER_VARIABLE, cache_folder

    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and not Path(folder).expanduser().is_dir():
        yield Finding("files", "broken", f"{FOLDER_VARIABLE}={folder} is no folder", f"unset {FOLDER_VARIABLE}")
    elif folder:
        yield Finding("files", "ok", f"{FOLDER_VARIABLE}={folder}")
    try:
        path = cache_folder()
    except ValueError as error:
        yield Finding("downloads", "broken", str(error), f"set {CACHE_VARIABLE}")
        return
    nearest = next(each for each in (path, *path.parents) if each.exists())
    if os.access(nearest, os.W_OK):
        yield Finding("downloads", "ok", f"go to {path}")
    else:
        yield Finding("downloads", "broken", f"{path} cannot be written", f"set {CACHE_VARIABLE} to a folder that can")


def references() -> Iterator[Finding]:
    """Every reference that `svlearn.load` knows by name."""
    from svlearn.loading import GROUP

    names = sorted(point.name for point in importlib.metadata.entry_points(group=GROUP))
    for name, why in zip(names, apart(_load, names)):
        state = "ok" if not why else "absent" if "ConnectionError" in why or "ModuleNotFoundError" in why else "broken"
        yield Finding(name, state, why or "loads")


def _load(name: str) -> None:
    import svlearn

    svlearn.load(name)

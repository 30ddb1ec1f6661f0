"""What was advised, as `svlearn evaluate` reads it."""

import copy
from collections.abc import Mapping, Set
from typing import Any

from svlearn.advising.candidates import Candidate
from svlearn.bytecode import module_of
from svlearn.compiled import plain
from svlearn.description import arguments_of, describe
from svlearn.process import Reference
from svlearn.targets import Target
from svlearn.values import PosteriorMean, Value

KEPT = ("reference", "reward", "targets", "policies", "values", "judges", "metrics", "condition", "max_batch")


def configuration(
    reference: Reference,
    target: Target,
    values: Mapping[str, Value],
    policies: Mapping[str, Reference],
    files: Mapping[str, str],
    chosen: list[Candidate],
    num_samples: int,
    seed: int,
    base: Mapping[str, Any] | None,
    trained: Set[str] = frozenset(),
) -> dict[str, Any] | str:
    """The configuration that draws the chosen samplers, or why there is none, in words.

    values, policies: all that a recipe may name, of which some were trained; files: where those lie that were kept;
    base: what a configuration of the same reference and reward holds already, of which its samplers are replaced.
    Without it reference, reward and values are described, as far as they say what they were made of.
    """
    content = {key: copy.deepcopy(base[key]) for key in KEPT if base is not None and base.get(key) is not None}
    try:
        if "reference" not in content:
            content["reference"] = _reference(reference)
        if "reward" not in content:
            content["reward"] = describe(target.reward, reference, "reward")
        if "targets" not in content:
            content["targets"] = {"target": {"alpha": target.alpha}}
        known = dict(content.get("values") or {})
        for name in _named([each.recipe for each in chosen], values):
            if name in files:
                known[name] = {"class_path": "svlearn.load_value", "init_args": {"name_or_path": files[name]}}
            elif name in trained:
                raise ValueError(f"values.{name}: one that was trained and that no file holds; a folder keeps networks")
            elif name not in known:
                known[name] = _of_value(values[name], reference, target, f"values.{name}")
        if known:
            content["values"] = known
        samplers = {}
        for each in chosen:
            recipe = _of_base(base, each.name) if each.recipe is None else each.recipe
            if recipe is None:
                raise ValueError(f"samplers.{each.name}: one that was handed over as an object")
            policy = each.recipe["init_args"].get("reference") if each.recipe is not None else None
            if policy is not None and policy not in content.get("policies", {}):
                own = {
                    **content.get("policies", {}),
                    policy: _of_policy(policy, policies, files, reference, base, trained),
                }
                content["policies"] = own
            samplers[each.name] = recipe
    except ValueError as error:
        return str(error)
    return {**content, "samplers": samplers, "num_samples": num_samples, "seed": seed}


def _of_base(base: Mapping[str, Any] | None, name: str) -> Any:
    """The recipe of a sampler that the configuration itself names."""
    return None if base is None or base.get("samplers") is None else base["samplers"].get(name)


def _reference(reference: Reference) -> dict[str, Any]:
    """The recipe of a reference, of what its constructor took; ValueError where that is not kept."""
    return _recipe(reference, reference, "reference")


def _recipe(process: Reference, reference: Reference, name: str) -> dict[str, Any]:
    """The same of a process, in whose arguments the reference itself is left out."""
    kind, arguments = type(plain(process)), arguments_of(plain(process), name)
    own = {key: each for key, each in arguments.items() if each is not reference}
    inside = {key: describe(each, reference, f"{name}.{key}") for key, each in own.items()}
    return {"class_path": f"{module_of(kind)}.{kind.__qualname__}", "init_args": inside}


def _of_value(value: Value, reference: Reference, target: Target, name: str) -> Any:
    """The recipe of a value; one of the configuration's own target leaves that out."""
    if type(value) is PosteriorMean and value.target is target:
        number = {} if value.num_samples is None else {"num_samples": value.num_samples}
        return {"class_path": "svlearn.values.PosteriorMean", "init_args": number}
    return describe(value, reference, name)


def _of_policy(
    name: str,
    policies: Mapping[str, Reference],
    files: Mapping[str, str],
    reference: Reference,
    base: Mapping[str, Any] | None,
    trained: Set[str],
) -> Any:
    """The recipe of a policy that was trained and kept."""
    if name not in files:
        kept = "trained and that no file holds; give a folder"
        raise ValueError(f"policies.{name}: one that was {kept if name in trained else 'handed over as an object'}")
    made = ((base or {}).get("trainable") or {}).get(name)
    if made is None:
        made = _recipe(policies[name], reference, f"policies.{name}")
    return {"class_path": "svlearn.checkpoints.load_policy", "init_args": {"policy": made, "path": files[name]}}


def _named(recipes: list[Any], values: Mapping[str, Value]) -> list[str]:
    """The names of values in recipes, each once."""
    found: dict[str, None] = {}

    def look(thing: Any, key: str = "") -> None:
        if isinstance(thing, Mapping):
            for name, each in thing.items():
                look(each, name)
        elif isinstance(thing, list):
            for each in thing:
                look(each, key)
        elif isinstance(thing, str) and key in ("value", "early", "late") and thing in values:
            found[thing] = None

    look(recipes)
    return list(found)

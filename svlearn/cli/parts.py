"""The parts of a comparison by their names, each built once, when a sampler first asks for it."""

from collections.abc import Callable, Mapping
from typing import Any

import svlearn as sv
from svlearn.inference.sampler import Sampler
from svlearn.policies import Policy
from svlearn.process import Reference
from svlearn.recipes import Context, build
from svlearn.surrogates import Surrogate
from svlearn.targets import Target
from svlearn.values import Value

KINDS: dict[str, Any] = {
    "targets": Target,
    "policies": Policy,
    "values": Value,
    "trainable": (Value, Policy, Surrogate),
    "samplers": Sampler,
    "judges": Callable,
    "metrics": Callable,
}


class Parts:
    """Named recipes (see `svlearn.recipes`) of targets, policies, values, what is to be trained, samplers, judges and
    metrics of one reference and one reward.

    A recipe may leave out `reference` and `target`, which are then the reference and the target of what it stands in,
    or the first of `targets`; a target leaves out `reward`. Where a parameter takes a value, a target or a policy, a
    text is the name of one; where it takes a reference, it is that of a policy, or a name or a file for `svlearn.load`.
    A judge or a metric that is a text is the callable at that path. Without `targets` there is one, of alpha = 0.
    """

    def __init__(self, reference: Reference, reward: Callable | None, **recipes: Mapping[str, Any] | None):
        self.reference = reference
        self.recipes = {kind: dict(recipes.get(kind) or {}) for kind in KINDS}
        if reward is not None and not self.recipes["targets"]:
            self.recipes["targets"] = {"target": {"alpha": 0.0}}
        self._shared = {"reference": reference, **({} if reward is None else {"reward": reward})}
        self._made: dict[tuple[str, str], Any] = {}
        self._open: list[tuple[str, str]] = []

    def get(self, kind: str, name: str) -> Any:
        """The part of that kind and name.

        Raises ValueError for a name that is not there (with the known ones), for parts that ask for one another without
        end, and as `recipes.build`; TypeError for what is of another kind.
        """
        key, known = (kind, name), self.recipes[kind]
        if name not in known:
            raise ValueError(f"{kind}: expected one of {', '.join(known) or 'none, as none is named'}, got {name!r}")
        if key in self._open:
            raise ValueError(f"{kind}.{name}: expected parts that are built one after another, got one inside itself")
        if key not in self._made:
            self._open.append(key)
            try:
                self._made[key] = self._build(kind, name, known[name])
            finally:
                self._open.remove(key)
        return self._made[key]

    def all(self, kind: str) -> dict[str, Any]:
        return {name: self.get(kind, name) for name in self.recipes[kind]}

    def _build(self, kind: str, name: str, recipe: Any) -> Any:
        defaults, targets = dict(self._shared), self.recipes["targets"]
        if kind == "targets" and isinstance(recipe, Mapping) and "class_path" not in recipe:
            recipe = {"class_path": "svlearn.Target", "init_args": recipe}
        elif targets:
            defaults["target"] = self.get("targets", next(iter(targets)))
        look_up: dict[type, Callable[[str], Any]] = {
            Value: lambda text: self.get("trainable" if text in self.recipes["trainable"] else "values", text),
            Target: lambda text: self.get("targets", text),
            Policy: lambda text: self.get("policies", text),
            Reference: self._process,
        }
        path, context = f"{kind}.{name}", Context(defaults, look_up)
        is_callable = KINDS[kind] is Callable and isinstance(recipe, str)
        part = context.find(recipe, path) if is_callable else build(recipe, context, path)
        if not isinstance(part, KINDS[kind]):
            kinds = KINDS[kind] if isinstance(KINDS[kind], tuple) else (KINDS[kind],)
            expected = " or a ".join(each.__name__ for each in kinds)
            raise TypeError(f"{kind}.{name}: expected what builds a {expected}, got a {type(part).__name__}")
        return part

    def _process(self, text: str) -> Reference:
        return self.get("policies", text) if text in self.recipes["policies"] else sv.load(text)

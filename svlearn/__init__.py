"""svlearn: soft values and fine-tuned policies for pretrained sequential generators, and guided inference.

The public names are imported when first used, so that `import svlearn` is quick and needs no domain's libraries.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "State": "svlearn.state",
    "Transition": "svlearn.transitions",
    "GaussianTransition": "svlearn.transitions",
    "CategoricalTransition": "svlearn.transitions",
    "FieldTransition": "svlearn.transitions",
    "MaskedTransition": "svlearn.transitions",
    "AppendingTransition": "svlearn.transitions",
    "MixtureTransition": "svlearn.transitions",
    "Prediction": "svlearn.process",
    "Reference": "svlearn.process",
    "Reward": "svlearn.reward",
    "Target": "svlearn.targets",
    "NonFiniteError": "svlearn.targets",
    "Value": "svlearn.values",
    "Cost": "svlearn.metering",
    "Samples": "svlearn.inference.samples",
    "Sampler": "svlearn.inference.sampler",
    "ancestral": "svlearn.inference.samplers",
    "best_of_n": "svlearn.inference.samplers",
    "svdd": "svlearn.inference.samplers",
    "smc": "svlearn.inference.samplers",
    "guidance": "svlearn.inference.samplers",
    "beam_search": "svlearn.inference.samplers",
    "tree_search": "svlearn.inference.tree_search",
    "refine": "svlearn.inference.refinement",
    "check": "svlearn.testing",
    "fit": "svlearn.objectives.fit",
    "collect": "svlearn.rollouts.collect",
    "load": "svlearn.loading",
    "load_value": "svlearn.values.saving",
    "save_value": "svlearn.values.saving",
    "compare": "svlearn.evaluation.compare",
    "Comparison": "svlearn.evaluation.comparison",
    "advise": "svlearn.advising",
    "Advice": "svlearn.advising",
    "diagnose": "svlearn.evaluation.diagnosis",
    "normalizer_bounds": "svlearn.evaluation.bounds",
}
_MODULES = {
    "advising": "svlearn.advising",
    "targets": "svlearn.targets",
    "values": "svlearn.values",
    "policies": "svlearn.policies",
    "proposals": "svlearn.inference.proposals",
    "starts": "svlearn.inference.starts",
    "objectives": "svlearn.objectives",
    "rollouts": "svlearn.rollouts",
    "schedules": "svlearn.schedules",
    "surrogates": "svlearn.surrogates",
    "testing": "svlearn.testing",
}

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str):
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'svlearn' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

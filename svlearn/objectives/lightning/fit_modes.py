"""Which module learns and which only runs: the modes of a fit, and those the caller gets back."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from svlearn.modes import evaluating


@contextmanager
def fit_modes(objective: nn.Module, trained: nn.Module, *fixed: object) -> Iterator[None]:
    """Run a fit with all in evaluation mode that is not trained, and give every module its own mode back, also after
    an exception.

    fixed: what runs beside, such as the reference and the target, whatever modules these hold; so does every part of
    the objective without a parameter that is trained (a slow copy, a proposal). A part that is trained keeps the modes
    that its own parts have, so that a frozen batch norm stays frozen; one in evaluation mode as a whole is put in
    training mode.
    """
    modes = [(module, module.training) for module in objective.modules()]
    learned = {id(each) for each in trained.parameters() if each.requires_grad}
    beside = []
    try:
        objective.training = True
        for part in objective.children():
            if not learned & {id(each) for each in part.parameters()}:
                beside.append(part)
            elif not part.training:
                part.train()
        with evaluating(*fixed, *beside):
            yield
    finally:
        for module, mode in modes:
            module.training = mode

"""Evaluation mode for a while, and every submodule's own mode afterwards."""

import pytest
from torch import nn

import svlearn as sv
from svlearn.modes import evaluating


def test_each_submodule_gets_its_own_mode_back():
    module = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    module[1].eval()
    before = [each.training for each in module.modules()]
    assert before == [True, True, False, False]
    with evaluating(module):
        assert not any(each.training for each in module.modules())
    assert [each.training for each in module.modules()] == before


def test_also_after_an_exception():
    module = nn.Dropout()
    with pytest.raises(KeyError), evaluating(module):
        raise KeyError
    assert module.training


def test_modules_are_found_in_what_holds_them():
    reward, network = nn.Dropout(), nn.Dropout()
    target = sv.Target(reward, alpha=1.0)
    proposal = sv.proposals.Guided(sv.values.Learned(network))
    with evaluating(target, [proposal], {"none": None}):
        assert not reward.training and not network.training
    assert reward.training and network.training

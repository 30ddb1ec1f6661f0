"""The pretended device catches what a GPU would refuse, and computes what the CPU does."""

import copy

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from tracked_device import DEVICE, synchronisations, tracked

MIXED = "expected all tensors to be on the same device"


@pytest.fixture
def device():
    with tracked() as there:
        yield there


WRONG = {
    "two places": lambda here, there: there + here,
    "a number of the device": lambda here, there: here + there.sum(),
    "a matrix": lambda here, there: here @ there,
    "cat": lambda here, there: torch.cat([here, there]),
    "stack": lambda here, there: torch.stack([there, here]),
    "where": lambda here, there: torch.where(there > 0, there, here),
    "index_select": lambda here, there: there.index_select(0, torch.tensor([0])),
    "an index of the device": lambda here, there: here[torch.tensor([0]).to(DEVICE)],
    "in place": lambda here, there: here.mul_(there),
    "searchsorted": lambda here, there: torch.searchsorted(there[0], here[0]),
    "a network": lambda here, there: nn.Linear(3, 1).to(DEVICE)(here),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_operation_on_two_devices_raises(name, device):
    with pytest.raises(RuntimeError, match=MIXED):
        WRONG[name](torch.ones(3, 3), torch.ones(3, 3, device=device))


@pytest.mark.parametrize(("made", "wished"), [("cpu", "meta"), ("meta", "cpu")])
def test_a_draw_by_a_generator_of_another_device_raises(made, wished, device):
    generator = torch.Generator(made).manual_seed(0)
    assert generator.device == torch.device(made) and isinstance(generator, torch.Generator)
    for draw in (
        lambda: torch.randn(2, generator=generator, device=wished),
        lambda: torch.multinomial(torch.ones(2, device=wished), 1, generator=generator),
        lambda: torch.zeros(2, device=wished).normal_(generator=generator),
    ):
        with pytest.raises(RuntimeError, match=f"Expected a '{wished}' device type for generator but found '{made}'"):
            draw()


def test_numpy_wants_the_cpu(device):
    with pytest.raises(TypeError, match="to numpy"):
        torch.ones(2, device=device).numpy()
    assert torch.ones(2, device=device).cpu().numpy().tolist() == [1.0, 1.0]


def test_what_cuda_allows_passes(device):
    x = torch.arange(6.0).view(3, 2).to(device)
    assert (x + torch.tensor(1.0)).device == device
    assert x[torch.tensor([2, 0])].tolist() == [[4.0, 5.0], [0.0, 1.0]]
    x[torch.tensor([0])] = torch.zeros(2, device=device)
    assert x.tolist()[0] == [0.0, 0.0] and float(x[1, 1]) == 3.0 and bool((x >= 0).all())
    with torch.device(device):
        assert {torch.zeros(1).device, torch.tensor([1.0]).device, torch.arange(2).device} == {device}


def test_numbers_and_gradients_are_those_of_the_cpu(device):
    network = nn.Sequential(nn.Linear(2, 3), nn.SiLU(), nn.Linear(3, 1))
    parameters, x = list(network.parameters()), torch.randn(5, 2)
    trained = []
    for place in ("cpu", device):
        own = copy.deepcopy(network).to(place)
        optimizer = torch.optim.Adam(own.parameters())
        own(x.to(place)).square().mean().backward()
        optimizer.step()
        trained.append([each.detach().cpu() for each in own.parameters()])
    for one, other in zip(*trained, strict=True):
        assert torch.equal(one, other)
    network.to(device)
    assert all(one is other for one, other in zip(parameters, network.parameters(), strict=True))
    assert copy.deepcopy(network)[0].weight.device == device


def test_states_with_leaves_lie_there_too(device):
    x = TensorDict({"a": torch.ones(3), "b": torch.ones(3, 2)}, batch_size=[3]).to(device)
    assert x["b"].device == device and torch.cat([x, x])["a"].device == device and x.cpu()["a"].tolist() == [1.0] * 3


def test_what_is_read_back_is_counted(device):
    x = torch.ones(3, device=device)
    with synchronisations() as counts:
        x + 1, x.cpu(), torch.ones(1).item()
        assert counts.reads == 0
        x.sum().item(), bool((x > 0).all()), torch.equal(x, x), x.nonzero()
        assert counts.reads == 4


def test_outside_all_is_as_it_was():
    with tracked():
        pass
    assert torch.ones(2, device=DEVICE).is_meta and type(torch.Generator()) is torch.Generator

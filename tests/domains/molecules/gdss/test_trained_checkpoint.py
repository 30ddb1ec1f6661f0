"""Files of the authors' trainer: moving averages beside the weights, and the names of DataParallel."""

from collections import OrderedDict

import pytest
import torch
from gdss_files import PARAMS_ADJ, PARAMS_GMH, PARAMS_X, config, random_content, write

from svlearn.domains.molecules.gdss.checkpoint import read
from svlearn.domains.molecules.gdss.reference import GDSS

STATES = {"x_state_dict": "ema_x", "adj_state_dict": "ema_adj"}


def averages(state):
    """`state_dict` of the authors' ExponentialMovingAverage."""
    return {"decay": 0.999, "num_updates": 12, "shadow_params": list(state.values())}


def parallel(state):
    return OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())


def of_trainer(seed=0, shadow_seed=1, params_x=PARAMS_X, names=lambda state: state):
    """What the authors' trainer writes: weights, and averages of other numbers."""
    content, shadows = random_content(params_x, seed=seed), random_content(params_x, seed=shadow_seed)
    held = {part: names(content[part]) for part in STATES}
    return content | held | {STATES[part]: averages(shadows[part]) for part in STATES}


def same(checkpoint, expected):
    pairs = ((checkpoint.network_x, expected.network_x), (checkpoint.network_adj, expected.network_adj))
    return all(
        torch.equal(mine, theirs)
        for one, other in pairs
        for mine, theirs in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("names", [lambda state: state, parallel], ids=["plain", "parallel"])
@pytest.mark.parametrize("params_x", [PARAMS_X, PARAMS_GMH], ids=lambda params: params["model_type"])
def test_either_weights_of_a_trainers_file(names, params_x, tmp_path):
    path = write(of_trainer(params_x=params_x, names=names), tmp_path / "trained.pth")
    trained, average = (
        read(write(random_content(params_x, seed=seed), tmp_path / f"{seed}.pth"), torch.float64) for seed in (0, 1)
    )
    assert same(read(path, torch.float64), trained) and not same(trained, average)
    assert same(read(path, torch.float64, weights="trained"), trained)
    assert same(read(path, torch.float64, weights="average"), average)


def test_the_names_of_data_parallel_alone(tmp_path):
    content = random_content()
    held = content | {"adj_state_dict": parallel(content["adj_state_dict"])}
    assert same(read(write(held, tmp_path / "a.pth")), read(write(content, tmp_path / "b.pth")))


def test_which_weights_the_process_has(tmp_path):
    content = of_trainer() | {"model_config": config() | {"data": config()["data"] | {"data": "QM9"}}}
    path = write(content, tmp_path / "trained.pth")
    processes = [GDSS.from_checkpoint(path, 2, weights=weights) for weights in ("trained", "average")]
    for process, weights in zip(processes, ("trained", "average"), strict=True):
        expected = read(path, weights=weights).network_x.state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in process.network_x.state_dict().items())
    with pytest.raises(ValueError, match="weights: expected one of trained, average, got 'ema'"):
        GDSS.from_checkpoint(path, 2, weights="ema")


def test_a_network_without_a_corrector_of_the_authors(tmp_path):
    content = of_trainer(params_x=PARAMS_GMH)
    path = write(
        content | {"model_config": config() | {"data": config()["data"] | {"data": "QM9"}}}, tmp_path / "a.pth"
    )
    with pytest.raises(ValueError, match=r"corrector: expected a Langevin.*QM9 and AttentionScoreX, got True"):
        GDSS.from_checkpoint(path, 2)
    assert GDSS.from_checkpoint(path, 2, corrector=False).num_steps == 2


def test_averages_that_are_not_there(tmp_path):
    path = write(random_content(), tmp_path / "public.pth")
    with pytest.raises(ValueError, match='public.pth: .*with moving averages, ema_x and ema_adj, .*weights="trained"'):
        read(path, weights="average")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ema: 1.0, "expected a GDSS checkpoint whose parts fit"),
        (lambda ema: {"decay": 0.9}, "with an entry 'shadow_params', got one without"),
        (lambda ema: ema | {"shadow_params": ema["shadow_params"][1:]}, r"ema_adj: expected \d+ averages, .* got \d+"),
        (lambda ema: ema | {"shadow_params": ema["shadow_params"][::-1]}, r"ema_adj: expected an average of shape"),
        (lambda ema: ema | {"shadow_params": [3.0] * len(ema["shadow_params"])}, "ema_adj: .*got float as layers"),
    ],
)
def test_averages_that_do_not_fit(change, message, tmp_path):
    content = of_trainer()
    path = write(content | {"ema_adj": change(content["ema_adj"])}, tmp_path / "trained.pth")
    with pytest.raises(ValueError, match=f"trained.pth: .*{message}"):
        read(path, weights="average")
    assert read(path).max_feat_num == PARAMS_ADJ["max_feat_num"]

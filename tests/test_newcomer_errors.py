"""What those who begin get wrong, and that each error says what to do."""

import numpy as np
import pytest
import torch
from tracked_device import DEVICE, tracked

import svlearn as sv
from svlearn.cli.evaluate import run as evaluate
from svlearn.values.value import evaluate as call


class Walk(sv.Reference):
    num_steps = 3

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 2)

    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(mean=x, std=0.3), clean=x)


class Blind(Walk):
    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(mean=x, std=0.3))


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x, t):
        return self.layer(x)


class Timeless(Network):
    def forward(self, x):
        return self.layer(x).squeeze(1)


def far(x):
    return x.norm(dim=1)


TARGET = sv.Target(far, alpha=0.5)


def sampled(reference=None, target=TARGET, value=None, **options):
    value = sv.values.PosteriorMean(target) if value is None else value
    sampler = sv.svdd(Walk() if reference is None else reference, target, value, 2)
    return sampler.sample(3, generator=torch.Generator().manual_seed(0), **options)


def refusal(make, error):
    """All that is said: the error, and the notes beneath it."""
    with pytest.raises(error) as raised:
        make()
    return "\n".join([str(raised.value), *getattr(raised.value, "__notes__", [])])


def test_wrong_shape():
    said = refusal(lambda: sampled(target=sv.Target(lambda x: far(x)[:, None], 0.5)), ValueError)
    expected = "reward: expected shape (6,), one number a state, at step 0, got (6, 1); squeeze its last dimension"
    assert said == expected


def test_dtype():
    said = refusal(lambda: sampled(value=sv.values.Learned(Network().double())), RuntimeError)
    assert (
        "in Learned, given x = a Tensor (6, 2) of torch.float32 on cpu; its parameters are torch.float64 on cpu: "
        "bring both to one dtype and one device with .to(...)"
    ) in said


def test_no_temperature_for_smc():
    target = sv.Target(far, alpha=0)
    said = refusal(lambda: sv.smc(Walk(), target, sv.values.PosteriorMean(target), 4), ValueError)
    assert said == "alpha: smc needs alpha > 0, got 0; use svdd, beam_search or best_of_n"


def test_missing_clean():
    expected = (
        "prediction.clean: PosteriorMean needs x̂_T, and the reference predicts none; return Prediction(..., clean=x̂_T) "
        "from its forward, or guide by a learned value"
    )
    assert refusal(lambda: sampled(Blind()), ValueError) == expected


def test_numpy_reward():
    target = sv.Target(lambda x: np.linalg.norm(x.numpy(), axis=1), 0.5)
    said = refusal(lambda: sampled(target=target), TypeError)
    assert "reward: expected a torch.Tensor of shape (6,), got ndarray; torch.as_tensor(...) makes one of it" in said


def test_forgotten_t():
    said = refusal(lambda: sampled(value=sv.values.Learned(Timeless())), TypeError)
    assert "network: expected one whose forward takes (x, t), Timeless.forward: too many positional" in said


def test_no_prediction_for_a_value_that_reads_it():
    value = sv.values.PosteriorMean(TARGET)
    assert refusal(lambda: call(value, torch.zeros(3, 2), 0), ValueError) == (
        "prediction: PosteriorMean reads the reference's prediction, got None; give what "
        "svlearn.process.predict(reference, x, t) returns"
    )


def test_a_typing_error_in_a_yaml(tmp_path, capsys, monkeypatch):
    file = tmp_path / "mine.yaml"
    file.write_text("reference: qm9\nnum_sample: 8\n")
    monkeypatch.setattr("sys.argv", ["svlearn evaluate", "--config", str(file)])
    with pytest.raises(SystemExit):
        evaluate()
    assert "Option 'num_sample' is not accepted; did you mean --num_samples?" in capsys.readouterr().err


def test_as_many_prompts_as_samples():
    expected = (
        "condition: expected 3 rows, one a group, got 2; give as many as samples are drawn, one of them more than once "
        "where it is meant for several"
    )
    assert refusal(lambda: sampled(condition=["Once", "Once upon a time"]), ValueError) == expected


def test_gpu_and_cpu_mixed():
    """A reward that holds a tensor of its own on the CPU, of states elsewhere."""
    centre = torch.ones(2)

    class Placed(Walk):
        def __init__(self):
            super().__init__()
            self.std = torch.nn.Parameter(torch.tensor(0.3))

        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.zeros(batch_size, 2, device=self.std.device)

    with tracked():
        walk = Placed().to(DEVICE)
        said = refusal(lambda: sampled(walk, target=sv.Target(lambda x: far(x - centre), 0.5)), RuntimeError)
    assert "in reward, given x = a Tensor (6, 2) of torch.float32 on meta" in said


def test_a_process_without_a_number_of_steps():
    class Endless(sv.Reference):
        initial, forward = Walk.initial, Walk.forward

    said = refusal(lambda: sampled(Endless()), TypeError)
    assert said == "Endless.num_steps: expected the number of steps T, on the class or set in __init__, got none"


def test_an_initial_that_takes_no_generator():
    class Seedless(Walk):
        def initial(self, batch_size):
            return torch.zeros(batch_size, 2)

    said = refusal(lambda: sampled(Seedless()), TypeError)
    expected = (
        "expected initial(self, batch_size, *, condition=None, generator=None), got an unexpected keyword argument"
    )
    assert said == f"Seedless.initial: {expected} 'generator'"

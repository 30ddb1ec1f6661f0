"""The examples of the README and of the docs run as they are where an accelerator is, on the pretended device."""

import re
from pathlib import Path

import pytest
import torch
from device_toys import there
from tracked_device import tracked

ROOT = Path(__file__).parents[1]


@pytest.fixture
def device():
    with tracked() as found:
        yield found


def test_the_example_of_the_readme_runs_where_the_trainer_chooses_the_device(device, capsys):
    (code,) = re.findall(r"<!-- example -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = code.replace("max_steps=300", "**there").replace("num_samples=200", "num_samples=20")
    exec(compile(code, "README.md", "exec"), {"there": there()})
    assert "SVDD-MC" in capsys.readouterr().out


def test_the_examples_of_the_docs_run_where_the_trainer_chooses_the_device(device, capsys):
    names = {"there": there()}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs/own_model.md").read_text(), re.DOTALL):
        exec(compile(code.replace("max_steps=200", "**there").replace("256", "16"), "docs/own_model.md", "exec"), names)
    assert "Mean reward" in capsys.readouterr().out


def test_the_examples_of_the_samplers_run_where_their_reference_lies(device, capsys):
    """The page makes its chain on the CPU: here it is brought to the device, with less to draw."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / "docs/inference.md").read_text(), re.DOTALL))
    brought, names = "seed=1).to(device), 0.6", {"device": device}
    for old, new in {"seed=1), 0.6": brought, "groups=4000": "groups=20", "groups=200": "groups=3"}.items():
        assert old in code
        code = code.replace(old, new)
    code = code.replace("2000", "40").replace("sample(500", "sample(20").replace("        200,", "        4,")
    code = code.replace("reward.table)\nfew", "reward.table).to(device)\nfew")
    with torch.device(device):  # as of who calls torch.set_default_device
        exec(compile(code, "docs/inference.md", "exec"), names)
    assert names["chain"].device == device and "reference calls" in capsys.readouterr().out

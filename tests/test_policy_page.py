"""The example of the page on policies runs as it stands: the training is stopped, near what the judge wants."""

import re
from pathlib import Path

import svlearn as sv
from svlearn.randomness import seeded

PAGE = Path(__file__).parents[1] / "docs/policies.md"


def test_the_example_is_stopped_where_the_judge_is_best(capsys):
    names = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), names)
    assert "stopped: True; the weights are those of step " in capsys.readouterr().out
    mean = sv.ancestral(names["policy"]).sample(400, generator=seeded("cpu", 0)).states.mean()
    assert abs(mean - 3) < 1.5 < 4 / 0.2  # where the reward alone would lead


def test_every_objective_that_the_page_names_is_there():
    text = PAGE.read_text()
    named = re.findall(r"`([A-Z]\w+(?:Gradient|Consistency|Matching|Control|Distillation|Judge))`", text)
    assert len(named) >= 8 and all(hasattr(sv.objectives, name) for name in named)

"""The examples of docs/images.md run in their order."""

import re
from pathlib import Path

import torch

PAGE = Path(__file__).parents[3] / "docs/images.md"


def test_the_examples_of_images_run_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names, printed = {}, []
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
        printed.append(capsys.readouterr().out)
    assert printed[0].split()[-1] == "60"  # 3 images, 10 steps, two evaluations each
    assert names["sevens"].states[:, 0]["class"].tolist() == [7, 7, 7]
    assert printed[3] == f"{torch.Size([2, 3, 16, 16])}\n"

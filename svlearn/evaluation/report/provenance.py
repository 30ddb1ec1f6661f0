"""Where numbers come from: code, command, machine, date."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import svlearn

# What decides a figure, as git matches paths.
DECIDES = [f":(top,glob)**/*.{ending}" for ending in ("py", "yaml", "toml", "txt", "safetensors")]


def provenance() -> dict[str, Any]:
    """What is needed to make the numbers again; plain JSON values.

    git_commit: of the checkout that holds the package, or None; with "+changes" where code, configurations or weights
    have uncommitted ones. What a run itself writes, results and pages, is none of them.
    """
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(sys.argv),
        "git_commit": _git_commit(),
        "svlearn": svlearn.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "gpu": gpu,
    }


def _git_commit() -> str | None:
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return None
    return f"{commit}+changes" if _git("status", "--porcelain", "--untracked-files=no", "--", *DECIDES) else commit


def _git(*arguments: str) -> str | None:
    try:
        run = subprocess.run(
            ["git", *arguments], cwd=Path(svlearn.__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()

#!/usr/bin/env bash
# Speeds and laws of bfloat16, torch.compile and CUDA graphs on the device at hand; under ten minutes on one GPU.
# Writes benchmarks/results/gpu.json and docs/leaderboards/gpu.md. Options are those of `python -m benchmarks gpu`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    [ -x .venv/bin/python ] && PYTHON=.venv/bin/python
fi
exec "$PYTHON" -m benchmarks gpu "$@"

"""Puts text_toys.py of this folder on the path, and skips what needs the libraries of the extra `language`."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="rewards of texts need transformers: the extra `language`")
sys.path.insert(0, str(Path(__file__).parent))

"""Puts latent_toys.py of this folder on the path, and skips what needs the libraries of the extra `images`."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("PIL", reason="rewards of images need pillow: the extra `images`")
sys.path.insert(0, str(Path(__file__).parent))

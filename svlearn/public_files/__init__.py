"""The table of named public files: where each comes from, its SHA-256 and its licence."""

from svlearn.public_files.asset import Asset
from svlearn.public_files.images import IMAGES
from svlearn.public_files.language import LANGUAGE
from svlearn.public_files.molecules import MOLECULES
from svlearn.public_files.sequences import SEQUENCES

__all__ = ["ASSETS", "Asset"]

ASSETS: dict[str, Asset] = {**MOLECULES, **SEQUENCES, **LANGUAGE, **IMAGES}

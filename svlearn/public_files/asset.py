"""Where a public file comes from, its SHA-256 and its licence."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from svlearn.files import sha256_of
from svlearn.unpacking import text_sha256


@dataclass(frozen=True)
class Asset:
    """Where a file comes from and what it must be.

    source     repository and full commit; path inside it
    sha256     of the file, which is what lies at the address byte for byte
    text_sha256  only for a file that is made after the download: the address holds a tar archive of one text, which is
               packed again with gzip. No sum of the archive is known, and two gzip libraries pack one text into
               different bytes: a file that differs from `sha256` is right as well if its text has this sum.
    measured   only for a table that is made of two: designed sequences, at the address, and their measurements
    """

    source: tuple[str, str]
    path: str
    sha256: str
    licence: str
    text_sha256: str | None = None
    measured: "Asset | None" = None

    @property
    def address(self) -> str:
        repository, commit = self.source
        return f"https://raw.githubusercontent.com/{repository}/{commit}/{quote(self.path)}"

    def matches(self, path: Path) -> bool:
        """Whether a file holds what is named here."""
        if sha256_of(path) == self.sha256:
            return True
        return self.text_sha256 is not None and text_sha256(path) == self.text_sha256

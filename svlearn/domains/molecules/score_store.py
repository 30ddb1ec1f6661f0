"""Scores on disk: what was expensive to find out is looked up by the next run, and by the one that goes on."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

TABLE = (
    "CREATE TABLE IF NOT EXISTS scores (settings TEXT, smiles TEXT, score REAL, failure TEXT, "
    "PRIMARY KEY (settings, smiles)) WITHOUT ROWID"
)
PATIENCE = 60.0  # seconds to wait for another process that writes


class ScoreStore:
    """A SQLite file of (settings, canonical SMILES) -> a score, or why there is none.

    settings: all that a score depends on beside the molecule, as one text; scores under other settings are others.
    Several processes may share the file; a run that is killed loses nothing that it wrote. Makes missing folders.
    """

    def __init__(self, path: str | Path, settings: str):
        self.path, self.settings = Path(path), settings
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(self._open()) as file, file:
                file.execute(TABLE)
        except sqlite3.Error as error:
            raise ValueError(f"path: expected a SQLite file of scores or none yet, got {path} ({error})") from error

    def read(self, smiles: Sequence[str]) -> dict[str, tuple[float | None, str | None]]:
        """Those of the molecules that are in the file: (score, None), or (None, why it failed)."""
        found = {}
        with closing(self._open()) as file:
            for text in smiles:
                query = "SELECT score, failure FROM scores WHERE settings = ? AND smiles = ?"
                row = file.execute(query, (self.settings, text)).fetchone()
                if row is not None:
                    found[text] = row
        return found

    def write(self, scores: Mapping[str, tuple[float | None, str | None]]) -> None:
        """Add what is known of molecules, in the form of `read`; what was known of them before is replaced."""
        rows = [(self.settings, text, *known) for text, known in scores.items()]
        if rows:
            with closing(self._open()) as file, file:
                file.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)", rows)

    def forget_failures(self) -> int:
        """Drop the failures under these settings, so that they are tried again; returns how many there were."""
        with closing(self._open()) as file, file:
            query = "DELETE FROM scores WHERE settings = ? AND failure IS NOT NULL"
            return file.execute(query, (self.settings,)).rowcount

    def __len__(self) -> int:
        """How many molecules are in the file under these settings, failures included."""
        with closing(self._open()) as file:
            return file.execute("SELECT COUNT(*) FROM scores WHERE settings = ?", (self.settings,)).fetchone()[0]

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=PATIENCE)  # one a call: a connection must not cross a fork

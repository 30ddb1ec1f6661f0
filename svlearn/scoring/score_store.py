"""Scores on disk: what was expensive to find out is looked up by the next run, and by the one that goes on."""

import hashlib
import logging
import math
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from svlearn.arguments import expect, is_number
from svlearn.files import user_path
from svlearn.scoring.failures import LONGEST_REASON, printable

# Files of earlier versions call the text of an object, of whatever kind it is, by the name of the first kind.
TABLE = (
    "CREATE TABLE checked_scores (settings TEXT, smiles TEXT, score REAL, failure TEXT, checksum TEXT, "
    "PRIMARY KEY (settings, smiles)) WITHOUT ROWID"
)
PATIENCE = 60.0  # seconds to wait for another process that writes
LONGEST_TEXT = 100_000  # characters of a text and of the settings
LARGEST_ROW = 1_000_000  # bytes that are read of a file, however it came about

Known = tuple[float | None, str | None]

logger = logging.getLogger(__name__)


class ScoreStore:
    """A SQLite file of (settings, text of an object) -> a score, or why there is none.

    settings: all that a score depends on beside the object, as one text: the function's name, its options, the
    programs' versions. Scores under other settings are others. What only decides whether a score is found, as a time
    limit, is none of it, as long as the failures that are written are those of the object.
    Several processes may share the file, on a file system whose locks work; a run that is killed loses nothing that it
    wrote. Every row has a checksum: one that does not check out, or holds anything but a number or a reason, counts as
    not there, with a warning. A text or settings of more than 100,000 characters are not kept, a reason is cut at
    500. Makes missing folders.
    Raises TypeError for settings that are no text, ValueError for empty ones, and for a path that is no such file or
    cannot be written: at once, and not when the first score is known.
    """

    def __init__(self, path: str | os.PathLike, settings: str):
        expect(settings, str, "settings")
        if not 0 < len(settings) <= LONGEST_TEXT:
            raise ValueError(f"settings: expected a text of 1 to {LONGEST_TEXT:,} characters, got {len(settings):,}")
        # in full: SQLite has names of its own, as :memory:, and the program may go to another folder
        self.path, self.settings = user_path(path).absolute(), printable(settings)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as file, file:
                file.execute("BEGIN IMMEDIATE")
                self._check_tables(file)
                file.execute("INSERT OR REPLACE INTO checked_scores VALUES ('', '', NULL, '', '')")
                file.execute("DELETE FROM checked_scores WHERE settings = ''")  # it can be written, then
        except (sqlite3.Error, OSError, ValueError) as error:
            raise ValueError(
                f"path: expected a SQLite file of scores that can be written, or none yet in a folder that can be, got "
                f"{self.path} ({error}); give one in a folder of your own"
            ) from error

    def read(self, texts: Sequence[str]) -> dict[str, Known]:
        """Those of the objects that are in the file: (score, None), or (None, why it failed)."""
        found, damaged = {}, 0
        with closing(self._open()) as file:
            for text in texts:
                query = "SELECT score, failure, checksum FROM checked_scores WHERE settings = ? AND smiles = ?"
                try:
                    row = file.execute(query, (self.settings, printable(text))).fetchone()
                    if row is not None:
                        found[text] = self._checked(printable(text), *row)
                except (sqlite3.DatabaseError, ValueError) as error:
                    if isinstance(error, sqlite3.OperationalError):
                        raise  # the file cannot be read at all
                    damaged += 1
        if damaged:
            logger.warning(
                "%s is damaged: %d scores in it do not check out, and are as if not there", self.path, damaged
            )
        return found

    def write(self, scores: Mapping[str, Known]) -> None:
        """Add what is known of objects, in the form of `read`, in one transaction; it replaces what was known before.

        Raises ValueError for NaN, and TypeError for what is neither (number, None) nor (None, text).
        """
        rows = [self._row(text, *known) for text, known in scores.items() if len(text) <= LONGEST_TEXT]
        if rows:
            with closing(self._open()) as file, file:
                file.execute("BEGIN IMMEDIATE")
                self._check_tables(file)  # somebody may have deleted the file
                file.executemany("INSERT OR REPLACE INTO checked_scores VALUES (?, ?, ?, ?, ?)", rows)

    def forget_failures(self) -> int:
        """Drop the failures under these settings, so that they are tried again; returns how many there were."""
        with closing(self._open()) as file, file:
            query = "DELETE FROM checked_scores WHERE settings = ? AND failure IS NOT NULL"
            return file.execute(query, (self.settings,)).rowcount

    def __len__(self) -> int:
        """How many objects are in the file under these settings, failures included."""
        with closing(self._open()) as file:
            query = "SELECT COUNT(*) FROM checked_scores WHERE settings = ?"
            return file.execute(query, (self.settings,)).fetchone()[0]

    def _open(self) -> sqlite3.Connection:
        file = sqlite3.connect(self.path, timeout=PATIENCE)  # one a call: a connection must not cross a fork
        file.text_factory = bytes  # damaged text need not be UTF-8
        file.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_ROW)
        file.execute("PRAGMA trusted_schema = OFF")
        return file

    def _check_tables(self, file: sqlite3.Connection) -> None:
        """Make the table where there is none; a view, a trigger or another table in its place is refused."""
        names = "SELECT type, sql FROM sqlite_master WHERE tbl_name = 'checked_scores'"
        tables = file.execute(names).fetchall()
        if not tables:
            file.execute(TABLE)
            if file.execute("SELECT 1 FROM sqlite_master WHERE name = 'scores'").fetchone():
                logger.warning(
                    "%s holds scores of an earlier svlearn: they have no checksums, and failures among them that need "
                    "not last, so they are not read",
                    self.path,
                )
        elif tables != [(b"table", TABLE.encode())]:
            raise ValueError("its table of scores is not one of svlearn")

    def _row(self, text: str, score: Any, failure: Any) -> tuple[str, str, float | None, str | None, str]:
        if score is None and isinstance(failure, str):
            failure = printable(failure)[:LONGEST_REASON]
        elif failure is None and is_number(score):
            score = float(score) + 0.0  # SQLite keeps no sign of a zero
            if math.isnan(score):
                raise ValueError(f"scores: expected numbers, got NaN of {text}")
        else:
            raise TypeError(f"scores: expected (number, None) or (None, why), got {(score, failure)!r} of {text}")
        text = printable(text)
        return self.settings, text, score, failure, self._checksum(text, score, failure)

    def _checked(self, text: str, score: Any, failure: Any, checksum: Any) -> Known:
        """The score and failure of a row, or ValueError."""
        failure = failure.decode() if isinstance(failure, bytes) else failure
        if (failure is None) == (score is None) or not isinstance(score, float | None) or score != score:
            raise ValueError("neither a score nor a failure")
        if not isinstance(failure, str | None) or checksum != self._checksum(text, score, failure).encode():
            raise ValueError("its checksum is another")
        return score, failure

    def _checksum(self, text: str, score: float | None, failure: str | None) -> str:
        """Of all that a row says, its own key included."""
        said = repr((self.settings, text, None if score is None else score.hex(), failure))
        return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()

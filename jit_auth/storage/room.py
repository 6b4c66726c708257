"""Room on the disk of an SQLite file: what is done where there was none, and when a batch may be tried again.

SQLite writes its log into the file after a commit alone, and there is none where the log itself has taken the last
room. So it is asked to do so here, and to begin the log anew in the room that it has; from then on it stays smaller.

Race: room comes back while a batch is written, and some of it is in. A batch is tried again only where nothing of it
was written, and surely: not where a part was refused for its own fault, nor where the answer to a COMMIT was lost.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence

from jit_auth.errors import StorageError
from jit_auth.storage.job import Answer

CHECKPOINT = 4_000
"""Pages of WAL (16 MiB) before they go into the file: hot pages are then written back once, not four times."""

SMALLEST = 250
"""The same on a disk that was too small for it."""

GIVE_WAY = 1.0
"""Seconds between attempts to have a log that has filled the disk written into the file."""

_NOT_COMMITTED = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR_WRITE)


class Room:
    """What the thread of one journal knows of its disk."""

    def __init__(self) -> None:
        self.short = False
        """There was none, and nothing has made any since."""
        self.pages = CHECKPOINT
        """How long the log may grow."""
        self._looked = 0.0

    def saw(self, error: Exception) -> None:
        """A transaction failed."""
        self.short = self.short or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL

    def make(self, connected: Callable[[], sqlite3.Connection]) -> bool:
        """Have the log written into the file; whether it was. At most once in `GIVE_WAY`."""
        if time.monotonic() - self._looked < GIVE_WAY:
            return False
        self._looked = time.monotonic()
        try:
            connection = connected()
            busy, frames, _ = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            # From now on it is smaller: what room there is beside it is the file's.
            self.pages = min(self.pages, max(frames // 2, SMALLEST))
            connection.execute(f"PRAGMA wal_autocheckpoint = {self.pages}")
        except (sqlite3.Error, StorageError):
            return False
        self.short = bool(busy)
        return not busy


def unwritten(answers: Sequence[Answer]) -> bool:
    """Whether nothing of a batch was written, surely: what was must not be written a second time."""
    return all(isinstance(answer, StorageError) and not answer.unknown for answer in answers)


def committed(error: Exception) -> bool:
    """Whether a COMMIT that failed so may be one all the same. Frames that were not all written are none; frames that
    were, and could not be synced, may be."""
    return getattr(error, "sqlite_errorcode", None) not in _NOT_COMMITTED

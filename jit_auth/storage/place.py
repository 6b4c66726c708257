"""Where the database is: its file, who may read it, and the lock that keeps a second service out (THREAT_MODEL 40)."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from jit_auth.config.database import POSTGRESQL, sqlite_path
from jit_auth.errors import StorageError


def file_of(url: str, base: Path) -> Path | None:
    """The file of an SQLite URL (relative ones against `base`), or None for PostgreSQL. Raises StorageError."""
    path = sqlite_path(url, base)
    if path is None and url.partition("://")[0] not in POSTGRESQL:
        raise StorageError(
            "This is no URL of a database that is supported.",
            hint='Write "sqlite:///FILE" or "postgresql://user:password@host/database".',
        )
    return path


def exposed(path: Path) -> tuple[Path, ...]:
    """Which of a database's files group or others can read."""
    files = (path.with_name(path.name + tail) for tail in ("", "-wal", "-shm", ".lock"))
    return tuple(one for one in files if one.exists() and stat.S_IMODE(one.stat().st_mode) & 0o077)


def make_private(path: Path) -> None:
    """Make the file, for its owner alone, if it is not there: SQLite gives -wal and -shm the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StorageError(f"The database file cannot be opened: {error.strerror}.") from error


class Lock:
    """An exclusive lock on `FILE.lock`: a second `serve` on one file refuses to start. Held until `release`."""

    def __init__(self, path: Path) -> None:
        lock = path.with_name(path.name + ".lock")
        try:
            self._fd = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"The lock file cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise StorageError(
                f"Another `jit-auth serve` uses this database file: {path}.", hint="Stop it first, or use PostgreSQL."
            ) from None

    def release(self) -> None:
        """Let another one in."""
        os.close(self._fd)

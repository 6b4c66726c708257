"""Where the database is: what a storage URL names, and whether that place is safe (SECURITY 40)."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import stat
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from jit_auth.errors import StorageError

_HINT = 'Write "sqlite:///FILE" or "postgresql://user:password@host/database".'


def sqlite_path(url: str, base: Path) -> Path | None:
    """The file of an SQLite URL (relative ones against `base`), or None for PostgreSQL. Raises StorageError."""
    if url.startswith(("postgresql://", "postgres://")):
        return None
    if not url.startswith("sqlite:///"):
        raise StorageError("This is no URL of a database that is supported.", hint=_HINT)
    name = unquote(url.removeprefix("sqlite:///"))
    if not name or name.startswith(":") or "?" in name or "\0" in name:
        raise StorageError("An SQLite URL names a file.", hint=_HINT)
    return base / name


def insecure(url: str) -> bool:
    """Whether a PostgreSQL URL leaves this machine without checking who answers (less than sslmode=verify-full)."""
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    named = parts.netloc.rpartition("@")[2]
    hosts = [_host(one) for one in named.split(",") if one] or [
        one for value in options.get("host", []) for one in value.split(",")
    ]
    hosts = hosts or [one for one in os.environ.get("PGHOST", "").split(",") if one]
    mode = options.get("sslmode", [os.environ.get("PGSSLMODE", "prefer")])[-1]
    return mode != "verify-full" and not all(_near(unquote(host)) for host in hosts)


def _host(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def _near(host: str) -> bool:
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
                "Another `jit-auth serve` uses this database file.", hint="Stop it first, or use PostgreSQL."
            ) from None

    def release(self) -> None:
        """Let another one in."""
        os.close(self._fd)

"""Secrets as config.toml writes them: a literal (loopback only), an environment variable, a file or a command."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

_PATIENCE = 10.0  # seconds for a command


class SecretTable(Struct, frozen=True):
    """`{ env = "NAME" }`, `{ file = "PATH" }` or `{ command = ["..."] }`: exactly one of them."""

    env: str | None = None
    file: str | None = None
    command: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if sum(source is not None for source in (self.env, self.file, self.command)) != 1:
            raise ValueError("a secret is exactly one of env, file, command")
        if self.command is not None and not self.command:
            raise ValueError("command names a program and its arguments")


Secret = str | SecretTable


def is_address(text: str) -> bool:
    """Whether a text that stands where a secret may is but an address without a password (smtp://127.0.0.1:1025)."""
    return "://" in text and "@" not in text and "?" not in text


def exposed(path: Path) -> bool:
    """Whether group or others can read or change a file (THREAT_MODEL 40). A missing file is not exposed."""
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except OSError:
        return False


class Secrets:
    """Reads secrets for one configuration. `warnings` gathers what is tolerated on loopback only."""

    def __init__(self, base: Path, *, loopback: bool, environ: Mapping[str, str]) -> None:
        self._base = base
        self._loopback = loopback
        self._environ = environ
        self.literals = 0
        self.warnings: list[str] = []

    def resolve(self, secret: Secret) -> str:
        """The secret's text, without a line break at its end. Raises ValueError; its message holds no secret."""
        if isinstance(secret, str):
            if not self._loopback:
                raise ValueError("a literal secret is for loopback only: use { env }, { file } or { command }")
            self.literals += 1
            text = secret
        elif secret.env is not None:
            text = self._environ.get(secret.env, "")
            if not text:
                raise ValueError(f"the environment variable {secret.env} is not set")
        elif secret.file is not None:
            text = self._read(self._base / secret.file)
        else:
            text = self._run(secret.command or ())
        text = text.rstrip("\r\n")
        if not text:
            raise ValueError("the secret is empty")
        return text

    def judge_mode(self, path: Path, what: str) -> None:
        """A file with secrets that others can read: a warning on loopback, else ValueError."""
        if exposed(path):
            message = f"{what} {path} can be read by group or others: chmod 600 it"
            if not self._loopback:
                raise ValueError(message)
            self.warnings.append(message)

    def _read(self, path: Path) -> str:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ValueError(f"the secret's file {path} cannot be read: {reason}") from None
        self.judge_mode(path, "the secret's file")
        return text

    def _run(self, command: tuple[str, ...]) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own words, no shell
                command, cwd=self._base, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = error.strerror if isinstance(error, OSError) else f"no answer within {_PATIENCE:.0f} s"
            raise ValueError(f"the secret's command {command[0]} failed: {reason}") from None
        if done.returncode:
            raise ValueError(f"the secret's command {command[0]} failed: exit {done.returncode}")
        try:
            return done.stdout.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"the secret's command {command[0]} printed no UTF-8") from None

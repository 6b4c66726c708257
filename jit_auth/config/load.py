"""Load config.toml: read, cross-check, resolve. Every fault is named with its line, not only the first."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from jit_auth.config.resolve import Resolver
from jit_auth.config.settings import Settings
from jit_auth.config.tables import File
from jit_auth.core.toml import Document, convert, read
from jit_auth.errors import Fault, Faults


def load(
    path: Path,
    *,
    channels: Mapping[str, type[Struct]] = {},
    secrets: bool = True,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings in the file at `path`. Raises Faults.

    `channels` are the Structs that judge [channels.*]: a channel that is none of them is an unknown key.
    With `secrets` False no secret is resolved (they stay empty): for commands that only look at connectors.
    `environ` stands for os.environ.
    """
    document = document_of(path, missing=" (`jit-auth init` writes one; -c FILE names another)")
    resolver = Resolver(
        document,
        path.absolute().parent,
        os.environ if environ is None else environ,
        channels=channels,
        secrets=secrets,
    )
    settings = resolver.settings(convert(document, File))
    if resolver.faults:
        raise Faults(sorted(resolver.faults, key=lambda fault: fault.line))
    return settings


def policy_texts(settings: Settings) -> list[tuple[str, str]]:
    """Each policy file as (path as shown, text), as `policy.rules.load` takes them. Raises Faults."""
    texts: list[tuple[str, str]] = []
    faults: list[Fault] = []
    for number, path in enumerate(settings.policies.paths):
        try:
            texts.append((shown(path), path.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            faults.append(settings.document.fault(("policies", "paths", number), f"{path}: {_reason(error)}"))
    if faults:
        raise Faults(faults)
    return texts


def document_of(path: Path, *, missing: str = "") -> Document:
    """A TOML file with positions. Raises Faults, also where it cannot be read: `missing` is added if there is none."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        more = missing if isinstance(error, FileNotFoundError) else ""
        raise Faults([Fault(shown(path), 0, _reason(error) + more)]) from None
    return read(shown(path), text)


def shown(path: Path) -> str:
    """A path as people see it: relative to the working directory where it lies below, else absolute."""
    absolute = path.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return "is not UTF-8"

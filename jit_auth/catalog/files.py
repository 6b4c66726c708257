"""Which connector and provider files there are: shipped ones, and those of [connectors] paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import Struct

from jit_auth.catalog.tables import ConnectorTable
from jit_auth.config.load import document_of, shown
from jit_auth.config.provider import SharedProviderTable
from jit_auth.core.toml import Document, convert
from jit_auth.errors import Fault, Faults

CONNECTOR = "connector.toml"
PROVIDER = "provider.toml"

T = TypeVar("T", bound=Struct)


@dataclass(frozen=True)
class Found(Generic[T]):
    """One file: `id` is its folder's name, `entry` the folder in which that lies: the path entry it came with."""

    id: str
    entry: Path
    document: Document
    table: T

    @property
    def folder(self) -> Path:
        return self.entry / self.id


@dataclass(frozen=True)
class Files:
    connectors: tuple[Found[ConnectorTable], ...]
    providers: tuple[Found[SharedProviderTable], ...]
    unread: frozenset[str]
    """Ids of what is there, and faulty: a mention of it elsewhere is no fault of its own."""


@cache
def shipped_path() -> Path:
    """The connectors that come with the program: inside the wheel, else beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_connectors"
    return installed if installed.is_dir() else package.parent / "connectors"


def find(entries: Sequence[Path], faults: list[Fault]) -> Files:
    """Read every file below `entries`; a folder that is named twice counts once. What cannot be read is a fault."""
    connectors: list[Found[ConnectorTable]] = []
    providers: list[Found[SharedProviderTable]] = []
    seen: set[Path] = set()
    unread: set[str] = set()
    for entry in entries:
        folders = _folders(entry)
        if not folders and not entry.is_dir():
            faults.append(Fault(shown(entry), 0, "no such folder of connectors"))
        for folder in folders:
            if folder.resolve() in seen:
                continue
            seen.add(folder.resolve())
            before = len(faults)
            if (folder / CONNECTOR).is_file() and (connector := _read(folder, CONNECTOR, ConnectorTable, faults)):
                connectors.append(connector)
            if (folder / PROVIDER).is_file() and (provider := _read(folder, PROVIDER, SharedProviderTable, faults)):
                providers.append(provider)
            if len(faults) > before:
                unread.add(folder.resolve().name)
    _once("connector", connectors, faults)
    _once("provider", providers, faults)
    return Files(tuple(connectors), tuple(providers), frozenset(unread))


def _folders(entry: Path) -> list[Path]:
    """The folders of an entry: those inside it, or itself where it is a connector's or provider's own."""
    if entry.name in (CONNECTOR, PROVIDER):
        entry = entry.parent
    if (entry / CONNECTOR).is_file() or (entry / PROVIDER).is_file():
        return [entry]
    if not entry.is_dir():
        return []
    return sorted(child for child in entry.iterdir() if child.is_dir() and not child.name.startswith("."))


def _read(folder: Path, name: str, kind: type[T], faults: list[Fault]) -> Found[T] | None:
    try:
        if folder.parent == shipped_path():
            return _shipped(folder, name, kind, shown(folder))
        return _parse(folder, name, kind)
    except Faults as wrong:
        faults.extend(wrong.faults)
        return None


def _parse(folder: Path, name: str, kind: type[T]) -> Found[T]:
    document = document_of(folder / name)
    return Found(folder.resolve().name, folder.resolve().parent, document, convert(document, kind))


@cache
def _shipped(folder: Path, name: str, kind: type[T], told_as: str) -> Found[T]:
    """What comes with the program changes with it alone; `told_as`: how its faults name it, from where we are."""
    return _parse(folder, name, kind)


def _once(what: str, found: Sequence[Found[T]], faults: list[Fault]) -> None:
    first: dict[str, Found[T]] = {}
    for one in found:
        other = first.setdefault(one.id, one)
        if other is not one:
            faults.append(Fault(one.document.file, 1, f"the {what} {one.id!r} is in {other.document.file} already"))

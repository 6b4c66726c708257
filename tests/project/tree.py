"""The tree as a list of files: what the project's tests about itself read. Caches and environments are left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SKIP = {".git", "build", "dist", "__pycache__", "node_modules"}


def files(*suffixes: str, under: str = ".") -> list[Path]:
    """Text files below `under` with one of these suffixes (none: all), sorted."""
    found = [path for path in _walk(ROOT / under) if not suffixes or path.suffix in suffixes]
    return sorted(found)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def modules() -> list[Path]:
    """The package's own Python files."""
    return files(".py", under="jit_auth")


def _walk(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name in _SKIP or path.name.endswith(("_cache", ".egg-info")) or path.name == ".hypothesis":
            continue
        if path.name.startswith(".venv"):  # also those of make bench and make frameworks
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.suffix not in {".db", ".pyc", ".png", ".lock"} and not path.name.endswith((".db-wal", ".db-shm")):
            yield path

"""The pytest plugin: the fixtures, and the environment that agents under test read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jit_auth.testing.kit import JitAuth
from jit_auth.testing.place import Place
from jit_auth.testing.setup import Setup

PLACE = pytest.StashKey[Place]()
_BEFORE = pytest.StashKey[dict[str, str | None]]()
VARIABLES = ("JIT_AUTH_URL", "JIT_AUTH_TOKEN")


def pytest_configure(config: pytest.Config) -> None:
    """From now on JIT_AUTH_URL and JIT_AUTH_TOKEN are the fixture's, whatever they were: no test reaches another."""
    place = config.stash[PLACE] = Place()
    config.stash[_BEFORE] = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(zip(VARIABLES, (place.url, place.token), strict=True))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Both as they were."""
    if PLACE not in config.stash:
        return
    config.stash[PLACE].close()
    for name, value in config.stash[_BEFORE].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture
def jit_auth_setup() -> Setup:
    """What `jit_auth` runs. Tests give their own fixture of this name."""
    return Setup()


@pytest.fixture(name="jit_auth")
def jit_auth_fixture(
    request: pytest.FixtureRequest, jit_auth_setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[JitAuth]:
    """A service of `jit_auth_setup` for one test, on a new database. JIT_AUTH_URL and JIT_AUTH_TOKEN lead to it."""
    with run(jit_auth_setup, tmp_path / "jit_auth", place=request.config.stash.get(PLACE, None)) as kit:
        for name, value in zip(VARIABLES, (kit.url, kit.token()), strict=True):
            monkeypatch.setenv(name, value)
        yield kit


@contextmanager
def run(setup: Setup, folder: Path, *, place: Place | None = None) -> Iterator[JitAuth]:
    """A service of `setup` for the length of a `with`: for fixtures of another scope, or a second service in one test.
    `folder`: where its files go; it is made. Raises Faults, Misused; at the end what a handler of `api` raised."""
    folder.mkdir(parents=True, exist_ok=True)
    own = Place() if place is None or place.taken else None
    used = own or place or Place()
    used.taken = True
    try:
        kit = JitAuth(setup, folder, used)
        try:
            yield kit
        finally:
            kit.close()
    finally:
        used.taken = False
        if own is not None:
            own.close()

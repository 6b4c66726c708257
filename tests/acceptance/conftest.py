"""One world of fakes and one service for all tests that do not need their own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance import files
from tests.acceptance.kit import Service, World, numbered
from tests.acceptance.office import Office, office

_PEOPLE = numbered("person")
_WORDS = itertools.count(1000)


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    made = World()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def service(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Shared: tests use people of their own (`person`) and leave its files alone."""
    made = Service(tmp_path_factory.mktemp("service"), files.everything(world)).start()
    yield made
    made.stop()


@pytest.fixture
def own(world: World, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Services of this test alone: `own(**{"config.toml": ...})` changes files; they are not started."""
    made: list[Service] = []

    def make(changes: dict[str, str] | None = None, env: dict[str, str] | None = None) -> Service:
        one = Service(tmp_path / str(len(made)), {**files.everything(world), **(changes or {})}, env)
        made.append(one)
        return one

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def person() -> str:
    return next(_PEOPLE)


@pytest.fixture(scope="session", name="office")
def shared_office(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Shared, and running: tests tell their requests apart by a text of their own."""
    with office(world, tmp_path_factory.mktemp("office")) as made:
        made.service.start()
        yield made


@pytest.fixture
def word() -> str:
    """A text that no other request holds."""
    return f"word{next(_WORDS)}"

"""A server that does as it is told, and each of the two clients at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.integration.client.kit import Scripted, Speaks, client, scripted


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with scripted() as found:
        yield found


@pytest.fixture(params=["blocking", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
async def made(kind: str) -> AsyncIterator[Callable[..., Speaks]]:
    """Makes clients of one kind, closed at the end."""
    all: list[Speaks] = []

    def make(url: str, *args: str, **options: object) -> Speaks:
        all.append(client(kind, url, *args, **options))
        return all[-1]

    yield make
    for each in all:
        await each.close()


@pytest.fixture
def speaks(server: Scripted, made: Callable[..., Speaks]) -> Speaks:
    """A client of `server`."""
    return made(server.url)

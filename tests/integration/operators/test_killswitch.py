"""The kill switch under load: the database's own order of commits says that no intent came after a cut (9, 25).

`python -m benchmarks.killswitch` is the long one: whole processes, a fixed rate, more cuts.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.killswitch import TELLING, compare, judged
from tests.integration.operators.conftest import ADMINS, admin, command
from tests.integration.service.kit import Kit, kit
from tests.postgres import Server

AGENTS = 8
SOME = 10
ROUNDS = ("HTTP", "command", "HTTP")


class Load:
    """Agents that call all the time, in turns on each of the services."""

    def __init__(self, services: tuple[Kit, ...]) -> None:
        self._services = services
        self.answers: Counter[str] = Counter()
        self._more = asyncio.Event()

    async def agent(self, number: int) -> None:
        while True:
            answer = await self._services[number % len(self._services)].execute("note", params={"text": "x"})
            error = answer.json.get("error") or {}
            self.answers[error.get("code") or answer.json.get("code") or answer.json["status"]] += 1
            self._more.set()
            number += 1

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not true():
                self._more.clear()
                await self._more.wait()

    async def more(self, name: str, times: int) -> None:
        """Until so many more calls were answered in this way."""
        goal = self.answers[name] + times
        await self.until(lambda: self.answers[name] >= goal)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        agents = [asyncio.create_task(self.agent(number)) for number in range(AGENTS)]
        try:
            yield self
        finally:
            for agent in agents:
                agent.cancel()
            await asyncio.gather(*agents, return_exceptions=True)


async def cut(load: Load, here: Kit, there: Kit) -> None:
    """Cut here and by command, restored there, each time under load."""
    await load.more("succeeded", SOME)
    for way in ROUNDS:
        if way == "command":
            ran = await command(here, "revoke", "connector", "mailhub")
            assert ran.code == 0, ran.err
        else:
            assert (await admin(here, "revoke", {"connector": "mailhub"})).status == 200
        await load.more("revoked", SOME)
        assert (await admin(there, "connectors/mailhub/restore")).status == 200
        await load.more("succeeded", SOME)
    assert set(load.answers) <= {"succeeded", "revoked"}, load.answers


def held(found: tuple[int, int, int]) -> None:
    """Sends, cuts, sends that came late."""
    sends, cuts, late = found
    assert sends >= SOME * (len(ROUNDS) + 1)
    assert cuts == len(ROUNDS)
    assert late == 0


async def test_none_is_sent_after_a_cut_by_service_and_command_on_one_file(world: Kit) -> None:
    async with Load((world,)).running() as load:
        await cut(load, world, world)
    with sqlite3.connect(world.folder / "jit-auth.db") as database:
        rows = database.execute(f"SELECT rowid, what FROM audit WHERE {TELLING}").fetchall()  # noqa: S608  # our own words
    database.close()
    held(judged(rows))


@pytest.fixture(scope="module")
def punctual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL server that knows when each transaction was committed."""
    server = Server(tmp_path_factory.mktemp("pg"), commit_times=True)
    yield server
    server.close()


async def test_none_is_sent_after_a_cut_by_two_services_and_command_on_postgresql(
    tmp_path: Path, punctual: Server
) -> None:
    url = punctual.database()
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(kit(tmp_path / "one", storage=url, config=ADMINS))
        two = one.twin(tmp_path / "two")
        await stack.enter_async_context(one.running())
        await stack.enter_async_context(two.running())
        await one.connected()
        async with Load((one, two)).running() as load:
            await cut(load, one, two)
    held(await compare(url))


def test_a_send_after_a_cut_would_be_found() -> None:
    sent, stopped, restored = (f'[{{"do":"{what}"}}]' for what in ("send", "connector.stopped", "connector.restored"))
    rows = [(1.0, sent), (2.0, stopped), (3.0, sent), (4.0, restored), (5.0, sent), (6.0, stopped)]
    assert judged(rows) == (3, 2, 1)

"""Two replicas on one database ask as one, and what is stopped at one ends links at the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.fakes.browser import Browser
from tests.integration.connections.conftest import ALICE, READ, ask, end, facts, let, listed, play
from tests.integration.service.kit import ADMIN, Kit, kit

Pair = tuple[Kit, Kit]


@pytest.fixture
async def replicas(tmp_path: Path, postgres_url: str) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(kit(tmp_path / "one", storage=postgres_url))
        two = one.twin(tmp_path / "two")
        for each in (one, two):
            await stack.enter_async_context(let(each, "mailbot").running())
        yield one, two


def at(world: Kit, url: str, other: Kit) -> str:
    """The same link, at another replica."""
    return url.replace(other.url, world.url)


async def test_equal_requests_at_once_are_one_question(replicas: Pair) -> None:
    one, two = replicas
    answers = await asyncio.gather(*(ask(each, READ) for each in (one, two) * 4))
    assert {answer.status for answer in answers} <= {201, 503}
    paths = {answer.json["url"].partition("/connect/")[2] for answer in answers if answer.status == 201}
    assert len(paths) == 1
    assert len(await facts(one, "connection.asked")) == 1


async def test_what_one_asked_the_other_answers_and_ends(replicas: Pair) -> None:
    one, two = replicas
    url = (await ask(one, READ)).json["url"]
    assert (await play(at(two, url, one))).status == 200
    assert (await one.execute("list_messages")).json["status"] == "succeeded"
    (item,) = await listed(one)
    assert (await end(two, item["id"])).json["status"] == "revoked"
    assert await listed(one) == []
    assert (await one.execute("list_messages")).status == 202, "the next call is judged by what the other one ended"


async def test_a_kill_switch_at_one_ends_links_at_the_other(replicas: Pair) -> None:
    one, two = replicas
    url = (await ask(one, READ)).json["url"]
    async with Browser() as browser:
        await browser.get(url)
        await browser.submit()
        assert (await two.call("POST", "/admin/agents/mailbot/suspend", {}, token=ADMIN)).status == 200
        async with Browser() as other:
            assert (await other.get(url)).status == 410
        assert (await browser.consent(user=ALICE)).status == 403
    assert (await ask(one, READ)).json["code"] == "revoked"
    assert (await two.call("POST", "/admin/agents/mailbot/restore", {}, token=ADMIN)).status == 200
    assert await listed(one) == []

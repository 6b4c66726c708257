"""Who has left (`active = false`), or was stopped: nothing that they hold opens anything, nothing they did counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.config.load import load
from tests.fakes.browser import Browser
from tests.integration.signin.service import (
    ALICE,
    ANA,
    BO,
    EVE,
    POLICIES,
    Asked,
    Corp,
    consent_url,
    digest,
    form_token,
    session_cookie,
)

TWO = POLICIES.replace(
    'from = ["user:ana@example.com", "user:bo@example.com"] }',
    'from = ["user:ana@example.com", "user:bo@example.com", "user:eve@example.com"], need = 2 }',
)

Leave = Callable[[Corp, str], Awaitable[None]]


class Ways:
    """How somebody stops being one of the people: the operator says so in the file, or throws a switch."""

    @staticmethod
    async def left(world: Corp, person: str) -> None:
        world.left = (*world.left, person)
        world.write()
        await world.restart()

    @staticmethod
    async def reloaded(world: Corp, person: str) -> None:
        world.left = (*world.left, person)
        world.write()
        assert world.service is not None
        assert await world.service.reload(lambda: load(world.folder / "config.toml", channels=CHANNEL_TABLES))

    @staticmethod
    async def stopped(world: Corp, person: str) -> None:
        await world.stop("user", person)


@pytest.fixture(params=["left", "reloaded", "stopped"])
def leave(request: pytest.FixtureRequest) -> Leave:
    way: Leave = getattr(Ways, request.param)
    return way


@asynccontextmanager
async def ready(resting: Corp) -> AsyncIterator[Corp]:
    async with resting.restarting():
        await resting.consented()
        await resting.consented(action="note_again", text="x")
        resting.mail.counts.clear()
        yield resting


async def test_their_links_are_none(resting: Corp, leave: Leave) -> None:
    async with ready(resting) as world:
        risky, plain = await world.asked(), await world.asked("note")
        links = [await world.link(risky.ask), await world.link(plain.ask)]
        await leave(world, ANA)
        for link in links:
            for way in ("", "/all", f"/all/{plain.ask}"):
                async with world.session.get(link + way) as reply:
                    assert reply.status == 404, way
                    assert "the-sensitive-body" not in await reply.text()
            told = await world.decide(link)
            assert (told.status, told.json["code"]) == (404, "not_found")
        batch = {"decisions": [{"id": plain.ask, "decision": "approve", "digest": "sha256:" + "0" * 64}]}
        assert (await world.post(links[0] + "/all", batch)).status == 404
        assert await world.votes(plain.execution) == []
        # The others' are as good as before.
        assert (await world.decide(await world.link(plain.ask, BO))).status == 200


async def test_their_sessions_are_none(resting: Corp, leave: Leave) -> None:
    async with ready(resting) as world, Browser() as ana, Browser() as bo:
        asked = await world.asked()
        page = await world.sign_in(ana, to=f"/approvals/{asked.ask}")
        await world.sign_in(bo, BO)
        await leave(world, ANA)
        told = await world.post(
            f"{world.url}/approvals/{asked.ask}",
            {"decision": "approve", "digest": digest(page), "form_token": form_token(page)},
            browser=ana,
            Origin=world.url,
        )
        assert (told.status, told.json["code"]) == (403, "bad_form_token")
        assert await world.votes(asked.execution) == []
        headers = {"Cookie": f"jat_session={session_cookie(ana, world.url)}"}
        path = f"{world.url}/approvals/{asked.ask}"
        async with world.session.get(path, headers=headers, allow_redirects=False) as reply:
            assert (reply.status, reply.headers["Location"]) == (303, f"/signin?to=/approvals/{asked.ask}")
        assert (await bo.get(path)).status == 200


async def test_they_cannot_sign_in_again(resting: Corp, leave: Leave) -> None:
    """Neither do they go round in circles between the page and the issuer, which signs them in at once."""
    async with ready(resting) as world:
        asked = await world.asked()
        async with Browser() as ana:
            await world.sign_in(ana)
        await leave(world, ANA)
        async with Browser() as ana:
            page = await world.sign_in(ana, to=f"/approvals/{asked.ask}")
            assert page.status == 403
            assert "left" in page.text
            assert session_cookie(ana, world.url) is None
        assert world.service is not None
        assert len(await world.service.store.own.sessions(ANA)) == 1


async def test_who_never_signed_in_and_left_is_linked_to_nothing(resting: Corp) -> None:
    resting.left = (EVE,)
    resting.write()
    async with resting.running() as _, Browser() as eve:
        page = await resting.sign_in(eve, EVE)
        assert (page.status, "left" in page.text) == (403, True)
        assert await resting.facts("identity.linked") == []


async def test_their_vote_on_an_open_request_counts_no_more(resting: Corp, leave: Leave) -> None:
    resting.policies = TWO
    resting.write()
    async with ready(resting) as world:
        asked = await world.asked("note")
        await decide(world, asked, ANA)
        assert await world.status(asked.execution) == "paused"
        await leave(world, ANA)
        now = await current(world, asked)
        await decide(world, now, BO)
        assert await world.status(asked.execution) == "paused", "Ana's yes was counted"
        assert world.mail.counts == {}
        await decide(world, await current(world, asked), EVE)
        assert (await world.ended(asked.execution))["status"] == "succeeded"
        assert world.mail.counts["POST"] == 1


async def test_their_approval_of_a_call_that_still_waits_for_a_consent_is_void(resting: Corp, leave: Leave) -> None:
    async with resting.restarting() as world:
        answer = await world.execute("note", params={"text": "x"})
        (ask,) = [item["id"] for item in answer.json["waiting_for"] if item["kind"] == "approval"]
        await decide(world, Asked(answer.json["id"], ask), ANA)
        await leave(world, ANA)
        async with Browser() as alice:
            await world.sign_in(alice, ALICE)
            await alice.connect(consent_url(answer))
        found: Any = (await world.call("GET", f"/executions/{answer.json['id']}?wait=2")).json
        assert found["status"] == "paused"
        (item,) = found["waiting_for"]
        assert item["kind"] == "approval"
        assert item["id"] != ask
        assert world.mail.counts == {}


async def test_nobody_acts_for_them(resting: Corp, leave: Leave) -> None:
    async with ready(resting) as world:
        await leave(world, ALICE)
        answer = await world.execute("list_messages")
        assert answer.status == 403
        assert answer.json["code"] in ("user_not_permitted", "revoked")
        assert world.mail.counts == {}


async def test_what_was_open_in_their_name_ends(resting: Corp, leave: Leave) -> None:
    async with ready(resting) as world:
        asked = await world.asked("note")
        link = await world.link(asked.ask)
        await leave(world, ALICE)
        told = await world.decide(link)
        assert told.status in (200, 409, 410), told.json
        done = await world.ended(asked.execution)
        assert (done["status"], done["error"]["code"]) == ("denied", "revoked")
        assert world.mail.counts == {}


async def test_their_consent_links_connect_nothing(resting: Corp, leave: Leave) -> None:
    async with resting.restarting() as world, Browser() as alice:
        answer = await world.execute("list_messages")
        page = await world.sign_in(alice, ALICE, to=consent_url(answer).removeprefix(world.url))
        token = form_token(page)
        await leave(world, ALICE)
        told = await world.post(consent_url(answer), {"form_token": token}, browser=alice, Origin=world.url)
        assert told.status in (403, 404, 409, 410), told.json
        page = await alice.get(consent_url(answer))
        assert page.status in (200, 403, 404, 409, 410)
        assert not page.forms
        assert world.service is not None
        assert await world.service.store.grants(ALICE, "mailhub") == ((), ())


async def test_a_trip_to_the_provider_that_began_before_connects_nothing(resting: Corp, leave: Leave) -> None:
    async with resting.restarting() as world, Browser() as alice:
        answer = await world.execute("list_messages")
        await world.sign_in(alice, ALICE, to=consent_url(answer).removeprefix(world.url))
        await alice.submit()
        await leave(world, ALICE)
        page = await alice.consent()
        assert "connected" not in page.text.lower() or page.status >= 400
        assert world.service is not None
        grants, consents = await world.service.store.grants(ALICE, "mailhub")
        assert [grant.state for grant in grants if grant.state == "live"] == []
        assert consents == ()
        assert (await world.ended(answer.json["id"]))["status"] == "denied"


async def decide(world: Corp, asked: Asked, person: str) -> None:
    told = await world.decide(await world.link(asked.ask, person))
    assert told.status == 200, told.json


async def current(world: Corp, asked: Asked) -> Asked:
    """The round that is open now."""
    found = (await world.call("GET", f"/executions/{asked.execution}?wait=1")).json
    (item,) = found["waiting_for"]
    return Asked(asked.execution, item["id"])

"""What happens between the reading of a vote and its commit: the vote counts for what was read, or for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.integration.attacks.meddler import Meddler
from tests.integration.operators.test_reload import edit, reload
from tests.integration.people.conftest import links
from tests.integration.service.kit import ADMIN, Answer, Kit

ANA, BO, CY = "ana@example.com", "bo@example.com", "cy@example.com"
HOUR = 3_600_000
Act = Callable[[Kit, dict[str, str], str, Meddler], Awaitable[Any]]


async def another_yes(world: Kit, found: dict[str, str], execution: str, meddler: Meddler) -> None:
    assert (await world.decide(found[BO])).status == 200


async def another_no(world: Kit, found: dict[str, str], execution: str, meddler: Meddler) -> None:
    assert (await world.decide(found[BO], "deny")).status == 200


async def an_edit(world: Kit, found: dict[str, str], execution: str, meddler: Meddler) -> None:
    assert (await world.decide(found[BO], params={"text": "other"})).json["edited"]


async def a_cancel(world: Kit, found: dict[str, str], execution: str, meddler: Meddler) -> None:
    assert (await world.call("POST", f"/executions/{execution}/cancel")).status == 200


async def its_end(world: Kit, found: dict[str, str], execution: str, meddler: Meddler) -> None:
    world.clock.offset += 25 * HOUR


async def a_stop(world: Kit, found: dict[str, str], execution: str, meddler: Meddler) -> None:
    await meddler.stop("user", ANA)


@pytest.fixture
def meddler(world: Kit) -> Meddler:
    assert world.service is not None
    return Meddler(world.service.store)


@pytest.mark.parametrize(
    ("act", "more", "answer", "end"),
    [
        (another_yes, {}, (409, "already_decided"), "succeeded"),
        (another_no, {}, (409, "already_decided"), "denied"),
        (an_edit, {}, (409, "superseded"), "paused"),
        (an_edit, {"params": {"text": "mine"}}, (409, "superseded"), "paused"),
        (a_cancel, {}, (410, "cancelled"), "cancelled"),
        (its_end, {}, (410, "expired"), "expired"),
        (a_stop, {}, (404, "not_found"), "paused"),
    ],
)
async def test_what_comes_between_is_seen(
    world: Kit, meddler: Meddler, act: Act, more: dict[str, Any], answer: tuple[int, str], end: str
) -> None:
    asked = await world.execute("note", params={"text": "first"})
    execution = asked.json["id"]
    found = await links(world, execution)

    async def now() -> None:
        await act(world, found, execution, meddler)

    meddler.do("before", "edit" if "params" in more else "vote", now)
    told: Answer = await world.decide(found[ANA], **more)
    assert (told.status, told.json["code"]) == answer
    if end == "paused":
        assert (await world.call("GET", f"/executions/{execution}")).json["status"] == "paused"
    else:
        assert (await world.ended(execution))["status"] == end
    assert world.service is not None
    votes = [fact async for row in world.service.store.audit.rows(execution=execution) for fact in row.what
             if fact["do"] in ("vote", "edit")]  # fmt: skip
    assert all(ANA not in str(fact["by"]) for fact in votes)
    assert len(votes) == (act in (another_yes, another_no, an_edit))


async def test_a_vote_that_a_reload_overtook_is_counted_by_the_new_rules(world: Kit, meddler: Meddler) -> None:
    """It is written down as it was cast; before anything is sent it is recounted, and a pass holds by its own rules."""

    async def leaves() -> None:
        edit(world, f'finance = ["{ANA}", ', "finance = [", "policies.toml")
        edit(world, f'[people."{ANA}"]\ngroups = ["finance"]', f'[people."{ANA}"]')
        assert await reload(world)

    async def shorter() -> None:
        edit(world, 'for_max = "1h"', 'for_max = "2m"', "policies.toml")
        assert await reload(world)

    held = (await world.execute("note", params={"text": "held"})).json["id"]
    link = (await links(world, held))[ANA]
    meddler.do("before", "pass", shorter)
    assert (await world.decide(link, **{"for": "30m"})).status == 200
    assert (await world.ended(held))["status"] == "succeeded"
    again = await world.execute("note", params={"text": "held"})
    assert again.status == 202, "for a while was allowed by other rules"
    found = await links(world, again.json["id"])
    meddler.do("before", "vote", leaves)
    assert (await world.decide(found[ANA])).status == 200
    for _ in range(200):
        if (await world.call("GET", f"/executions/{again.json['id']}")).json["waiting_for"]:
            break
        await asyncio.sleep(0.01)
    anew = await links(world, again.json["id"])
    assert set(anew) == {BO, CY}, "asked again, of those who may decide"
    assert (await world.decide(found[BO])).json["code"] == "superseded"


@pytest.mark.parametrize(
    ("act", "ends"), [(a_cancel, {"cancelled"}), (its_end, {"expired"}), (a_stop, {"paused", "denied"})]
)
async def test_what_comes_between_a_vote_and_its_send_is_seen(
    world: Kit, meddler: Meddler, act: Act, ends: set[str]
) -> None:
    """The call goes on by the rows that the vote has written; what has moved since is in none of them."""
    execution = (await world.execute("note", params={"text": "first"})).json["id"]
    found = await links(world, execution)

    async def now() -> None:
        await act(world, found, execution, meddler)

    before = world.mail.counts["POST"]
    meddler.do("after", "vote", now)
    await world.decide(found[ANA])
    assert world.service is not None
    await world.service.engine.dispatcher.drain()
    assert (await world.call("GET", f"/executions/{execution}")).json["status"] in ends
    assert world.mail.counts["POST"] == before


async def test_a_repeat_under_a_pass_that_was_ended_meanwhile_is_not_sent(world: Kit, meddler: Meddler) -> None:
    """Its use is taken already: the row of the pass is compared all the same."""
    first = (await world.execute("note", params={"text": "held"})).json["id"]
    await world.decide((await links(world, first))[ANA], **{"for": "30m"})
    await world.ended(first)
    assert world.service is not None
    store, sent = world.service.store, world.mail.counts["POST"]
    world.mail.faults.append("429:1")
    again = await world.execute("note", params={"text": "held"}, prefer="respond-async")
    for _ in range(200):
        row = await store.execution(again.json["id"])
        assert row is not None
        if row.tries and row.standing is not None:
            break
        await asyncio.sleep(0.01)

    async def end() -> None:
        assert (await world.call("POST", "/admin/revoke", {"grant": row.standing}, token=ADMIN)).status == 200

    meddler.do("before", "send", end)
    for _ in range(300):
        if (await world.call("GET", f"/executions/{row.id}")).json["status"] != "executing":
            break
        await asyncio.sleep(0.02)
    assert (await world.call("GET", f"/executions/{row.id}")).json["status"] == "paused"
    assert world.mail.counts["POST"] == sent + 1


async def erase(world: Kit, person: str) -> None:
    assert (await world.call("DELETE", f"/admin/users/{person}", token=ADMIN)).status == 200


async def test_whoever_is_erased_between_a_decision_and_its_send_does_not_count(world: Kit, meddler: Meddler) -> None:
    """Nobody has their id any more: what was decided before any erasure is decided anew."""
    execution = (await world.execute("note", params={"text": "first"})).json["id"]
    found = await links(world, execution)
    before = world.mail.counts["POST"]
    meddler.do("before", "send", lambda: erase(world, ANA))
    assert (await world.decide(found[ANA])).status == 200
    assert world.service is not None
    await world.service.engine.dispatcher.drain()
    told = (await world.call("GET", f"/executions/{execution}")).json
    assert (told["status"], world.mail.counts["POST"]) == ("paused", before)
    assert set(await links(world, execution)) == {ANA, BO, CY}, "asked anew"


async def test_a_vote_that_was_cast_with_others_is_not_counted_by_what_was_read_before_them(
    world: Kit, meddler: Meddler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the votes of one post and the last one's send lies all that becomes of the others."""
    one = (await world.execute("note", params={"text": "first"})).json
    two = (await world.execute("note_again", params={"text": "second"})).json
    assert (await world.decide((await links(world, two["id"]))[ANA])).status == 200
    url = (await links(world, one["id"]))[BO]
    before = world.mail.counts["POST"]

    async def nothing(limit: int = 100) -> tuple[str, ...]:
        return ()

    monkeypatch.setattr(meddler.store, "due", nothing)  # the worker would be first
    meddler.do("after", "outcome", lambda: erase(world, ANA))
    items = [{"id": told["waiting_for"][0]["id"], "decision": what, "digest": told["digest"]}
             for told, what in ((one, "deny"), (two, "approve"))]  # fmt: skip
    async with world.session.post(f"{url}/all", json={"decisions": items}) as reply:
        assert reply.status == 200, await reply.text()
    assert world.service is not None
    await world.service.engine.dispatcher.drain()
    told = (await world.call("GET", f"/executions/{two['id']}")).json
    assert (told["status"], world.mail.counts["POST"]) == ("paused", before)

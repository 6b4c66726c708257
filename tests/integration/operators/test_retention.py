"""[retention]: what is over for long enough loses its content, and the record its oldest rows (THREAT_MODEL 12, 13)."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jit_auth.model import Audit, Unit
from jit_auth.storage import retention, shorten
from jit_auth.storage.store import Store
from jit_auth.vault import Vault
from tests.integration.operators.conftest import ADMINS, TOKENS, facts
from tests.integration.operators.rotation import sql
from tests.integration.service.kit import Kit, kit

DAY = 86_400_000
SEND = {"to": ["x@y.example"], "subject": "hi"}
KEEP = '\n[retention]\nparams = "30d"\nresults = "7d"\naudit = "90d"\n'


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """Alice has connected her account for mailbot, on either database."""
    url = "sqlite:///jit-auth.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with kit(tmp_path, config=ADMINS + KEEP, storage=url) as found, found.running():
        await found.connected()
        yield found


async def swept(world: Kit, days: float) -> None:
    assert world.service is not None
    world.clock.offset += int(days * DAY)
    await world.service.store.renew()
    await world.service.store.sweep()


async def test_content_goes_and_the_rows_stay(place: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    more = {"reason": "why", "task": {"id": "t"}, "metadata": {"thread": "t-1"}}
    told = [(await place.execute("note", params={"text": f"words {n}"}, **more)).json for n in range(5)]
    paused = (await place.execute("send_message", params=SEND, key="k")).json["id"]
    assert (await place.decide(await place.approval_link(paused), "deny", feedback="not now")).status == 200
    denied = await place.ended(paused)
    await swept(place, 6.9)
    for each in (*told, denied):
        assert (await place.call("GET", f"/executions/{each['id']}")).json == each
    await swept(place, 0.2)
    for each in told:
        now = (await place.call("GET", f"/executions/{each['id']}")).json
        assert now == {**each, "result": None, "removed": ["result"]}
    await swept(place, 23)
    for each in (*told, denied):
        now = (await place.call("GET", f"/executions/{each['id']}")).json
        assert (now["params"], now["reason"], now["result"], now["error"]) == (None, None, None, None)
        assert (now["task"], now["metadata"]) == (None, None)
        assert (now["status"], now["user"], now["digest"]) == (each["status"], "alice@example.com", each["digest"])
        assert now["removed"] == ["params", "result"]
    assert place.service is not None
    opened = await place.service.store.opened(paused)
    assert opened is not None
    assert [(vote.verdict, vote.feedback) for vote in opened.votes] == [("deny", None)]
    did = await facts(place, "content.removed")
    assert sum(fact.get("results", 0) for fact in did) == 8
    assert (await place.service.store.audit.verify()).breaks == ()
    await place.service.store.sweep()
    assert await facts(place, "content.removed") == did, "there is nothing more to do, and nothing is said"


async def test_people_read_that_it_was_removed_and_why(place: Kit) -> None:
    assert place.service is not None
    links, told = {}, {}
    for subject in ("first", "second"):
        params = SEND | {"to": [f"{subject}@y.example"]}
        paused = (await place.execute("send_message", params=params, reason="why")).json["id"]
        links[paused] = await place.approval_link(paused)
        assert (await place.decide(links[paused], "deny", feedback="not now")).status == 200
        assert (await place.ended(paused))["status"] == "denied"
        told[paused] = await shown(place, links[paused])
        assert all(word in told[paused] for word in (f"{subject}@y.example", "not now", "byte for byte"))
        if subject == "first":
            place.service.store.keep = retention.Keep(1_000, 1_000, None)
            await swept(place, 0.002)
            place.service.store.keep = retention.Keep(None, None, None)
    first, second = links
    page = await shown(place, links[first])
    assert "its time of keeping is over. The call ended on " in page
    assert "Send an e-mail (what was asked for is removed)" in page
    assert "Denied. Nothing was sent." in page
    for word in ("first@y.example", "No parameters", "byte for byte", "Method", "not now", "why</blockquote>"):
        assert word not in page, word
    assert "Send an e-mail (what was asked for is removed)" in await shown(place, links[second]), "among the last calls"
    erased = await place.call("DELETE", "/admin/users/alice@example.com", token=TOKENS["security"])
    assert erased.status == 200
    page = await shown(place, links[second])
    assert "the person for whom the agent acted was erased here" in page
    assert "a person who was erased here" in page
    assert "psn_" not in page
    for word in ("second@y.example", "No parameters", "byte for byte"):
        assert word not in page, word


async def shown(world: Kit, link: str) -> str:
    """What a page says to a browser."""
    async with world.session.get(link, headers={"Accept": "text/html"}) as reply:
        assert reply.status == 200
        return html.unescape(await reply.text())


async def test_a_replay_after_the_cut_answers_the_execution(place: Kit) -> None:
    done = (await place.execute("note", params={"text": "x"}, key="once")).json
    posts = place.mail.counts["POST"]
    assert place.service is not None
    place.service.store.keep = retention.Keep(1_000, 1_000, None)
    await swept(place, 0.01)
    again = (await place.execute("note", params={"text": "x"}, key="once")).json
    assert (again["id"], again["params"], again["result"]) == (done["id"], None, None)
    assert place.mail.counts["POST"] == posts


async def test_what_is_open_is_never_touched(place: Kit) -> None:
    paused = (await place.execute("send_message", params=SEND, expires_in=14 * 86_400)).json
    assert place.service is not None
    place.service.store.keep = retention.Keep(1_000, 1_000, None)
    await swept(place, 0.01)
    now = (await place.call("GET", f"/executions/{paused['id']}")).json
    assert now == paused
    assert (await place.decide(await place.approval_link(paused["id"]))).status == 200
    assert (await place.ended(paused["id"]))["status"] == "succeeded"


async def test_the_sweep_goes_by_the_index(place: Kit) -> None:
    if not place.storage.startswith("sqlite"):
        return
    plan = await sql(
        place,
        "EXPLAIN QUERY PLAN SELECT updated, id FROM execution WHERE state NOT IN ('paused', 'released', 'executing') "
        "AND (updated, id) > (5, '') AND updated < 9 AND asked != x'' ORDER BY updated, id LIMIT 5",
    )
    assert "execution_over" in str(plan)
    assert "TEMP" not in str(plan)


async def verified(world: Kit) -> list[str]:
    assert world.service is not None
    return [one.why for one in (await world.service.store.audit.verify()).breaks]


async def rows(world: Kit) -> int:
    return int((await sql(world, "SELECT count(*) FROM audit"))[0][0])


@pytest.fixture
async def old(place: Kit, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """A record of several chains, the oldest of which are past their time; one that stood still began anew."""
    monkeypatch.setattr(shorten, "BATCH", 7)
    assert place.service is not None
    for _ in range(3):
        beside = await Store.open(
            place.storage, Vault([("k1", b"k" * 32)]), clock=place.clock, base=place.folder, serve=False
        )
        for _ in range(4):
            await beside.apply(Unit(None, (), Audit(actor="engine", what=({"do": "test"},))))
        await beside.close()
    await swept(place, 40)
    await place.execute("note", params={"text": "later"})
    await place.execute("note", params={"text": "later"})
    return place


async def test_the_oldest_rows_go_and_the_rest_verifies(old: Kit) -> None:
    before = await rows(old)
    await swept(old, 51)
    assert await rows(old) < before - 15
    assert await verified(old) == []
    (oldest,) = await sql(old, "SELECT min(at) FROM audit")
    assert oldest[0] >= old.clock() - 90 * DAY
    did = await facts(old, "audit.cut")
    assert len(did) > 1
    assert did[-1]["through"] != ""
    again = await rows(old)
    await swept(old, 0)
    assert await rows(old) == again
    await swept(old, 200)
    assert await verified(old) == []
    assert [fact["do"] for fact in await facts(old, "request", "test")] == []
    assert (await old.execute("note", params={"text": "x"})).status == 200
    assert await verified(old) == []


@pytest.mark.parametrize("how", ["first", "middle", "word", "chain"])
async def test_what_goes_without_a_word_is_found(old: Kit, how: str) -> None:
    await swept(old, 51)
    left = await sql(old, "SELECT writer, seq, what FROM audit ORDER BY writer, seq")
    words = [(writer, seq) for writer, seq, what in left if "audit.cut" in what]
    if how == "first":
        gone = [left[0][:2]]
    elif how == "middle":
        gone = [words[0]] if words[0] != words[-1] else [left[1][:2]]
    elif how == "word":
        gone = [row[:2] for row in left if row[0] == words[-1][0] and row[1] >= words[0][1]]
    else:
        gone = [row[:2] for row in left if row[0] == left[0][0]]
    for writer, seq in gone:
        await sql(old, "DELETE FROM audit WHERE writer = ? AND seq = ?", writer, seq)
    assert await verified(old) != []


async def test_a_broken_chain_keeps_its_rows(old: Kit) -> None:
    (writer, seq), *_ = await sql(
        old, 'SELECT writer, seq FROM audit WHERE what LIKE \'%"do":"test"%\' ORDER BY writer'
    )
    await sql(old, "UPDATE audit SET actor = 'engine:x' WHERE writer = ? AND seq = ?", writer, seq)
    await swept(old, 51)
    assert await verified(old) == ["the row or its place in the chain was altered"]


async def test_a_retired_key_ends_where_retention_says(old: Kit) -> None:
    """The service was stopped and started with another key in between; its first chain is older than what is kept."""
    ring = Vault([("n2", b"2" * 32), ("k1", b"k" * 32)])
    assert old.service is not None
    await old.service.store.close()
    store = await Store.open(old.storage, ring, clock=old.clock, base=old.folder, serve=True)
    assert (await store.keys.rotate("operator", {}, progress=lambda doing, count: None)).retired == ("k1",)
    store.keep = retention.Keep(audit=90 * DAY)
    for days in (51, 60):
        old.clock.offset += days * DAY
        await store.renew()
        await store.sweep()
        assert (await store.audit.verify()).breaks == ()
    assert await sql(old, "SELECT count(*) FROM audit WHERE key = 'k1'") == [(0,)]
    await store.close()

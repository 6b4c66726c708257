"""The record and explanations by HTTP: in pages, by time and execution, with names and without secrets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jit_auth.core.times import rfc3339
from tests.integration.operators.conftest import ADMINS, TOKENS, facts
from tests.integration.service.kit import AGENT, Answer, Kit, kit

ALICE = "alice@example.com"


async def read(world: Kit, path: str) -> Answer:
    return await world.call("GET", f"/admin/{path}", token=TOKENS["viewer"])


async def pages(world: Kit, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        came = (await read(world, f"audit?{query}{cursor}")).json
        found += came["items"]
        if came["next"] is None:
            return found
        cursor = f"&cursor={came['next']}"


@pytest.fixture(params=["sqlite", "postgres"])
async def used(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    storage = "sqlite:///jit-auth.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with kit(tmp_path, storage=storage, config=ADMINS) as found, found.running():
        await found.connected()
        yield found


async def test_the_record_is_read_in_pages_newest_first(used: Kit) -> None:
    assert used.service is not None
    await read(used, "audit")  # from now on this admin's reading is on record
    exported = [row.data() async for row in used.service.store.audit.rows()]
    assert await pages(used, "limit=3") == exported[::-1]
    assert await pages(used, "") == exported[::-1]
    since = exported[len(exported) // 2]["at"]
    assert await pages(used, f"limit=2&since={since}") == [row for row in exported[::-1] if row["at"] >= since]
    later = rfc3339(used.service.store.now() + 60_000)
    assert (await read(used, f"audit?since={later}")).json == {"items": [], "next": None}


async def test_the_rows_of_one_execution(used: Kit) -> None:
    paused = (await used.execute("send_message", params={"to": ["x@y.example"], "subject": "hush-hush"})).json["id"]
    link = await used.approval_link(paused)
    rows = await pages(used, f"execution={paused}&limit=1")
    assert {row["execution"] for row in rows} == {paused}
    assert ALICE in {row["user"] for row in rows}
    assert "request" in {fact["do"] for row in rows for fact in row["what"]}
    everything = json.dumps(await pages(used, ""))
    for secret in ("hush-hush", AGENT, link, link.rsplit("/", 1)[1], "x@y.example"):
        assert secret not in everything


NOWHERE = [
    ("audit?since=yesterday", 400, "bad_query"),
    ("audit?limit=0", 400, "bad_query"),
    ("audit?cursor=nonsense", 400, "bad_query"),
    ("audit?cursor=%C3%A9", 400, "bad_query"),
    ("audit?until=x", 400, "unknown_field"),
    ("audit?execution=exe_00000000000000000000000000", 404, "not_found"),
    ("audit?execution='%20or%201=1", 404, "not_found"),
    ("audit?execution=", 404, "not_found"),
    ("explain", 400, "bad_query"),
    ("explain?execution=nonsense", 404, "not_found"),
    ("explain?execution=exe_00000000000000000000000000", 404, "not_found"),
    ("explain?id=x", 400, "unknown_field"),
]


async def test_what_names_nothing(world: Kit) -> None:
    for path, status, code in NOWHERE:
        came = await read(world, path)
        assert (came.status, came.json["code"]) == (status, code), path


async def test_readers_of_the_record_are_on_it_once_an_hour(world: Kit) -> None:
    for _ in range(3):
        await read(world, "audit")
    assert [fact["actor"] for fact in await facts(world, "audit.read")] == ["admin:viewer"]
    await world.call("GET", "/admin/audit", token=TOKENS["security"])
    world.clock.offset += 3_600_001
    await read(world, "audit")
    seen = [fact["actor"] for fact in await facts(world, "audit.read")]
    assert seen == ["admin:viewer", "admin:security", "admin:viewer"]


async def test_why_an_execution_was_decided_so(world: Kit) -> None:
    body = {"to": ["x@y.example"], "subject": "hi"}
    paused = (await world.execute("send_message", params=body)).json["id"]
    came = await read(world, f"explain?execution={paused}")
    assert came.status == 200, came.json
    assert (came.json["execution"], came.json["user"], came.json["agent"]) == (paused, ALICE, "mailbot")
    assert came.json["now"].endswith("Z")
    assert came.json["decision"]["effect"] == came.json["recorded"]["effect"] == "require_approval"
    assert [(rule["id"], rule["outcome"]) for rule in came.json["rules"]] == [("send", "winner")]
    (fact,) = await facts(world, "explain.read")
    assert fact["actor"] == "admin:viewer"

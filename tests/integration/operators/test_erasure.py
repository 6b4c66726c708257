"""DELETE /admin/users/{id}: the person's key and id are destroyed, and nothing else breaks (THREAT_MODEL 13)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operators.conftest import ADMINS, TOKENS, facts
from tests.integration.operators.rotation import database, sql
from tests.integration.service.kit import AGENT, Answer, Kit, kit

ALICE = "alice@example.com"
SEND = {"to": ["x@y.example"], "subject": "hi"}


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """Alice has connected her account for mailbot, on either database."""
    url = "sqlite:///jit-auth.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with kit(tmp_path, config=ADMINS, storage=url) as found, found.running():
        await found.connected()
        yield found


async def erase(world: Kit, person: str = ALICE, body: Any = None, *, role: str = "security") -> Answer:
    return await world.call("DELETE", f"/admin/users/{person}", body, token=TOKENS[role])


async def whole(world: Kit) -> bool:
    assert world.service is not None
    return (await world.service.store.audit.verify()).breaks == ()


async def test_a_person_is_erased_and_the_record_stays(place: Kit) -> None:
    done = (await place.execute("note", params={"text": "private words"}, key="once")).json
    paused = (await place.execute("send_message", params=SEND)).json["id"]
    link = await place.approval_link(paused)
    assert done["status"] == "succeeded"
    did = await erase(place, body={"reason": "she asked"})
    assert did.status == 200, did.json
    assert (did.json["user"], did.json["erased"], did.json["revoked"], did.json["pending"]) == (ALICE, True, 1, 0)
    assert did.json["cut"] == {"grants": 1, "consents": 1, "sessions": 0, "executions": 1, "passes": 0}
    assert len(place.provider.revoked) > 0
    for ended, status in ((done["id"], "succeeded"), (paused, "denied")):
        now = (await place.call("GET", f"/executions/{ended}")).json
        assert (now["status"], now["user"], now["params"], now["result"]) == (status, None, None, None)
        assert now["removed"][:2] == ["user", "params"]
        assert (now["reason"], now["account"], now["digest"]) == (None, None, now["digest"])
    assert (await place.decide(link)).status in (404, 409, 410)
    assert (await place.execute("note", params={"text": "private words"}, key="once")).json["id"] == done["id"]
    assert (await place.call("GET", f"/executions?user={ALICE}")).json["items"] == []
    assert {item["user"] for item in (await place.call("GET", "/executions")).json["items"]} == {None}
    assert await whole(place)
    (told,) = await facts(place, "user.erased")
    assert (told["actor"], told["owed"], told["lost"]) == ("admin:security", 0, 0)
    assert told["of"].startswith("erased:psn_")
    assert ALICE not in str(await facts(place, "user.erased", "user.revoked", "request", "grant.revoked"))
    assert (await sql(place, "SELECT count(*) FROM person WHERE key IS NULL AND look IS NULL AND id IS NULL")) == [(1,)]


async def test_the_same_id_coming_back_is_somebody_new(place: Kit) -> None:
    before = await sql(place, "SELECT pid FROM person WHERE look IS NOT NULL")
    await erase(place)
    again = await erase(place)
    assert (again.status, again.json["code"]) == (404, "not_found"), "nothing is made by asking"
    answer = await place.execute("list_messages")
    assert answer.status == 202, "whoever has this id now has connected nothing"
    await place.connect(answer)
    assert (await place.ended(answer.json["id"]))["status"] == "succeeded"
    after = await sql(place, "SELECT pid FROM person WHERE look IS NOT NULL")
    assert len(set(after) - set(before)) >= 1
    assert len((await place.call("GET", f"/executions?user={ALICE}")).json["items"]) == 1
    assert (await erase(place)).status == 200
    assert await whole(place)


@pytest.mark.parametrize("role", ["viewer", "operator", "agent"])
async def test_only_security_erases(world: Kit, role: str) -> None:
    token = AGENT if role == "agent" else TOKENS[role]
    answer = await world.call("DELETE", f"/admin/users/{ALICE}", token=token)
    assert answer.status in (401, 403)
    assert (await world.execute("list_messages")).status == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("nobody@example.com", None, 404), ("a:b", None, 400), ("*", None, 400), (ALICE, {"raison": "x"}, 400),
     (ALICE, {"reason": 7}, 422), (ALICE, {"reason": "x" * 2_001}, 422), (ALICE, [], 400)],
)  # fmt: skip
async def test_what_is_no_order_erases_nobody(world: Kit, path: str, body: Any, status: int) -> None:
    assert (await erase(world, path, body)).status == status
    assert (await world.execute("list_messages")).status == 200
    assert await sql(world, "SELECT count(*) FROM person WHERE key IS NULL") == [(0,)]


async def test_a_token_that_could_not_be_revoked_yet_is_still_owed(place: Kit) -> None:
    place.provider.faults = [(503, "text/plain", "away")] * 4
    did = await erase(place)
    assert (did.status, did.json["revoked"], did.json["pending"]) == (200, 0, 1)
    (told,) = await facts(place, "user.erased")
    assert told["owed"] == 1
    place.provider.faults.clear()
    place.clock.offset += 3_700_000
    assert place.service is not None
    await place.service.worker.turn()
    assert not place.provider.families[-1].live
    assert await sql(place, "SELECT count(*) FROM outbox") == [(0,)]


async def test_who_approved_is_erased_and_the_call_is_not(place: Kit) -> None:
    paused = (await place.execute("send_message", params=SEND)).json["id"]
    assert (await place.decide(await place.approval_link(paused), feedback="fine with ana")).status == 200
    done = await place.ended(paused)
    assert (await erase(place, "ana@example.com")).status == 200
    now = (await place.call("GET", f"/executions/{paused}")).json
    assert now == done
    assert place.service is not None
    opened = await place.service.store.opened(paused)
    assert opened is not None
    assert [(vote.person[:11], vote.feedback) for vote in opened.votes] == [("erased:psn_", None)]
    assert await whole(place)


async def test_other_processes_forget_at_once(replicas: tuple[Kit, Kit]) -> None:
    one, two = replicas
    assert (await two.execute("list_messages")).status == 200
    assert (await erase(one)).status == 200
    assert (await two.execute("list_messages")).status == 202, "the other one has no key and no token of hers left"
    assert two.service is not None
    await two.service.worker.turn()
    pids = await sql(two, "SELECT person FROM execution ORDER BY id DESC LIMIT 1")
    assert await sql(two, "SELECT count(*) FROM person WHERE pid = ? AND key IS NOT NULL", pids[0][0]) == [(1,)]


async def test_the_files_hold_nothing_of_the_key(world: Kit) -> None:
    await asyncio.gather(*(world.execute("note", user=f"u{n}@example.com", params={"text": "x"}) for n in range(60)))
    assert world.service is not None
    pid = await world.service.store.erasing.pseudonym(ALICE)
    ((wrapped, look, sealed),) = await sql(world, "SELECT key, look, id FROM person WHERE pid = ?", pid)
    needles = [bytes(wrapped)[-60:], bytes(look), bytes(sealed)[-40:]]
    files = [path for path in database(world).parent.iterdir() if path.name.startswith(database(world).name)]
    assert all(any(needle in path.read_bytes() for path in files) for needle in needles)
    assert (await erase(world)).status == 200
    for path in files:
        content = path.read_bytes()
        assert [needle for needle in needles if needle in content] == [], path.name
        for needle in (ALICE.encode(), base64.b64encode(ALICE.encode())):
            assert needle not in content

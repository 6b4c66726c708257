"""`keys rotate` while calls run, on both databases: nothing stored needs the older key then (THREAT_MODEL 29)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jit_auth.cli.main import main
from jit_auth.core import chain
from jit_auth.core.mac import Mac
from jit_auth.errors import JitAuthError
from jit_auth.model import Audit, Unit
from jit_auth.storage import rewrap, tables
from jit_auth.storage.clock import Clock
from jit_auth.storage.rewrap import Rotation
from jit_auth.storage.store import Store
from jit_auth.vault import Vault
from tests.integration.operators.conftest import ADMINS
from tests.integration.operators.rotation import PERSONS, killed, ring, sealed_under, sql
from tests.integration.service.kit import Kit, kit

SEND = {"to": ["x@y.example"], "subject": "hi"}


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """Everything but the service, on either database."""
    url = "sqlite:///jit-auth.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with kit(tmp_path, config=ADMINS, storage=url) as found:
        yield found


def vault(*ids: str) -> Vault:
    return Vault([(name, name[-1:].encode() * 32 if name != "k1" else b"k" * 32) for name in ids])


async def rotated(world: Kit, *ids: str, **how: bool) -> Rotation:
    """The command's work, in this process."""
    store = await Store.open(world.storage, vault(*ids), clock=Clock(), base=world.folder, serve=False)
    try:
        return await store.keys.rotate("operator", {"why": "test"}, progress=lambda doing, count: None, **how)
    finally:
        await store.close()


async def verified(world: Kit, *ids: str) -> tuple[chain.Break, ...]:
    store = await Store.open(world.storage, vault(*ids), clock=Clock(), base=world.folder, serve=False)
    try:
        return (await store.audit.verify()).breaks
    finally:
        await store.close()


async def met(store: Store, person: str) -> None:
    """The store hears of this person for the first time."""
    await store.apply(Unit(None, (), Audit(actor="engine", what=({"do": "test"},), user=person)))


async def test_it_is_rotated_while_calls_run_and_the_old_key_goes(place: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrap, "BATCH", 2)
    async with place.running():
        await place.connected()
        paused = (await place.execute("send_message", params=SEND)).json["id"]
        link = await place.approval_link(paused)
        done = (await place.execute("note", params={"text": "kept"}, key="once")).json
    ring(place, "n2", "k1")
    async with place.running():
        running = True

        async def calls() -> list[int]:
            found: list[int] = []
            while running:
                for user in (f"u{len(found)}@example.com", "alice@example.com"):
                    found.append((await place.execute("note", user=user, params={"text": "x"})).status)
            return found

        beside = asyncio.create_task(calls())
        did = await rotated(place, "n2", "k1")
        running = False
        assert set(await beside) <= {200, 202}
        assert (did.key, did.retired) == ("n2", ("k1",))
        assert did.wrapped >= 3
        assert (await rotated(place, "n2", "k1")).retired == ()
    under = await sealed_under(place)
    assert {key for keys in under.values() for key in keys} == {"n2", PERSONS}
    marked = {(table.name, column.name) for table, column in tables.wrapped()}
    assert {at for at, keys in under.items() if "n2" in keys} == marked == {("person", "key"), ("secret", "value")}
    ring(place, "n2")
    async with place.running():
        assert (await place.call("GET", f"/executions/{done['id']}")).json == done
        assert (await place.execute("note", params={"text": "kept"}, key="once")).json["id"] == done["id"]
        assert (await place.decide(link)).status == 200, "links outlive the key"
        assert (await place.ended(paused))["status"] == "succeeded"
        assert (await place.execute("list_messages")).status == 200, "tokens open, and were not asked for again"
    assert await verified(place, "n2") == ()


async def test_the_command_tells_and_check_says_which_keys_are_needed(
    resting: Kit, capsys: pytest.CaptureFixture[str]
) -> None:
    async def jit_auth(*words: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, [*words, "-c", str(resting.folder / "config.toml")])
        return code, *capsys.readouterr()

    async with resting.running():
        await resting.connected()
    code, out, _ = await jit_auth("keys", "rotate")
    assert (code, out) == (0, "nothing to do: nothing stored needs another key than k1\n")
    ring(resting, "n2", "k1")
    assert "still needs the vault key 'k1'" in (await jit_auth("check"))[2]
    code, out, _ = await jit_auth("keys", "rotate", "--json", "--reason", "yearly")
    assert (code, json.loads(out)["key"], json.loads(out)["retired"]) == (0, "n2", ["k1"])
    assert "needs the vault key 'k1' any more" in (await jit_auth("check"))[2]
    ring(resting, "n2")
    assert "vault.keys" not in (await jit_auth("check"))[2]
    assert (await jit_auth("audit", "verify"))[0] == 0
    assert '"why": "yearly"' in (await jit_auth("audit", "export"))[1]
    ring(resting, "k1", "n2")
    code, _, err = await jit_auth("keys", "rotate")
    assert code == 1
    assert "was retired" in err


@pytest.mark.parametrize("point", ["wrapped", "verified"])
async def test_killed_half_way_it_goes_on(place: Kit, point: str) -> None:
    async with place.running():
        await place.connected()
        for number in range(5):
            await place.execute("note", user=f"u{number}@example.com", params={"text": "x"})
    ring(place, "n2", "k1")
    assert await killed(place, point) == -9
    half = await sealed_under(place)
    if point == "wrapped":
        assert half["person", "key"] == {"k1", "n2"}
    async with place.running():  # with both keys everything opens
        assert (await place.execute("note", params={"text": "x"})).status == 200
        assert (await rotated(place, "n2", "k1")).retired == ("k1",)
    assert "k1" not in {key for keys in (await sealed_under(place)).values() for key in keys}
    assert await verified(place, "n2") == ()


async def test_a_replica_without_the_new_key_first_refuses_it(
    replicas: tuple[Kit, Kit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewrap, "PATIENCE", 2)
    one, _ = replicas
    with pytest.raises(JitAuthError, match="do not have the vault key 'n2' first"):
        await rotated(one, "n2", "k1")
    assert {key for keys in (await sealed_under(one)).values() for key in keys} == {"k1", PERSONS}


async def test_a_new_key_wraps_nothing_before_all_replicas_have_it(replicas: tuple[Kit, Kit]) -> None:
    one, two = replicas
    first = await Store.open(one.storage, vault("n2", "k1"), clock=Clock(), base=one.folder, serve=True)
    await met(first, "new@example.com")
    assert (await sealed_under(one))["person", "key"] == {"k1"}
    assert two.service is not None
    assert one.service is not None
    await one.service.store.close()
    await two.service.store.close()
    await first.renew()
    await met(first, "newer@example.com")
    assert (await sealed_under(one))["person", "key"] == {"k1", "n2"}
    await first.close()


async def test_a_record_that_does_not_verify_is_not_closed_over(place: Kit) -> None:
    async with place.running():
        await place.connected()
    await sql(place, "UPDATE audit SET actor = 'engine:x' WHERE seq = 2")
    ring(place, "n2", "k1")
    with pytest.raises(JitAuthError, match="broken in 1 places"):
        await rotated(place, "n2", "k1")
    did = await rotated(place, "n2", "k1", despite_breaks=True)
    assert (did.retired, did.breaks) == (("k1",), 1)
    assert [one.seq for one in await verified(place, "n2")] == [2], "it is still told of"


async def forged(world: Kit, writer: str, seq: int, before: bytes) -> None:
    """A row that a thief of the old key adds."""
    body = chain.body("engine", None, "mailbot", None, "[]")
    mac = chain.follow(Mac(vault("k1").derive("chain")), before, writer, seq, 5, body)
    values = (writer, seq, 5, "engine", "mailbot", "[]", "k1", mac, False)
    await sql(
        world, "INSERT INTO audit (writer, seq, at, actor, agent, what, key, mac, told) VALUES (?,?,?,?,?,?,?,?,?)",
        *values,
    )  # fmt: skip


@pytest.mark.parametrize("how", ["a new writer", "at an end", "an end altered", "a tail cut"])
async def test_the_old_key_makes_no_row_any_more(place: Kit, how: str) -> None:
    async with place.running():
        await place.connected()
    ring(place, "n2", "k1")
    await rotated(place, "n2", "k1")
    assert await verified(place, "n2") == ()
    rows = await sql(place, "SELECT writer, seq, mac FROM audit WHERE key = 'k1' ORDER BY writer, seq")
    writer, seq, mac = rows[-1]
    if how == "a new writer":
        await forged(place, "prc_zzzz", 0, chain.START)
    elif how == "at an end":
        await forged(place, writer, seq + 1, bytes(mac))
    else:
        await sql(place, "DELETE FROM audit WHERE writer = ? AND seq = ?", writer, seq)
        if how == "an end altered":
            await forged(place, writer, seq, bytes(rows[-2][2]))
    for ids in (("n2",), ("n2", "k1")):
        told = await verified(place, *ids)
        assert any("retired" in one.why or "another writer" in one.why for one in told), told


async def test_who_takes_the_closing_row_away_is_found(place: Kit) -> None:
    async with place.running():
        await place.connected()
    ring(place, "n2", "k1")
    await rotated(place, "n2", "k1")
    await sql(place, "DELETE FROM audit WHERE key = 'n2'")
    assert ["no row says where it ended" in one.why for one in await verified(place, "n2")] == [True]

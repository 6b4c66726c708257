"""Persons are pseudonyms with keys of their own: nothing is in the clear, nothing opens where it was not sealed."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest

from jit_auth.errors import VaultError
from jit_auth.model import (
    Audit,
    Change,
    Committed,
    Decision,
    Execution,
    Insert,
    Raise,
    Result,
    Stop,
    Trouble,
    Unit,
    Who,
)
from jit_auth.vault import Vault
from tests.conformance.world import (
    AGENT,
    ALICE,
    BO,
    World,
    approval_ask,
    card,
    consent_ask,
    execution,
    flow,
    grant,
    idem,
    outbox,
    stopped,
    together,
    unit,
    vote,
    written,
)

replace = msgspec.structs.replace

SECRETS = (
    "x@example.com", "subject-plain", ALICE, BO, "at-secret", "rt-secret", "late-secret", "pkce-verifier", "the-nonce",
    "alice@mailhub.example", "because-plain", "body-plain", "feedback-plain", "key-plain", "Seen odd mail",
    "open-plain", "lead@example.com", "resolved-plain",
)  # fmt: skip


async def filled(world: World) -> Execution:
    """A database in which every secret was written."""
    store = await world.open()
    row = execution(
        store, state="paused", params={"to": "x@example.com", "subject": "subject-plain"}, reason="because-plain",
        account_name="alice@mailhub.example", asked_account="alice@mailhub.example", open_key=f"{ALICE} open-plain",
        decision=Decision("require_approval"),
    )  # fmt: skip
    ask = approval_ask(store, row)
    rows: list[Any] = [
        row, ask, consent_ask(store, row, last_error=f"No, {ALICE}"), card(store, ask), idem(row, "key-plain"),
        vote(store, ask, feedback="feedback-plain"), grant(store), flow(store), outbox(store),
        execution(store, user=None, params={"a": "body-plain"}),
    ]  # fmt: skip
    facts = ({"do": "request", "params": Committed(row.params), "by": Who("lead@example.com"),
              "more": [Who(BO), {"deep": Who(ALICE)}],
              "pair": ("by", Who(BO), (Committed("body-plain"),))},)  # fmt: skip
    record = Audit(actor=f"person:{BO}", what=facts, user=ALICE, agent=AGENT, execution=row.id)
    await written(store, *(Insert(each) for each in rows))
    await store.apply(Unit(None, (Change(row, {"result": Result(200, {}, "resolved-plain")}),), record))
    await stopped(store, "user", ALICE)
    await stopped(store, "agent", AGENT)
    return row


async def test_no_secret_and_no_person_is_in_the_files_of_sqlite(sqlite_world: World) -> None:
    await filled(sqlite_world)
    files = [path for path in sqlite_world.base.iterdir() if path.name.startswith("store.db")]
    raw = b"".join(path.read_bytes() for path in files)
    assert AGENT.encode() in raw  # the rows are there
    assert [secret for secret in SECRETS if secret.encode() in raw] == []


async def test_no_secret_and_no_person_is_in_the_tables(world: World) -> None:
    await filled(world)
    names = ("execution", "idem", "ask", "vote", "card", "flow", '"grant"', "consent", "outbox", "stop", "person",
             "audit", "secret", "process", "epoch")  # fmt: skip
    raw = repr([await world.sql(f"SELECT * FROM {name}") for name in names])  # noqa: S608 - names of this list
    assert AGENT in raw
    assert [secret for secret in SECRETS if secret in raw] == []


async def test_facts_come_back_with_names_and_commitments(world: World) -> None:
    row = await filled(world)
    store = world.stores[0]
    (entry,) = [entry async for entry in store.audit.rows(execution=row.id)]
    assert (entry.actor, entry.user, entry.agent) == (f"person:{BO}", ALICE, AGENT)
    fact = entry.what[0]
    assert (fact["by"], fact["more"]) == ("lead@example.com", [BO, {"deep": ALICE}])
    assert fact["params"].startswith("hmac:")
    assert fact["pair"][:2] == ["by", BO]
    assert fact["pair"][2][0].startswith("hmac:")


async def test_equal_values_of_two_users_have_different_commitments(world: World) -> None:
    store = await world.open()
    row = execution(store)
    for user in (ALICE, BO, ALICE):
        record = Audit(actor="engine", what=({"do": "x", "v": Committed({"a": 1, "b": 2})},), user=user)
        await store.apply(Unit(None, (Insert(execution(store)),), record))
    one, two, three = [entry.what[0]["v"] async for entry in store.audit.rows() if entry.what[0]["do"] == "x"]
    assert one == three != two
    assert row.user == ALICE


@pytest.mark.parametrize("column", ["asked", "told"])
async def test_a_sealed_value_opens_only_where_it_was_sealed(world: World, column: str) -> None:
    store = await world.open()
    mine, other, foreign = execution(store), execution(store), execution(store, user=BO)
    done = {"result": Result(200, {}, "x")}
    await written(store, *(Insert(row) for row in (mine, other, foreign)))
    await written(store, *(Change(row, done) for row in (mine, other, foreign)))
    ((good,),) = await world.sql(f"SELECT {column} FROM execution WHERE id = ?", mine.id)  # noqa: S608 - of this list
    from_column = "told" if column == "asked" else "asked"
    moved = [
        (await world.sql(f"SELECT {source} FROM execution WHERE id = ?", row))[0][0]  # noqa: S608 - of this list
        for source, row in ((column, other.id), (column, foreign.id), (from_column, mine.id))
    ]
    flipped = [bytes(b ^ (at == spot) for at, b in enumerate(good)) for spot in range(0, len(good), 7)]
    for bad in (*moved, *flipped, good[:-1], good[:20], b"\x01"):
        await world.sql(f"UPDATE execution SET {column} = ? WHERE id = ?", bad, mine.id)  # noqa: S608 - of this list
        with pytest.raises(VaultError):
            await store.execution(mine.id)
        with pytest.raises(VaultError):
            await store.lists.executions(AGENT)
    await world.sql(f"UPDATE execution SET {column} = ? WHERE id = ?", good, mine.id)  # noqa: S608 - of this list
    assert await store.execution(mine.id) is not None


async def test_a_token_opens_only_in_its_grant(world: World) -> None:
    store = await world.open()
    mine, foreign = grant(store), grant(store, user=BO)
    owed = outbox(store)
    await written(store, Insert(mine), Insert(foreign), Insert(owed))
    one, two, three = await store.grant(mine.id), await store.grant(foreign.id), (await store.outbox_due())[0]
    assert one is not None
    assert two is not None
    for odd in (
        replace(one, token=two.token), replace(one, token=three.token), replace(one, user=BO),
        replace(one, provider="evil"), replace(one, id=two.id), replace(one, token=None),
        replace(three, token=one.token),
    ):  # fmt: skip
        with pytest.raises(VaultError):
            await store.reveal(odd)
    assert await store.reveal(one) == mine.token
    assert "secret" not in repr(mine.token)


async def test_a_new_seal_of_one_cell_differs_and_carries_the_version(world: World) -> None:
    store = await world.open()
    row = execution(store)
    await written(store, Insert(row))
    ((first,),) = await world.sql("SELECT asked FROM execution")
    await written(store, Change(row, {"reason": None}))
    ((second,),) = await world.sql("SELECT asked FROM execution")
    assert first != second
    cut = 2 + first[1]
    assert [int.from_bytes(sealed[cut : cut + 6], "big") for sealed in (first, second)] == [1, 2]


async def test_an_erased_person_stays_a_pseudonym(world: World) -> None:
    row = await filled(world)
    (pid,) = {pid for (pid,) in await world.sql("SELECT person FROM execution WHERE id = ?", row.id)}
    await world.sql("UPDATE person SET look = NULL, key = NULL, id = NULL WHERE pid = ?", pid)
    fresh = await world.second() if not world.sqlite else await world.open(serve=False)
    opened = await fresh.opened(row.id)
    assert opened is not None
    erased = opened.execution
    assert erased.user == f"erased:{pid}"
    assert (erased.params, erased.reason, erased.result, erased.decision.effect) == ({}, None, None, "deny")
    assert {ask.user for ask in opened.asks} == {erased.user}
    entries = [entry async for entry in fresh.audit.rows(execution=row.id)]
    assert entries[0].user == erased.user
    assert entries[0].what[0]["more"] == [BO, {"deep": erased.user}]
    assert (await fresh.audit.verify()).breaks == ()
    _, _, stops = await fresh.stops()
    assert {stop.id for stop in stops} == {erased.user, AGENT}
    assert await fresh.grants(ALICE, "mailhub") == ((), ())
    found = await fresh.grant((await world.sql('SELECT id FROM "grant"'))[0][0])
    assert found is not None
    with pytest.raises(VaultError):
        await fresh.reveal(found)
    # Its open rows can still be ended; what would be said of it is not kept.
    await written(fresh, Change(erased, {"state": "failed", "error": Trouble("x", "y")}))
    with pytest.raises(VaultError):
        await fresh.apply(unit(Change(erased, {"reason": "new words"})))
    assert erased.gone == ("params", "result")
    erased = replace(erased, version=erased.version + 1, state="failed", gone=("params",))
    await world.sql("DELETE FROM person WHERE pid = ?", pid)
    assert (await fresh.execution(row.id)) == erased
    # The same id later is another person.
    again = execution(fresh)
    await written(fresh, Insert(again))
    assert (await world.sql("SELECT person FROM execution WHERE id = ?", again.id))[0][0] != pid


async def test_one_person_is_made_once_however_many_ask(world: World) -> None:
    one = await world.open()
    two = await world.second()
    rows = [execution(store, user="new@example.com") for store in (one, two) for _ in range(10)]
    await together(*(store.apply(unit(Insert(row))) for store, row in zip([one] * 10 + [two] * 10, rows, strict=True)))
    pids = await world.sql("SELECT DISTINCT person FROM execution")
    assert len(pids) == 1
    ((count,),) = await world.sql("SELECT count(*) FROM person WHERE pid = ?", pids[0][0])
    assert count == 1


async def test_a_ring_opens_what_its_older_keys_sealed_and_finds_what_they_found(world: World) -> None:
    row = await filled(world)
    await world.close()
    world.stores.clear()
    ring = Vault([("k2", os.urandom(32)), ("k1", world.key)])
    store = await world.open(vault=ring)
    found = await store.execution(row.id)
    assert found is not None
    assert found.user == ALICE
    # The same idempotency key, joining key and person are found under the new first key.
    assert await store.idem(idem(row, "key-plain").scope) is not None
    assert await store.joined(f"{ALICE} open-plain") is not None
    assert len((await store.grants(ALICE, "mailhub"))[0]) == 1
    await written(store, Insert(execution(store, user="later@example.com")))
    assert (await store.audit.verify()).breaks == ()
    assert {key for (key,) in await world.sql("SELECT DISTINCT key FROM audit")} == {"k1", "k2"}


async def test_a_vault_without_the_key_is_refused_at_the_door(world: World) -> None:
    await filled(world)
    with pytest.raises(VaultError, match="k1"):
        await world.open(serve=False, vault=Vault([("k2", os.urandom(32))]))
    with pytest.raises(VaultError, match="altered or moved"):
        await world.open(serve=False, vault=Vault([("k1", os.urandom(32))]))


async def test_stops_come_back_with_names_and_words(world: World) -> None:
    store = await world.open()
    epoch = await stopped(store, "user", ALICE)
    assert await store.stops() == (
        epoch, "", (Stop(kind="user", id=ALICE, epoch=epoch, active=True, who=f"person:{BO}", why="Seen odd mail"),)
    )  # fmt: skip
    await written(store, Raise())
    assert store.epoch == epoch + 1

"""What a deciding unit rests on is judged inside its transaction (THREAT_MODEL 9, 10, 25, 39)."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from jit_auth.model import Applied, Change, Insert, Raise, Stale
from jit_auth.storage import postgres
from tests.conformance.world import (
    AGENT,
    ALICE,
    BO,
    World,
    at,
    execution,
    refused,
    stopped,
    together,
    unit,
    written,
)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("agent", AGENT), ("user", ALICE), ("provider", "mailhub"), ("connector", "mailhub"), ("all", "")],
)
async def test_a_stop_of_a_subject_refuses_what_was_decided_before(world: World, kind: str, name: str) -> None:
    store = await world.open()
    before = at(store)
    epoch = await stopped(store, kind, name)
    assert store.epoch == epoch == before.epoch + 1
    row = execution(store)
    assert await refused(store, Insert(row), at=before) == "stopped"
    assert await store.execution(row.id) is None
    await written(store, Insert(row), at=at(store))  # who has seen the stop decides for himself
    # A restored subject: what was decided before the stop stays refused.
    lifted = await stopped(store, kind, name, active=False)
    assert lifted == epoch + 1
    _, _, (stop,) = await store.stops()
    assert (stop.epoch, stop.active) == (epoch, False)
    assert await refused(store, Insert(execution(store)), at=before) == "stopped"
    await written(store, Insert(execution(store)), at=at(store, epoch=epoch))


@pytest.mark.parametrize("agent", [AGENT, "*", ""])
async def test_an_agent_that_its_user_stopped_is_refused_in_their_name_alone(world: World, agent: str) -> None:
    store = await world.open()
    alices, bos = at(store), at(store, subjects=(("agent", AGENT), ("user", BO)))
    await written(store, Insert(execution(store)), Insert(execution(store, user=BO)), at=alices)
    epoch = await stopped(store, "own", f"{agent}/{ALICE}")
    assert await refused(store, Insert(execution(store)), at=alices) == "stopped"
    await written(store, Insert(execution(store, user=BO)), at=bos)
    await written(store, Insert(execution(store)), at=at(store))  # whether it is barred, who reads the stop decides
    # Thrown once more it counts once more; lifted, it leaves what was decided before it refused.
    newer = at(store)
    assert await stopped(store, "own", f"{agent}/{ALICE}") == epoch + 1
    assert await refused(store, Insert(execution(store)), at=newer) == "stopped"
    await stopped(store, "own", f"{agent}/{ALICE}", active=False)
    assert await refused(store, Insert(execution(store)), at=newer) == "stopped"
    _, _, (stop,) = await store.stops()
    assert (stop.kind, stop.id, stop.epoch, stop.active) == ("own", f"{agent}/{ALICE}", epoch + 1, False)
    raw = await world.sql("SELECT id FROM stop")
    assert ALICE not in raw[0][0]  # the pseudonym


async def test_a_stop_of_somebody_else_refuses_nothing(world: World) -> None:
    store = await world.open()
    before = at(store)
    await stopped(store, "agent", "otherbot")
    await stopped(store, "user", "cy@example.com")
    await stopped(store, "grant", "grt_other")
    await written(store, Insert(execution(store)), at=before)


async def test_facts_are_recorded_whatever_was_stopped(world: World) -> None:
    store = await world.open()
    row = execution(store)
    await written(store, Insert(row), at=at(store))
    await stopped(store, "all", "")
    await written(store, Change(row, {"state": "succeeded"}))


async def test_another_bundle_refuses_what_would_be_sent(world: World) -> None:
    store = await world.open(bundle="sha256:one")
    assert store.bundle == "sha256:one"
    before, sending = at(store), at(store, send=True)
    epoch = store.epoch
    assert await store.publish("sha256:one", "operator") == epoch
    assert await store.publish("sha256:two", "operator") == epoch + 1
    assert store.bundle == "sha256:two"
    assert await refused(store, Insert(execution(store)), at=sending) == "bundle"
    await written(store, Insert(execution(store)), at=before)  # what only pauses or denies is still written
    published = [entry async for entry in store.audit.rows() if entry.what[0]["do"] == "bundle"]
    assert [(entry.what[0]["bundle"], entry.actor) for entry in published] == [
        ("sha256:one", "engine"), ("sha256:two", "operator")
    ]  # fmt: skip


async def test_a_decision_of_another_newer_store_is_refused(world: World) -> None:
    store = await world.open()
    assert await refused(store, Insert(execution(store)), at=at(store, epoch=store.epoch + 5)) == "stopped"


async def test_lateness_is_judged_by_the_database(world: World) -> None:
    store = await world.open()
    deadline = store.now() + 10_000
    await written(store, Insert(execution(store)), at=at(store, not_after=deadline))
    world.clock.offset = 20_000
    assert await refused(store, Insert(execution(store)), at=at(store, not_after=deadline)) == "late"
    await written(store, Insert(execution(store)))


async def test_an_intent_needs_this_process_lease(world: World) -> None:
    store = await world.open()
    await written(store, Insert(execution(store)), at=at(store, send=True))
    world.clock.offset = 20_000
    assert await refused(store, Insert(execution(store)), at=at(store, send=True)) == "lease"
    await written(store, Insert(execution(store)), at=at(store))  # not an intent
    await store.renew()
    await written(store, Insert(execution(store)), at=at(store, send=True))
    await world.sql("DELETE FROM process")
    assert await refused(store, Insert(execution(store)), at=at(store, send=True)) == "lease"


async def test_a_command_has_no_lease(world: World) -> None:
    store = await world.open(serve=False)
    assert await refused(store, Insert(execution(store)), at=at(store, send=True)) == "lease"
    await written(store, Insert(execution(store)), at=at(store))


async def test_time_does_not_run_back_on_sqlite(sqlite_world: World) -> None:
    world = sqlite_world
    world.clock.offset = 3_600_000
    store = await world.open()
    answer = await written(store, Insert(execution(store)))
    await store.close()
    world.clock.offset = 0
    later = await world.open()
    assert later.now() >= answer.at
    assert await refused(later, Insert(execution(later)), at=at(later, not_after=answer.at)) == "late"


async def test_a_raise_between_units_is_seen_by_those_after_it(world: World) -> None:
    store = await world.open()
    await stopped(store, "agent", "otherbot")
    await written(store, Insert(execution(store)))  # every person is known
    before = at(store)
    answers = await together(
        *(store.apply(unit(Insert(execution(store)), at=before)) for _ in range(5)),
        stopped(store, "agent", AGENT),
        *(store.apply(unit(Insert(execution(store)), at=before)) for _ in range(5)),
    )
    raised = answers[5]
    assert all(isinstance(answer, Applied) and answer.epoch == raised - 1 for answer in answers[:5])
    assert answers[6:] == [Stale("stopped", raised)] * 5


async def test_each_raise_is_one_step(world: World) -> None:
    store = await world.open()
    other = await world.second()
    begun = store.epoch
    answers = await together(*(one.apply(unit(Raise())) for one in (store, other) for _ in range(10)))
    assert sorted(answer.epoch for answer in answers) == list(range(begun + 1, begun + 21))
    await other.renew()
    assert max(store.epoch, other.epoch) == begun + 20
    assert (await other.stops())[0] == other.epoch == begun + 20


async def test_a_stop_by_another_process_holds_for_the_very_next_unit(world: World) -> None:
    store = await world.open()
    other = await world.second()
    for _ in range(3):
        await written(store, Insert(execution(store)), at=at(store, send=True))
    believed = at(store, send=True)
    epoch = await stopped(other, "agent", AGENT)
    assert store.epoch == epoch - 1  # nobody told it
    assert await refused(store, Insert(execution(store)), at=believed) == "stopped"
    assert store.epoch == epoch


@pytest.mark.parametrize("warm", [0.0, 60.0])
async def test_a_raise_under_way_is_waited_for(
    postgres_world: World, warm: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "WARM", warm)
    store = await postgres_world.open()
    for _ in range(3):
        await written(store, Insert(execution(store)), at=at(store))
    raising = await asyncpg.connect(postgres_world.url)
    watching = await asyncpg.connect(postgres_world.url)
    async with raising.transaction():
        await raising.execute("UPDATE epoch SET n = n + 1")
        await raising.execute(
            "INSERT INTO stop VALUES ('agent', $1, (SELECT n FROM epoch), true, 'operator', '')", AGENT
        )
        waiting = asyncio.create_task(store.apply(unit(Insert(execution(store)), at=at(store))))
        while not await watching.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not waiting.done()
    assert await waiting == Stale("stopped", store.epoch)
    await raising.close()
    await watching.close()


async def test_each_ground_of_a_batch_is_judged_for_the_unit_it_belongs_to(world: World) -> None:
    store = await world.open()
    for _ in range(3):
        await written(store, Insert(execution(store)), at=at(store, send=True))
    soon = store.now() - 1
    grounds = [at(store), at(store, not_after=soon), at(store, send=True), at(store, send=True, bundle="sha256:x")]
    answers = await together(*(store.apply(unit(Insert(execution(store)), at=ground)) for ground in grounds))
    assert [answer.which if isinstance(answer, Stale) else "applied" for answer in answers] == [
        "applied", "late", "applied", "bundle"
    ]  # fmt: skip

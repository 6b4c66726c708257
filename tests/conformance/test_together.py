"""Units of one moment are made into jobs together: what is wrong with one is no other's fault, and none is lost."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from jit_auth.errors import StorageError
from jit_auth.model import Applied, Insert, Stale, Unit
from tests.conformance.world import World, execution, idem, unit, written


async def test_they_share_one_transaction(world: World) -> None:
    """Also those of people whom nobody knew so far, who come with the next one."""
    store = await world.open()
    sizes: list[int] = []
    told: list[Unit] = []
    await written(store, Insert(execution(store)))
    store.batched = lambda units, seconds: sizes.append(units)
    store.wrote = lambda of, answer: told.append(of)
    units = [unit(Insert(execution(store))) for _ in range(20)]
    strangers = [unit(Insert(execution(store, user=f"new{number}@example.com"))) for number in range(3)]

    answers = await asyncio.gather(*(store.apply(each) for each in (*units, *strangers)))

    assert all(isinstance(answer, Applied) for answer in answers)
    assert max(sizes) >= 20  # the strangers may come with them
    assert len(told) == 23
    assert {id(each) for each in told} == {id(each) for each in (*units, *strangers)}


async def test_what_cannot_be_made_fails_alone(world: World) -> None:
    store = await world.open()
    row = execution(store)
    twice = unit(Insert(row), Insert(row))  # a unit touches one row once

    bad, good = await asyncio.gather(
        store.apply(twice), store.apply(unit(Insert(execution(store)))), return_exceptions=True
    )

    assert isinstance(bad, TypeError)
    assert isinstance(good, Applied)
    assert await store.execution(row.id) is None


async def test_one_that_is_given_up_is_written_all_the_same(world: World) -> None:
    """Whoever asked has gone; that it was asked stands, and half of it never does."""
    store = await world.open()
    await written(store, Insert(execution(store)))  # its user is known from here on
    row = execution(store)
    asked = asyncio.create_task(store.apply(unit(Insert(row), Insert(idem(row, "key")))))
    await asyncio.sleep(0)
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asked

    await written(store, Insert(execution(store)))

    assert await store.execution(row.id) is not None


async def test_what_comes_at_the_end_is_written_and_what_comes_after_is_refused(world: World) -> None:
    store = await world.open()
    await written(store, Insert(execution(store)))
    row = execution(store)
    last = asyncio.create_task(store.apply(unit(Insert(row))))
    await asyncio.sleep(0)

    await store.close()

    assert isinstance(await last, Applied)
    with pytest.raises(StorageError, match="closed"):
        await store.apply(unit(Insert(execution(store))))
    again = await world.open()
    assert await again.execution(row.id) is not None


async def test_equal_keys_of_one_moment_are_told_apart(world: World) -> None:
    store = await world.open()
    rows = [execution(store) for _ in range(8)]

    answers = await asyncio.gather(*(store.apply(unit(Insert(row), Insert(idem(row, "key")))) for row in rows))

    assert [isinstance(answer, Applied) for answer in answers].count(True) == 1
    assert {answer.which for answer in answers if isinstance(answer, Stale)} == {"idem"}

"""How long a connection may be idle, for whom, and that no more are kept than are good for something."""

from __future__ import annotations

import asyncio

from jit_auth.egress.connection import Connection, Key
from jit_auth.egress.pool import IDLE, IDLE_FRESH, Pool

KEY = Key("http", "a.example", 80, "192.0.2.1")


def connection(pool: Pool, key: Key = KEY) -> Connection:
    made = Connection(key, pool.free, pool.gone)
    pool.add(made)
    return made


async def test_the_newest_first_and_none_that_was_idle_too_long() -> None:
    pool = Pool()
    older, newer = connection(pool), connection(pool)
    now = asyncio.get_running_loop().time()
    pool.free(older)
    pool.free(newer)
    older.idle_since, newer.idle_since = now - 2, now - 1.5
    assert pool.take(KEY, IDLE_FRESH, now) is None
    assert pool.take(KEY, IDLE, now) is newer
    assert pool.take(KEY, IDLE, now + IDLE) is None
    assert pool.take(KEY, IDLE, now) is older
    assert pool.take(KEY, IDLE, now) is None


async def test_a_connection_serves_only_the_very_same_place() -> None:
    pool = Pool()
    pool.free(connection(pool))
    now = asyncio.get_running_loop().time()
    for other in (
        KEY._replace(scheme="https"),
        KEY._replace(host="b.example"),
        KEY._replace(port=81),
        KEY._replace(address="192.0.2.2"),
    ):
        assert pool.take(other, IDLE, now) is None
    assert pool.take(KEY, IDLE, now) is not None


async def test_a_server_s_own_word_about_idleness_counts() -> None:
    pool = Pool()
    made = connection(pool)
    made.idle_limit = 0.5
    pool.free(made)
    assert pool.take(KEY, IDLE, made.idle_since + 0.6) is None
    assert pool.take(KEY, IDLE, made.idle_since + 0.4) is made


async def test_a_closed_one_is_never_given() -> None:
    pool = Pool()
    closed, whole = connection(pool), connection(pool)
    pool.free(whole)
    pool.free(closed)
    closed.close()
    assert pool.take(KEY, IDLE, closed.idle_since) is whole


async def test_no_more_are_kept_than_the_most() -> None:
    pool = Pool(most=2)
    made = [connection(pool) for _ in range(3)]
    for one in made:
        pool.free(one)
    assert [one.open for one in made] == [True, True, False]


async def test_idle_ones_are_closed_after_a_while() -> None:
    pool = Pool()
    old, new = connection(pool), connection(pool)
    pool.free(old)
    pool.free(new)
    old.idle_since -= IDLE
    pool.sweep(asyncio.get_running_loop())
    assert (old.open, new.open) == (False, True)
    assert pool.take(KEY, IDLE, new.idle_since) is new
    pool.sweep(asyncio.get_running_loop())
    assert pool.take(KEY, IDLE, new.idle_since) is None

"""A thousand units that collide at random, from two processes: what is written is what some order would give."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import msgspec

from jit_auth.model import Applied, Change, Execution, Insert, Op, Raise, Stale, Stop
from jit_auth.storage.store import Store
from tests.conformance.world import AGENT, World, approval_ask, at, execution, idem, unit, vote, written

replace = msgspec.structs.replace

UNITS = 1_000


class Player:
    """One process that writes at random, believing what it last saw."""

    def __init__(self, store: Store, seed: int, rows: list[Execution]) -> None:
        self.store = store
        self.random = random.Random(seed)  # noqa: S311 - a repeatable test
        self.versions = {row.id: row for row in rows}
        self.ask = approval_ask(store, rows[0], id="apr_1")
        self.answers: Counter[str] = Counter()
        self.won: list[tuple[str, tuple[Op, ...]]] = []

    def ops(self) -> tuple[str, tuple[Op, ...]]:
        """A random unit's ops, and its kind."""
        row = self.versions[self.random.choice(list(self.versions))]
        other = self.versions[self.random.choice(list(self.versions))]
        fresh = execution(self.store, state="paused")
        number = self.random.randrange(40)
        kind = self.random.choice(["change", "change", "change", "two", "idem", "open", "vote", "insert", "mixed"])
        match kind:
            case "change":
                return kind, (Change(row, {"tries": row.tries + 1}),)
            case "two" if row.id != other.id:
                return kind, (Change(row, {"tries": row.tries + 1}), Change(other, {"tries": other.tries + 1}))
            case "idem":
                return kind, (Insert(fresh), Insert(idem(fresh, f"key-{number}")))
            case "open":
                return kind, (Insert(replace(fresh, open_key=f"open-{number}")),)
            case "vote":
                return kind, (Insert(vote(self.store, self.ask, person=f"voter{number}@example.com")), Insert(fresh))
            case "mixed":
                return kind, (
                    Change(row, {"tries": row.tries + 1}),
                    Insert(fresh),
                    Insert(idem(fresh, f"key-{number}")),
                )
            case _:
                return "insert", (Insert(fresh),)

    async def play(self, count: int) -> None:
        """Write `count` units, some at a time."""
        waiting = asyncio.Semaphore(64)

        async def one() -> None:
            async with waiting:
                kind, ops = self.ops()
                answer = await self.store.apply(unit(*ops, at=at(self.store) if self.random.random() < 0.5 else None))
                self.answers[answer.which if isinstance(answer, Stale) else "applied"] += 1
                if isinstance(answer, Applied):
                    self.won.append((kind, ops))
                    for op in ops:
                        if isinstance(op, Change):
                            row: Any = op.was
                            self._saw(replace(row, version=row.version + 1, **op.to))
                elif self.random.random() < 0.7:
                    for op in ops:
                        if isinstance(op, Change) and (found := await self.store.execution(op.was.id)) is not None:  # type: ignore[union-attr]  # executions alone
                            self._saw(found)

        await asyncio.gather(*(one() for _ in range(count)))

    def _saw(self, row: Execution) -> None:
        if row.version > self.versions[row.id].version:
            self.versions[row.id] = row


async def test_a_thousand_conflicting_units(world: World) -> None:
    one = await world.open()
    two = await world.second()
    rows = [execution(one, id=f"exe_{n:026d}") for n in range(12)]
    await written(one, *(Insert(row) for row in rows))
    players = [Player(one, 1, rows), Player(two, 2, rows)]

    async def raising() -> None:
        for number in range(10):
            await asyncio.sleep(0)
            stop = Stop(kind="agent", id=("otherbot", AGENT)[number % 2], epoch=0, active=True, who="operator")
            await written(one, Raise((stop,)))

    await asyncio.gather(*(player.play(UNITS // 2) for player in players), raising())
    answers = players[0].answers + players[1].answers
    assert sum(answers.values()) == UNITS
    assert set(answers) <= {"applied", "version", "idem", "open", "vote", "stopped"}
    for which in ("applied", "version", "idem", "open", "vote"):
        assert answers[which] > 10, answers

    won = [ops for player in players for _, ops in player.won]
    inserted = {op.row.id for ops in won for op in ops if isinstance(op, Insert) and isinstance(op.row, Execution)}
    changes = Counter(op.was.id for ops in won for op in ops if isinstance(op, Change))  # type: ignore[union-attr]  # executions alone
    found = {row[0]: row[1:] for row in await world.sql("SELECT id, version, tries FROM execution")}
    # Each won compare raised its row by one, each lost one left it alone: none was lost, none was written twice.
    assert {key: value for key, value in found.items() if key in {row.id for row in rows}} == {
        row.id: (1 + changes[row.id], changes[row.id]) for row in rows
    }
    assert set(found) == inserted | {row.id for row in rows}
    # Unique keys have one winner each, and each winner's other rows are there.
    for table, kinds in (("idem", ("idem", "mixed")), ("vote", ("vote",))):
        ((count,),) = await world.sql(f"SELECT count(*) FROM {table}")  # noqa: S608 - of this list
        assert count == sum(kind in kinds for player in players for kind, _ in player.won) <= 40
    ((opened,),) = await world.sql("SELECT count(DISTINCT open_key) FROM execution WHERE open_key IS NOT NULL")
    assert opened == sum(kind == "open" for player in players for kind, _ in player.won) <= 40
    # One audit row per won unit, in unbroken chains.
    verified = await one.audit.verify()
    assert verified.breaks == ()
    assert verified.rows == len(won) + 1 + 10 + 2
    assert (await one.stops())[0] == one.epoch

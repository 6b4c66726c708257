"""A whole batch as one statement of PostgreSQL, for the usual case that every unit wins: one round trip, no BEGIN.

It demands the epoch, the bundle, the lease and the counts that it was made for, and divides by zero where one of them
differs: then nothing was written, and the batch is applied step by step. That the epoch row is share-locked in the
statement that demands its value is what makes one snapshot enough (THREAT_MODEL 9).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import BigInteger, Boolean, Text, and_, bindparam, case, func, literal_column, not_, or_, select

from jit_auth.storage import tables
from jit_auth.storage.compiled import Compiler, Write
from jit_auth.storage.compiled import Text as Compiled
from jit_auth.storage.job import Job
from jit_auth.storage.journal import now_on_postgres
from jit_auth.storage.judge import ADRIFT

Parts = tuple[tuple[Write, Sequence[tuple[Any, ...]]], ...]

FAR = 2**62
"""A time that does not come."""


class Whole:
    """Makes the statements, one for each set of writes that batches have."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._known: dict[tuple[Write, ...], Compiled] = {}

    def fits(self, jobs: Sequence[Job], epoch: int, bundle: str, skew: int) -> bool:
        """Whether the batch may be tried as one: decided at this epoch and bundle, and nothing out of the ordinary."""
        return abs(skew) <= ADRIFT and not any(
            job.loose
            or job.past is not None
            or job.raising is not None
            or not job.lines
            or (job.at is not None and (job.at.epoch != epoch or (job.at.send and job.at.bundle != bundle)))
            for job in jobs
        )

    def statement(
        self, jobs: Sequence[Job], audit: tuple[Write, Sequence[tuple[Any, ...]]], **ground: Any
    ) -> tuple[str, tuple[Any, ...]]:
        """The text and its parameters. `ground`: epoch, bundle, process, offset (of the clock, for tests)."""
        parts = _parts(jobs, audit)
        writes = tuple(write for write, _ in parts)
        text = self._known.get(writes)
        if text is None:
            text = self._known[writes] = self._compiler.text(_made(writes))
        values = dict(ground)
        values["sends"] = any(job.at is not None and job.at.send for job in jobs)
        values["deadline"] = min((job.at.not_after or FAR for job in jobs if job.at is not None), default=FAR)
        for number, (write, rows) in enumerate(parts):
            values[f"count{number}"] = len(rows)
            values.update(zip((f"p{number}_{name}" for name in write.order), zip(*rows, strict=True), strict=True))
        return text.sql, text.args(**values)


def _parts(jobs: Iterable[Job], audit: tuple[Write, Sequence[tuple[Any, ...]]]) -> Parts:
    """The rows of each write, in one order for every batch: replicas then lock rows alike."""
    found: dict[Write, list[tuple[Any, ...]]] = {}
    for job in jobs:
        for write, values, _ in (*job.compares, *job.inserts):
            found.setdefault(write, []).append(values)
    parts: list[tuple[Write, Sequence[tuple[Any, ...]]]] = []
    for write in sorted(found, key=attrgetter("one")):
        key = itemgetter(write.key_at)
        parts.append((write, sorted(found[write], key=key)))
    return (*parts, audit)


def _made(writes: Sequence[Write]) -> Any:
    epoch, process = tables.epoch, tables.process
    ground = select(epoch.c.n, epoch.c.bundle).where(epoch.c.id == literal_column("1")).with_for_update(read=True)
    held = ground.cte("held")
    done = [write.build(f"p{number}_").cte(f"done{number}") for number, write in enumerate(writes)]
    clock = now_on_postgres() + bindparam("offset", type_=BigInteger)
    alive = (
        select(literal_column("true"))
        .where(process.c.id == bindparam("process", type_=Text), process.c.lease_until > clock)
        .scalar_subquery()
    )
    fits = and_(
        held.c.n == bindparam("epoch", type_=BigInteger),
        held.c.bundle == bindparam("bundle", type_=Text),
        *(
            select(func.count()).select_from(cte).scalar_subquery() == bindparam(f"count{number}", type_=BigInteger)
            for number, cte in enumerate(done)
        ),
        # Last, and so after every wait for a lock: what has run out meanwhile is late.
        or_(not_(bindparam("sends", type_=Boolean)), alive),
        clock < bindparam("deadline", type_=BigInteger),
    )
    zero_unless = case((fits, literal_column("1")), else_=literal_column("0"))
    return select(literal_column("1") / zero_unless, now_on_postgres()).select_from(held)

"""Agents and the service are killed while guarded functions run: a body runs at most once, and what came of it is
`unknown` when, and only when, nobody can know."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jit_auth.model import Execution
from tests.chaos.ledger import Findings, everything, looking, rest
from tests.chaos.load import until
from tests.chaos.stage import SQLITE
from tests.crash.agent import Errand, Orders
from tests.crash.nursery import Life, agent_life, living
from tests.integration.service.kit import AGENT, POLICIES, Kit, kit

OPS = """
id = "ops"
name = "Operations"

[actions.quick]
title = "What is soon over"
run = "agent"
risk = "medium"
effect = "update"
claim_timeout = "1s"
params.word = { type = "string", required = true }
params.fails = { type = "boolean", required = true }

[actions.long]
title = "What may take its time"
run = "agent"
risk = "medium"
effect = "update"
params.word = { type = "string", required = true }
params.fails = { type = "boolean", required = true }
"""
RULES = """
[[rule]]
id = "ops"
match = ["ops.*"]
effect = "allow"
"""
POINTS = ("before.release", "after.release", "before.claim", "after.claim", "before.outcome", "after.outcome")
"""Commits at which the service dies by itself; the other deaths come at any moment."""
AFTER_CLAIMS = 11 * 60_000
"""Milliseconds after which every claim that nobody prolongs has run out."""
WITHOUT = 0.7
"""How often nobody is killed then."""
AT_ONCE = 0.1
"""How often an agent is killed that has only just begun; the others have ended something."""
SLOTS = 4
"""Agents at a time, of which two and two do some errands in common."""
PAUSE = 0.25
"""At most so many seconds between two kills of agents, as long as a service is there; else it takes longer."""
PATIENCE = 300.0


@dataclass
class Slot:
    """One agent, life after life."""

    number: int
    life: Life | None = None
    journal: Path = Path()
    next: int = 0
    """Number of its next new word."""
    left: list[str] = field(default_factory=list)
    """What its last life had in hand: the next one begins with it."""
    aside: list[str] = field(default_factory=list)
    """What two lives have not brought to an end: it is done when nobody dies any more."""

    @property
    def alive(self) -> Life:
        assert self.life is not None
        return self.life

    def read(self) -> tuple[list[str], dict[str, str], list[str]]:
        """Of its present life: words it began, how they ended, and what was odd."""
        begun: list[str] = []
        ended: dict[str, str] = {}
        odd: list[str] = []
        for line in self.journal.read_text().splitlines() if self.journal.exists() else ():
            what, word, more = line.split(" ", 2)
            if what == "begin":
                begun.append(word)
            elif what == "end":
                ended[word] = more
            if what == "unheard" or more.startswith("odd"):
                odd.append(line)
        return begun, ended, odd

    def worked(self, at_once: bool) -> bool:
        """Whether its present life has got somewhere: ended a call, or (`at_once`) begun one."""
        begun, ended, _ = self.read()
        return bool(begun if at_once else ended)

    @property
    def busy(self) -> bool:
        """Whether a call of its present life is under way."""
        begun, ended, _ = self.read()
        return len(begun) > len(ended)


@dataclass
class Field:
    """Everything of one run."""

    kits: list[Kit]
    folder: Path
    chance: random.Random
    slots: list[Slot] = field(default_factory=lambda: [Slot(number) for number in range(SLOTS)])
    lives: int = 0
    up: int = 0
    """How many replicas are there, and at work."""
    offset: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    idle: Counter[str] = field(default_factory=Counter)
    """Kills that hit nobody at work: they do not count."""
    killed: dict[str, set[str]] = field(default_factory=dict)
    """What was in flight in a life that was killed, by its journal."""
    told: defaultdict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """How calls ended, by word: (journal, end)."""
    wrong: list[str] = field(default_factory=list)

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.txt"

    @property
    def done(self) -> int:
        """Grows with each run of a body."""
        return self.ledger.stat().st_size if self.ledger.exists() else 0

    def runs(self) -> dict[str, list[tuple[str, str]]]:
        """(journal, value) of each run of a body, by word."""
        found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for line in self.ledger.read_text().splitlines():
            word, journal, value = line.split()
            found[word].append((journal, value))
        return found

    async def send_out(self, slot: Slot, *, last: bool = False) -> None:
        """A new life of an agent, which first does what the one before left; `last`: all that is left, and ends."""
        self.lives += 1
        slot.journal = self.folder / f"life{self.lives}.txt"
        first = (*slot.aside, *slot.left) if last else tuple(slot.left)
        orders = Orders(
            url=self.kits[slot.number % len(self.kits)].url, token=AGENT, ledger=self.ledger, journal=slot.journal,
            slot=slot.number, first=first, begin=None if last else slot.next, hands=8 if last else 4, waits=last,
        )  # fmt: skip
        slot.life = await agent_life(orders)

    def over(self, slot: Slot, *, hard: bool) -> bool:
        """Take down what a life that is over began and was told; whether it had something in hand."""
        begun, ended, odd = slot.read()
        open_ = [word for word in begun if word not in ended]
        self.wrong += odd
        if hard:
            self.killed[slot.journal.name] = set(open_)
        elif open_:
            self.wrong.append(f"{slot.journal.name}: it ended by itself, and left {open_}")
        for word, end in ended.items():
            self.told[word].append((slot.journal.name, end))
        before = set(slot.left)
        still = [word for word in dict.fromkeys([*slot.left, *begun]) if ended.get(word, "open") == "open"]
        slot.aside += [word for word in still if word in before or word in ended]
        slot.left = [word for word in still if word not in before and word not in ended]
        slot.next = max([slot.next, *(int(word.partition("-")[2]) + 1 for word in begun)])
        return bool(open_)


async def guarded(folder: Path, storage: str = SQLITE, *, kills: int, seed: int = 1, replicas: int = 1) -> Findings:
    """So many kills that hit somebody at work, of agents and of the service in random mix."""
    async with _field(folder, storage, seed, replicas) as at:
        await _killing(at, kills)
        async with _serving(at):
            for slot in at.slots:
                slot.alive.end()
            await _ends(at)
        at.offset += AFTER_CLAIMS
        async with _serving(at):
            for slot in at.slots:
                await at.send_out(slot, last=True)
            await _ends(at)
            await rest(at.kits[0])
            return await _judged(at)


@asynccontextmanager
async def _field(folder: Path, storage: str, seed: int, replicas: int) -> AsyncIterator[Field]:
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(kit(folder, storage=storage, policies=POLICIES + RULES))
        kits = [one, *(one.twin(folder.with_name(f"{folder.name}-{number}")) for number in range(2, replicas + 1))]
        for each in kits:
            (each.folder / "connectors" / "ops").mkdir()
            (each.folder / "connectors" / "ops" / "connector.toml").write_text(OPS)
            config = each.folder / "config.toml"
            config.write_text(config.read_text().replace('actions = ["mailhub.*"]', 'actions = ["ops.*"]'))
        at = Field(kits, folder, random.Random(seed))  # noqa: S311 - it only has to be repeatable
        try:
            yield at
        finally:
            for slot in at.slots:
                if slot.life is not None:
                    slot.life.kill()
                    await slot.life.wait()


@asynccontextmanager
async def _serving(at: Field) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for each in at.kits:
            life = await stack.enter_async_context(living(each, at.offset))
            assert not life.over, (each.folder / "stderr.txt").read_text()
        yield


async def _ends(at: Field) -> None:
    """Every agent ends by itself. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        for slot in at.slots:
            await slot.alive.wait()
            at.over(slot, hard=False)
            if slot.alive.exit:
                at.wrong.append(f"{slot.journal.name}: exit {slot.alive.exit}")


async def _killing(at: Field, kills: int) -> None:
    """Replicas die and are started again, each by itself, and agents; until that many kills have hit."""

    def enough() -> bool:
        return at.hits.total() >= kills

    async with asyncio.TaskGroup() as tasks:
        for number in range(len(at.kits)):
            tasks.create_task(_replica(at, number, enough))
        for slot in at.slots:
            await at.send_out(slot)
        while not enough():
            await asyncio.sleep(at.chance.uniform(0.02, PAUSE))
            if not at.up and at.chance.random() < WITHOUT:
                continue
            able = [slot for slot in at.slots if slot.worked(at.chance.random() < AT_ONCE)]
            doomed = at.chance.sample(able, min(len(able), at.chance.choice((1, 1, 2, SLOTS))))
            for slot in doomed:
                slot.alive.kill()
            for slot in doomed:
                await slot.alive.wait()
                (at.hits if at.over(slot, hard=True) else at.idle)["agent"] += 1
                await at.send_out(slot)


async def _replica(at: Field, number: int, enough: Callable[[], bool]) -> None:
    while not enough():
        point = at.chance.choice((*POINTS, *[""] * len(POINTS)))
        variables = {"JIT_AUTH_CRASH_AT": f"{point}:{at.chance.randint(1, 20)}"} if point else {}
        before = at.done
        async with living(at.kits[number], at.offset, **variables) as life:
            await until(lambda: life.over or at.done > before or enough(), PATIENCE)  # noqa: B023 - over before they change
            at.up += 1
            try:
                async with asyncio.timeout(at.chance.uniform(0.0, 1.0)):
                    await life.wait()
                hit = True  # in the middle of a commit
            except TimeoutError:
                hit = any(slot.busy for slot in at.slots)
                life.kill()
                await life.wait()
            finally:
                at.up -= 1
        (at.hits if hit else at.idle)["service"] += 1


async def _judged(at: Field) -> Findings:
    """Ledger, journals, rows and record, at rest."""
    async with looking(at.kits[0]) as store:
        rows = await everything(store)
        verified = await store.audit.verify()
        facts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        async for entry in store.audit.rows():
            for fact in entry.what:
                said = f"{fact['do']} by {entry.actor.partition(':')[0]}"
                facts[entry.execution or ""][said] += 1
    found = Findings(calls=len(at.told.keys() | {word for left in at.killed.values() for word in left}))
    found.rows, found.wrong = verified.rows, at.wrong + [f"audit verify: {broken}" for broken in verified.breaks]
    found.statuses.update(row.state for row in rows.values())
    by_word: defaultdict[str, list[Execution]] = defaultdict(list)
    for row in rows.values():
        by_word[str((row.params or {}).get("word"))].append(row)
    runs = at.runs()
    for word in at.told.keys() | runs.keys() | by_word.keys():
        found.wrong += [f"{word}: {fault}" for fault in _faults(at, word, by_word[word], runs.get(word, []), facts)]
    found.notes = {
        "kills of agents": at.hits["agent"], "kills of the service": at.hits["service"],
        "kills that hit nothing": at.idle.total(), "runs": sum(map(len, runs.values())),
        "in hand when an agent died": sum(map(len, at.killed.values())),
    }  # fmt: skip
    return found


def _faults(
    at: Field, word: str, rows: list[Execution], runs: list[tuple[str, str]], facts: Mapping[str, Counter[str]]
) -> Iterator[str]:
    if len(rows) != 1:
        yield f"one key, and {len(rows)} executions"
        return
    (row,) = rows
    if len(runs) > 1:
        yield f"it ran {len(runs)} times: {runs}"
    did = facts[row.id]
    reported, claims = did["outcome by agent"], did["claim by agent"]
    if claims > 1 or (runs and not claims):
        yield f"it ran {len(runs)} times, and was claimed {claims} times"
    if row.state in ("succeeded", "failed"):
        if (len(runs), reported) != (1, 1):
            yield f"{row.state}, ran {len(runs)} times, and its end was told {reported} times"
        body = None if row.result is None else row.result.body
        wanted = {"raised": "tests.crash.agent.Raised"} if Errand(word).fails else runs and runs[0][1]
        if body != wanted or (row.state == "failed") != Errand(word).fails:
            yield f"{row.state} with {body}, and {wanted} was given"
    elif row.state == "unknown":
        if claims != 1 or reported:
            yield f"unknown, claimed {claims} times, and its end was told {reported} times"
        if not _died(at, word, runs):
            yield "unknown, and no agent had it in hand when it died"
    else:
        yield f"it rests as {row.state}"
    for journal, end in at.told[word]:
        fits = {"gave": "succeeded", "raised": "failed", "failed": "failed", "unknown": "unknown"}
        state = fits.get(end.split()[0], "")
        # (Who was told that it is unknown may have been told before a late word settled it.)
        if end != "open" and state != row.state and state != "unknown":
            yield f"{journal} was told {end}, and it is {row.state}"
        if state == "succeeded" and (not runs or end != f"gave {runs[0][1]}"):
            yield f"{journal} was told {end}, and the run gave {runs}"


def _died(at: Field, word: str, runs: list[tuple[str, str]]) -> bool:
    """Whether who ran it, or (nobody did) may have claimed it, was killed with it in hand. Where nobody ran it, a claim
    of a second may also have run out while the service was away, before its answer could be given again."""
    if runs:
        return word in at.killed.get(runs[0][0], ())
    if Errand(word).action == "quick":
        return True
    return any(word in left for left in at.killed.values())

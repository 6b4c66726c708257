"""An agent's process whose functions are guarded: it runs errand after errand until it is killed or told to stop.

What its functions did is in one ledger for all agents (a line for each run, on disk before the body goes on); what each
life began and was told is in a journal of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from jit_auth.client import AsyncClient, Client, Failed, Paused, Repeats, Unknown

ACTIONS = ("quick", "long")
"""Functions: a claim of the first lasts two seconds, of the second ten minutes."""
PATIENCE = 1.0
"""Seconds that an agent waits for what another one has in hand, of `long`."""
_errand: ContextVar[str] = ContextVar("errand")


class Raised(Exception):
    """What a function raises that fails."""


@dataclass(frozen=True)
class Errand:
    """One thing to do, once: whoever meets its word does the same."""

    word: str

    @property
    def action(self) -> str:
        return self._chance("action").choice(ACTIONS)

    @property
    def fails(self) -> bool:
        return self._chance("fails").random() > 0.9

    def _chance(self, what: str) -> random.Random:
        return random.Random(f"{self.word} {what}")  # noqa: S311 - every process has to come to the same


@dataclass(frozen=True)
class Orders:
    """What a life is for. `first`: words that earlier lives have not brought to an end; then those of `slot`, from
    number `begin` on (None: none)."""

    url: str
    token: str
    ledger: Path
    journal: Path
    slot: int
    first: Sequence[str]
    begin: int | None
    hands: int = 4
    waits: bool = False
    """For other agents' ends, however long that takes."""

    def words(self) -> Iterator[str]:
        """New ones. Every fourth is its neighbour's too: two copies of an agent."""
        for number in count(self.begin) if self.begin is not None else ():
            yield f"pair{self.slot // 2}-{number}" if number % 4 == 0 else f"own{self.slot}-{number}"


class Life:
    """One process. Even slots use the blocking client, odd ones the other."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._first, self._words = iter(orders.first), orders.words()
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self._ledger = _appending(orders.ledger)
        self._journal = _appending(orders.journal)
        self._repeats = Repeats(seconds=600.0, first=0.02, longest=0.1)

    def stop(self, *_: object) -> None:
        """No new errands."""
        self._stopped.set()

    def unheard(self, record: logging.LogRecord) -> bool:
        """What the client says of a run whose end it could not tell."""
        if "trying again" not in record.getMessage():  # the service is away: it was killed, and comes back
            self._note("unheard", _errand.get("?"), record.getMessage())
        return False

    def run(self) -> None:
        """Until there is nothing left to do."""
        if self._orders.slot % 2:
            asyncio.run(self._by_tasks())
            return
        with Client(self._orders.url, self._orders.token, repeats=self._repeats) as jit:
            functions = {name: self._guarded(jit, name) for name in ACTIONS}
            threads = [
                threading.Thread(target=self._work, args=(functions, hand)) for hand in range(self._orders.hands)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    async def _by_tasks(self) -> None:
        async with AsyncClient(self._orders.url, self._orders.token, repeats=self._repeats) as jit:
            functions = {name: self._guarded_async(jit, name) for name in ACTIONS}
            await asyncio.gather(*(self._work_async(functions, hand) for hand in range(self._orders.hands)))

    def _guarded(self, jit: Client, name: str) -> Callable[..., Any]:
        @jit.guard(f"ops.{name}", key=lambda word, fails: word, timeout=self._timeout(name))
        def function(word: str, fails: bool) -> str:
            told = self._ran(word)
            time.sleep(random.random() / 50)  # noqa: S311 - a little
            if fails:
                raise Raised
            return told

        return function

    def _guarded_async(self, jit: AsyncClient, name: str) -> Callable[..., Any]:
        @jit.guard(f"ops.{name}", key=lambda word, fails: word, timeout=self._timeout(name))
        async def function(word: str, fails: bool) -> str:
            told = self._ran(word)
            await asyncio.sleep(random.random() / 50)  # noqa: S311 - a little
            if fails:
                raise Raised
            return told

        return function

    def _timeout(self, name: str) -> float | None:
        return PATIENCE if name == "long" and not self._orders.waits else None

    def _ran(self, word: str) -> str:
        """The body: it is in the ledger, for good, before it has done anything else."""
        value = os.urandom(8).hex()
        os.write(self._ledger, f"{word} {self._orders.journal.name} {value}\n".encode())
        os.fsync(self._ledger)
        return value

    def _work(self, functions: dict[str, Callable[..., Any]], hand: int) -> None:
        while (errand := self._next(hand)) is not None:
            try:
                value = functions[errand.action](errand.word, errand.fails)
            except Exception as fault:
                self._note("end", errand.word, _came(fault))
            else:
                self._note("end", errand.word, f"gave {value}")

    async def _work_async(self, functions: dict[str, Callable[..., Any]], hand: int) -> None:
        while (errand := self._next(hand)) is not None:
            try:
                value = await functions[errand.action](errand.word, errand.fails)
            except Exception as fault:
                self._note("end", errand.word, _came(fault))
            else:
                self._note("end", errand.word, f"gave {value}")

    def _next(self, hand: int) -> Errand | None:
        """Half of the hands do what was left, as long as there is some; what waits for others keeps no new errand."""
        with self._turn:
            old = hand % 2 == 0 or self._orders.begin is None
            word = (
                None
                if self._stopped.is_set()
                else (next(self._first, None) if old else None) or next(self._words, None)
            )
            if word is None:
                return None
            self._note("begin", word, "")
        _errand.set(word)
        return Errand(word)

    def _note(self, what: str, word: str, more: str) -> None:
        os.write(self._journal, f"{what} {word} {more}\n".encode())


def _came(fault: Exception) -> str:
    """How a call ended that gave no value; anything that no agent should meet is `odd`."""
    known = {Raised: "raised", Failed: "failed", Unknown: "unknown", Paused: "open"}
    return known.get(type(fault)) or f"odd {type(fault).__name__}: {fault}".replace("\n", " ")


def _appending(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def begin(orders: Orders) -> None:
    """The whole life of a process that another one forked; what it prints is in its journal's neighbour."""
    with orders.journal.with_suffix(".err").open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    life = Life(orders)
    signal.signal(signal.SIGTERM, life.stop)
    logging.getLogger("jit_auth.client").addFilter(life.unheard)
    life.run()
    sys.exit(0)

"""Functions of agents' own (`run = "agent"`): the agent claims its turn, says that it is still at it, and what came.

A cooperative guard: the agent's process holds whatever its function uses. What is promised is that nobody claims what
may not be made, that one claim is given per execution, and that what came of it is on record.

Attacks: two claims at once, of one agent or a copy of it (the claim is an intent: compared by the row's version in its
own transaction, so that one wins); a claim decided just before a stop, written just after (the same epoch as a send,
THREAT_MODEL 9); another digest than was approved; another agent's claim, or a person's, to complete with (an own
execution alone, and a MAC that nothing but the claim's answer ever held); a claim that is kept alive after its agent
was stopped (heartbeats are judged; what came of it is a fact, and nothing stops a fact); a key that is tried again to
get what another was given (whoever knows agent's token, execution and key alone, and only until the claim was used), or
to begin after a stop (a claim is given again only where it would be given, compared in its own transaction); a function
that prints its environment (what it gives is kept without credentials, as an upstream's answer is, THREAT_MODEL 36).
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from msgspec import Struct
from msgspec.json import encode
from msgspec.structs import replace

from jit_auth.core import endings
from jit_auth.core.digest import canonical
from jit_auth.core.mac import Mac
from jit_auth.core.step import next_step
from jit_auth.core.view import Send
from jit_auth.engine.advance import Dispatcher, busy
from jit_auth.engine.handover import again, claim, unclaimed
from jit_auth.engine.judge import Judge
from jit_auth.engine.memory import Memory
from jit_auth.engine.own import Own
from jit_auth.engine.stale import MOST_STALE
from jit_auth.engine.units import Writer
from jit_auth.errors import Conflict, Forbidden, Unavailable
from jit_auth.model import (
    CLAIMED,
    Audit,
    Change,
    Committed,
    Execution,
    Millis,
    Op,
    Opened,
    Result,
    Stale,
    State,
    Touch,
    Trouble,
    Unit,
)
from jit_auth.send.scrub import Scrub
from jit_auth.storage.store import Store

PREFIX = "jat_clm_"
CLAIM_TIMEOUT: Millis = 600_000
"""Of an action that was taken out since its claim."""
PATIENCE = 0.5
"""Seconds until it is looked at again what another task makes of an execution."""
LOOKS = 2 * MOST_STALE
"""How often a row that others move is looked at."""


class Turn(Struct, frozen=True):
    """An execution that was asked for, with its claim; None: it is not the agent's turn, as `opened` says."""

    opened: Opened
    claim: str | None = None
    until: Millis = 0


@dataclass(frozen=True)
class Functions:
    """What an agent does with a function that is released to it. All raise NotFound for another agent's."""

    store: Store
    memory: Memory
    judge: Judge
    dispatcher: Dispatcher
    writer: Writer
    own: Own
    key: Mac
    """Under which claims are made: they are stored nowhere."""

    async def claim(self, agent: str, execution_id: str, digest: str, key: str | None = None) -> Turn:
        """Every check of a send; then it is this agent's to run, once. The same `key` again gives the same claim, as
        long as the agent has not used it. Raises Conflict (`already_claimed`, `digest_mismatch`),
        Unavailable (`halted`, `busy`, `stale_bundle`)."""
        stale = Stale("version", 0)
        for _ in range(LOOKS):
            opened = await self.own.get(agent, execution_id)
            row = opened.execution
            mine = key is not None and row.claimed and compare_digest(row.process or "", self._hands(row, key))
            if not mine and (row.claimed or (row.attempt and row.state in ("unknown", "succeeded", "failed"))):
                raise _already_claimed()
            if not mine and row.state != "released":
                return Turn(opened)
            if row.digest != digest:
                raise _other_digest()
            if self.memory.belief.halted and (await self.memory.reread()).halted:
                raise _halted()
            judged = (await self.judge.judge(row, opened.asks, opened.votes)).claiming()
            if mine and judged.view.now >= judged.view.claim_ends:  # it has run out, and is not put down yet
                await self.dispatcher.advance(execution_id, orphan=True)
                continue
            step = next_step(replace(judged.view, execution=unclaimed(row)) if mine else judged.view)
            if not isinstance(step, Send) or judged.view.digest != digest:
                if judged.view.halted:
                    raise _halted()
                if mine:
                    raise _already_claimed()
                opened = await self._put_down(agent, execution_id)
                if opened.execution.state != "released":
                    return Turn(opened)
                continue
            until = judged.view.now + self._timeout(row)
            if mine:
                written = again(self.writer, judged, step, until)
            else:
                written = claim(self.writer, judged, step, until, self._hands(_next(row), key))
            applied = await self.store.apply(written.unit)
            if not isinstance(applied, Stale):
                self.dispatcher.tell(written.execution)
                return Turn(Opened(written.execution), self._secret(written.execution), until)
            stale = applied
            if stale.which == "bundle":
                await self.judge.current.settled()
            if stale.which in ("stopped", "bundle"):
                await self.memory.reread()
            elif stale.which == "lease":
                await self.store.renew()
        raise busy(stale)

    async def _put_down(self, agent: str, execution_id: str) -> Opened:
        """What stands against a claim, put down now: asked again, denied, expired, or released in another form."""
        event = self.own.waits.enter(execution_id)
        try:
            await self.dispatcher.advance(execution_id)
            opened = await self.own.get(agent, execution_id)
            if opened.execution.state == "released":  # another task is at it
                await self.own.waits.pause(event, PATIENCE)
                opened = await self.own.get(agent, execution_id)
            return opened
        finally:
            self.own.waits.leave(execution_id, event)

    async def heartbeat(self, agent: str, execution_id: str, secret: str) -> Turn:
        """The agent is still at it: the claim lasts as long again. Raises Forbidden (`wrong_claim`, `revoked`) and
        Conflict (`not_claimed`, `claim_expired`, `already_finished`)."""
        for _ in range(LOOKS):
            opened = await self.own.get(agent, execution_id)
            row = opened.execution
            self._check(row, secret)
            if row.state == "unknown":
                raise Conflict(
                    "The claim has run out.",
                    code="claim_expired",
                    hint="Complete it all the same: with its claim what became of it is settled.",
                )
            if not row.claimed:
                raise _finished(row)
            judged = await self.judge.judge(row, opened.asks, opened.votes)
            if judged.view.barred is not None:
                raise Forbidden(
                    judged.view.barred.message,
                    code="revoked",
                    hint="Stop, and complete it with what became of it.",
                )
            now = self.store.now()
            if now >= judged.view.claim_ends:  # it has run out, and is not put down yet
                await self.dispatcher.advance(execution_id, orphan=True)
                continue
            until = now + self._timeout(row)
            # (Who beats has the claim: its key has done its work.)
            change = Change(row, {"process": CLAIMED, "deadline": until, "due": until, "updated": now})
            if await self._applied(row, (change,), {"do": "heartbeat", "until": until}):
                return Turn(await self.own.get(agent, execution_id), until=until)
        raise _moving()

    async def complete(self, agent: str, execution_id: str, secret: str, outcome: State, body: Any) -> Opened:
        """What came of it, `succeeded` or `failed`, with what the function gave; also after the claim ran out, as long
        as nobody has resolved it. The same again changes nothing. Raises Forbidden (`wrong_claim`), Conflict
        (`not_claimed`, `already_finished`)."""
        body = _scrubbed(body)
        for _ in range(LOOKS):
            opened = await self.own.get(agent, execution_id)
            row = opened.execution
            self._check(row, secret)
            if not row.claimed and row.state != "unknown":
                if _same(row, outcome, body):
                    return opened
                raise _finished(row)
            now = self.store.now()
            result = Result(None, {}, body)
            error: Trouble | None = endings.REPORTED_FAILED if outcome == "failed" else None
            to = {
                "state": outcome,
                "intent": False,
                "process": None,
                "deadline": None,
                "due": None,
                "result": result,
                "error": error,
                "updated": now,
            }
            ops: list[Op] = [Change(row, to)]
            ops += [Change(ask, {"state": "closed"}) for ask in opened.asks if ask.state == "open"]
            ops += [Touch(ask.id, now) for ask in opened.asks]
            fact = {"do": "outcome", "state": outcome, "late": row.state == "unknown", "result": Committed(result)}
            if error is not None:
                fact["code"] = error.code
            if await self._applied(row, tuple(ops), fact):
                return await self.own.get(agent, execution_id)
        raise _moving()

    async def _applied(self, row: Execution, ops: tuple[Op, ...], fact: dict[str, Any]) -> bool:
        """Commit what happened already. False: the row has moved."""
        audit = Audit(actor=f"agent:{row.agent}", what=(fact,), user=row.user, agent=row.chain[0], execution=row.id)
        if isinstance(await self.store.apply(Unit(None, ops, audit)), Stale):
            return False
        self.dispatcher.tell(row)
        return True

    def _timeout(self, row: Execution) -> Millis:
        operation = self.judge.current.bundle.operation(row.action)
        return (operation.action.claim_timeout if operation is not None else 0) or CLAIM_TIMEOUT

    def _secret(self, row: Execution) -> str:
        made = self.key.digest(canonical([row.id, row.attempt]))
        return PREFIX + urlsafe_b64encode(made).decode("ascii").rstrip("=")

    def _hands(self, row: Execution, key: str | None) -> str:
        """`Execution.process` of what was claimed with this key."""
        if key is None:
            return CLAIMED
        made = self.key.digest(canonical([row.id, row.attempt, key]))
        return f"{CLAIMED}:{urlsafe_b64encode(made).decode('ascii').rstrip('=')}"

    def _check(self, row: Execution, secret: str) -> None:
        """Raises Conflict where there is no claim, Forbidden where it is another one than its own."""
        if not row.attempt:
            raise Conflict(
                "Nobody has claimed it.", code="not_claimed", hint="POST its digest to .../claim when it is released."
            )
        if not compare_digest(self._secret(row).encode(), secret.encode("utf-8", "replace")):
            raise Forbidden(
                "This is not its claim.", code="wrong_claim", hint="Use the claim as it came when it was given."
            )


def _scrubbed(body: Any) -> Any:
    """Without claims, links, tokens of ours and whatever else has the shape of a credential."""
    scrub = Scrub(())  # what else the function holds is not known here
    return scrub.value(body) if scrub.suspect(encode(body).decode()) else body


def _same(row: Execution, outcome: str, body: Any) -> bool:
    """Whether this very outcome is on record (one whose content was removed counts as equal)."""
    if row.state != outcome:
        return False
    if "result" in row.gone:
        return True
    return row.result is not None and canonical(row.result.body) == canonical(body)


def _next(row: Execution) -> Execution:
    return replace(row, attempt=row.attempt + 1)


def _already_claimed() -> Conflict:
    return Conflict(
        "It is claimed already.",
        code="already_claimed",
        hint="Whoever claimed it completes it. Do not run it a second time.",
    )


def _halted() -> Unavailable:
    return Unavailable("Everything is halted by an operator.", code="halted", hint="Try again when it is resumed.")


def _moving() -> Unavailable:
    return Unavailable("Others are changing this execution.", hint="Try again.", headers={"Retry-After": "1"})


def _other_digest() -> Conflict:
    return Conflict(
        "This is not the digest of what is released.",
        code="digest_mismatch",
        hint="Get the execution again, and compare what it says with what you are about to run.",
    )


def _finished(row: Execution) -> Conflict:
    return Conflict(
        f"The execution has {row.state} already.", code="already_finished", hint="There is nothing left to report."
    )

"""What one decision of one person changes: the vote, or an edit, checked against the round and made into one unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from jit_auth.catalog.load import Operation
from jit_auth.core.quorum import enough
from jit_auth.core.text import summary_of
from jit_auth.core.times import rfc3339
from jit_auth.engine.circle import Circle
from jit_auth.engine.judge import Judged, tally_key
from jit_auth.engine.memory import Memory
from jit_auth.engine.pages import Choice
from jit_auth.engine.units import TALLY_KEPT
from jit_auth.errors import Conflict, Forbidden, Unprocessable
from jit_auth.model import (
    Ask,
    At,
    Audit,
    Change,
    Committed,
    Execution,
    Insert,
    Millis,
    Op,
    Opened,
    Pass,
    Tally,
    Touch,
    Unit,
    Vote,
    Who,
)
from jit_auth.storage.store import Store

SHORTEST_HOLD: Millis = 60_000
"""An approval for a while lasts at least this long."""


@dataclass(frozen=True)
class Mark:
    """One decision that may be made, and what it comes to."""

    person: str
    ask: Ask
    new_ask: Ask
    opened: Opened
    judged: Judged
    choice: Choice
    vote: Vote | None
    edits: dict[str, Any] | None = None
    """All parameters as they are after an edit."""

    def moves(self, vote: Vote) -> dict[str, Any]:
        """What a vote changes in the execution's row."""
        return {"due": vote.at, "updated": vote.at} | ({"met": vote.at} if self.new_ask.state == "met" else {})

    def after(self, vote: Vote) -> Opened:
        """The rows as a vote leaves them, once it is durable."""
        execution = self.opened.execution
        return Opened(
            msgspec.structs.replace(execution, version=execution.version + 1, **self.moves(vote)),
            tuple(self.new_ask if ask.id == self.ask.id else ask for ask in self.opened.asks),
            (*self.opened.votes, vote),
        )


@dataclass(frozen=True)
class Ballot:
    """Judges decisions and writes them down; reads nothing but what it is given (and tallies and passes)."""

    store: Store
    memory: Memory
    make_id: Callable[[str], str]

    def mark(self, person: str, ask: Ask, opened: Opened, judged: Judged, choice: Choice) -> Mark:
        """The decision as it would count. Raises Conflict, Forbidden, Unprocessable: then nothing was decided."""
        circle = Circle(judged.bundle)
        self._votable(circle, person, ask, opened, choice)
        now = self.store.now()
        edits = self._edited(person, opened.execution, judged, choice)
        if edits is not None:
            new = msgspec.structs.replace(ask, state="superseded", version=ask.version + 1)
            return Mark(person, ask, new, opened, judged, choice, None, edits)
        hold = self._hold(judged, choice)
        vote = Vote(
            ask=ask.id,
            person=person,
            verdict=choice.verdict,
            digest=ask.digest,
            seen=choice.seen,
            how=choice.how,
            feedback=choice.feedback,
            hold=hold,
            receipt=None if choice.receipt is None else dict(choice.receipt),
            at=now,
        )
        return Mark(person, ask, self._counted(circle, ask, opened, vote), opened, judged, choice, vote)

    async def unit(self, marks: tuple[Mark, ...]) -> Unit:
        """All these decisions, or none of them."""
        belief = self.memory.belief
        ops: list[Op] = []
        records: list[Audit] = []
        people: dict[tuple[str, str], None] = {}
        for mark in marks:
            facts = await (self._voting(mark, mark.vote, ops) if mark.vote is not None else self._editing(mark, ops))
            execution = mark.opened.execution
            people["user", mark.person] = None
            records.append(
                Audit(
                    actor=f"person:{mark.person}",
                    what=tuple(facts),
                    user=execution.user,
                    agent=execution.chain[0],
                    execution=execution.id,
                )
            )
        not_after = min(belief.until(mark.ask.expires, mark.ask.created) for mark in marks)
        at = At(belief.epoch, marks[0].judged.bundle.hash, tuple(people), not_after=not_after)
        return Unit(at, tuple(ops), records[0], tuple(records[1:]))

    async def _voting(self, mark: Mark, vote: Vote, ops: list[Op]) -> list[dict[str, Any]]:
        ask, execution = mark.ask, mark.opened.execution
        ops += [
            *mark.choice.also,
            Insert(vote),
            Change(ask, {"state": mark.new_ask.state}),
            Change(execution, mark.moves(vote)),
            Touch(ask.id, vote.at),
        ]
        fact: dict[str, Any] = {
            "do": "vote",
            "ask": ask.id,
            "verdict": vote.verdict,
            "state": mark.new_ask.state,
            "digest": ask.digest,
            "seen": vote.seen,
            "how": vote.how,
            "by": Who(vote.person),
        }
        if vote.hold is not None:
            fact["for"] = vote.hold
        if mark.choice.receipt is not None:
            fact["receipt"] = Committed(dict(mark.choice.receipt))
        facts = [fact]
        if vote.verdict == "deny":
            ops.append(await self._denied(execution, vote.at))
            for found in await self.store.circles.passes(ask.digest):
                ops.append(Change(found, {"ended": "denied"}))
                facts.append({"do": "pass.ended", "pass": found.id, "why": "denied"})
        elif mark.new_ask.state == "met" and (made := self._pass(mark, vote)) is not None:
            ops.append(Insert(made))
            facts.append({"do": "pass", "pass": made.id, "uses": made.uses, "until": made.until})
        return facts

    async def _editing(self, mark: Mark, ops: list[Op]) -> list[dict[str, Any]]:
        ask, execution, now = mark.ask, mark.opened.execution, self.store.now()
        edits = mark.edits or {}
        names = sorted(name for name in edits if edits[name] != execution.params.get(name))
        to = {
            "params": edits,
            "before": execution.before if execution.before is not None else execution.params,
            "edited_by": tuple(dict.fromkeys((*execution.edited_by, mark.person))),
            "open_key": None,  # it is no longer what an equal call would be
            "met": None,
            "due": now,
            "updated": now,
        }
        ops += [Change(ask, {"state": "superseded"}), Change(execution, to), Touch(ask.id, now)]
        return [
            {"do": "edit", "ask": ask.id, "by": Who(mark.person), "names": names, "params": Committed(edits),
             "how": mark.choice.how, "seen": mark.choice.seen}
        ]  # fmt: skip

    async def _denied(self, execution: Execution, now: Millis) -> Op:
        key = tally_key(execution)
        tally = (await self.store.circles.crowd(execution.agent, key, 0)).tally
        until = now + TALLY_KEPT
        if tally is None:
            return Insert(Tally(key=key, times=1, denied=1, denied_at=now, until=until))
        return Change(tally, {"denied": tally.denied + 1, "denied_at": now, "until": until})

    def _pass(self, mark: Mark, vote: Vote) -> Pass | None:
        """Every counted vote gave a time: the shortest holds (THREAT_MODEL 16)."""
        votes = [v for v in mark.opened.votes if v.ask == mark.ask.id and v.verdict == "approve"] + [vote]
        holds = [v.hold for v in votes if v.hold is not None]
        execution, operation = mark.opened.execution, mark.judged.operation
        if len(holds) != len(votes) or operation is None:
            return None
        return Pass(
            id=self.make_id("pas"),
            digest=mark.ask.digest,
            agent=execution.agent,
            chain=execution.chain,
            user=execution.user,
            action=execution.action,
            account=execution.account,
            voters=tuple(sorted(v.person for v in votes)),
            ask=mark.ask.id,
            touch=mark.judged.bundle.touch[execution.action],
            summary=summary_of(operation.action, execution.params),
            uses=mark.judged.view.decision.max_uses,
            until=vote.at + min(holds),
            created=vote.at,
        )

    def _votable(self, circle: Circle, person: str, ask: Ask, opened: Opened, choice: Choice) -> None:
        if ("user", person) in self.memory.belief.stops:
            raise Forbidden("You were stopped by an operator.", code="not_eligible", hint="Nothing was decided.")
        if person not in circle.voters(opened.execution, ask):
            raise Forbidden(
                "You are not among those who may decide this.", code="not_eligible", hint="Nothing was decided."
            )
        votes = [vote for vote in opened.votes if vote.ask == ask.id]
        if ask.state != "open" or any(vote.person == person for vote in votes):
            decided = [{"by": v.person, "decision": v.verdict, "at": rfc3339(v.at)} for v in votes]
            raise Conflict(
                "This request was decided already.",
                code="already_decided",
                members={"decided": decided},
                hint="A decision is final; the agent can ask again.",
            )
        if choice.digest is not None and choice.digest != ask.digest:
            raise Conflict(
                "The page showed something else than what would be sent.",
                code="digest_mismatch",
                hint="Open the link again and read it once more. Nothing was decided.",
            )

    def _counted(self, circle: Circle, ask: Ask, opened: Opened, vote: Vote) -> Ask:
        """The round as this vote leaves it."""
        state: Literal["denied", "met", "open"] = "denied"
        if vote.verdict == "approve":
            yes = {v.person for v in opened.votes if v.ask == ask.id and v.verdict == "approve"} | {vote.person}
            # Who was stopped does not count (left people are not eligible): else this round would be met, and void.
            yes -= {name for kind, name in self.memory.belief.stops if kind == "user"}
            who = circle.eligible(opened.execution, ask.wants, ask.escalated)
            state = "met" if enough(ask.wants, who, yes) else "open"
        return msgspec.structs.replace(ask, state=state, version=ask.version + 1)

    def _hold(self, judged: Judged, choice: Choice) -> Millis | None:
        """For how long this approval is to count: within what every rule allows. Raises Unprocessable."""
        longest = judged.view.decision.for_max
        if choice.hold is None or choice.verdict == "deny":
            return None
        if longest is None:
            raise _invalid("/for", "the rules allow no approval for a while")
        if not SHORTEST_HOLD <= choice.hold <= longest:
            raise _invalid("/for", f"between {SHORTEST_HOLD // 1000} and {longest // 1000} seconds")
        return choice.hold

    def _edited(self, person: str, execution: Execution, judged: Judged, choice: Choice) -> dict[str, Any] | None:
        """All parameters as the person changed them; None where nothing differs. Raises Unprocessable, Conflict."""
        if choice.params is None or choice.verdict == "deny" or judged.operation is None:
            return None
        editable = judged.view.decision.editable
        for name in choice.params:
            if name not in editable:
                raise _invalid(f"/params/{name}", "the rules let nobody change it")
        merged = self._valid(judged.operation, {**execution.params, **choice.params})
        if merged == execution.params:
            return None
        # What cannot be built is refused to whoever typed it; met later, it would end the call.
        if judged.operation.build is not None:
            judged.operation.build(merged, None, execution.id, execution.created)
        self._others(person, execution, judged)
        return merged

    def _valid(self, operation: Operation, params: Mapping[str, Any]) -> dict[str, Any]:
        return operation.validate(dict(params))

    def _others(self, person: str, execution: Execution, judged: Judged) -> None:
        """Whoever edits cannot vote: there must be enough others, or the request would die of it."""
        wants = judged.view.decision.wants
        after = msgspec.structs.replace(execution, edited_by=(*execution.edited_by, person))
        who = Circle(judged.bundle).eligible(after, wants)
        if not enough(wants, who, frozenset().union(*who)):
            raise Conflict(
                "Nobody would be left to approve this after your change: whoever edits does not decide.",
                code="no_approver",
                hint="Deny it with a message instead. Nothing was changed.",
            )


def _invalid(pointer: str, message: str) -> Unprocessable:
    return Unprocessable(
        f"{pointer[1:]}: {message}.",
        code="invalid_params",
        hint="Nothing was decided.",
        members={"faults": [{"pointer": pointer, "message": message}]},
    )

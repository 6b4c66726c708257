"""Which copies of a question are made: a card row for each person and channel, which the worker then shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jit_auth.engine.bundle import Bundle
from jit_auth.engine.circle import Circle
from jit_auth.model import Ask, Card, CardRole, Escalate, Execution, Insert, Millis, Op


@dataclass(frozen=True)
class Copies:
    """Makes card rows; nothing in it knows a channel but by its name."""

    notify: tuple[str, ...]
    """`[users] notify`: how users hear of consents that are needed."""
    process: str
    make_id: Callable[[str], str]

    def round(self, bundle: Bundle, execution: Execution, ask: Ask, via: Sequence[str], now: Millis) -> list[Op]:
        """A copy for everybody who may decide, and a notice for the user whose call was edited."""
        names = [name for want in ask.wants for name in want.of]
        made = self._made(bundle, execution, ask, names, via, "decide", now)
        if execution.edited_by and execution.user is not None:
            ways = self._notified(bundle, execution.user)
            made += self._rows([(way, execution.user) for way in ways], ask, "notice", now)
        return made

    def consent(self, bundle: Bundle, ask: Ask, now: Millis) -> list[Op]:
        """The user is told of a consent that is needed (also where the agent says nothing)."""
        if ask.user is None:
            return []
        return self._rows([(way, ask.user) for way in self._notified(bundle, ask.user)], ask, "consent", now)

    def outcome(self, bundle: Bundle, execution: Execution, ask: Ask, now: Millis) -> list[Op]:
        """Those who are asked what became of a call of unknown outcome."""
        names = [name for want in ask.wants for name in want.of]
        return self._made(bundle, execution, ask, names, bundle.reach.names, "resolve", now)

    def escalated(
        self, bundle: Bundle, execution: Execution, ask: Ask, steps: Iterable[Escalate], via: Sequence[str], now: Millis
    ) -> list[Op]:
        """More people are asked, each directly; those whose vote does not count are only told."""
        circle = Circle(bundle)
        have = circle.people(execution, [name for want in ask.wants for name in want.of])
        made: list[Op] = []
        for step in steps:
            role: CardRole = "decide" if step.counts else "notice"
            people = circle.people(execution, step.to) - have
            made += self._rows(bundle.reach.copies(people, via), ask, role, now)
            have |= people
        return made

    def _notified(self, bundle: Bundle, user: str) -> list[str]:
        ways = {way.name: way for way in bundle.reach.ways}
        return [name for name in self.notify if name in ways and ways[name].reaches(user)]

    def _made(
        self, bundle: Bundle, execution: Execution, ask: Ask, names: Sequence[str], via: Sequence[str],
        role: CardRole, now: Millis,
    ) -> list[Op]:  # fmt: skip
        circle = Circle(bundle)
        people = circle.people(execution, names)
        copies = bundle.reach.copies(people, via, grouped=circle.grouped(execution, names))
        return self._rows(copies, ask, role, now)

    def _rows(self, copies: Iterable[tuple[str, str]], ask: Ask, role: CardRole, now: Millis) -> list[Op]:
        return [
            Insert(
                Card(
                    id=self.make_id("crd"),
                    role=role,
                    ask=ask.id,
                    execution=ask.execution,
                    person=person,
                    via=via,
                    due=now,
                    expires=ask.expires,
                    process=self.process,
                )
            )
            for via, person in copies
        ]

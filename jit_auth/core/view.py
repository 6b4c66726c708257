"""What the next step of an execution depends on (`View`), and the steps there are."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from jit_auth.core.scopes import Lack
from jit_auth.core.standstill import Span, until
from jit_auth.model import (
    Ask,
    Crowd,
    Decision,
    Escalate,
    Execution,
    Millis,
    Pass,
    Result,
    State,
    Trouble,
    Vote,
    Want,
)

Kind = Literal[
    "done",
    "failed",
    "lost",
    "never_left",
    "refused",
    "rate_limited",
    "unauthorized",
    "insufficient_scope",
    "misconfigured",
]


class Came(Struct, frozen=True):
    """What became of the last attempt. `surely_not` (of unauthorized): the credential was refused, nothing ran."""

    kind: Kind
    result: Result | None = None
    message: str = ""
    code: str = ""
    """Of refused: what about the request was."""
    retry_after: Millis | None = None
    surely_not: bool = False
    scopes: tuple[str, ...] = ()
    """Of insufficient_scope: those that the provider named."""
    fresh: bool = False
    """Of unauthorized: another credential is at hand now (the token was refreshed)."""


class View(Struct, frozen=True):
    """All that the next step depends on, read in one go and judged by the present rules."""

    execution: Execution
    """As it is in the store; a call that was only just made has version 0 and state executing."""
    decision: Decision
    """The policy's, anew."""
    eligible: tuple[frozenset[str], ...]
    """Whose votes count for each of `decision.wants`."""
    digest: str | None
    """Of the request as it would leave now; None while it cannot be built (the account is not known yet)."""
    lacks: tuple[Lack, ...]
    now: Millis
    retry: str
    reads: bool
    send_within: Millis
    asks: tuple[Ask, ...] = ()
    votes: tuple[Vote, ...] = ()
    barred: Trouble | None = None
    """Why it may not run at all any more: agent, user, provider, connector or grant was stopped or taken out."""
    halted: bool = False
    came: Came | None = None
    held: bool = False
    """A live process is at it: nobody else touches it."""
    reached: tuple[frozenset[str], ...] | None = None
    """Of `eligible`, those who can be asked, or have voted (None: all)."""
    standing: Pass | None = None
    """An "approve for a while" that covers this call: valid, with uses left."""
    crowd: Crowd = Crowd()
    """Read for a new call about which people would be asked, and for one that they are asked about anew."""
    cooldown: Millis = 0
    """How long after a person's denial the same request is denied at once; 0: never."""
    spans: tuple[Span, ...] = ()
    """When everything was halted."""
    by_agent: bool = False
    """The agent runs a function of its own: it is released to it, and nothing is sent."""
    claiming: bool = False
    """The agent is asking for its turn right now."""

    @property
    def expires(self) -> Millis:
        """When the execution runs out."""
        return until(self.execution.expires, self.execution.created, self.spans)

    def ends(self, ask: Ask) -> Millis:
        """When a question runs out."""
        return until(ask.expires, ask.created, self.spans)

    @property
    def claim_ends(self) -> Millis:
        """When a claim runs out. Only the claim and its heartbeats change the row meanwhile: it runs since then."""
        execution = self.execution
        return until(execution.deadline or 0, execution.updated, self.spans)

    def late(self, since: Millis) -> Millis:
        """When what was met at `since` may no longer be sent."""
        return until(since + self.send_within, since, self.spans)


class Send(Struct, frozen=True):
    """Everything is met: commit an intent no later than `not_after`, and make the call."""

    not_after: Millis
    settled: tuple[Ask, ...] = ()
    """Asks that are open in the store and owed no longer."""
    spends: Pass | None = None
    """The "approve for a while" that a use is taken of."""


class Release(Struct, frozen=True):
    """Everything is met: it is the agent's turn, which has to come before `not_after`."""

    not_after: Millis
    settled: tuple[Ask, ...] = ()


class Asking(Struct, frozen=True):
    """Put these questions to people. `round` is a new round of approval, `old` the asks that they replace."""

    consents: tuple[Lack, ...] = ()
    round: tuple[Want, ...] = ()
    old: tuple[Ask, ...] = ()
    why: str = ""


class Nudge(Struct, frozen=True):
    """Remind or warn those who were asked, or ask more people."""

    ask: Ask
    reminded: int
    """How many reminders are due by now."""
    warned: bool
    """That it runs out soon is to be said."""
    escalate: tuple[Escalate, ...] = ()


class Wait(Struct, frozen=True):
    """Nothing to do before `until` (None: until somebody calls); `settled` asks are owed no longer."""

    until: Millis | None
    settled: tuple[Ask, ...] = ()
    after: Came | None = None
    """The attempt that did not end it, and is put down with this."""


class End(Struct, frozen=True):
    """It is over."""

    state: State
    error: Trouble | None = None
    result: Result | None = None


Step = Send | Release | Asking | Nudge | Wait | End

"""What a card consists of: one copy of one question for one person, in words that are ready to be printed."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, to_builtins

from jit_auth.core.digest import canonical, sha256_text
from jit_auth.core.fields import Field
from jit_auth.core.text import Part
from jit_auth.model import CardRole, Effect, Millis, Risk, State, Verdict

_SAID = (
    *("environment", "summary", "action", "title", "connector", "risk", "effect", "consequence", "method", "host"),
    *("runs", "account", "fields", "agent", "chain", "user", "reasons", "again", "says", "wants", "labels", "changed"),
    "cut",
)
"""What a card says of the call itself. The rest passes while it is read: who voted, what others did, what ran out."""

Details = Literal["full", "summary", "none"]
"""What leaves the house: all but what is sensitive; the summary and the facts; environment, action and risk alone."""


class Decided(Struct, frozen=True):
    """One vote as people read it."""

    who: str
    verdict: Verdict
    at: Millis
    feedback: str = ""


class Change(Struct, frozen=True):
    """A parameter that an approver changed."""

    name: str
    before: str
    after: str
    sensitive: bool = False


class Recent(Struct, frozen=True):
    """One of the last calls of this agent and action."""

    at: Millis
    line: str
    status: State


class Waiting(Struct, frozen=True):
    """One request in a gathered message."""

    ask: str
    line: str
    risk: Risk
    url: str
    action: str = ""
    """What is said instead of `line` where no content may leave."""


class Card(Struct, frozen=True, kw_only=True):
    """One copy of one question for one person, as it is now: a round of approval (role `decide`), a consent that is
    needed, an unknown outcome to `resolve`, a `notice`, or many at once (`gather`: only `gathered`, `url`, `line`)."""

    id: str
    """The card's row: a channel finds its own copy by it."""
    role: CardRole = "decide"
    shared: bool = False
    """The one copy for a whole group: it carries no personal link, `url` is `/approvals/apr_...`."""
    ask: str
    person: str
    environment: str
    summary: tuple[Part, ...]
    action: str
    title: str
    connector: str
    risk: Risk
    effect: Effect
    consequence: str
    method: str
    host: str
    runs: str = ""
    """Who runs it, where nothing goes anywhere from here: a function of the agent's own. Then there is neither method,
    host nor account."""
    account: str
    fields: tuple[Field, ...]
    removed: str = ""
    """Why there is nothing in `fields`, method, host and account: it was removed after its time, or erased."""
    agent: str
    """The agent that called, whose words `says` are: the last of the chain."""
    chain: tuple[str, ...]
    user: str
    reasons: tuple[str, ...]
    """The policy's."""
    again: str = ""
    """Why it is asked again."""
    says: str = ""
    """The agent's own, unverified words."""
    wants: tuple[str, ...]
    decided: tuple[Decided, ...]
    open: bool
    """Whether a vote can still count."""
    expires: Millis
    silence: str
    outcome: str
    state: State = "paused"
    """Of the execution."""
    provider: str = ""
    scopes: tuple[str, ...] = ()
    """Of a consent: what the agent gets by a yes, in plain words."""
    labels: tuple[str, ...] = ()
    unusual: tuple[str, ...] = ()
    """Sentences: what is unusual about this request (first of its kind, asked and denied before, opaque values)."""
    recent: tuple[Recent, ...] = ()
    """The last five of this agent and action, newest first."""
    others: tuple[str, ...] = ()
    """Who else may decide."""
    changed: tuple[Change, ...] = ()
    """What approvers changed of what the agent asked for."""
    editable: tuple[str, ...] = ()
    hold_for: tuple[Millis, ...] = ()
    """Durations that "approve for a while" is offered for; empty: not offered."""
    reminded: int = 0
    """How many reminders are due by now: a channel that has given fewer gives one."""
    warned: bool = False
    """It runs out soon: to be said once."""
    gathered: tuple[Waiting, ...] = ()
    note: str = ""
    """Of a notice: what the person should know."""
    cut: bool = False
    """Something was left out of this copy, so that at risk high or critical it may only link to the page."""
    url: str = ""
    """The person's own link (holds a ticket)."""
    waiting: int = 0
    """How many other requests wait for this person; `url`/all decides several together."""
    execution: str = ""
    """The call's id: copies of all its rounds belong together (one thread of mails)."""
    superseded: bool = False
    """This round was asked again under a new id: what becomes of the call is told there."""
    page_only: bool = False
    """Something in it cannot be read by people: this copy may only link to the page, at any risk."""

    steps_up: bool = False
    """It takes a passkey, which the page alone can ask for."""
    fresh: bool = False
    """Nobody has begun to show this copy before: a channel need not look for what an earlier call posted."""

    def __repr__(self) -> str:
        return f"Card({self.id!r})"

    __str__ = __repr__

    @property
    def line(self) -> str:
        """The summary as one line."""
        return "".join(part.text for part in self.summary)

    @property
    def decidable(self) -> bool:
        """Whether this copy may offer to decide, rather than only to open the page."""
        asks = self.open and self.role in ("decide", "resolve") and not self.page_only
        return asks and not (self.cut and self.risk in ("high", "critical"))

    @property
    def seen(self) -> str:
        """SHA-256 over what this card says of the call: kept with the vote."""
        said = to_builtins(self)
        return sha256_text(canonical({name: said[name] for name in _SAID}))

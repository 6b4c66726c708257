"""What a change is made of: units, compare-and-set rows, audit facts, and the answer of the store (all frozen)."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from jit_auth.model.execution import Ask, Card, Execution, Millis, Pass, Tally, Vote
from jit_auth.model.grant import Consent, Flow, Grant, Token
from jit_auth.model.history import Past
from jit_auth.model.signin import Challenge, Code, Linked, Passkey, Session


class Stop(Struct, frozen=True, kw_only=True):
    """A kill switch that was thrown: `kind` is agent, user, provider, connector, grant, all (id ""), or own: an agent
    that a user stopped for themselves (id `AGENT/PERSON`; `*` for all agents). With no agent (`/PERSON`) nothing is
    barred: the user has taken something back, and what was decided in their name before it is decided anew. `cut` (id
    PERSON) bars what was begun in their name up to `at`, and nothing that begins later. `erased` (id: a pseudonym) bars
    nothing: it tells every process to forget a person."""

    kind: str
    id: str
    epoch: int
    active: bool
    who: str
    why: str = ""
    at: Millis = 0
    """When it was thrown."""
    spans: tuple[tuple[Millis, Millis], ...] = ()
    """Of `all`: when everything was halted before, each (from, until): deadlines stood still meanwhile."""


class Idem(Struct, frozen=True, kw_only=True):
    """An idempotency key's row. `scope` names (agent, user, chain, key), `body` the call; both are stored as MACs."""

    scope: str
    execution: str
    body: str
    until: Millis


class Outbox(Struct, frozen=True, kw_only=True):
    """Something owed to a server outside: a token to revoke at its provider (RFC 7009), or an event to deliver.

    `user` and `provider` belong to `revoke`; `agent`, `endpoint` (`webhook:NAME`, or `callback`), `url` and `payload`
    (the event as it will be signed and sent) to `event`.
    """

    id: str
    version: int = 1
    kind: Literal["revoke", "event"]
    user: str | None = None
    agent: str = ""
    provider: str = ""
    token: Token | bytes | None = None
    endpoint: str = ""
    url: str = ""
    payload: str = ""
    due: Millis
    tries: int = 0
    until: Millis


Row = (
    Execution | Ask | Vote | Card | Grant | Consent | Flow | Idem | Outbox | Pass | Tally
    | Session | Linked | Code | Passkey | Challenge
)  # fmt: skip


class Insert(Struct, frozen=True):
    """A new row. A unique key that exists already makes the unit `Stale`."""

    row: Row


class Change(Struct, frozen=True):
    """Compare-and-set: `was` is the row as it was read (key and version); `to` names new values. Raises the version."""

    was: Row
    to: dict[str, Any]


class Delete(Struct, frozen=True):
    """Remove a row that has the version it was read with."""

    was: Row


class Touch(Struct, frozen=True):
    """Make all cards of an ask due: their copies show an older version."""

    ask: str
    due: Millis


class Wake(Struct, frozen=True):
    """Make the paused executions due that wait for this user's consent, for this agent, at this provider."""

    agent: str
    user: str
    provider: str
    due: Millis


class Rouse(Struct, frozen=True):
    """Make all executions in a user's name due that wait for somebody's answer, or are their agent's turn: they are
    judged anew."""

    user: str
    due: Millis


class Withdraw(Struct, frozen=True):
    """Remove the user's consents for an agent, or (`*`) for all. Beside a `Raise` it misses none: what was written
    before the raise is seen, and what was decided before it is refused after it."""

    user: str
    agent: str


class Cut(Struct, frozen=True):
    """An operator cuts a user, an agent or a connector off: what waits for people or for its agent becomes due, to be
    ended. Of a user the
    consents, sessions, mailed codes and links go with it, as of all replicas at once: links are MACs over an expiry,
    which moves by a millisecond. Beside a `Raise` it misses none, as `Withdraw`."""

    due: Millis
    user: str | None = None
    agent: str | None = None
    connector: str | None = None


class Erase(Struct, frozen=True):
    """Destroy a person's key and sealed id, and remove what else is theirs alone: sessions, passkeys, linked accounts,
    codes, round trips. Beside a `Raise` with a stop of kind `erased` (id: the pseudonym), by which others forget them.
    """

    user: str


class Raise(Struct, frozen=True):
    """Raise the epoch by one, with the stops that it is raised for (and a new bundle, where that is the reason)."""

    stops: tuple[Stop, ...] = ()
    bundle: str | None = None


Op = Insert | Change | Delete | Touch | Wake | Rouse | Withdraw | Cut | Erase | Raise


class At(Struct, frozen=True):
    """What a deciding unit rests on; judged in its transaction (THREAT_MODEL 9).

    `subjects` are (kind, id) pairs: its agents, user, provider, connector, grant. Stale if one of them, or all, was
    stopped after `epoch`, or the bundle published is not `bundle`. `not_after` is judged by the database's clock.
    `send` demands that this process's lease holds (intents). `past` is counted again, where rules read history.
    """

    epoch: int
    bundle: str
    subjects: tuple[tuple[str, str], ...]
    not_after: Millis | None = None
    send: bool = False
    past: Past | None = None


class Committed:
    """A value that an audit row holds only as HMAC under a key derived from the user's (THREAT_MODEL 13).

    No Struct, as is `Who`: an encoder that is not told what to do with it fails, and cannot write it in the clear.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Who:
    """A person's id inside an audit fact: stored as the pseudonym."""

    __slots__ = ("id",)

    def __init__(self, id: str) -> None:
        self.id = id


class Audit(Struct, frozen=True, kw_only=True):
    """One row of the record: `what` is a list of facts, each a dict with `do` (request, decision, vote, send, ...).

    `Committed` and `Who` may stand at any depth.
    `actor` is `agent:NAME`, `person:ID`, `admin:NAME`, `engine` or `operator`; `user` is for whom.
    """

    actor: str
    what: tuple[dict[str, Any], ...]
    user: str | None = None
    agent: str | None = None
    execution: str | None = None


class Unit(Struct, frozen=True):
    """One change of state: all of it or nothing. `at` is None where it records what already happened.

    `more` are further rows of the record: several requests that were decided together have one each.
    """

    at: At | None
    ops: tuple[Op, ...]
    audit: Audit
    more: tuple[Audit, ...] = ()


class Applied(Struct, frozen=True):
    """Committed. `epoch` is the store's at that moment; `at` the time written."""

    epoch: int
    at: Millis


class Stale(Struct, frozen=True):
    """Refused, nothing was written.

    `which`: stopped (a subject, since the epoch), bundle (another one is published), version (a row was changed),
    idem (the key exists), open (an equal one is paused), vote (this person voted), exists (another unique key),
    late (not_after has passed), lease (this process's lease has run out), history (what was counted has moved, and the
    decision with it).
    """

    which: Literal["stopped", "bundle", "version", "idem", "open", "vote", "exists", "late", "lease", "history"]
    epoch: int


class Page(Struct, frozen=True):
    """One page of a list, newest first; `next` is an opaque cursor or None."""

    items: tuple[Any, ...]
    next: str | None = None

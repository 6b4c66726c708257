"""The one model of a card: everything a person is told before and after deciding, as words, for every channel alike.

All text in it that is not ours has been made visible already (core/text): a channel prints it and never does so again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from jit_auth.core.digest import canonical, sha256_text
from jit_auth.core.fields import Field, fields
from jit_auth.core.text import Part, hidden, host_shown, summary_parts, visible
from jit_auth.model import Action, Ask, Effect, Execution, Millis, Request, Risk, State, Verdict, Vote
from jit_auth.model import Card as CardRow

CONSEQUENCE: Mapping[Effect, str] = {
    "read": "Reads only: nothing changes at {provider}.",
    "create": "Creates something new at {provider}. It cannot be taken back from here.",
    "update": "Changes something that exists at {provider}. What it was before is not kept here.",
    "delete": "Deletes something at {provider}. It may be gone for good.",
}

_OUTCOME: Mapping[State, str] = {
    "paused": "Nothing is done yet. The call still waits.",
    "executing": "The call is on its way to {provider}.",
    "succeeded": "Sent. {provider} answered {status}.",
    "failed": "The call failed. {trouble}",
    "denied": "Denied. Nothing is sent. {trouble}",
    "expired": "Time ran out before everybody had decided. Nothing was sent.",
    "cancelled": "Withdrawn. Nothing is sent.",
    "unknown": "Sent, but the answer was lost: nobody knows yet whether it happened.",
}


class Decided(Struct, frozen=True):
    """One vote as people read it."""

    who: str
    verdict: Verdict
    at: Millis
    feedback: str = ""


class Card(Struct, frozen=True, kw_only=True):
    """One copy of one round of approval for one person, as it is now."""

    id: str
    """The card's row: a channel finds its own copy by it."""
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
    account: str
    fields: tuple[Field, ...]
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
    cut: bool = False
    """Something was left out of this copy, so that at risk high or critical it may only link to the page."""
    url: str = ""
    """The person's own link (holds a ticket)."""

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
        return self.open and not (self.cut and self.risk in ("high", "critical"))

    @property
    def seen(self) -> str:
        """SHA-256 over what this card says of the call: kept with the vote. Who voted, when it ends and how it ended
        are no part of it: they change while the page is read."""
        passing = ("decided", "open", "outcome", "url", "silence", "expires")
        return sha256_text(canonical({k: v for k, v in to_builtins(self).items() if k not in passing}))


def build(
    *,
    environment: str,
    card: CardRow,
    ask: Ask,
    execution: Execution,
    action: Action,
    connector_name: str,
    provider_name: str,
    request: Request,
    votes: Sequence[Vote] = (),
    connects: bool = True,
    url: str = "",
) -> Card:
    """The whole card: nothing is cut, sensitive values included (`masked` takes them out for other channels).

    `request` is what would leave. `connects`: the provider has accounts that users connect.
    """
    provider = visible(provider_name, one_line=True)
    return Card(
        id=card.id,
        ask=ask.id,
        person=visible(card.person, one_line=True),
        environment=visible(environment, one_line=True),
        summary=summary_parts(action.summary, execution.params, sensitive=hidden(action)),
        action=action.name,
        title=visible(action.title, one_line=True),
        connector=visible(connector_name, one_line=True),
        risk=action.risk,
        effect=action.effect,
        consequence=CONSEQUENCE[action.effect].format(provider=provider),
        method=request.method,
        host=_host(request.url),
        account=_account(execution, connects),
        fields=fields(action, execution.params),
        agent=visible(execution.agent, one_line=True),
        chain=tuple(visible(agent, one_line=True) for agent in execution.chain),
        user=_user(execution),
        reasons=tuple(visible(reason) for reason in execution.decision.reasons),
        again=visible(ask.why),
        says=visible(execution.reason or ""),
        wants=tuple(_want(want.of, want.need, execution) for want in ask.wants),
        decided=tuple(
            Decided(visible(v.person, one_line=True), v.verdict, v.at, visible(v.feedback or "")) for v in votes
        ),
        open=ask.state == "open",
        expires=ask.expires,
        silence="If nobody decides by then, nothing is sent and the call expires; that does not count as a denial.",
        outcome=outcome(execution, provider_name),
        url=url,
    )


def masked(card: Card) -> Card:
    """The card for channels other than the page: sensitive values masked, which counts as cut."""
    kept = tuple(_masked(field) if field.sensitive else field for field in card.fields)
    return replace(card, fields=kept, cut=card.cut or any(field.cut for field in kept))


def _masked(field: Field) -> Field:
    return Field(
        name=field.name,
        value_text="\u27e8masked: open the page to read it\u27e9",
        length=field.length,
        sensitive=True,
        shown=field.shown,
        cut=True,
        kind=field.kind,
    )


def outcome(execution: Execution, provider_name: str) -> str:
    """What became of the call, in one or two sentences."""
    trouble = visible(execution.error.message) if execution.error else ""
    status = str(execution.result.status) if execution.result else "without a status"
    provider = visible(provider_name, one_line=True)
    return _OUTCOME[execution.state].format(provider=provider, status=status, trouble=trouble).strip()


def moment(at: Millis) -> str:
    """A time for people: `25 Nov 2026, 10:00:00 UTC`."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%d %b %Y, %H:%M:%S UTC")


def _host(url: str) -> str:
    return host_shown(urlsplit(url).netloc)


def _account(execution: Execution, connects: bool) -> str:
    if not connects:
        return "None: this provider knows no accounts of users."
    if execution.account is None:
        user = visible(execution.user or "", one_line=True)
        return f"The account that {user} connects. None is connected yet."
    name = visible(execution.account_name or "", one_line=True)
    number = visible(execution.account, one_line=True)
    return f"{name} (id {number})" if name and name != number else number


def _user(execution: Execution) -> str:
    if execution.user is None:
        return "nobody in particular"
    proof = "verified" if execution.verified else f"claimed by {visible(execution.agent, one_line=True)}"
    return f"{visible(execution.user, one_line=True)} ({proof})"


def _want(of: Sequence[str], need: int, execution: Execution) -> str:
    people = [
        f"{visible(execution.user or '', one_line=True)} (for whom it is done)"
        if name == "requester"
        else visible(name.removeprefix("user:"), one_line=True)
        for name in of
    ]
    return f"{need} approval{'s' if need > 1 else ''} of {' or '.join(people)}"

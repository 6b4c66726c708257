"""The one model of a card: everything a person is told before and after deciding, as words, for every channel alike.

All text in it that is not ours has been made visible already (core/text): a channel prints it and never does so again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from jit_auth.channels import words
from jit_auth.channels.shape import Card, Change, Decided, Details, Recent, Waiting
from jit_auth.channels.words import exactly, moment, offered, outcome, span
from jit_auth.core.fields import fields
from jit_auth.core.reach import SHARED
from jit_auth.core.text import NONE, Part, agent_says, host_shown, visible
from jit_auth.engine.pages import ApprovalPage, ConsentPage
from jit_auth.model import Ask, AskState, CardRole, Execution, Risk, State
from jit_auth.model import Card as CardRow

__all__ = [
    "Card",
    "Change",
    "Decided",
    "Details",
    "Recent",
    "Waiting",
    "build",
    "build_consent",
    "build_gathered",
    "build_link",
    "exactly",
    "moment",
    "outcome",
    "span",
    "wanted",
]

_AS: Mapping[AskState, State] = {
    "open": "paused", "met": "succeeded", "denied": "denied", "expired": "expired", "superseded": "cancelled",
    "closed": "cancelled",
}  # fmt: skip
"""The state of a card whose question hangs on no call."""
_RISKS: tuple[Risk, ...] = ("low", "medium", "high", "critical")


def build(page: ApprovalPage, *, card: CardRow | None = None, url: str = "") -> Card:
    """The whole card of one round for one person: nothing is cut, sensitive values included (`cut` takes them out for
    other channels). `card` is the copy's row, None for a person who has none of his own."""
    execution, action, ask = page.execution, page.action, page.ask
    role: CardRole = card.role if card is not None else "resolve" if ask.kind == "outcome" else "decide"
    person = card.person if card is not None else page.person
    provider = visible(page.provider_name, one_line=True)
    changed = _changed(page)
    voted = {vote.person for vote in page.votes}
    editors = tuple(visible(editor, one_line=True) for editor in execution.edited_by)
    unusual = words.unusual(execution, known=bool(page.recent), asked=page.asked, denied=page.denied)
    removed = words.removed(execution)
    held = all(vote.hold for vote in page.votes if vote.verdict == "approve") and action.risk != "critical"
    return Card(
        id=card.id if card is not None else "",
        role=role,
        shared=person.startswith(SHARED),
        ask=ask.id,
        person=visible(person, one_line=True),
        environment=visible(page.environment, one_line=True),
        summary=words.line(action, execution),
        action=action.name,
        title=visible(action.title, one_line=True),
        connector=visible(page.connector_name, one_line=True),
        risk=action.risk,
        effect=action.effect,
        consequence=words.CONSEQUENCE[action.effect].format(provider=provider),
        method=page.request.method if page.request is not None else "",
        host=host_shown(urlsplit(page.request.url).netloc) if page.request is not None else "",
        account=words.account(execution, connects=page.connects, shared=bool(page.places) and not page.connects)
        if page.request is not None
        else "",
        runs=words.BY_AGENT if page.request is None and not removed else "",
        fields=fields(action, execution.params),
        removed=removed,
        **_asker(execution),
        reasons=tuple(visible(reason) for reason in execution.decision.reasons),
        again=visible(ask.why),
        wants=tuple(words.want(want, ask, execution) for want in ask.wants),
        decided=tuple(
            Decided(visible(v.person, one_line=True), v.verdict, v.at, visible(v.feedback or "")) for v in page.votes
        ),
        open=ask.state == "open",
        superseded=ask.state == "superseded",
        expires=ask.expires,
        silence=words.SILENCE[role],
        outcome=outcome(execution, page.provider_name),
        state=execution.state,
        provider=provider,
        labels=tuple(visible(label, one_line=True) for label in execution.decision.labels),
        unusual=unusual + tuple(words.escalation(step, execution) for step in ask.escalated),
        recent=tuple(_recent(page, each) for each in page.recent),
        others=tuple(visible(each, one_line=True) for each in page.eligible if each not in voted | {person}),
        changed=changed,
        editable=tuple(name for name in execution.decision.editable if name in _names(page)),
        hold_for=offered(execution.decision.for_max) if held and role == "decide" else (),
        reminded=ask.reminded,
        warned=ask.warned,
        note=words.noted(execution, ask, editors, [each.name for each in changed]) if role == "notice" else "",
        waiting=page.waiting,
        steps_up=page.steps_up,
        url=url,
        fresh=card is not None and _fresh(card),
    )


def build_consent(page: ConsentPage, card: CardRow, url: str) -> Card:
    """The card that asks a user to connect, or to let another agent use what is connected. `url` is the ask's link."""
    execution, ask = page.execution, page.ask
    actions = [each.action for each in page.wants]
    action = max(actions, key=lambda each: _RISKS.index(each.risk))
    titles = [(visible(page.scope_titles.get(name, ""), one_line=True), name) for name in page.new]
    named = [(title, visible(name, one_line=True)) for title, name in titles]
    return Card(
        id=card.id,
        role="consent",
        ask=ask.id,
        person=visible(card.person, one_line=True),
        environment=visible(page.environment, one_line=True),
        summary=wanted(page),
        action=", ".join(each.name for each in actions),
        title=", ".join(visible(each.title, one_line=True) for each in actions),
        connector=visible(page.wants[0].connector_name, one_line=True),
        risk=action.risk,
        effect=action.effect,
        consequence="Nothing happens before you have answered on the page.",
        method="",
        host=host_shown(page.provider_host),
        account=visible(page.account or "", one_line=True),
        fields=(),
        **(_asker(execution) if execution is not None else _connects(ask)),
        reasons=(),
        wants=(),
        decided=(),
        open=ask.state == "open",
        expires=ask.expires,
        silence=words.SILENCE["consent" if execution is not None else "connection"],
        outcome=outcome(execution, page.provider_name) if execution is not None else words.connection(ask),
        state=execution.state if execution is not None else _AS[ask.state],
        provider=visible(page.provider_name, one_line=True),
        scopes=tuple(f"{title} ({name})" if title else name for title, name in named),
        reminded=ask.reminded,
        warned=ask.warned,
        cut=True,
        url=url,
        fresh=_fresh(card),
    )


def build_link(environment: str, card: CardRow, ask: Ask, url: str) -> Card:
    """The card of a channel that gives links alone: it says nothing of the call."""
    return _of_no_call(
        environment,
        card,
        url,
        role=card.role,
        ask=ask.id,
        summary=(),
        title="",
        risk="critical",
        effect="delete",
        open=ask.state == "open",
        expires=ask.expires,
        silence="",
        outcome="",
        state=_AS[ask.state],
    )


def wanted(page: ConsentPage) -> tuple[Part, ...]:
    """What an access is asked for, in one line: the call, or the actions that an agent wants to be ready for."""
    if page.execution is not None:
        return words.line(page.wants[0].action, page.execution)
    return (Part(", ".join(visible(each.action.title, one_line=True) for each in page.wants)),)


def build_gathered(environment: str, card: CardRow, pages: Sequence[ApprovalPage], url: str) -> Card:
    """Many requests in one message: each with its line, its risk and a link of its own beneath `url`. None: over.

    In a place that many see, `url` is nobody's link, and beneath it are addresses that decide nothing.
    """
    shared = card.person.startswith(SHARED)
    found = sorted(pages, key=lambda page: (-_RISKS.index(page.action.risk), page.ask.id))
    waiting = tuple(_waiting(page, f"{url}{'' if shared else '/all'}/{page.ask.id}") for page in found)
    many = f"{len(found)} request{'s' if len(found) != 1 else ''} wait{'s' if len(found) == 1 else ''} for you"
    return _of_no_call(
        environment,
        card,
        url,
        role="gather",
        shared=shared,
        ask="",
        summary=(Part(many if found else "Nothing waits for you any more"),),
        title="Requests that wait",
        risk=found[0].action.risk if found else "low",
        effect="read",
        open=bool(found),
        expires=min((page.ask.expires for page in found), default=card.expires),
        silence=words.SILENCE["gather"],
        outcome="" if found else "All of it is decided, withdrawn or over.",
        gathered=waiting,
    )


def _of_no_call(environment: str, card: CardRow, url: str, **said: Any) -> Card:
    """A card that shows no one call: whatever a person would decide by is left out of it."""
    return Card(
        id=card.id,
        person=visible(card.person, one_line=True),
        environment=visible(environment, one_line=True),
        action="",
        connector="",
        consequence="",
        method="",
        host="",
        account="",
        fields=(),
        agent="",
        chain=(),
        user="",
        reasons=(),
        wants=(),
        decided=(),
        cut=True,
        url=url,
        fresh=_fresh(card),
        **said,
    )


def _fresh(card: CardRow) -> bool:
    return card.version == 1 and card.ref is None


def _asker(execution: Execution) -> dict[str, Any]:
    return {
        "execution": execution.id,
        "agent": visible(execution.agent, one_line=True),
        "chain": tuple(visible(agent, one_line=True) for agent in execution.chain),
        "user": words.user(execution),
        "says": agent_says(execution),
    }


def _connects(ask: Ask) -> dict[str, Any]:
    agent = visible(ask.agent, one_line=True)
    return {"agent": agent, "chain": (agent,), "user": visible(ask.user or "", one_line=True)}


def _names(page: ApprovalPage) -> frozenset[str]:
    return frozenset(param.name for param in page.action.params)


def _changed(page: ApprovalPage) -> tuple[Change, ...]:
    """What is different from what the agent asked for; `before` is empty while nobody has changed anything."""
    if page.execution.before is None:
        return ()
    was = {field.name: field for field in fields(page.action, page.execution.before)}
    now = {field.name: field for field in fields(page.action, page.execution.params)}
    found = []
    for name in dict.fromkeys((*now, *was)):
        before, after = was.get(name), now.get(name)
        if before != after:
            sensitive = any(each.sensitive for each in (before, after) if each is not None)
            texts = [each.value_text if each is not None else NONE for each in (before, after)]
            found.append(Change(name, texts[0], texts[1], sensitive))
    return tuple(found)


def _recent(page: ApprovalPage, execution: Execution) -> Recent:
    parts = words.line(page.action, execution)
    return Recent(execution.updated, "".join(part.text for part in parts), execution.state)


def _waiting(page: ApprovalPage, url: str) -> Waiting:
    parts = words.line(page.action, page.execution)
    return Waiting(
        ask=page.ask.id,
        line="".join(part.text for part in parts),
        risk=page.action.risk,
        url=url,
        action=visible(page.action.title, one_line=True),
    )

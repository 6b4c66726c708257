"""What a mail says, once for both of its parts: a card turned into headline, link, groups of facts and warnings.

Nothing in a mail decides: its one link opens the page. So a value that is cut here takes no button away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from jit_auth.channels.card import Card, exactly, moment
from jit_auth.channels.email.told import Step
from jit_auth.core.fields import Field
from jit_auth.core.text import Part
from jit_auth.model import Risk

LONGEST_VALUE = 2000
LONGEST_ALL = 10_000
"""Characters of one value, and of all: what a phone opens at once, and no mail service clips."""
MOST_LISTED = 50


class Row(Struct, frozen=True):
    """A label of ours or a parameter's name, and its values, each on its own. `boxed`: foreign text of many lines."""

    label: str
    values: tuple[str, ...]
    note: str = ""
    boxed: bool = False


class Group(Struct, frozen=True):
    title: str
    rows: tuple[Row, ...]
    alarm: bool = False


class Letter(Struct, frozen=True, kw_only=True):
    """One mail in words. All foreign text in it has been made visible (core/text)."""

    environment: str
    risk: Risk | None
    headline: str
    summary: tuple[Part, ...]
    lead: tuple[str, ...]
    button: str = ""
    """What the link is called; "": this mail has none."""
    url: str = ""
    groups: tuple[Group, ...] = ()
    agent: str = ""
    says: str = ""
    """The agent's own words, which come last."""
    foot: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Letter(...)"

    __str__ = __repr__


def letter(card: Card, step: Step, public_url: str) -> Letter:
    """The mail of one step."""
    ending = step == "end"
    linked = bool(card.url) and not ending and (card.open or card.role == "notice")
    return Letter(
        environment=card.environment,
        risk=None if card.role in ("gather", "consent") else card.risk,
        headline=_headline(card, step),
        summary=card.summary,
        lead=_lead(card, step),
        button=_BUTTON[card.role] if linked else "",
        url=card.url if linked else "",
        groups=tuple(_ended(card) if ending else _groups(card)),
        agent=card.agent,
        says="" if ending else _cut(card.says, LONGEST_VALUE),
        foot=_foot(card, linked, public_url),
    )


_BUTTON = {
    "decide": "Open the request",
    "consent": "Review and connect",
    "resolve": "Say what became of it",
    "gather": "Open all of them",
    "notice": "See the request",
}


def _headline(card: Card, step: Step) -> str:
    if step == "end":
        return "This request is over"
    if step == "soon":
        return "This runs out soon"
    again = "Reminder: " if step == "remind" else ""
    if card.role == "consent":
        # A consent is given to the first agent of the chain, whoever calls for it.
        who = card.chain[0] if card.chain else "An agent"
        return f"{again}{who} asks for access{f' to {card.provider}' if card.chain and card.provider else ''}"
    if card.role == "resolve":
        return f"{again}What became of this call?"
    if card.role == "notice":
        return "For your information"
    if card.role == "gather":
        return "These wait for your decision"
    return f"{again}{'This is asked again' if card.again else 'This waits for your decision'}"


def _lead(card: Card, step: Step) -> tuple[str, ...]:
    said: list[str] = []
    if step == "end":
        return (card.outcome,)
    if card.role == "notice":
        said += [card.note, card.outcome]
    elif card.role == "resolve":
        said += [card.outcome, "Please find out whether it happened, and say so on the page. Nothing is sent again."]
    else:
        said += [card.again, card.consequence]
    if card.open and card.role != "notice":
        until = "The first of them runs out on" if card.role == "gather" else "Open until"
        said.append(f"{until} {moment(card.expires)}. {card.silence}")
    if card.waiting and card.role == "decide":
        many = "1 other request waits" if card.waiting == 1 else f"{card.waiting} other requests wait"
        said.append(f"{many} for you as well: the page leads to all of them.")
    return tuple(words for words in said if words)


def _groups(card: Card) -> Iterable[Group]:
    """Facts before words: where it goes, what is sent, who asks, what the rules say."""
    if card.role == "gather":
        listed = card.gathered[:MOST_LISTED]
        rows = [Row(f"{each.risk.capitalize()} risk", (each.line,)) for each in listed]
        if len(card.gathered) > len(listed):
            rows.append(Row("And", (f"{len(card.gathered) - len(listed)} more, on the page",)))
        yield Group("What waits", tuple(rows))
        return
    yield from _group("Unusual about it", (Row("", card.unusual), Row("Labels", card.labels)), alarm=True)
    changed = [Row(each.name, (f"was: {_cut(each.before, 1000)}", f"now: {_cut(each.after, 1000)}"), boxed=True)
               for each in card.changed]  # fmt: skip
    yield from _group("Changed by an approver", changed, alarm=True)
    yield from _group("What it would be able to do", (Row("", card.scopes),))
    parts = (("", card.runs), ("Method", card.method), ("Host", card.host), ("Account", card.account))
    where = tuple(Row(name, (value,)) for name, value in parts)
    yield from _group("Who runs it" if card.runs else "Where it goes", where)
    sent = "What was sent" if card.role == "resolve" else "What will be sent" if card.open else "What was asked for"
    if card.runs:
        sent = "What it is run with"
    yield from _group(sent, (Row("", (card.removed,)), *_values(card.fields)))
    through = ", then ".join(card.chain[1:])
    decided = tuple(_vote(vote.who, vote.verdict, vote.at, vote.feedback) for vote in card.decided)
    rows = [
        Row("Action", (f"{card.connector}: {card.title} ({card.action})" if card.method or card.runs else card.title,)),
        Row("Agent", card.chain[:1]),
        Row("Through", (through,)),
        Row("Acts for", (card.user,)),
        Row("The rules say", card.reasons),
        Row("It takes", card.wants),
        Row("Decided so far", decided),
        Row("May decide too", _some(card.others)),
        Row("Last calls of this kind", tuple(f"{moment(r.at)}: {r.status}: {r.line}" for r in card.recent)),
        Row("The page also offers", tuple(_offers(card))),
    ]
    yield from _group("Who asks, and why you are asked", rows)


def _some(people: tuple[str, ...]) -> tuple[str, ...]:
    more = len(people) - MOST_LISTED
    return people if more <= 0 else (*people[:MOST_LISTED], f"and {more} more")


def _ended(card: Card) -> Iterable[Group]:
    decided = tuple(_vote(vote.who, vote.verdict, vote.at, vote.feedback) for vote in card.decided)
    yield from _group("Who decided", (Row("", decided),))
    rows = (Row("Action", (card.title,)), Row("Agent", card.chain[:1]), Row("Acts for", (card.user,)))
    yield from _group("What it was", rows)


def _group(title: str, rows: Sequence[Row], *, alarm: bool = False) -> Iterable[Group]:
    """The group without what is empty; none where nothing is left."""
    kept = [Row(row.label, tuple(v for v in row.values if v), row.note, row.boxed) for row in rows]
    kept = [row for row in kept if row.values or row.note]
    if kept:
        yield Group(title, tuple(kept), alarm)


def _values(fields: Sequence[Field]) -> Iterable[Row]:
    left = LONGEST_ALL
    for field in fields:
        listed = field.kind == "list" and len(field.lines) == field.length
        text = "\n".join(f"{n}. {line.text}" for n, line in enumerate(field.lines, 1)) if listed else field.value_text
        kept = _cut(text, min(LONGEST_VALUE, left))
        left = max(0, left - len(text))
        yield Row(field.name, (kept or "\u27e8empty\u27e9",), _size(field), boxed=True)


def _size(field: Field) -> str:
    if field.kind == "text":
        size = f"{field.length} character{'' if field.length == 1 else 's'}"
    elif field.kind in ("list", "object"):
        size = f"{field.kind} of {field.length}"
    else:
        size = field.kind
    if field.decoded:
        return f"{size}, shown decoded from base64"
    return size if field.shown == "text" else f"{size}, {field.shown}"


def _cut(text: str, most: int) -> str:
    """The text, cut visibly; never inside one of our marks."""
    if len(text) <= most:
        return text
    kept = text[:most]
    if kept.rfind("\u27e8") > kept.rfind("\u27e9"):
        kept = kept[: kept.rfind("\u27e8")]
    return f"{kept}\u27e8{len(text) - len(kept)} more characters: open the page to read them\u27e9"


def _vote(who: str, verdict: str, at: int, feedback: str) -> str:
    said = f"{who} {'approved' if verdict == 'approve' else 'denied'} on {moment(at)}"
    return f"{said}: {_cut(feedback, 1000)}" if feedback else said


def _offers(card: Card) -> Iterable[str]:
    if card.role != "decide":
        return
    if card.hold_for:
        yield f"to approve equal calls for a while: {', '.join(map(exactly, card.hold_for))}"
    if card.editable:
        yield f"to change {', '.join(card.editable)}"


def _foot(card: Card, linked: bool, public_url: str) -> tuple[str, ...]:
    said: list[str] = []
    if linked:
        said = [
            "No assistant, agent or support person will ever need this link. Give it to nobody, and paste it nowhere "
            "but into your browser.",
            f"It is for {card.person} alone"
            + ("." if card.role == "notice" else ": whoever opens it answers in that name."),
        ]
    said.append(
        f"Our links begin with {public_url}/ : any other address in this mail was written by an agent or a service."
    )
    said.append("Answers to this mail are read by nobody, and decide nothing.")
    if card.ask:
        said.append(f"Request {card.ask}.")
    return tuple(said)

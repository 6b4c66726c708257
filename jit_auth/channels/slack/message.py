"""A card as a Slack message: what its blocks say, and which buttons it may have. Pure.

`text` is what a phone's notification shows: environment, risk and summary. Buttons carry the id of the question alone:
who pressed one, and whether that counts, is found out when it is pressed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from jit_auth.channels.card import Card, exactly, moment
from jit_auth.channels.slack import parts
from jit_auth.channels.slack.parts import Block, boxed, button, context, cut, header, section
from jit_auth.core.fields import Field

MOST_VALUES = 30
MOST_LISTED = 20
LONGEST_LINE = 450
"""Of each request in a gathered message: all of them fit into one."""
DECIDE, DENY, OPEN = "approve", "deny", "open"
HAPPENED, NOT_HAPPENED = "happened", "did_not_happen"
FOR = "approve_for_"
"""`approve_for_3600000`: approve equal calls for as many milliseconds."""


class Message(Struct, frozen=True):
    """What is posted. `actions`: the ids of the buttons that decide something."""

    text: str
    blocks: tuple[Block, ...]
    actions: frozenset[str] = frozenset()


def message(card: Card, address: str) -> Message:
    """The copy as it should be now. `address` is `/approvals/ID` of ours, which is nobody's link.

    `card` is `detailed` already: nothing sensitive is in it.
    """
    if card.role == "gather":
        return _gathered(card)
    body, was_cut = _body(card)
    buttons = _buttons(replace(card, cut=card.cut or was_cut), address)
    blocks = [header(_headline(card)), *body]
    if buttons:
        blocks.append({"type": "actions", "block_id": card.seen, "elements": buttons})
    decides = frozenset(each["action_id"] for each in buttons if "url" not in each)
    return Message(notice(card), tuple(blocks), decides)


def bare(card: Card, address: str) -> Message:
    """The copy without what Slack may have refused in it: what it is, and where to read it."""
    where = card.url if card.role in ("consent", "gather") else address
    blocks: list[Block] = [header(_headline(card)), section(cut(card.line, 1000)[0] or card.title)]
    if card.open:
        blocks.append({"type": "actions", "elements": [button("Open", OPEN, card.ask, url=where)]})
    return Message(notice(card), tuple(blocks))


def notice(card: Card, before: str = "") -> str:
    """The one line that notifications show: nothing else of a message reaches a locked phone."""
    risk = "" if card.role in ("gather", "consent") else f" {card.risk.upper()} RISK:"
    access = f"Access to {_account(card) or 'an account'}: " if card.role == "consent" else ""
    said = f"[{card.environment}]{risk} {before}{access}{card.line}"
    ended = "" if card.open or card.role == "notice" else f" \u2014 {_state(card)}"
    return parts.escaped(cut(said, parts.LONGEST_TEXT)[0] + ended)


def _account(card: Card) -> str:
    """What a consent is about; where no content may leave the house, neither agent nor provider is named."""
    return (card.provider or card.connector) if card.chain else ""


def _headline(card: Card) -> str:
    use = f" to use {_account(card)}" if _account(card) else ""
    over = "decided" if card.decided else "over"
    what = {
        "decide": ("asked again" if card.again else "waits for a decision") if card.open else over,
        "resolve": "what became of this call?" if card.open else "an outcome was found out",
        "consent": f"{card.chain[0] if card.chain else 'an agent'} asks for your consent{use}"
        if card.open
        else "answered",
        "notice": "for your information",
        "gather": card.line,
    }[card.role]
    risk = "" if card.role in ("gather", "consent") else f" \u00b7 {card.risk} risk"
    return f"{card.environment}{risk} \u00b7 {what}"


def _body(card: Card) -> tuple[list[Block], bool]:
    """All that stands above the buttons, and whether something had to be cut."""
    made = _Body()
    made.say(boxed([card.line]))
    if not card.open and card.role != "notice":
        ended = _row("", card.outcome if not card.superseded else "")
        made.say("\n".join((_state(card), *_votes(card), *ended)))
        made.say("\n".join(_facts(card)[:2]))
        return made.blocks, made.cut
    made.say("\n".join(_facts(card)))
    unusual = (card.again, *card.unusual, *_labels(card))
    made.say("\n".join(f"\u26a0 {row}" for each in unusual for row in _row("", each)))
    for change in card.changed:
        made.say(f"Changed by an approver: {change.name}\n{boxed([f'was: {change.before}', f'now: {change.after}'])}")
    for each in card.fields[:MOST_VALUES]:
        made.say(f"{each.name} ({_size(each)})\n{boxed(_lines(each))}")
    made.say(card.removed)
    if len(card.fields) > MOST_VALUES:
        made.say(f"{len(card.fields) - MOST_VALUES} more values: open the page to read them.")
        made.cut = True
    if card.scopes:
        made.say("It would be able to:\n" + boxed(card.scopes))
    made.say("\n".join(_why(card)))
    if card.recent:
        made.small([f"Last calls of this kind: {moment(r.at)}: {r.status}: {r.line}" for r in card.recent])
    if card.says:
        made.say(f"{card.agent} says (its own words, verified by nobody):\n{boxed([card.says])}")
    if card.open:
        made.small([f"Open until {moment(card.expires)}. {card.silence}"])
    made.end()
    return made.blocks, made.cut


class _Body:
    """Blocks as they come, each made to fit."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.cut = False
        self._left = parts.LONGEST_MESSAGE
        self._full = False

    def say(self, text: str) -> None:
        if not text.strip():
            return
        kept, was_cut = cut(text, parts.LONGEST_SECTION)
        self.cut = self.cut or was_cut
        self._add(section(kept), parts.units(kept))

    def small(self, texts: Sequence[str]) -> None:
        kept = [cut(text, parts.LONGEST_CONTEXT) for text in texts]
        self.cut = self.cut or any(was_cut for _, was_cut in kept)
        self._add(context(text for text, _ in kept), sum(parts.units(text) for text, _ in kept))

    def end(self) -> None:
        """Where not everything found its place, the reader is told."""
        if self._full:
            self.blocks.append(section("\u27e8More is on the page: not all of it fits into a message.\u27e9"))

    def _add(self, block: Block, size: int) -> None:
        self._left -= size
        if len(self.blocks) >= parts.MOST_BLOCKS - 3 or self._left < 0:  # headline, buttons and `end` come to it
            self.cut = self._full = True
            return
        self.blocks.append(block)


def _facts(card: Card) -> list[str]:
    """Where it goes, and for whom: facts before words."""
    through = ", then ".join(card.chain[1:])
    return [
        *_row("Action", f"{card.title} ({card.action})" if card.action else ""),
        *_row("For", card.user),
        *_row("To", " ".join(filter(None, (card.method, card.host)))),
        *_row("Run by", card.runs),
        *_row("Account", card.account),
        *_row("Agent", card.chain[0] if card.chain else ""),
        *_row("Through", through),
        *_row("So", card.consequence if card.role != "resolve" else card.outcome),
    ]


def _why(card: Card) -> list[str]:
    rows = [
        *[line for reason in card.reasons for line in _row("The rules say", reason)],
        *[line for want in card.wants for line in _row("It takes", want)],
        *_votes(card),
        *_row("May decide too", _some(card.others)),
        *_row("", card.note),
    ]
    if card.role == "decide" and card.editable:
        rows.append(f"The page also offers to change {', '.join(card.editable)}.")
    if card.waiting and not card.shared:
        rows.append(f"{card.waiting} more wait{'s' if card.waiting == 1 else ''} for you.")
    return rows


def _row(label: str, value: str) -> list[str]:
    """One fact in one line. A value of several lines is put into one: it cannot pose as the next fact."""
    flat = " \u23ce ".join(value.split("\n"))
    return [f"{label}: {flat}" if label else flat] if value else []


def _labels(card: Card) -> Iterable[str]:
    if card.labels:
        yield f"Labels: {', '.join(card.labels)}"


def _votes(card: Card) -> list[str]:
    rows = []
    for vote in card.decided:
        word = "Approved" if vote.verdict == "approve" else "Denied"
        rows += _row("", f"{word} by {vote.who} on {moment(vote.at)}{f': {vote.feedback}' if vote.feedback else ''}")
    return rows


def _state(card: Card) -> str:
    """What became of the question, in a few words."""
    if card.superseded:
        return "Asked again in another form: see the newer message."
    denied = next((vote for vote in card.decided if vote.verdict == "deny"), None)
    if denied is not None:
        return f"Denied by {denied.who}"
    if card.decided:
        return f"Approved by {_some(tuple(vote.who for vote in card.decided))}"
    return {"expired": "Time ran out", "cancelled": "Withdrawn by the agent"}.get(card.state, "Over")


def _some(people: tuple[str, ...]) -> str:
    more = len(people) - MOST_LISTED
    return ", ".join(people if more <= 0 else (*people[:MOST_LISTED], f"and {more} more"))


def _lines(field: Field) -> list[str]:
    if field.kind == "list" and len(field.lines) == field.length and field.lines:
        return [f"{n}. {line.text}" for n, line in enumerate(field.lines, 1)]
    return [field.value_text or "\u27e8empty\u27e9"]


def _size(field: Field) -> str:
    if field.kind == "text":
        return f"{field.length} character{'' if field.length == 1 else 's'}" + (", decoded" if field.decoded else "")
    return f"{field.kind} of {field.length}" if field.kind in ("list", "object") else field.kind


def _buttons(card: Card, address: str) -> list[Block]:
    if card.role == "consent":
        return [button("Review and connect", OPEN, card.ask, style="primary", url=card.url)] if card.open else []
    if card.role == "notice":
        return [button("Open", OPEN, card.ask, url=address)] if card.open else []
    if not card.open or _answered(card):
        return []
    if not card.decidable:
        return [button("Open", OPEN, card.ask, url=address)]
    own = card.url or address
    if card.role == "resolve":
        return [
            button("It happened", HAPPENED, card.ask),
            button("It did not happen", NOT_HAPPENED, card.ask),
            button("Open", OPEN, card.ask, url=own),
        ]
    return [
        button("Approve", DECIDE, card.ask, style="primary"),
        *(button(f"Approve for {exactly(hold)}", f"{FOR}{hold}", card.ask) for hold in card.hold_for),
        button("Deny", DENY, card.ask, style="danger"),
        button("Open", OPEN, card.ask, url=own),
    ]


def _answered(card: Card) -> bool:
    """Whether the one person who sees this copy has decided already."""
    return not card.shared and any(vote.who == card.person for vote in card.decided)


def _gathered(card: Card) -> Message:
    """Many requests in one message, each with its line and its address."""
    listed = card.gathered[:MOST_LISTED]
    blocks: list[Block] = [header(_headline(card))]
    for number, each in enumerate(listed):
        row = section(f"{each.risk.capitalize()} risk\n{boxed([cut(each.line, LONGEST_LINE)[0]])}")
        row["accessory"] = button("Open", f"{OPEN}_{number}", each.ask, url=each.url)
        blocks.append(row)
    if len(card.gathered) > len(listed):
        blocks.append(context([f"{len(card.gathered) - len(listed)} more, on the page."]))
    if not card.open:
        blocks.append(section(card.outcome))
    else:
        blocks.append(context([card.silence]))
        if not card.shared:
            everything = button("Open all of them", OPEN, "all", style="primary", url=card.url)
            blocks.append({"type": "actions", "elements": [everything]})
    return Message(notice(card), tuple(blocks))

"""Block Kit's parts as this channel uses them. Text that is not ours stands in `plain_text` alone, which is never
parsed: no link, no mention, no markup can be made of it (THREAT_MODEL 19).

The limits are Slack's (docs.slack.dev/reference/block-kit): beyond them a message is refused as a whole, so that every
part is made to fit, and what had to be cut is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Block = dict[str, Any]

MOST_BLOCKS = 50
LONGEST_SECTION = 3000
LONGEST_HEADER = 150
LONGEST_BUTTON = 75
LONGEST_CONTEXT = 1900
LONGEST_MESSAGE = 11_000
"""Of all blocks together: Slack refuses more than about 13,000, and says so nowhere in its reference."""
LONGEST_TEXT = 3000
"""Of the message's own text, which notifications show."""


def plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": False}


def section(text: str) -> Block:
    return {"type": "section", "text": plain(text)}


def header(text: str) -> Block:
    return {"type": "header", "text": plain(cut(text, LONGEST_HEADER)[0])}


def context(texts: Iterable[str]) -> Block:
    return {"type": "context", "elements": [plain(cut(text, LONGEST_CONTEXT)[0]) for text in texts][:10]}


def button(name: str, action: str, value: str, *, style: str = "", url: str = "") -> Block:
    made: Block = {"type": "button", "text": plain(cut(name, LONGEST_BUTTON)[0]), "action_id": action}
    if value:
        made["value"] = value
    if style:
        made["style"] = style
    if url:
        made["url"] = url
    return made


def cut(text: str, most: int) -> tuple[str, bool]:
    """The text within `most` characters as Slack counts them (UTF-16 units would be fewer than it allows, so these are
    counted), cut visibly and never inside one of our marks; and whether it was cut."""
    if units(text) <= most:
        return text, False
    note = "\u27e8cut here: open the page to read the rest\u27e9"
    kept = text[: most - len(note)]
    while units(kept) > most - len(note):
        kept = kept[: -max(1, (units(kept) - (most - len(note))) // 2)]
    if kept.rfind("\u27e8") > kept.rfind("\u27e9"):
        kept = kept[: kept.rfind("\u27e8")]
    return kept + note, True


def units(text: str) -> int:
    """UTF-16 units: a character beyond the basic plane counts twice in JavaScript, and so at Slack."""
    return len(text) + sum(character > "\uffff" for character in text)


def boxed(lines: Sequence[str]) -> str:
    """Foreign text of several lines, each behind a bar: none of them can pose as a line of ours."""
    return "\n".join(f"\u2502 {line}" for text in lines for line in text.split("\n"))


def escaped(text: str) -> str:
    """Text for the one place that Slack does parse, the message's `text`: & < > are all that it reads."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""The forms that open when somebody denies, or says what became of a call."""

from __future__ import annotations

from typing import Any

import msgspec

from jit_auth.channels.slack.parts import boxed, cut, plain, section
from jit_auth.channels.slack.payload import Kept

DENY, RESOLVE = "deny", "resolve"
REASON, WORDS = "reason", "words"
REASONS = (
    "Not what was agreed",
    "Wrong recipient or target",
    "The content is wrong",
    "Not now",
    "It looks like the agent was misled",
)
_LONGEST_WORDS = 2000


def denial(kept: Kept, line: str) -> dict[str, Any]:
    """Why it is denied: a reason to choose, words of one's own, both optional. Sent as it is, it denies."""
    options = [{"text": plain(reason), "value": reason} for reason in REASONS]
    choice = {"type": "radio_buttons", "action_id": REASON, "options": options}
    return _view(
        DENY,
        kept,
        "Deny this request",
        "Deny",
        section(boxed([cut(line, 500)[0]])),
        _input("Why", choice),
        _input("What the agent should know (it is told)", _words()),
    )


def resolution(kept: Kept) -> dict[str, Any]:
    """How the person found out; the note is required, and the answer is final."""
    happened = kept.outcome == "succeeded"
    said = "You say that the call happened." if happened else "You say that the call did not happen."
    return _view(
        RESOLVE,
        kept,
        "What became of it",
        "It happened" if happened else "It did not happen",
        section(f"{said} This is final, and nothing is sent again."),
        _input("How you found out", _words(), optional=False),
    )


def feedback(reason: str, words: str) -> str | None:
    """What the agent is told of a denial."""
    said = [text.strip() for text in (reason if reason in REASONS else "", words) if text.strip()]
    return ": ".join(said) or None


def _view(name: str, kept: Kept, title: str, submit: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "modal",
        "callback_id": name,
        "title": plain(title),
        "submit": plain(submit),
        "close": plain("Back"),
        "private_metadata": msgspec.json.encode(kept).decode(),
        "blocks": list(blocks),
    }


def _input(label: str, element: dict[str, Any], *, optional: bool = True) -> dict[str, Any]:
    return {"type": "input", "optional": optional, "label": plain(label), "element": element}


def _words() -> dict[str, Any]:
    return {"type": "plain_text_input", "action_id": WORDS, "multiline": True, "max_length": _LONGEST_WORDS}

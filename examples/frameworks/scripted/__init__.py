"""What every scripted model says, whatever framework asks it: the tool calls for a prompt, then what it was told.

Like a model it knows the conversation and nothing else, so that it goes on in another process as if nothing had been.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """A tool call, as a model makes one."""

    id: str
    name: str
    arguments: dict[str, Any]


def say(prompt: str, answers: list[str]) -> list[Call] | str:
    """The next turn: `answers` are what its tool calls gave, none before they were made."""
    wanted = re.findall(r"(\d+) of (\S+)", prompt)
    if len(answers) < len(wanted):
        return [
            Call(f"call_{number}", "billing__refund", {"invoice": invoice, "amount": int(amount)})
            for number, (amount, invoice) in enumerate(wanted)
        ]
    return " ".join(map(understood, answers)) or "I refund invoices."


def understood(answer: str) -> str:
    """An obedient model: it goes by the first word, as for_model means it to."""
    return {
        "Done": "It is refunded.",
        "Never": "It is not to be, and I will not try it again.",
        "Later": "Not now. Shall I ask once more?",
        "Change": "That cannot be refunded as it stands.",
    }.get(re.split(r"[ .:]", answer, maxsplit=1)[0], f"I do not understand: {answer}")

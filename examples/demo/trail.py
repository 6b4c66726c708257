"""Reads the audit trail (`jit-auth audit export`) aloud: one line a row, each fact in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Fact = Mapping[str, Any]
ACTOR = 18
"""Width of the column of who did it."""


def _decision(fact: Fact) -> str:
    rules = ", ".join(fact["rules"]) or "no rule"
    return f"{rules}: {fact['effect'].replace('_', ' ')}"


def _ask(fact: Fact) -> str:
    return f"asks for consent to {', '.join(fact['scopes'])}" if fact["kind"] == "consent" else "asks for an approval"


def _outcome(fact: Fact) -> str:
    return f"{fact['state']} ({fact.get('status') or fact.get('code')})"


def _writer(fact: Fact) -> str:
    return "goes on in a chain tied to the one before" if fact["heads"] else "begins the chain"


WORDS: Mapping[str, Callable[[Fact], str]] = {
    "writer": _writer,
    "bundle": lambda fact: f"publishes configuration and rules {_short(fact['bundle'])}",
    "request": lambda fact: f"requests {fact['action']}",
    "decision": _decision,
    "ask": _ask,
    "card": lambda fact: f"shows the approval on the {fact['via']}",
    "connect.begin": lambda fact: f"goes to {fact['provider']}",
    "connect.callback": lambda fact: f"comes back with a {fact['came']}",
    "consent": lambda fact: f"consents to {', '.join(fact['scopes'])}",
    "vote": lambda fact: f"says {fact['verdict']} to {_short(fact['digest'])}",
    "token": lambda fact: f"uses the token for {fact['provider']}",
    "send": lambda fact: f"intends to send {_short(fact['digest'])}",
    "outcome": _outcome,
    "wait": lambda fact: "goes on waiting",
    "config.loaded": lambda fact: "loads configuration and rules",
    "grant.created": lambda fact: "a grant is kept, encrypted",
    "grant.scopes_changed": lambda fact: "the grant has them too",
}


def told(row: Mapping[str, Any]) -> tuple[str, str]:
    """A row as (time of day, who does what); facts without words stand under their own name."""
    at = str(row["at"])[11:19]
    facts = [WORDS[fact["do"]](fact) if fact["do"] in WORDS else str(fact["do"]) for fact in row["what"]]
    actor = str(row["actor"]).removeprefix("person:")
    return at, f"{actor:<{ACTOR}} {'; '.join(facts)}"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:8]

"""What Slack posts when somebody presses a button or sends a form, read strictly: whatever is not of this form is
nothing. It is Slack's word once its signature, or the socket it came by, has vouched for it: that this member pressed
this button, and no more.

https://docs.slack.dev/reference/interaction-payloads
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from jit_auth.errors import BadRequest

ASK = re.compile(r"(?:apr|unk)_[0-9a-z]{1,64}")
_SEEN = re.compile(r"sha256:[0-9a-f]{64}")
_MOST_FIELDS = 8


class Team(Struct, frozen=True):
    id: str | None = None


class User(Struct, frozen=True):
    """Who pressed. `team_id`: of the member, who may be another workspace's guest in a shared channel."""

    id: str
    team_id: str | None = None


class Place(Struct, frozen=True):
    id: str | None = None


class Pressed(Struct, frozen=True):
    action_id: str = ""
    block_id: str = ""
    value: str = ""

    @property
    def seen(self) -> str:
        """The hash of the card that the message showed, where the message tells it."""
        return self.block_id if _SEEN.fullmatch(self.block_id) else ""


class State(Struct, frozen=True):
    values: dict[str, dict[str, dict[str, Any]]] = {}


class View(Struct, frozen=True):
    callback_id: str = ""
    private_metadata: str = ""
    state: State = State()

    def entered(self, name: str) -> str:
        """What was typed, or chosen, in the input of this name."""
        for inputs in self.state.values.values():
            for action, given in inputs.items():
                if action == name:
                    chosen = given.get("selected_option")
                    found = chosen.get("value") if isinstance(chosen, dict) else given.get("value")
                    return found if isinstance(found, str) else ""
        return ""


class Interaction(Struct, frozen=True):
    """`block_actions` or `view_submission`; any other type is nothing to us."""

    type: str
    user: User
    team: Team | None = None
    channel: Place | None = None
    actions: tuple[Pressed, ...] = ()
    trigger_id: str = ""
    response_url: str = ""
    view: View | None = None


class Envelope(Struct, frozen=True):
    """What comes by socket: an interaction, or a word about the socket itself (`hello`, `disconnect`)."""

    type: str = ""
    envelope_id: str = ""
    payload: dict[str, Any] = {}


class Kept(Struct, frozen=True):
    """What a form of ours carries until it is sent back."""

    ask: str
    seen: str = ""
    channel: str = ""
    response_url: str = ""
    outcome: str = ""


def posted(body: bytes) -> Interaction:
    """The interaction in a form's `payload`. Raises BadRequest."""
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=_MOST_FIELDS, errors="strict")
        (text,) = [value for name, value in pairs if name == "payload"]
        return msgspec.json.decode(text.encode(), type=Interaction)
    except (ValueError, RecursionError):
        raise _bad() from None


def delivered(payload: Mapping[str, Any]) -> Interaction:
    """The interaction of a Socket Mode envelope. Raises BadRequest."""
    try:
        return msgspec.convert(payload, Interaction)
    except (ValueError, RecursionError):
        raise _bad() from None


def kept(text: str) -> Kept | None:
    """What a form carried; None where it is none of ours."""
    try:
        found = msgspec.json.decode(text.encode(), type=Kept)
    except (ValueError, RecursionError):
        return None
    return found if ASK.fullmatch(found.ask) else None


def _bad() -> BadRequest:
    return BadRequest("This is no interaction of Slack's.", hint="Slack posts a form whose `payload` is JSON.")

"""Slack as a channel: a card is one message, which is changed as the card changes; what is to be heard again is said
beneath it.

A call that was cut off may have posted: its message carries the card's id in its metadata, and is looked for before
another one is posted (FACTS: the SDK and impatient callers post twice).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from jit_auth.channels.card import Card, moment
from jit_auth.channels.cut import detailed
from jit_auth.channels.slack.api import Slack, SlackFault, judged
from jit_auth.channels.slack.message import Message, bare, message, notice
from jit_auth.channels.slack.parts import escaped, section
from jit_auth.channels.slack.settings import SlackSettings
from jit_auth.channels.slack.told import Told, newest, told
from jit_auth.channels.tools import Tools
from jit_auth.core.ids import born
from jit_auth.core.text import visible
from jit_auth.errors import Later, Never
from jit_auth.model import Millis

EVENT = "jit_auth_card"
PAGE = 100
MOST_PAGES = 10
"""Messages looked through for one's own: a thousand since the card was made."""
NOTHING = "none"
"""The ref of a copy that was over before anything was posted."""
DAY: Millis = 86_400_000
MARGIN: Millis = 60_000
"""How far Slack's clock may be from ours."""
_GONE = frozenset(
    ("message_not_found", "channel_not_found", "cant_update_message", "edit_window_closed", "is_inactive")
)


@dataclass
class SlackPort:
    """The open channel."""

    settings: SlackSettings
    tools: Tools
    slack: Slack
    routes: Sequence[web.RouteDef] = ()
    _direct: dict[str, str] = field(default_factory=dict)
    """The channel of direct messages with a member, by the member's id."""

    async def show(self, card: Card, ref: str | None) -> str:
        """Post the message, or make it as the card is now; then say beneath it what is due. Raises Later, Never."""
        shown = detailed(card, self.settings.details)
        try:
            was = told(ref)
            if was is not None and card.role == "gather" and card.open and newest(card) > was.newest:
                was = None  # a list that grew is posted anew: a change of the old one nobody would hear
            if was is None:
                posted = await self._posted(shown)
                if posted is None:
                    return NOTHING
                now = posted
            else:
                now = await self._changed(shown, was)
            return (await self._said(shown, now)).ref
        except SlackFault as fault:
            raise judged(fault) from None

    async def tell(self, person: str, subject: str, words: str) -> None:
        """A direct message, where the person has a member id."""
        if person not in self.tools.people().slack:
            return
        said = visible(f"[{self.tools.environment}] {subject}. {words}", one_line=True)
        try:
            channel = await self._direct_with(person)
            await self.slack.call("chat.postMessage", channel=channel, text=escaped(said), blocks=[section(said)])
        except SlackFault as fault:
            raise judged(fault) from None

    async def _posted(self, card: Card) -> Told | None:
        channel = await self._place(card)
        part = newest(card) or "card"
        found = None if card.fresh else await self._find(channel, card.id, part, _since(card, self.tools.now()))
        made = message(card, self._address(card))
        if found is None and not card.open and card.role != "notice":
            return None  # nobody was asked here: what is over is not begun with
        if found is None:
            sent = await self._send("chat.postMessage", card, made, channel=channel, metadata=_mark(card.id, part))
            found = _ts(sent)
        else:
            await self._send("chat.update", card, made, channel=channel, ts=found)
        # What was due before the question was put is not said again after it.
        return Told(channel, found, card.reminded, card.warned, newest(card))

    async def _changed(self, card: Card, was: Told) -> Told:
        made = message(card, self._address(card))
        try:
            await self._send("chat.update", card, made, channel=was.channel, ts=was.ts)
        except SlackFault as fault:
            if fault.word not in _GONE:
                raise
            if card.open:
                return await self._posted(card) or was  # somebody removed it: who is asked must see the question
        return was

    async def _said(self, card: Card, was: Told) -> Told:
        """A reminder or a warning, once each, beneath the message and in its channel."""
        if not card.open or card.role not in ("decide", "resolve", "consent") or _answered(card):
            return was
        if card.warned and not was.warned:
            part, words = "soon", f"runs out on {moment(card.expires)}: "
        elif card.reminded > was.reminded:
            part, words = f"remind-{card.reminded}", "still waits: "
        else:
            return was
        if await self._beneath(was, card.id, part) is None:
            await self.slack.call(
                "chat.postMessage",
                channel=was.channel,
                thread_ts=was.ts,
                reply_broadcast=True,
                text=notice(card, words),
                mrkdwn=False,
                metadata=_mark(card.id, part),
                unfurl_links=False,
                unfurl_media=False,
            )
        return Told(was.channel, was.ts, max(was.reminded, card.reminded), was.warned or card.warned, was.newest)

    async def _send(self, method: str, card: Card, made: Message, **more: Any) -> Mapping[str, Any]:
        """Post or change a message; where Slack will not have its blocks, what it is and where to read it."""
        try:
            return await self._sent(method, made, **more)
        except SlackFault as fault:
            if fault.word not in ("invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long"):
                raise
            return await self._sent(method, bare(card, self._address(card)), **more)

    async def _sent(self, method: str, made: Message, **more: Any) -> Mapping[str, Any]:
        return await self.slack.call(
            method,
            text=made.text,
            blocks=made.blocks,
            mrkdwn=False,
            unfurl_links=False,
            unfurl_media=False,
            **more,
        )

    async def _place(self, card: Card) -> str:
        """The channel a copy belongs to."""
        if card.shared:
            if self.settings.channel is None:
                raise Never("no channel is configured for requests to groups")
            return self.settings.channel
        return await self._direct_with(card.person)

    async def _direct_with(self, person: str) -> str:
        """The channel of direct messages with a person."""
        member = self.tools.people().slack.get(person)
        if member is None:
            raise Never("this person has no Slack id", hint="Add `slack` to the person's table in [people].")
        if member not in self._direct:
            opened = (await self.slack.call("conversations.open", users=member)).get("channel")
            found = opened.get("id") if isinstance(opened, dict) else None
            if not isinstance(found, str):
                raise Later("Slack opens no direct message")
            self._direct[member] = found
        return self._direct[member]

    async def _find(self, channel: str, card: str, part: str, since: Millis) -> str | None:
        """The timestamp of our message about this card, if it was posted."""
        oldest = f"{max(0, since - MARGIN) / 1000:.6f}"
        return await self._search("conversations.history", card, part, channel=channel, oldest=oldest)

    async def _beneath(self, was: Told, card: str, part: str) -> str | None:
        return await self._search("conversations.replies", card, part, channel=was.channel, ts=was.ts)

    async def _search(self, method: str, card: str, part: str, **where: str) -> str | None:
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            answer = await self.slack.call(method, limit=PAGE, include_all_metadata=True, cursor=cursor, **where)
            for each in _dicts(answer.get("messages")):
                if _marks(each, card, part):
                    return _ts(each)
            more = answer.get("response_metadata")
            cursor = more.get("next_cursor") if isinstance(more, dict) else None
            if not cursor:
                break
        return None

    def _address(self, card: Card) -> str:
        return f"{self.tools.public_url}/approvals/{card.ask}" if card.ask else f"{self.tools.public_url}/approvals"


def _mark(card: str, part: str) -> dict[str, Any]:
    return {"event_type": EVENT, "event_payload": {"card": card, "part": part}}


def _marks(found: Mapping[str, Any], card: str, part: str) -> bool:
    metadata = found.get("metadata")
    payload = metadata.get("event_payload") if isinstance(metadata, dict) else None
    if not isinstance(payload, dict) or not isinstance(metadata, dict) or metadata.get("event_type") != EVENT:
        return False
    return payload.get("card") == card and payload.get("part") == part


def _ts(found: Mapping[str, Any]) -> str:
    ts = found.get("ts")
    if not isinstance(ts, str):
        raise Later("Slack tells no timestamp of a message")
    return ts


def _dicts(found: Any) -> list[Mapping[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _since(card: Card, now: Millis) -> Millis:
    """When the card can have been posted at the earliest."""
    return born(newest(card) if card.role == "gather" else card.id) or now - DAY


def _answered(card: Card) -> bool:
    return any(vote.who == card.person for vote in card.decided)

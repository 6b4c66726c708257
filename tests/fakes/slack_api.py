"""Slack's Web API as slack-sdk calls it: what each method wants, does and refuses."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NamedTuple

from aiohttp import web

from tests.fakes.slack_blocks import Json, faults_of_blocks, faults_of_metadata, faults_of_view, shown, stored

TRIGGER_LIFE = 3.0


class Call(NamedTuple):
    """One request that reached Slack; `response_url` is a method too."""

    method: str
    arguments: Json


class Refused(Exception):
    """The answer is `ok: false` with this code."""

    def __init__(self, code: str, messages: Iterable[str] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.answer: Json = {"ok": False, "error": code}
        if found := list(messages):
            self.answer |= {"errors": found, "response_metadata": {"messages": found}}


@dataclass
class Message:
    """A message as Slack has it now."""

    channel: str
    ts: str
    text: str
    blocks: list[Json]
    user: str
    metadata: Json | None = None
    thread_ts: str | None = None
    broadcast: bool = False
    only_for: str | None = None
    """The one person who sees it, if it is ephemeral."""
    updates: list[Message] = field(default_factory=list)
    """Its earlier states, oldest first."""
    deleted: bool = False

    @property
    def plain(self) -> str:
        """All text in it, a piece a line, raw."""
        return "\n".join([self.text, *shown(self.blocks)])


@dataclass
class View:
    """A modal that a person has before them."""

    id: str
    view: Json
    user: str
    hash: str
    open: bool = True
    errors: dict[str, str] = field(default_factory=dict)
    """What the last submission was told, by block_id."""


@dataclass
class Pass:
    """A trigger_id, or a response_url."""

    at: float
    user: str
    message: Message | None = None
    used: int = 0


@dataclass
class Api:
    """The workspace's state, and the methods upon it."""

    clock: Callable[[], float] = time.time
    bot_token: str = "xoxb-bot"
    app_token: str = "xapp-app"
    signing_secret: str = "signing-secret"
    team: str = "T012"
    app: str = "A012"
    bot_user: str = "U0BOT"
    bot: str = "B0BOT"
    channels: set[str] = field(default_factory=lambda: {"C012"})
    """Those the bot is in."""
    other_channels: set[str] = field(default_factory=set)
    """Those it is not in."""
    users: dict[str, str] = field(default_factory=lambda: {"U012ANA": "ana", "U012BEN": "ben"})
    """Names by id."""
    most_in_blocks: int = 13_000
    """Characters in all blocks together: undocumented, https://github.com/slackapi/bolt-js/issues/2509."""
    retry_after: int = 1
    patience: float = 3.0
    """Real seconds that an interaction may go without an answer."""
    down: bool = False
    """Every new request's connection is closed at once, and not in `calls`. Open websockets: `drop_sockets(False)`."""
    url: str = ""
    """Ends without a slash. The Web API is at `url + "/api/"`."""
    calls: list[Call] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    """In the order of posting, ephemeral and deleted ones included."""
    views: list[View] = field(default_factory=list)
    ims: dict[str, str] = field(default_factory=dict)
    """The channel of the bot and a user, by the user's id."""
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    """Socket Mode connections that get events."""
    triggers: dict[str, Pass] = field(default_factory=dict)
    response_urls: dict[str, Pass] = field(default_factory=dict)
    _faults: dict[str, deque[str | int]] = field(default_factory=dict)
    _tickets: set[str] = field(default_factory=set)
    _acks: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    _linked: set[web.WebSocketResponse] = field(default_factory=set)
    _last_ts: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _ts(self) -> str:
        self._last_ts = max(int(self.clock() * 1_000_000), self._last_ts + 100)
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06}"

    def _told(self, message: Message, metadata: bool) -> Json:
        told: Json = {"type": "message", "user": message.user, "ts": message.ts, "text": message.text}
        told |= {"team": self.team, "blocks": copy.deepcopy(message.blocks)}
        if message.user == self.bot_user:
            told |= {"bot_id": self.bot, "app_id": self.app}
        if message.updates:
            told["edited"] = {"user": message.user, "ts": message.ts}
        replies = self._replies(message.channel, message.ts)
        if message.thread_ts or replies:
            told["thread_ts"] = message.thread_ts or message.ts
        if replies:
            told["reply_count"] = len(replies)
        if metadata and message.metadata is not None:
            told["metadata"] = copy.deepcopy(message.metadata)
        return told

    def _shown(self, view: View) -> Json:
        ids = {"id": view.id, "team_id": self.team, "app_id": self.app, "bot_id": self.bot, "root_view_id": view.id}
        return {"private_metadata": "", "callback_id": "", **copy.deepcopy(view.view), **ids, "hash": view.hash}

    def _replies(self, channel: str, ts: str) -> list[Message]:
        return [one for one in self._standing(channel) if one.thread_ts == ts and one.ts != ts]

    def _standing(self, channel: str) -> list[Message]:
        return [one for one in self.messages if one.channel == channel and not one.deleted and one.only_for is None]

    def _post(self, message: Message) -> Message:
        self.messages.append(message)
        self._tell()
        return message

    def _redraw(self, view: View, new: Any) -> None:
        new = loaded(new, "invalid_arguments")
        if faults := faults_of_view(new):
            raise Refused("invalid_arguments", faults)
        view.view, view.hash, view.errors = {**new, "blocks": stored(new["blocks"])}, secrets.token_hex(4), {}

    def _admit(self, method: str, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or not token:
            raise Refused("not_authed")
        if token not in (self.bot_token, self.app_token):
            raise Refused("invalid_auth")
        if (token == self.app_token) != (method == "apps.connections.open"):
            raise Refused("not_allowed_token_type")

    def _channel(self, arguments: Json) -> str:
        channel = str(needed(arguments, "channel"))
        if channel in self.other_channels:
            raise Refused("not_in_channel")
        if channel not in self.channels and channel not in self.ims.values():
            raise Refused("channel_not_found")
        return channel

    def _contents(self, arguments: Json) -> Json:
        """What the arguments say of a message: those of text, blocks and metadata that are there, and are good."""
        found: Json = {}
        if arguments.get("text") is not None:
            found["text"] = str(arguments["text"])
            if len(found["text"]) > 40_000:
                raise Refused("msg_too_long")
        if arguments.get("blocks") is not None:
            blocks = loaded(arguments["blocks"], "invalid_blocks_format")
            if faults := faults_of_blocks(blocks):
                raise Refused("invalid_blocks", faults)
            if sum(map(len, shown(blocks))) > self.most_in_blocks:
                raise Refused("msg_blocks_too_long")
            found["blocks"] = stored(blocks)
        if arguments.get("metadata") is not None:
            found["metadata"] = loaded(arguments["metadata"], "invalid_metadata_format")
            if faults := faults_of_metadata(found["metadata"]):
                raise Refused("invalid_metadata_format", faults)
        if not found.get("text") and not found.get("blocks"):
            raise Refused("no_text")
        return found

    def _auth_test(self, arguments: Json) -> Json:
        who = {"user_id": self.bot_user, "bot_id": self.bot, "team_id": self.team}
        return {"url": f"{self.url}/", "team": "Example", "user": "jit", "is_enterprise_install": False, **who}

    def _users_info(self, arguments: Json) -> Json:
        user = str(needed(arguments, "user"))
        if user not in self.users:
            raise Refused("user_not_found")
        name = self.users[user]
        profile = {"real_name": name.title(), "display_name": name}
        about = {"real_name": name.title(), "profile": profile, "deleted": False, "is_bot": False}
        return {"user": {"id": user, "team_id": self.team, "name": name, **about}}

    def _conversations_open(self, arguments: Json) -> Json:
        if not arguments.get("users"):
            raise Refused("users_list_not_supplied")
        user = str(arguments["users"])
        if user not in self.users:
            raise Refused("user_not_found")
        return {"channel": {"id": self.ims.setdefault(user, f"D{user[1:]}")}}

    def _chat_postmessage(self, arguments: Json) -> Json:
        if (user := arguments.get("channel")) in self.users:
            self._conversations_open({"users": user})
            arguments = {**arguments, "channel": self.ims[user]}
        channel, thread = self._channel(arguments), arguments.get("thread_ts")
        message = Message(channel, "", "", [], self.bot_user, thread_ts=thread)
        message = replace(message, broadcast=flag(arguments, "reply_broadcast"), **self._contents(arguments))
        message.ts = self._ts()
        self._post(message)
        return {"channel": channel, "ts": message.ts, "message": self._told(message, metadata=True)}

    def _chat_postephemeral(self, arguments: Json) -> Json:
        channel, user = self._channel(arguments), str(needed(arguments, "user"))
        if user not in self.users:
            raise Refused("user_not_in_channel")
        message = Message(channel, self._ts(), "", [], self.bot_user, arguments.get("thread_ts"), only_for=user)
        message = self._post(replace(message, **self._contents(arguments)))
        return {"message_ts": message.ts}

    def _chat_update(self, arguments: Json) -> Json:
        channel, ts = self._channel(arguments), needed(arguments, "ts")
        message = next((one for one in self._standing(channel) if one.ts == ts), None)
        if message is None:
            raise Refused("message_not_found")
        if message.user != self.bot_user:
            raise Refused("cant_update_message")
        self._change(message, self._contents(arguments))
        return {"channel": channel, "ts": ts, "text": message.text, "message": self._told(message, metadata=True)}

    def _change(self, message: Message, new: Json) -> None:
        message.updates.append(replace(message, updates=list(message.updates)))
        for name, value in new.items():
            setattr(message, name, value)

    def _conversations_history(self, arguments: Json) -> Json:
        channel = self._channel(arguments)
        top = [one for one in self._standing(channel) if one.thread_ts in (None, one.ts) or one.broadcast]
        return self._page(top[::-1], arguments, -1)

    def _conversations_replies(self, arguments: Json) -> Json:
        channel, ts = self._channel(arguments), needed(arguments, "ts")
        parent = [one for one in self._standing(channel) if one.ts == ts]
        if not parent:
            raise Refused("thread_not_found")
        return self._page([*parent, *self._replies(channel, ts)], arguments, 1)

    def _page(self, messages: list[Message], arguments: Json, order: int) -> Json:
        """Those within the bounds of time, from the cursor on, no more than the limit."""
        limit, inclusive = int(arguments.get("limit") or 100), flag(arguments, "inclusive")
        if not 1 <= limit <= 999:
            raise Refused("invalid_limit")
        for name, sign in (("oldest", 1), ("latest", -1)):
            if (bound := arguments.get(name)) not in (None, ""):
                edge = Decimal(str(bound))
                messages = [
                    one
                    for one in messages
                    if (Decimal(one.ts) - edge) * sign > 0 or (inclusive and Decimal(one.ts) == edge)
                ]
        if cursor := arguments.get("cursor"):
            after = Decimal(base64.b64decode(cursor).decode().removeprefix("next_ts:"))
            messages = [one for one in messages if (Decimal(one.ts) - after) * order >= 0]
        page, rest = messages[:limit], messages[limit:]
        metadata = flag(arguments, "include_all_metadata")
        answer: Json = {"messages": [self._told(one, metadata) for one in page], "has_more": bool(rest)}
        if rest:
            following = base64.b64encode(f"next_ts:{rest[0].ts}".encode()).decode()
            answer["response_metadata"] = {"next_cursor": following}
        return answer

    def _views_open(self, arguments: Json) -> Json:
        trigger = self.triggers.get(str(needed(arguments, "trigger_id")))
        if trigger is None:
            raise Refused("invalid_trigger_id")
        if trigger.used:
            raise Refused("exchanged_trigger_id")
        if self.clock() - trigger.at > TRIGGER_LIFE:
            raise Refused("expired_trigger_id")
        view = View(f"V{secrets.token_hex(5).upper()}", {}, trigger.user, "")
        self._redraw(view, needed(arguments, "view"))
        trigger.used += 1
        self.views.append(view)
        return {"view": self._shown(view)}

    def _views_update(self, arguments: Json) -> Json:
        view = next((one for one in self.views if one.open and one.id == arguments.get("view_id")), None)
        if view is None:
            raise Refused("not_found")
        if arguments.get("hash") not in (None, view.hash):
            raise Refused("hash_conflict")
        self._redraw(view, needed(arguments, "view"))
        return {"view": self._shown(view)}

    def _apps_connections_open(self, arguments: Json) -> Json:
        ticket = secrets.token_hex(8)
        self._tickets.add(ticket)
        return {"url": f"{self.url.replace('http', 'ws', 1)}/link?ticket={ticket}"}


def needed(arguments: Json, name: str) -> Any:
    if arguments.get(name) in (None, ""):
        raise Refused("invalid_arguments", [f"[ERROR] missing required field: {name}"])
    return arguments[name]


def flag(arguments: Json, name: str) -> bool:
    return arguments.get(name) in (True, 1, "1", "true", "True")


def loaded(value: Any, error: str) -> Any:
    """What may come as JSON, or as a string of JSON."""
    if not isinstance(value, str):
        return value
    with suppress(ValueError):
        return json.loads(value)
    raise Refused(error)

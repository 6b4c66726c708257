"""Slack's Web API as this channel uses it (slack-sdk): one call is one request, and its faults are told apart.

Attacks and accidents: the SDK repeats a call whose connection broke, and so posts twice (it has no retry handlers
here: what was posted is looked for by its metadata instead); an answer that never comes (one limit for all of it); a
proxy of the environment that nobody meant (none is used); a token in an error message (they are never repeated).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from jit_auth.channels.slack.settings import SlackSettings
from jit_auth.core.text import visible
from jit_auth.errors import ChannelError, Later, Never
from jit_auth.model import Millis

PATIENCE = 15.0
"""Seconds for one call, everything included: a copy takes several, within the minute of its claim."""
QUIET: Millis = 60_000
"""How long a fault of the settings is left alone before it is tried again."""
SOCKET = "apps.connections.open"
"""The one method that takes the app's own token: it gives the address of a socket."""
_LONGEST_WORD = 300
_LONGEST_PAUSE = 3600

_PASSING = frozenset(
    (
        *("internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"),
        *("accesslimited", "message_limit_exceeded", "external_channel_migrating"),
    )
)
_PERSON = frozenset(
    (
        *("user_not_found", "users_not_found", "user_disabled", "user_not_visible", "cannot_dm_bot", "invalid_users"),
        *("users_list_not_supplied", "not_enough_users", "no_dual_broadcast_content_update"),
    )
)
_HINTS = {
    "invalid_auth": "Put the bot token of an installed app into [channels.slack] bot_token.",
    "not_authed": "Put the bot token of an installed app into [channels.slack] bot_token.",
    "token_revoked": "The app was uninstalled or its token revoked: install it again, and give the new token.",
    "token_expired": "Switch token rotation off for this app, or give a new token.",
    "account_inactive": "The workspace or the bot was switched off.",
    "not_allowed_token_type": "bot_token begins with xoxb-, app_token with xapp-.",
    "missing_scope": "Give the app the scopes of the manifest in docs/slack.md, and install it again.",
    "not_in_channel": "Invite the app to the channel: /invite @its-name.",
    "channel_not_found": "Correct [channels.slack] channel, and invite the app to it: /invite @its-name.",
    "is_archived": "The channel is archived: name another one in [channels.slack] channel.",
    "messages_tab_disabled": "Switch the app's messages tab on (App Home), as the manifest in docs/slack.md does.",
    "restricted_action": "The workspace lets this app post here no longer: ask its administrators.",
}
_SOCKET = "Put an app-level token with connections:write into [channels.slack] app_token."
_SOCKET_HINTS = dict.fromkeys(("invalid_auth", "not_authed", "token_revoked", "missing_scope"), _SOCKET)


class SlackFault(ChannelError):
    """Slack said no: `word` is its own error code."""

    code = "slack_refused"

    def __init__(self, method: str, word: str, more: str = "") -> None:
        told = visible(word if not more else f"{word} ({more})", one_line=True)[:_LONGEST_WORD]
        hint = _SOCKET_HINTS.get(word) if method == SOCKET else None
        super().__init__(f"Slack refuses {method}: {told}", hint=hint or _HINTS.get(word))
        self.word = word


@dataclass
class Slack:
    """An open client. `now` is the service's clock; `_quiet` has what was told to wait, until when."""

    client: AsyncWebClient
    now: Callable[[], Millis]
    _quiet: dict[tuple[str, str], Millis] = field(default_factory=dict)

    async def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """One request. Raises SlackFault where Slack says no for good, Later where it is away, busy or in trouble:
        then it may have done what was asked."""
        place = (method, str(arguments.get("channel", "")))
        until = self._quiet.get(place, 0)
        if until > self.now():
            raise Later("Slack asked for a pause", until - self.now())
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self.client.api_call(method, data=_form(arguments))
        except SlackApiError as error:
            raise self._refusal(method, place, error) from None
        except (aiohttp.ClientError, OSError, TimeoutError, SlackClientError, ValueError) as error:
            word = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
            raise Later(f"Slack cannot be reached ({method}): {word}", maybe=True) from None
        data = answer.data
        if not isinstance(data, dict):
            raise Later(f"Slack answers {method} with something odd")
        return data

    def _refusal(self, method: str, place: tuple[str, str], error: SlackApiError) -> ChannelError:
        answer: Any = error.response
        # Where the body is no JSON, the SDK hands out aiohttp's own response.
        status = int(getattr(answer, "status_code", None) or getattr(answer, "status", None) or 0)
        headers: Mapping[str, str] = getattr(answer, "headers", None) or {}
        data = getattr(answer, "data", None)
        word = data.get("error") if isinstance(data, dict) else None
        if status == 429 or word in ("ratelimited", "rate_limited"):
            pause = _seconds(headers) * 1000
            self._quiet[place] = self.now() + pause
            return Later("Slack asked for a pause", pause)
        if status >= 500 or not isinstance(word, str) or word in _PASSING:
            return Later(
                f"Slack is in trouble ({method}): {visible(str(word or status), one_line=True)}", maybe=status >= 500
            )
        return SlackFault(method, word, _more(data))


def judged(fault: SlackFault) -> ChannelError:
    """What a refusal means for a copy: this person cannot be reached by Slack, or the settings must be corrected and
    until then the copy waits."""
    if fault.word in _PERSON:
        return Never(fault.message, hint="Correct the person's `slack` in [people].")
    later = Later(fault.message, QUIET)
    later.hint = fault.hint
    return later


@asynccontextmanager
async def open_slack(settings: SlackSettings, now: Callable[[], Millis]) -> AsyncIterator[Slack]:
    """A client for as long as the context lasts; nothing is sent before the first call."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        client = AsyncWebClient(
            token=text(settings.bot_token), base_url=settings.api_url, session=session, retry_handlers=[]
        )
        client.proxy = None  # the SDK takes the environment's
        yield Slack(client, now)


def text(secret: object) -> str:
    """A secret of the settings once it is resolved."""
    if not isinstance(secret, str):
        raise TypeError("a secret was not resolved")
    return secret


def _form(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Arguments as the Web API's forms have them: what is no text, as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for name, value in arguments.items()
        if value is not None
    }


def _seconds(headers: Mapping[str, str]) -> int:
    given = headers.get("Retry-After", "")
    return min(_LONGEST_PAUSE, max(1, int(given))) if given.isascii() and given.isdigit() and len(given) < 9 else 30


def _more(data: Any) -> str:
    """What Slack adds: which scope is missing, which block it does not like."""
    meta = data.get("response_metadata")
    messages = meta.get("messages") if isinstance(meta, dict) else None
    found = [data.get("needed"), *(messages if isinstance(messages, list) else ())]
    return "; ".join(str(each) for each in found if each)

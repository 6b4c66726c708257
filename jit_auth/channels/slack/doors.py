"""The two ways by which presses come: posts that Slack signs, or a socket that we opened to Slack (Socket Mode).

Both are answered before anything else is done: Slack gives three seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
from aiohttp import web

from jit_auth.channels.slack.api import SOCKET, open_slack, text
from jit_auth.channels.slack.clicks import Clicks
from jit_auth.channels.slack.payload import Envelope, delivered, posted
from jit_auth.channels.slack.settings import SlackSettings
from jit_auth.channels.slack.signature import signed
from jit_auth.channels.tools import Tools
from jit_auth.errors import ChannelError, Problem, Unauthenticated

log = logging.getLogger(__name__)

PATH = "/slack/interactions"
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
STEADY = 10.0
"""A socket that lasted so many seconds worked: the next is opened soon."""
HEARTBEAT = 10.0
"""Seconds between our pings: a socket that died without a word is noticed soon after."""
_CHALLENGE = {"WWW-Authenticate": 'SlackSignature realm="slack"'}


def posts(secret: str, clicks: Clicks, tools: Tools) -> web.RouteDef:
    """POST /slack/interactions."""

    async def handler(request: web.Request) -> web.Response:
        body = await request.read()
        given = request.headers.get
        stamp, signature = given("X-Slack-Request-Timestamp", ""), given("X-Slack-Signature", "")
        if not signed(secret, body, stamp, signature, tools.now()):
            raise Unauthenticated(
                "This is not signed by Slack, or not within the last five minutes.",
                hint="See that [channels.slack] signing_secret is the app's, and that this machine's clock is right.",
                headers=_CHALLENGE,
            )
        clicks.take(posted(body))
        return web.Response()

    return web.post(PATH, handler)


@asynccontextmanager
async def socket(settings: SlackSettings, clicks: Clicks, session: aiohttp.ClientSession) -> AsyncIterator[None]:
    """A socket to Slack for as long as the context lasts. Does not wait for it: Slack may be away."""
    listening = asyncio.create_task(_listen(settings, clicks, session))
    try:
        yield
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _listen(settings: SlackSettings, clicks: Clicks, session: aiohttp.ClientSession) -> None:
    """One socket after the other. Each has an address of its own, good for once: slack-sdk's client tries a spent one
    for ever, and logs it."""
    pause, clock = FIRST_PAUSE, asyncio.get_running_loop().time
    async with open_slack(settings, clicks.slack.now) as slack:
        slack.client.token = text(settings.app_token)
        while True:
            try:
                address = str((await slack.call(SOCKET)).get("url"))
                began = clock()
                async with session.ws_connect(address, heartbeat=HEARTBEAT) as link:
                    renewed = await _heard(link, clicks)
                if clock() - began > STEADY:
                    pause = FIRST_PAUSE
                    if renewed:
                        continue  # as Slack does every few hours
                told = "Slack ended it"
            except ChannelError as error:
                told = error.message
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                told = type(error).__name__
            log.warning("Slack's Socket Mode: %s; opened again in %g s", told, pause)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)


async def _heard(link: aiohttp.ClientWebSocketResponse, clicks: Clicks) -> bool:
    """Take what comes until the socket ends; whether Slack asked for a new one."""
    async for received in link:
        if received.type is not aiohttp.WSMsgType.TEXT:
            continue
        try:
            envelope = msgspec.json.decode(received.data, type=Envelope)
            if envelope.type == "disconnect":
                return True
            if envelope.envelope_id:
                await link.send_json({"envelope_id": envelope.envelope_id})
            if envelope.type == "interactive":
                clicks.take(delivered(envelope.payload))
        except Problem as problem:
            log.warning("an interaction by socket: %s", problem.message)
        except (msgspec.MsgspecError, RecursionError):
            log.warning("something odd came by Slack's socket")
    return False

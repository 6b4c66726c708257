"""The two ways by which presses come: posts that Slack signs, or a socket that we opened to Slack (Socket Mode).

Both are answered before anything else is done: Slack gives three seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from slack_sdk.errors import SlackClientError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from jit_auth.channels.slack.clicks import Clicks
from jit_auth.channels.slack.payload import delivered, posted
from jit_auth.channels.slack.signature import signed
from jit_auth.channels.tools import Tools
from jit_auth.errors import Problem, Unauthenticated

log = logging.getLogger(__name__)

PATH = "/slack/interactions"
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
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
async def socket(app_token: str, clicks: Clicks) -> AsyncIterator[None]:
    """A socket to Slack for as long as the context lasts. Does not wait for it: Slack may be away."""

    async def heard(client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        if request.type == "interactive" and isinstance(request.payload, dict):
            try:
                clicks.take(delivered(request.payload))
            except Problem as problem:
                log.warning("an interaction by socket: %s", problem.message)

    client = SocketModeClient(app_token, web_client=clicks.slack.client, logger=log)
    client.proxy = None  # the SDK takes the environment's
    listeners: list[Any] = client.socket_mode_request_listeners
    listeners.append(heard)
    opening = asyncio.create_task(_open(client))
    try:
        yield
    finally:
        opening.cancel()
        await client.close()  # type: ignore[no-untyped-call]  # the SDK types it not
        left = (opening, client.message_processor, client.current_session_monitor, client.message_receiver)
        await asyncio.gather(*(task for task in left if task is not None), return_exceptions=True)


async def _open(client: SocketModeClient) -> None:
    """Connect; from then on the SDK watches the socket and renews it."""
    pause = FIRST_PAUSE
    while True:
        try:
            await client.connect_to_new_endpoint()
            return
        except (SlackClientError, OSError, TimeoutError, ValueError) as error:
            log.warning("Slack's Socket Mode does not open: %s; tried again", type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

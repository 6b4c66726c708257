"""Slack: its Web API (slack_api), Socket Mode and response URLs, and the person who clicks."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from tests.fakes.serving import serving
from tests.fakes.slack_api import Api, Call, Message, Pass, Refused, View
from tests.fakes.slack_blocks import Json, elements, entered

RESPONSE_URL_LIFE = 1800.0


@dataclass
class Answer:
    """How an interaction was acknowledged."""

    status: int
    """0: not at all, or not within Slack's patience."""
    seconds: float
    body: str
    trouble: str = ""
    """Why the person sees a warning sign; empty if they do not."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Slack(Api):
    """One workspace with one app in it. `async with Slack().running() as slack`."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Slack]:
        """Slack on a free loopback port."""
        app = web.Application(client_max_size=8 * 1024**2)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_post("/respond/{id}", self._respond)
        app.router.add_get("/link", self._link)
        async with serving(app) as self.url:
            try:
                yield self
            finally:
                self.release()
                for socket in list(self._linked):
                    await socket.close()

    # What a test does to it

    def fail(self, method: str, *answers: str | int) -> None:
        """What the next calls of the method meet, one each; afterwards all is well again.

        An int is an HTTP status with a page of HTML; `ratelimited` is 429; `lost` does it and closes the connection
        without an answer; `refused` closes it and does nothing; `hang` waits for `release()`, and does it then; `ok`
        is nothing unusual; another word is Slack's error code. `response_url` is a method too; `link`, with a status,
        is the socket.
        """
        self._faults.setdefault(method, deque()).extend(answers)

    def release(self) -> None:
        """Let go of every call that hangs."""
        self._released.set()
        self._released = asyncio.Event()

    async def until(self, what: Callable[[Slack], Any], seconds: float = 10.0) -> Any:
        """The first true value that `what` gives; it is asked again whenever something has happened."""
        async with asyncio.timeout(seconds):
            while not (found := what(self)):
                await self._news.wait()
            return found

    def count(self, method: str) -> int:
        """How many calls of the method arrived."""
        return sum(call.method == method for call in self.calls)

    def say(self, channel: str, text: str, user: str = "U012ANA", **more: Any) -> Message:
        """A message of somebody else."""
        return self._post(Message(channel, self._ts(), text, more.pop("blocks", []), user, **more))

    async def drop_sockets(self, say: bool = True) -> None:
        """End the Socket Mode connections: by asking the client to come again, or without a word."""
        dropped, self.sockets = self.sockets, []
        for socket in dropped:
            if say:
                await socket.send_json({"type": "disconnect", "reason": "refresh_requested", "debug_info": {}})
            else:
                await socket.close()

    # What the person does

    def buttons(self, message: Message) -> list[Json]:
        """All its buttons, in order."""
        return [element for _, element in elements(message.blocks) if element["type"] == "button"]

    async def click(
        self,
        message: Message,
        button: str | Json,
        user: str = "U012ANA",
        team: str | None = None,
        url: str | None = None,
        **overrides: Any,
    ) -> Answer:
        """Press a button, and have the click delivered: to the URL, or else over Socket Mode."""
        return await self.deliver(self.payload_for_click(message, button, user, team, **overrides), url)

    def payload_for_click(
        self,
        message: Message,
        button: str | Json,
        user: str = "U012ANA",
        team: str | None = None,
        **overrides: Any,
    ) -> Json:
        """The payload of pressing the one button with this action_id, or else with a text that begins so."""
        pairs = [pair for pair in elements(message.blocks) if pair[1]["type"] == "button"]
        found = [pair for pair in pairs if button == pair[1] or button == pair[1]["action_id"]]
        if not found and isinstance(button, str):
            found = [pair for pair in pairs if pair[1]["text"]["text"].startswith(button)]
        assert len(found) == 1, f"{len(found)} buttons {button!r} in {[pair[1]['text']['text'] for pair in pairs]}"
        ((block, element),) = found
        action: Json = {
            "type": "button",
            "action_id": element["action_id"],
            "block_id": block["block_id"],
            "text": element["text"],
            **{name: element[name] for name in ("value", "style", "url") if name in element},
            "action_ts": self._ts(),
        }
        response_url = secrets.token_hex(8)
        # The button may be one of an earlier state, still on somebody's screen; the URL is for what is there now.
        now = next((one for one in self.messages if (one.channel, one.ts) == (message.channel, message.ts)), message)
        self.response_urls[response_url] = Pass(self.clock(), user, now)
        payload: Json = {
            "type": "block_actions",
            **self._whence(user, team),
            "container": {
                "type": "message",
                "message_ts": message.ts,
                "channel_id": message.channel,
                "is_ephemeral": message.only_for is not None,
            },
            "channel": {"id": message.channel, "name": "directmessage" if message.channel[0] == "D" else "approvals"},
            "message": self._told(message, metadata=True),
            "response_url": f"{self.url}/respond/{response_url}",
            "actions": [action],
        }
        if message.only_for is not None:
            del payload["message"]
        return payload | overrides

    async def submit(
        self,
        view: View,
        values: dict[tuple[str, str], str],
        user: str | None = None,
        url: str | None = None,
        **overrides: Any,
    ) -> Answer:
        """Fill in and submit a modal. `values`: texts, or the values of options, by (block_id, action_id)."""
        answer = await self.deliver(self.payload_for_submit(view, values, user, **overrides), url)
        if not answer.trouble:
            self._settle(view, answer)
            self._tell()
        return answer

    def payload_for_submit(
        self, view: View, values: dict[tuple[str, str], str], user: str | None = None, **overrides: Any
    ) -> Json:
        """The payload of submitting the modal; AssertionError where Slack would not let the person."""
        assert view.open, "the modal is closed"
        left = dict(values)
        state: dict[str, Json] = {}
        for block, element in elements(view.view["blocks"]):
            given = left.pop((block["block_id"], element["action_id"]), None)
            if block["type"] != "input":
                continue
            assert given or block.get("optional"), f"{block['block_id']} must be filled in"
            state[block["block_id"]] = {element["action_id"]: entered(element, given)}
        assert not left, f"the modal has no {list(left)}"
        return {
            "type": "view_submission",
            **self._whence(user or view.user, None),
            "view": {**self._shown(view), "state": {"values": state}},
            "response_urls": [],
        } | overrides

    async def deliver(self, payload: Json, url: str | None = None) -> Answer:
        """Bring an interaction to the app, and wait for it to be acknowledged."""
        if url is not None:
            body = urlencode({"payload": json.dumps(payload)}).encode()
            return await self.post(url, body, self.signed(body))
        assert self.sockets, "no Socket Mode connection is open"
        envelope = secrets.token_hex(8)
        ack = self._acks[envelope] = asyncio.get_running_loop().create_future()
        event = {"envelope_id": envelope, "type": "interactive", "accepts_response_payload": True, "payload": payload}
        started = time.perf_counter()
        await secrets.choice(self.sockets).send_json(event)
        try:
            async with asyncio.timeout(self.patience):
                answered = await ack
        except TimeoutError:
            return Answer(0, time.perf_counter() - started, "", "not acknowledged")
        finally:
            del self._acks[envelope]
        told = json.dumps(answered["payload"]) if answered.get("payload") else ""
        return Answer(200, time.perf_counter() - started, told)

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Send these very bytes as Slack sends an interaction."""
        started = time.perf_counter()
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.patience)) as session,
                session.post(url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                status, text = response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer(0, time.perf_counter() - started, "", f"not acknowledged: {error!r}")
        trouble = "" if status == 200 else f"status {status}"
        return Answer(status, time.perf_counter() - started, text, trouble)

    def signed(self, body: bytes, at: int | None = None, secret: str | None = None) -> dict[str, str]:
        """The headers of a request with this body."""
        stamp = str(int(self.clock()) if at is None else at)
        key = (self.signing_secret if secret is None else secret).encode()
        signature = hmac.new(key, b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        return {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={signature}",
        }

    def _whence(self, user: str, team: str | None) -> Json:
        trigger = secrets.token_hex(8)
        self.triggers[trigger] = Pass(self.clock(), user)
        team = team or self.team
        return {
            "user": {"id": user, "username": self.users.get(user, "stranger"), "team_id": team},
            "team": {"id": team, "domain": "example"},
            "api_app_id": self.app,
            "token": "legacy-verification-token",
            "is_enterprise_install": False,
            "enterprise": None,
            "trigger_id": trigger,
        }

    def _settle(self, view: View, answer: Answer) -> None:
        """What the answer to a submission does to the modal."""
        try:
            told = answer.json if answer.body.strip() else {}
            action = told.get("response_action")
            if action == "errors":
                known = {block.get("block_id") for block in view.view["blocks"] if block["type"] == "input"}
                assert told["errors"], "no errors"
                assert set(told["errors"]) <= known, f"errors for {set(told['errors']) - known}, which are no inputs"
                view.errors = told["errors"]
            elif action == "update":
                self._redraw(view, told["view"])
            else:
                assert action == "clear" or told == {}, f"no such response_action: {told}"
                view.open = False
        except (ValueError, KeyError, AttributeError, AssertionError, Refused) as error:
            answer.trouble = f"not a good answer: {error!r}"

    # The server

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        return await self._answer(request, method, lambda arguments: self._do(method, request, arguments))

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["id"]
        return await self._answer(request, "response_url", lambda arguments: self._by_response_url(key, arguments))

    async def _answer(
        self, request: web.Request, method: str, do: Callable[[Json], web.Response]
    ) -> web.StreamResponse:
        if self.down:
            return _cut(request)
        arguments: Json = dict(request.query)
        if request.content_type == "application/json":
            arguments |= await request.json()
        else:
            arguments |= await request.post()
        self.calls.append(Call(method, arguments))
        self._tell()
        queue = self._faults.get(method)
        fault = queue.popleft() if queue else "ok"
        if fault == "refused":
            return _cut(request)
        if fault == "ratelimited":
            headers = {"Retry-After": str(self.retry_after)}
            return web.json_response({"ok": False, "error": fault}, status=429, headers=headers)
        if isinstance(fault, int):
            return web.Response(status=fault, text="<html>Server Error</html>", content_type="text/html")
        if fault == "hang":
            await self._released.wait()
        elif fault not in ("ok", "lost"):
            return web.json_response({"ok": False, "error": fault})
        answer = do(arguments)
        self._tell()
        return _cut(request) if fault == "lost" else answer

    def _do(self, method: str, request: web.Request, arguments: Json) -> web.Response:
        act = getattr(self, "_" + method.replace(".", "_").lower(), None) if "." in method else None
        try:
            if act is None:
                raise Refused("unknown_method")
            self._admit(method, request.headers.get("Authorization", ""))
            return web.json_response({"ok": True, **act(arguments)})
        except Refused as refused:
            return web.json_response(refused.answer)

    def _by_response_url(self, key: str, arguments: Json) -> web.Response:
        """A post without `replace_original` replaces the message, as buttons' response URLs do."""
        known = self.response_urls.get(key)
        try:
            if known is None or known.message is None or self.clock() - known.at > RESPONSE_URL_LIFE:
                raise Refused("expired_url")
            if known.used >= 5:
                raise Refused("used_url")
            message = known.message
            if arguments.get("delete_original"):
                message.deleted = True
            else:
                contents = self._contents(arguments)
                if arguments.get("replace_original", True):
                    self._change(message, {"text": "", "blocks": [], **contents})
                else:
                    only_for = None if arguments.get("response_type") == "in_channel" else known.user
                    new = Message(message.channel, self._ts(), "", [], self.bot_user, only_for=only_for)
                    self._post(replace(new, thread_ts=arguments.get("thread_ts"), **contents))
            known.used += 1
        except Refused as refused:
            return web.json_response(refused.answer, status=404 if refused.code.endswith("_url") else 400)
        return web.json_response({"ok": True})

    async def _link(self, request: web.Request) -> web.StreamResponse:
        if self.down:
            return _cut(request)
        try:
            self._tickets.remove(request.query.get("ticket", ""))
        except KeyError:
            return web.Response(status=401)
        if queue := self._faults.get("link"):
            return web.Response(status=int(queue.popleft()))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._linked.add(socket)
        self.sockets.append(socket)
        await socket.send_json({"type": "hello", "num_connections": len(self.sockets)})
        self._tell()
        try:
            async for received in socket:
                told = json.loads(received.data)
                ack = self._acks.get(told["envelope_id"])
                if ack is not None and not ack.done():
                    ack.set_result(told)
        finally:
            self._linked.discard(socket)
            if socket in self.sockets:
                self.sockets.remove(socket)
            self._tell()
        return socket


def _cut(request: web.Request) -> web.Response:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()

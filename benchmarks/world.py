"""The processes that benchmarks measure: a lean API with an OAuth server, a bare aiohttp proxy, `jit-auth serve`.

Run as `python -m benchmarks.world api|proxy ...`: each prints its ports on one line and works until it is terminated.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import http.cookiejar
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, TCPConnector, web

USER = "alice@example.com"
PARAMS = {
    "to": ["bob@example.com"],
    "subject": "The numbers of the week",
    "body": "Hello Bob, please find the numbers of the week below. Revenue is up by four percent, costs are flat.",
}
ANSWER = json.dumps({"id": "msg_000123", "thread": "thr_88121", "labels": ["SENT"], "queued": True}).encode()
_HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)


class Api(asyncio.Protocol):
    """Answers every request with the same small JSON, having read all of it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            at = self._buffer.lower().find(b"content-length: ", 0, end)
            length = int(self._buffer[at + 16 : end + 2].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(_HEAD + ANSWER)


async def _authorize(request: web.Request) -> web.Response:
    query = {"code": secrets.token_urlsafe(8), "state": request.query["state"]}
    return web.Response(
        status=302, headers={"Location": request.query["redirect_uri"] + "?" + urllib.parse.urlencode(query)}
    )


async def _token(request: web.Request) -> web.Response:
    token = {"access_token": "tok-" + secrets.token_urlsafe(48), "token_type": "Bearer", "expires_in": 86_400}
    return web.json_response({**token, "refresh_token": "ref-" + secrets.token_urlsafe(48), "scope": "mail.send"})


async def _me(request: web.Request) -> web.Response:
    return web.json_response({"sub": "1001", "email": USER})


async def api() -> None:
    """The API on one port, its OAuth server on another."""
    server = await asyncio.get_running_loop().create_server(Api, "127.0.0.1", 0, backlog=1024)
    app = web.Application()
    app.router.add_get("/authorize", _authorize)
    app.router.add_post("/token", _token)
    app.router.add_get("/me", _me)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(server.sockets[0].getsockname()[1], runner.addresses[0][1], flush=True)
    gc.freeze()
    await asyncio.Event().wait()


async def proxy(upstream: int) -> None:
    """The bare one: aiohttp in, JSON parsed, aiohttp out, JSON back. It decides nothing and keeps nothing."""
    session = ClientSession(connector=TCPConnector(limit=0))
    url = f"http://127.0.0.1:{upstream}/v1/messages"

    async def execute(request: web.Request) -> web.Response:
        call = await request.json()
        async with session.post(url, json=call["params"], headers={"Authorization": "Bearer x"}) as reply:
            return web.json_response({"status": "succeeded", "result": await reply.json()})

    app = web.Application()
    app.router.add_post("/execute", execute)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    gc.freeze()
    await asyncio.Event().wait()


CONFIG = """
[server]
public_url = "http://127.0.0.1:{port}"
listen = "127.0.0.1:{port}"
environment = "benchmark"
[admins.bench]
secret_sha256 = "{admin}"
role = "security"
[storage]
url = "{database}"
[vault]
keys = [{{ id = "bench", file = "vault.key" }}]
[agents.mailbot]
secret_sha256 = "{secret}"
actions = ["mailhub.*"]
users = ["*"]
[people."{user}"]
[providers.mailhub]
client_id = "bench"
client_secret = {{ file = "client.secret" }}
[connectors]
paths = ["connectors"]
allow_private_hosts = ["127.0.0.1"]
[policies]
paths = ["policies.toml"]
[limits]
open_per_agent = 100_000
asks_per_person_hour = 1_000
"""
APPROVERS = 50
"""Where calls need an approval: more than a person is asked within an hour is gathered."""
CONNECTOR = """
id = "mailhub"
name = "MailHub"
base_url = "http://127.0.0.1:{api}/v1"
[provider]
kind = "oauth2"
authorize_url = "http://127.0.0.1:{oauth}/authorize"
token_url = "http://127.0.0.1:{oauth}/token"
userinfo_url = "http://127.0.0.1:{oauth}/me"
[actions.send_message]
title = "Send an e-mail"
summary = "Send to {{to}}: {{subject}}"
method = "POST"
path = "/messages"
scopes = ["mail.send"]
risk = "high"
effect = "create"
[actions.send_message.params]
to = {{ type = "array", items = {{ type = "string", format = "email" }}, required = true }}
subject = {{ type = "string", maxLength = 998, required = true }}
body = {{ type = "string", required = true }}
"""
_RULE = """
[[rule]]
id = "rule-{number}"
match = ["mailhub.send_message"]
when = "params.subject.startsWith('never {number}') || 'evil{number}@example.com' in params.to"
effect = "deny"
"""


_ASKED = """
[[rule]]
id = "ask-{number:02}"
match = ["mailhub.send_message"]
when = "params.subject.startsWith('{number:02} ')"
effect = "require_approval"
approval = {{ from = ["user:approver{number}@example.com"] }}
"""


def _policies(rules: int, asks: bool) -> str:
    asked = "".join(_ASKED.format(number=number) for number in range(APPROVERS)) if asks else ""
    allow = '[[rule]]\nid = "send"\nmatch = ["mailhub.send_message"]\neffect = "allow"\n'
    return (
        'format = 1\n[defaults]\nno_match = "deny"\n'
        + allow
        + "".join(_RULE.format(number=n) for n in range(rules))
        + asked
    )


def started(role: str, *words: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A process of this module, and the ports that it printed."""
    command = [sys.executable, "-m", "benchmarks.world", role, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    assert process.stdout is not None
    return process, [int(word) for word in process.stdout.readline().split()]


class Service:
    """`jit-auth serve` on a configuration in `folder`, with a user who has really connected an account. `beside`: a
    replica of that one, with its keys, on the same database. `asks`: calls whose subject begins with a number of two
    digits need an approval; what `serve` says of it goes to `printed`."""

    def __init__(
        self,
        folder: Path,
        api_port: int,
        oauth_port: int,
        *,
        database: str,
        rules: int,
        beside: Service | None = None,
        asks: bool = False,
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.token = "jat_agt_" + secrets.token_hex(32) if beside is None else beside.token
        self.admin = "jat_adm_" + secrets.token_hex(32) if beside is None else beside.admin
        secret, admin = (hashlib.sha256(token.encode()).hexdigest() for token in (self.token, self.admin))
        (folder / "connectors" / "mailhub").mkdir(parents=True)
        self.config = folder / "config.toml"
        files = {
            "config.toml": CONFIG.format(port=self.port, database=database, secret=secret, admin=admin, user=USER),
            "connectors/mailhub/connector.toml": CONNECTOR.format(api=api_port, oauth=oauth_port),
            "policies.toml": _policies(rules, asks),
            "vault.key": base64.b64encode(secrets.token_bytes(32)).decode(),
            "client.secret": secrets.token_urlsafe(24),
        }
        if beside is not None:
            files |= {name: (beside.config.parent / name).read_text() for name in ("vault.key", "client.secret")}
        for name, text in files.items():
            with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(text)
        self.log = folder / "serve.log"
        self.printed = folder / "printed.log"
        self.process = self._start()
        self._browser = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )

    def _start(self) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).with_name("jit-auth")), "serve", "-c", str(self.config)]
        with self.log.open("a") as log, self.printed.open("a") as printed:
            return subprocess.Popen(command, cwd=self.config.parent, stdout=printed, stderr=log)

    def stop(self) -> None:
        """Ended, in order."""
        self.process.terminate()
        self.process.wait(60)

    def start(self) -> None:
        """Again, after `stop`, until it is ready."""
        self.process = self._start()
        self.until_ready()

    def call(self) -> bytes:
        """The call that is measured, as it goes over the wire."""
        body = json.dumps({"action": "mailhub.send_message", "user": USER, "params": PARAMS}).encode()
        return (
            f"POST /execute HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def connect(self) -> None:
        """Wait until it is ready; make one call, give the consent that it asks for, and see it succeed."""
        self.until_ready()
        head, _, body = self.call().decode().partition("\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        execution = json.loads(self._open("/execute", body.encode(), headers)[0])
        link = urllib.parse.urlsplit(execution["waiting_for"][0]["url"]).path
        _, refresh = self._open(link, b"", {"Origin": f"http://127.0.0.1:{self.port}"})
        onward = re.fullmatch(r"0; url=(.*)", refresh)
        assert onward, refresh
        self._browser.open(onward[1], timeout=10).read()
        answer = self._open(f"/executions/{execution['id']}?wait=10", None, {"Authorization": headers["Authorization"]})
        assert json.loads(answer[0])["status"] == "succeeded", answer

    def until_ready(self) -> None:
        """Until /readyz says so; SystemExit where it ends or takes too long."""
        give_up = time.monotonic() + 30
        while True:
            try:
                self._open("/readyz", None, {})
                return
            except OSError:
                if time.monotonic() > give_up or self.process.poll() is not None:
                    raise SystemExit(f"jit-auth serve did not become ready:\n{self.log.read_text()}") from None
                time.sleep(0.05)

    def _open(self, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[bytes, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers)
        with self._browser.open(request, timeout=30) as reply:
            return reply.read(), reply.headers.get("Refresh", "")


def main(role: str, *words: Any) -> None:
    """`api` or `proxy UPSTREAM_PORT`."""
    asyncio.run(api() if role == "api" else proxy(int(words[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Start the service from files written by hand, and speak to it as agents and people do: nothing of it is imported."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote_plus, urlencode, urlsplit

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.commands import zygote
from tests.fakes.browser import Browser, Page
from tests.fakes.mail_api import MailApi
from tests.fakes.provider_odd import OddProvider
from tests.fakes.serving import serving
from tests.ports import free_port

T = TypeVar("T")
COMMAND = (sys.executable, "-m", "jit_auth")
TOKEN = "acceptance-agent-token"
OTHER = "another-agents-token"
ADMIN = "acceptance-admin-token"
KEY = base64.b64encode(b"k" * 32).decode()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def until(what: Callable[[], T | None], seconds: float = 10.0) -> T:
    """The first true value that `what` gives."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := what():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def command(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `jit-auth ...` to its end."""
    return zygote().run(*arguments, cwd=cwd, env={**base_env(), **(env or {})})


def base_env() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    root = str(Path(__file__).parents[2])
    return {
        **kept,
        "PYTHONPATH": root,
        "JIT_AUTH_VAULT_KEY": KEY,
        "JIT_AUTH_ADMIN_TOKEN": ADMIN,
        "MAILHUB_SECRET": OddProvider.client_secret,
    }


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    seconds: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a problem document."""
        assert self.headers["content-type"].split(";")[0] == "application/problem+json", (self.status, self.body)
        told = self.json
        assert told["status"] == self.status, told
        assert told.get("detail") or told.get("title"), told
        code: str = told["code"]
        return code


class Http:
    """Requests to one origin, each on a connection of its own."""

    def __init__(self, base: str, token: str | None = None) -> None:
        parts = urlsplit(base)
        self.base, self.token = base, token
        self._host, self._port = parts.hostname or "", parts.port or 80

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, Any] | None = None,
        *,
        timeout: float = 70,
        **headers: str,
    ) -> Answer:
        """`path` may be a whole URL of this origin; header names have _ for -."""
        if path.startswith("http"):
            parts = urlsplit(path)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if isinstance(body, Mapping):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        started = time.monotonic()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            told = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(reply.status, told, reply.read(), time.monotonic() - started)
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: bytes | Mapping[str, Any] | None = None, **headers: str) -> Answer:
        return self.ask("POST", path, body, **headers)

    def form(self, path: str, fields: Mapping[str, str], **headers: str) -> Answer:
        headers.setdefault("Content_Type", "application/x-www-form-urlencoded")
        return self.ask("POST", path, urlencode(fields).encode(), **headers)

    def execute(
        self, action: str, user: str | None = None, headers: Mapping[str, str] | None = None, **body: Any
    ) -> Answer:
        """`params` and every other member as keywords."""
        told = {"action": action, "params": body.pop("params", {}), **body}
        if user is not None:
            told["user"] = user
        return self.post("/execute", told, **(headers or {}))

    def settled(self, execution: Mapping[str, Any] | str, seconds: float = 20) -> dict[str, Any]:
        """Wait until it is neither paused nor executing."""
        name = execution if isinstance(execution, str) else execution["id"]

        def look() -> dict[str, Any] | None:
            told: dict[str, Any] = self.get(f"/executions/{name}?wait=5").json
            return told if told["status"] not in ("paused", "executing") else None

        return until(look, seconds)


class Service:
    """`jit-auth serve` on a free port, with its files in `folder`."""

    def __init__(self, folder: Path, files: Mapping[str, str], env: Mapping[str, str] | None = None) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = dict(env or {})
        for name, text in files.items():
            self.write(name, text)
        self.pid: int | None = None
        self.agent, self.other = Http(self.url, TOKEN), Http(self.url, OTHER)
        self.admin, self.anyone = Http(self.url, ADMIN), Http(self.url)

    def write(self, name: str, text: str) -> None:
        """{port} in it is the service's."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{port}", str(self.port)))
        path.chmod(0o600)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return command(*arguments, "-c", str(self.folder / "config.toml"), env=self.env)

    def start(self, *, ready: bool = True) -> Service:
        came = zygote().ask(
            argv=["serve", "-c", str(self.folder / "config.toml")],
            cwd=None,
            env={**base_env(), **self.env},
            out=str(self.folder / "stdout.txt"),
            err=str(self.folder / "stderr.txt"),
        )
        self.pid = came["pid"]
        if ready:
            until(self.ready, 20)
        return self

    def ready(self) -> bool:
        if (code := self._code()) is not None:
            self.pid = None
            raise AssertionError(f"serve ended with {code}: {self.stderr}")
        try:
            return self.anyone.get("/readyz").status == 200
        except OSError:
            return False

    def _code(self) -> int | None:
        code: int | None = zygote().ask(pid=self.pid)["code"]
        return code

    @property
    def lines(self) -> list[str]:
        """Whole lines on stdout so far."""
        text = (self.folder / "stdout.txt").read_text()
        return text[: text.rfind("\n") + 1].splitlines()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr.txt").read_text()

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code; what a signal ended is negative, as in subprocess."""
        assert self.pid is not None
        os.kill(self.pid, how)
        end = time.monotonic() + 20
        while (code := self._code()) is None:
            assert time.monotonic() < end, f"{how} did not end it"
            time.sleep(0.01)
        self.pid = None
        return code

    def stop(self) -> None:
        if self.pid is not None:
            self.end(signal.SIGKILL)

    def restart(self, how: signal.Signals = signal.SIGTERM) -> Service:
        self.end(how)
        return self.start()

    def approvals(self, approval: str) -> dict[str, str]:
        """Person and URL of the lines `approve APR_ID PERSON URL`."""
        found = {}
        for line in self.lines:
            words = line.split(" ")
            if words[0] == "approve" and words[1] == approval:
                assert len(words) == 4, line
                found[words[2]] = words[3]
        return found

    def link(self, approval: str, person: str) -> str:
        return until(lambda: self.approvals(approval).get(person))

    def paused(self, answer: Answer, kind: str = "approval") -> tuple[dict[str, Any], dict[str, Any]]:
        """(execution, its one open item of that kind) of a 202."""
        assert answer.status == 202, (answer.status, answer.body)
        told = answer.json
        assert told["status"] == "paused", told
        items = [item for item in told["waiting_for"] if item["kind"] == kind]
        assert len(items) == 1, told["waiting_for"]
        return told, items[0]

    def vote(self, link: str, decision: str = "approve", **body: Any) -> Answer:
        return self.anyone.post(link, {"decision": decision, **body}, Accept="application/json")


OK = (200, {"Content-Type": "application/json"}, b'{"ok":true}')


@dataclass
class Seen:
    """A request as it came in."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    at: float

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2, self.headers
        return found[0] if found else None


@dataclass
class Upstream:
    """An API that records, and answers what it is told: `answers[path]` is a queue, else 200 `{"ok":true}`."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answers: dict[str, deque[Any]] = field(default_factory=dict)

    def tell(self, path: str, *answers: Any) -> None:
        """(status, headers, body), "hang-up", or seconds to wait before the next entry."""
        self.answers.setdefault(path, deque()).extend(answers)

    def of(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if urlsplit(seen.target).path == path]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = [(name.decode(), value.decode()) for name, value in request.raw_headers]
        self.seen.append(Seen(request.method, request.raw_path, headers, await request.read(), time.monotonic()))
        queue = self.answers.get(request.path) or deque()
        wait, told = 0.0, queue.popleft() if queue else OK
        if isinstance(told, float):
            wait, told = told, queue.popleft()
        await asyncio.sleep(wait)
        if told == "hang-up":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        status, answer_headers, body = told
        return web.Response(status=status, headers=answer_headers, body=body)


class World:
    """The fakes, in a loop on a thread of their own, so that tests are plain functions."""

    def __init__(self) -> None:
        self.provider, self.upstream = OddProvider(), Upstream()
        self.key = ECKey.generate_key("P-256")
        """Of the client that authenticates by private_key_jwt."""
        self.jtis: set[str] = set()
        self.provider.authenticate = self._client
        self.mail = MailApi(self.provider.introspect)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = AsyncExitStack()

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 30) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def start(self) -> None:
        self._thread.start()
        self.run(self._start())

    async def _start(self) -> None:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{tail:.*}", self.upstream.answer)
        await self._stack.enter_async_context(self.provider.running())
        await self._stack.enter_async_context(self.mail.running())
        self.upstream.url = await self._stack.enter_async_context(serving(app))

    def _client(self, form: dict[str, str], header: str) -> bool:
        """Each client by its own method, and by no other."""
        odd, secret = self.provider, self.provider.client_secret
        if header.startswith("Basic "):
            name, _, given = base64.b64decode(header[6:]).decode().partition(":")
            return (unquote_plus(name), unquote_plus(given)) == ("odd", secret) and "client_secret" not in form
        if form.get("client_id") == "keyed":
            assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            claims = jwt.decode(form["client_assertion"], self.key).claims
            fresh = claims["jti"] not in self.jtis and time.time() < claims["exp"] < time.time() + 700
            self.jtis.add(claims["jti"])
            return (
                fresh and claims["iss"] == claims["sub"] == "keyed" and claims["aud"] in (odd.url + "/token", odd.url)
            )
        if form.get("client_id") == "public":
            return not {"client_secret", "client_assertion"} & set(form)
        return (form.get("client_id"), form.get("client_secret")) == ("odd", secret)

    def stop(self) -> None:
        self.run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def consent(self, url: str, *, user: str = "alice", untick: Sequence[str] = (), deny: bool = False) -> Page:
        """Play a consent link to its end."""

        async def play() -> Page:
            async with Browser() as browser:
                return await browser.connect(url, user=user, untick=untick, deny=deny)

        return self.run(play())

    def browse(self, play: Callable[[Browser], Coroutine[Any, Any, T]]) -> T:
        async def inside() -> T:
            async with Browser() as browser:
                return await play(browser)

        return self.run(inside())


def numbered(prefix: str) -> Iterator[str]:
    """People nobody has met: tests share one service, and none of them meets another's rows."""
    number = 0
    while True:
        number += 1
        yield f"{prefix}-{number}@example.com"

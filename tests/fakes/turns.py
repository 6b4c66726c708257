"""A service of functions alone, as agents see it: releases, gives one claim (again for its key, until it was used),
keeps outcomes, and loses answers."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from tests.fakes.serving import serving

Json = dict[str, Any]
TOKEN = "jat_agt_" + "t" * 43
PARAMS: Json = {
    "type": "object",
    "properties": {"service": {"type": "string"}, "times": {"type": "integer", "default": 1}},
    "required": ["service"],
    "additionalProperties": False,
}


@dataclass
class Turns:
    """`released`: calls are released at once, else `release` does it. `lose` and `refuse` spoil the next answers."""

    url: str = ""
    released: bool = True
    claim_seconds: float = 600.0
    description: Json = field(default_factory=lambda: {"name": "ops.restart", "run": "agent", "params": PARAMS})
    executions: dict[str, Json] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, Json, str | None]] = field(default_factory=list)
    """(path without ids, body, idempotency key), oldest first."""
    spoilt: dict[str, list[Any]] = field(default_factory=dict)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def lose(self, path: str, times: int = 1, *, before: bool = False) -> None:
        """The connection breaks: after the request was worked off, or before."""
        self.spoilt.setdefault(path, []).extend(["before" if before else "after"] * times)

    def refuse(self, path: str, status: int, document: Json) -> None:
        """Answered without being worked off."""
        self.spoilt.setdefault(path, []).append((status, document))

    def of(self, path: str) -> list[Json]:
        return [body for each, body, _ in self.asked if each == path]

    async def change(self, id: str, **members: Any) -> None:
        async with self.news:
            self.executions[id] |= members
            self.news.notify_all()

    async def until(self, path: str, times: int = 1) -> None:
        """Until that many requests for it have come."""
        async with asyncio.timeout(10), self.news:
            while len(self.of(path)) < times:
                await self.news.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        text = await request.text()
        body: Json = json.loads(text) if text else {}
        parts = request.path.strip("/").split("/")
        path = parts[0] if len(parts) < 3 else f"executions/{parts[2]}"
        async with self.news:
            self.asked.append((path, body, request.headers.get("Idempotency-Key")))
            self.news.notify_all()
        spoil = self.spoilt[path].pop(0) if self.spoilt.get(path) else None
        if isinstance(spoil, tuple):
            status, document = spoil
            return web.json_response(document, status=status, content_type="application/problem+json")
        answer = None if spoil == "before" else await self._answer(path, parts, body, request)
        if answer is None or spoil is not None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return answer

    async def _answer(self, path: str, parts: list[str], body: Json, request: web.Request) -> web.Response:
        if path == "actions":
            return web.json_response(self.description)
        if path == "execute":
            return self._execute(body, request.headers["Idempotency-Key"])
        found = self.executions[parts[1]]
        if path == "executions":
            await self._held(found, float(request.query.get("wait", "0")))
            return web.json_response(self._shown(found))
        if path == "executions/claim":
            if found["status"] == "released":
                if body["digest"] != found["digest"]:
                    return _problem(409, "digest_mismatch")
                claim, key = f"jat_clm_{next(self.numbers)}", request.headers.get("Idempotency-Key")
                await self.change(found["id"], status="executing", claim=claim, key=key)
                return web.json_response({"claim": claim, "claim_expires_at": self._ends()})
            key = request.headers.get("Idempotency-Key")
            if found["status"] == "executing" and key is not None and key == found.get("key"):
                return web.json_response({"claim": found["claim"], "claim_expires_at": self._ends()})
            if "claim" in found:
                return _problem(409, "already_claimed")
            return _problem(409, "not_released", execution=self._shown(found))
        if body["claim"] != found.get("claim"):
            return _problem(403, "wrong_claim")
        if path == "executions/heartbeat":
            if found["status"] != "executing":
                return _problem(409, "claim_expired")
            await self.change(found["id"], key=None)
            return web.json_response({"claim_expires_at": self._ends()})
        result = {"status": None, "headers": {}, "body": body["result"], "untrusted": True}
        if found["status"] not in ("executing", "unknown") and found["result"] != result:
            return _problem(409, "already_finished")
        error = {"code": "function_failed", "message": "It failed."} if body["outcome"] == "failed" else None
        await self.change(found["id"], status=body["outcome"], result=result, error=error)
        return web.json_response(self._shown(found))

    def _execute(self, body: Json, key: str) -> web.Response:
        if key not in self.keys:
            id = self.keys[key] = f"exe_{next(self.numbers)}"
            status = "released" if self.released else "paused"
            self.executions[id] = {
                "id": id, "action": body["action"], "user": body.get("user"), "params": {"times": 1, **body["params"]},
                "summary": "Restart", "status": status, "digest": f"sha256:{id}", "result": None, "error": None,
            }  # fmt: skip
        found = self.executions[self.keys[key]]
        status = 202 if found["status"] in ("paused", "released", "executing") else 200
        return web.json_response(self._shown(found), status=status)

    async def _held(self, found: Json, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds), self.news:
                while found["status"] in ("paused", "executing"):
                    await self.news.wait()
        except TimeoutError:
            pass

    def _ends(self) -> str:
        ends = datetime.now(UTC) + timedelta(seconds=self.claim_seconds)
        return ends.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    @staticmethod
    def _shown(found: Json) -> Json:
        return {name: value for name, value in found.items() if name not in ("claim", "key")}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Turns]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        async with serving(app) as self.url:
            yield self


def _problem(status: int, code: str, **members: Any) -> web.Response:
    document = {"status": status, "code": code, "detail": "No.", "hint": "Look.", **members}
    return web.json_response(document, status=status, content_type="application/problem+json")

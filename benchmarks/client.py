"""What AsyncClient adds to a raw aiohttp call: processor time of both, in small slices in turns, server included."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientSession, web

from jit_auth.client import AsyncClient
from tests.fakes.serving import serving

SLICE, SLICES = 40, 100
TOKEN = "jat_agt_bench"
BODY: dict[str, Any] = {"action": "mailhub.note", "user": "alice@example.com", "params": {"text": "x"}}
ANSWER = json.dumps({**BODY, "id": "exe_1", "status": "succeeded", "result": {"status": 200, "body": {}}}).encode()


async def answer(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json")


async def measured(call: Callable[[], Awaitable[Any]]) -> float:
    """Microseconds a call."""
    began = time.process_time()
    for _ in range(SLICE):
        await call()
    return (time.process_time() - began) / SLICE * 1e6


async def main() -> None:
    app = web.Application()
    app.router.add_post("/execute", answer)
    async with serving(app) as url, ClientSession() as session, AsyncClient(url, TOKEN) as client:
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "k"}

        async def raw() -> Any:
            async with session.post(f"{url}/execute", json=BODY, headers=headers) as reply:
                return await reply.json()

        async def ours() -> Any:
            return await client.execute(BODY["action"], user=BODY["user"], params=BODY["params"])

        pairs = [(await measured(raw), await measured(ours)) for _ in range(SLICES)][5:]
    raws, both = statistics.median(one for one, _ in pairs), statistics.median(other / one for one, other in pairs)
    print(f"raw aiohttp {raws:.0f} us a call, AsyncClient {100 * (both - 1):+.1f} %")


if __name__ == "__main__":
    asyncio.run(main())

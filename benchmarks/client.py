"""What AsyncClient adds to a raw aiohttp call: in small slices in turns, by processor time and by the clock.

The server is a process of its own, so that processor time is the caller's alone, and nothing of the server dilutes the
difference. python -m benchmarks.client --rounds 5
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from aiohttp import ClientSession, web

from jit_auth.client import AsyncClient
from tests.fakes.serving import serving

SLICE, SLICES, WARM = 10, 160, 10
TOKEN = "jat_agt_bench"
BODY: dict[str, Any] = {"action": "mailhub.note", "user": "alice@example.com", "params": {"text": "x"}}
ANSWER = json.dumps(
    {
        **BODY,
        "id": "exe_01m8qvvbfvbvq63dx7zkw2f85d", "agent": "mailbot", "chain": ["mailbot"], "account": None,
        "summary": "Leave a note", "edited_by": None, "reason": None, "task": None, "metadata": {},
        "status": "succeeded",
        "digest": f"sha256:{'0' * 64}", "labels": [], "waiting_for": [], "error": None,
        "decision": {"effect": "allow", "rules": ["note"], "reasons": [], "policy": f"sha256:{'1' * 64}"},
        "result": {"status": 201, "headers": {}, "body": {"id": "m1"}, "untrusted": True},
        "created_at": "2026-11-24T10:00:00.000Z", "updated_at": "2026-11-24T10:00:00.030Z",
        "expires_at": "2026-11-25T10:00:00.000Z",
    }
).encode()  # fmt: skip


class Took(NamedTuple):
    """Microseconds a call."""

    cpu: float
    wall: float


async def answer(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json")


def serve(told: Connection) -> None:
    """The server's process: tells its URL, and serves until it is ended."""

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/execute", answer)
        async with serving(app) as url:
            told.send(url)
            await asyncio.Event().wait()

    asyncio.run(main())


async def measured(call: Callable[[], Awaitable[Any]]) -> Took:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(SLICE):
        await call()
    return Took((time.process_time() - cpu) / SLICE * 1e6, (time.perf_counter() - wall) / SLICE * 1e6)


async def one_round(url: str) -> list[tuple[Took, Took]]:
    """(raw, ours) for each pair of slices, which go first by turns."""
    async with ClientSession() as session, AsyncClient(url, TOKEN) as client:
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "k"}

        async def raw() -> Any:
            async with session.post(f"{url}/execute", json=BODY, headers=headers) as reply:
                return await reply.json()

        async def ours() -> Any:
            return await client.execute(BODY["action"], user=BODY["user"], params=BODY["params"])

        pairs = []
        for number in range(SLICES):
            if number % 2:
                pairs.append((await measured(raw), await measured(ours)))
            else:
                mine = await measured(ours)
                pairs.append((await measured(raw), mine))
        return pairs[WARM:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    mine, its = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(its,))
    server.start()
    try:
        url = mine.recv()
        pairs = [pair for _ in range(rounds) for pair in asyncio.run(one_round(url))]
    finally:
        server.terminate()
        server.join()
    for name in Took._fields:
        raws = statistics.median(getattr(raw, name) for raw, _ in pairs)
        more = [100 * (getattr(ours, name) / getattr(raw, name) - 1) for raw, ours in pairs]
        low, middle, high = statistics.quantiles(more, n=4)
        print(f"{name}: raw aiohttp {raws:.0f} us a call, AsyncClient {middle:+.1f} % ({low:+.1f} to {high:+.1f})")


if __name__ == "__main__":
    main()

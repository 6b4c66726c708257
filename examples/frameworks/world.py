"""What the examples need around them, on loopback: a billing API, `jit-auth serve` as a process, and bo, who decides.

`python -m examples.frameworks.world` keeps it running, for trying an example by hand.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import ClientSession, web

from examples.demo import person
from examples.demo.world import free_port
from jit_auth.client import AsyncClient

OWN_API = Path(__file__).parent / "own_api"
ROOT = Path(__file__).parents[2]
SHORT = "2s"
"""How long bo has for a large refund here, instead of ten minutes."""

PATIENCE = 150
"""Seconds until something that does not come counts as missing: frameworks are slow to import on a busy machine."""


class Billing:
    """The internal API: it wants its key, pays, and hangs up before it answers where an invoice ends in -unknown."""

    def __init__(self) -> None:
        self.key = secrets.token_urlsafe(24)
        self.paid: Counter[str] = Counter()
        self.app = web.Application()
        self.app.router.add_get("/invoices/{id}", self._invoice)
        self.app.router.add_post("/refunds", self._refund)

    async def _invoice(self, request: web.Request) -> web.Response:
        self._known(request)
        return web.json_response({"id": request.match_info["id"], "amount": 40})

    async def _refund(self, request: web.Request) -> web.Response:
        self._known(request)
        invoice = (await request.json())["invoice"]
        if invoice.endswith("-failed"):
            raise web.HTTPConflict(text="It was never paid")
        self.paid[invoice] += 1
        if invoice.endswith("-unknown") and request.transport is not None:
            request.transport.abort()
        return web.json_response({"id": f"ref-{invoice}"}, status=201)

    def _known(self, request: web.Request) -> None:
        if not secrets.compare_digest(request.headers.get("X-Api-Key", ""), self.key):
            raise web.HTTPUnauthorized


class World:
    """The running pieces. `environment` is what an example's process needs; `asked` are the links that bo was sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.billing = Billing()
        self.api, self.port, self.callbacks = free_port(), free_port(), free_port()
        self.token = "jat_agt_" + secrets.token_hex(32)
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.log: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        return {
            "JIT_AUTH_URL": f"http://127.0.0.1:{self.port}",
            "JIT_AUTH_TOKEN": self.token,
            "JIT_AUTH_CALLBACK_SECRET": self.secret,
            "CALLBACK_URL": f"http://127.0.0.1:{self.callbacks}/hook",
            # What frameworks would tell their makers stays here.
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
            "LANGSMITH_TRACING": "false",
        }

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls) -> AsyncIterator[World]:
        """Start everything in a temporary folder; stop and remove it at the end, whatever happened."""
        folder = Path(tempfile.mkdtemp(prefix="jit-auth-frameworks-"))
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            world = cls(folder)
            runner = web.AppRunner(world.billing.app)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", world.api).start()
            world._write()
            await stack.enter_async_context(world._serving())
            yield world

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        vault = base64.b64encode(secrets.token_bytes(32)).decode()
        serve = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "jit_auth", "serve", "-c", str(self.folder / "config.toml"),
            cwd=self.folder,
            env={
                **os.environ, "PYTHONPATH": str(ROOT), "VAULT_KEY": vault, "BILLING_KEY": self.billing.key,
                "JIT_AUTH_CALLBACK_SECRET": self.secret,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        reader = asyncio.create_task(self._read(serve))
        try:
            await self._ready(reader)
            yield
        finally:
            if serve.returncode is None:
                serve.terminate()
            await serve.wait()
            await reader

    async def _ready(self, reader: asyncio.Task[None]) -> None:
        async with asyncio.timeout(PATIENCE), ClientSession() as session:
            while not reader.done():
                with contextlib.suppress(OSError):
                    async with session.get(self.environment["JIT_AUTH_URL"] + "/readyz") as reply:
                        if reply.status == 200:
                            return
                await asyncio.sleep(0.05)
        raise RuntimeError("jit-auth serve has stopped:\n" + "\n".join(self.log[-20:]))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 (it was asked for)
        async for raw in process.stdout:
            self.log.append(raw.decode(errors="replace").rstrip())
            if self.log[-1].startswith("approve "):
                self.asked.put_nowait(self.log[-1].split()[3])

    async def questions(self, count: int) -> list[str]:
        """The links of the next questions to bo, once they are asked."""
        async with asyncio.timeout(PATIENCE):
            return [await self.asked.get() for _ in range(count)]

    async def decide(self, links: list[str]) -> None:
        """Bo reads each page: no to what ends in -denied, no answer to what ends in -expired, else yes."""
        async with person.Browser() as bo:
            for link in links:
                try:
                    page = await bo.open(link)
                except person.PageError as fault:
                    if "ran out before it was decided" in str(fault):
                        continue  # no answer to this one was meant anyway
                    raise
                read = re.search(r"Refund \d+ EUR of (\S+)", page)
                if read is None:
                    raise person.PageError(f"the page does not say what is refunded: {page[:1000]}")
                if not read[1].endswith("-expired"):
                    await bo.press("deny" if read[1].endswith("-denied") else "approve")

    async def quiet(self) -> None:
        """Until nothing waits for anybody any more."""
        async with AsyncClient(self.environment["JIT_AUTH_URL"], self.token) as jit:
            async for execution in jit.list(status="paused"):
                await jit.wait(execution, timeout=60)

    def _write(self) -> None:
        here = {"8080": self.port, "9000": self.callbacks, "9400": self.api}
        config = (
            (OWN_API / "config.toml").read_text().replace("0" * 64, hashlib.sha256(self.token.encode()).hexdigest())
        )
        connector = (OWN_API / "connectors" / "billing" / "connector.toml").read_text()
        policies = (OWN_API / "policies.toml").read_text().replace('"10m"', f'"{SHORT}"')
        (self.folder / "connectors" / "billing").mkdir(parents=True)
        texts = {"config.toml": config, "policies.toml": policies, "connectors/billing/connector.toml": connector}
        for name, text in texts.items():
            (self.folder / name).write_text(re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: str(here[port[0]]), text))


async def main() -> None:
    async with World.running() as world:
        for name, value in world.environment.items():
            print(f"export {name}={value}")
        print("Bo's links appear below; Ctrl-C ends it.", flush=True)
        while True:
            print("bo may decide at", await world.asked.get(), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

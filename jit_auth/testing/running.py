"""Runs a real service on an event loop in a thread of its own: it serves tests with and without a loop alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

from aiohttp import web

from jit_auth.app import Service, build
from jit_auth.channels import CHANNELS, Card, Channel, Tools
from jit_auth.config.settings import Settings
from jit_auth.egress import Egress
from jit_auth.errors import Misused
from jit_auth.loading import load_bundle
from jit_auth.storage.clock import Clock
from jit_auth.web.patience import runner_of

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds that anything asked of the service's thread may take."""
DRAIN = 5.0


class Running:
    """One service, from its start to its end. Raises what the real one raises at its start."""

    def __init__(self, settings: Settings, clock: Clock, egress: Callable[[Sequence[str]], Egress]) -> None:
        self._settings = settings
        self._bundle = load_bundle(settings)
        self._clock = clock
        self._egress = egress
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._service: Service | None = None
        self._ready = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="jit_auth.testing", daemon=True)
        self._thread.start()
        if not self._ready.wait(PATIENCE):
            raise Misused(f"The service did not start within {PATIENCE:g} s.", hint="Its log says what it waits for.")
        if self._failed:
            self._thread.join(PATIENCE)
            raise self._failed[0]

    @property
    def service(self) -> Service:
        """For the service's own thread. Raises Misused."""
        if self._service is None:
            raise Misused("The service is not running.")
        return self._service

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, on the service's loop, while this thread waits. Raises what it raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def stop(self) -> None:
        """As SIGTERM: waits end, calls under way are finished. Safe to repeat."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except BaseException as fault:
            self._failed.append(fault)
        finally:
            self._service = None
            self._ready.set()

    async def _serve(self) -> None:
        settings = self._settings
        async with build(
            settings, self._bundle, clock=self._clock, write=_nowhere, egress=self._egress, channels=_CHANNELS
        ) as service:
            runner = runner_of(service.app, DRAIN / 2)
            await runner.setup()
            host, port = settings.server.listen
            await web.TCPSite(runner, host, port, reuse_address=True).start()
            worker = asyncio.create_task(service.worker.run())
            self._service = service
            self._ready.set()
            try:
                await self._stop.wait()
            finally:
                service.stop(DRAIN)
                await runner.cleanup()
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)


def _nowhere(text: str) -> None:
    """What the terminal would print: links, which a test has no use for."""


class _Silent:
    """A channel that reaches nobody: who is asked is known to the service, and no message leaves."""

    routes: Sequence[web.RouteDef] = ()

    async def show(self, card: Card, ref: str | None) -> str:
        return ref or "testing"

    async def tell(self, person: str, subject: str, words: str) -> None:
        return None


@asynccontextmanager
async def _silent(settings: Any, tools: Tools) -> AsyncIterator[_Silent]:
    yield _Silent()


_CHANNELS: dict[str, Channel] = {name: replace(channel, open=_silent) for name, channel in CHANNELS.items()}

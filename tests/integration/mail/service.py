"""The kit's service with the mail channel, and how tests wait for mails."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from jit_auth.app import build
from jit_auth.channels.email import EMAIL
from jit_auth.config.load import load
from jit_auth.loading import load_bundle
from tests.fakes.smtp import Mail, MailServer
from tests.integration.service.kit import POLICIES, Kit

ANA, BO, ALICE = "ana@example.com", "bo@example.com", "alice@example.com"
SEND = {"to": ["x@y.example"], "subject": "hi", "body": "hello"}
LINK = re.compile(r"^http://127\.0\.0\.1:\d+/\S+$", re.MULTILINE)

GROUP = POLICIES.replace(
    'approval = { from = ["user:ana@example.com"] }',
    'approval = { from = ["group:finance"], via = ["email", "page"], expires = "4h", remind = "1h" }',
)


class Mailed(Kit):
    """The kit, its service with the mail channel."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Kit]:
        assert EMAIL.settings is not None
        settings = load(self.folder / "config.toml", channels={"email": EMAIL.settings})
        async with build(settings, load_bundle(settings), clock=self.clock, write=self.printed.append) as service:
            runner = web.AppRunner(service.app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True).start()
            worker = asyncio.create_task(service.worker.run())
            self.service = service
            try:
                yield self
            finally:
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)
                await runner.cleanup()
                self.service = None

    def pass_time(self, milliseconds: int) -> None:
        """Move the clock, and let the worker look again."""
        assert self.service is not None
        self.clock.offset += milliseconds
        self.service.worker.wake()


async def until(found: Callable[[], Any]) -> Any:
    """What `found` gives once that is something; fails after ten seconds."""
    for _ in range(1000):
        if value := found():
            return value
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


def about(server: MailServer, person: str, words: str) -> list[Mail]:
    return [mail for mail in server.inbox(person) if words in mail.text]


async def asked(world: Mailed, server: MailServer, person: str) -> str:
    """The link in the first mail that asks this person to decide."""
    (mail, *_) = await until(lambda: about(server, person, "waits for your decision"))
    (link,) = LINK.findall(mail.text)
    return str(link)

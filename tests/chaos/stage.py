"""Where a scenario plays: the world of a service, a proxy before its provider, agents at work, and the judgement."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.chaos.ledger import Findings, Troubles, judge, rest
from tests.chaos.load import AGAIN, ONCE, Load
from tests.chaos.proxy import Proxy, to_port
from tests.crash.nursery import Life, living
from tests.integration.service.kit import Kit, kit

SQLITE = "sqlite:///jit-auth.db"
LATER = 130_000
"""Milliseconds after which what any dead process had begun is anybody's."""


@dataclass
class Stage:
    """The kits are replicas of one service (SQLite: one). `api` stands before the mail API, `tokens` before the
    provider's token endpoint."""

    kits: Sequence[Kit]
    api: Proxy
    tokens: Proxy
    load: Load
    troubles: Troubles = field(default_factory=Troubles)
    offset: int = 0
    """How far the clocks of new lives are ahead, in milliseconds."""
    before: int = 0

    @property
    def kit(self) -> Kit:
        return self.kits[0]

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[list[Life]]:
        """One life of each replica."""
        async with AsyncExitStack() as stack:
            lives = [await stack.enter_async_context(living(one, self.offset)) for one in self.kits]
            for one, life in zip(self.kits, lives, strict=True):
                assert not life.over, (one.folder / "stderr.txt").read_text()
            yield lives

    async def connected(self) -> None:
        """Alice's account is connected; by hand, before the load."""
        await self.kit.connected()
        self.kit.mail.messages.clear()
        self.before = len((await self.kit.call("GET", "/executions")).json["items"])

    async def judged(self, *, may: Sequence[str] = ()) -> Findings:
        """No new calls; once everything rests, what is there. The service runs."""
        await self.load.stop()
        await rest(self.kit)
        return await judge(self.kit, self.load, self.troubles, before=self.before, may=may)


@asynccontextmanager
async def stage(
    folder: Path, storage: str = SQLITE, *, seed: int = 1, replicas: int = 1, agents: int = 6, pause: float = 0.0,
    patience: str = "10s", config: str = "", policies: str | None = None,
) -> AsyncIterator[Stage]:  # fmt: skip
    """Everything but lives. `patience`: the timeout of the calls; `pause`: seconds between an agent's calls."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        extra = {} if policies is None else {"policies": policies}
        found = await stack.enter_async_context(kit(folder, storage=storage, config=config, **extra))
        api = await stack.enter_async_context(Proxy(to_port(_port(found.mail.url))).running())
        tokens = await stack.enter_async_context(Proxy(to_port(_port(found.provider.url))).running())
        kits = [found, *(found.twin(folder.with_name(f"{folder.name}-{number}")) for number in range(2, replicas + 1))]
        for one in kits:
            _rewire(one, api.port, tokens.port, patience)
        load = Load(kits, random.Random(seed), agents, pause)  # noqa: S311 - it only has to be repeatable
        try:
            yield Stage(kits, api, tokens, load)
        finally:
            await load.abandon()


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _rewire(kit: Kit, api: int, tokens: int, patience: str) -> None:
    """Have the connector go through the proxies."""
    file = kit.folder / "connectors" / "mailhub" / "connector.toml"
    text = file.read_text()
    text = text.replace(f'base_url = "{kit.mail.url}"', f'base_url = "http://127.0.0.1:{api}"')
    token = f'token_url = "{kit.provider.url}'
    text = text.replace(token, token.replace(f":{_port(kit.provider.url)}", f":{tokens}"))
    for action in (ONCE, AGAIN):
        text = text.replace(f"[actions.{action}]\n", f'[actions.{action}]\ntimeout = "{patience}"\n')
    file.write_text(text)

"""A process that refreshes one grant and says what came of it: `python -m tests.integration.oauth.refresher URL N`.

The provider comes as JSON on standard input. N callers ask at once; each prints its access token or its error's name.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from jit_auth.egress import Egress
from jit_auth.errors import ProviderError
from jit_auth.model import Grant, Provider
from jit_auth.oauth.refresh import Refresher
from jit_auth.storage.clock import Clock
from tests.integration.oauth.conftest import SUBJECTS, opened


async def main(url: str, callers: int, provider: Provider) -> None:
    egress = Egress(["127.0.0.1"])
    async with opened(url, Clock(), Path.cwd()) as store:
        grant = await store.grant("gra_1")
        assert grant is not None
        refresher = Refresher(store, egress)
        epoch, bundle, _ = await store.stops()

        async def one(grant: Grant) -> str:
            try:
                new = await refresher.fresh(grant, provider, subjects=SUBJECTS, epoch=epoch, bundle=bundle)
            except ProviderError as error:
                return type(error).__name__
            return (await store.reveal(new)).access

        print("ready", flush=True)  # noqa: T201  (the test waits for it)
        sys.stdin.readline()
        for answer in await asyncio.gather(*(one(grant) for _ in range(callers))):
            print(answer, flush=True)  # noqa: T201  (what it says)
    await egress.close()


if __name__ == "__main__":
    told = msgspec.json.decode(sys.stdin.readline(), type=Provider)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), told))

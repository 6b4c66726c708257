"""A command beside the service: opens the store, throws a kill switch, prints the epoch. Run as a process of its own.

`python -m tests.conformance.command FOLDER KEY AGENT`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from jit_auth.model import Applied, Audit, Raise, Stop, Unit
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault


async def main(folder: str, key: str, agent: str) -> None:
    vault = Vault([("k1", bytes.fromhex(key))])
    store = await Store.open("sqlite:///store.db", vault, clock=Clock(), base=Path(folder), serve=False)
    stop = Stop(kind="agent", id=agent, epoch=0, active=True, who="operator")
    answer = await store.apply(Unit(None, (Raise((stop,)),), Audit(actor="operator", what=({"do": "stop"},))))
    assert isinstance(answer, Applied)
    sys.stdout.write(f"{answer.epoch}\n")
    await store.close()


asyncio.run(main(*sys.argv[1:]))

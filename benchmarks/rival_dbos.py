"""DBOS, as a process that is measured: a workflow that waits for a message, and then makes the call in a step.

    python -m benchmarks.rival_dbos API_PORT AT_ONCE DATABASE

A call counts as paused when its workflow is stored and about to wait: what the waiting itself writes is not counted
against it. Where it polls (SQLite) it does so every 10 ms instead of every second, and its file is in WAL mode, with
`synchronous = FULL`; PostgreSQL tells it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID

from benchmarks.rival import CALL, Api, obey

POLLING = 0.01
DAY = 86_400


async def main(port: int, at_once: int, database: str) -> None:
    """Until told to end."""
    if not database.startswith("postgresql"):
        with sqlite3.connect(database) as file:
            file.execute("PRAGMA journal_mode = WAL")
            assert file.execute("PRAGMA synchronous").fetchone() == (2,), "synchronous is not FULL"
        database = f"sqlite:///{database}"
    config: DBOSConfig = {
        "name": "bench", "system_database_url": database, "log_level": "ERROR",
        "notification_listener_polling_interval_sec": POLLING,
    }  # fmt: skip
    DBOS(config=config)
    api = Api(port)
    waits: dict[str, asyncio.Event] = {}
    handles: dict[str, Any] = {}

    @DBOS.step()
    async def send(call: dict[str, Any]) -> dict[str, Any]:
        return await api.post(call)

    @DBOS.workflow()
    async def ask(name: str, call: dict[str, Any]) -> dict[str, Any] | None:
        waits[name].set()
        decision = await DBOS.recv_async("decision", timeout_seconds=DAY)
        return await send(call) if decision == "approve" else None

    async def pause(name: str) -> None:
        waits[name] = asyncio.Event()
        with SetWorkflowID(name):
            handles[name] = await DBOS.start_workflow_async(ask, name, {**CALL, "subject": name})
        await waits[name].wait()
        del waits[name]

    async def resume(name: str) -> None:
        await DBOS.send_async(name, "approve", "decision")
        assert await handles.pop(name).get_result()

    DBOS.launch()
    try:
        await obey(pause, resume, at_once)
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))

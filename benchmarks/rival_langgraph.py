"""LangGraph with its own savers, as a process that is measured: one node that interrupts, then makes the call.

    python -m benchmarks.rival_langgraph API_PORT AT_ONCE DATABASE DURABILITY

One node is the fewest checkpoints that it can do with. The savers are as they come: SQLite in WAL mode with
`synchronous = FULL`, PostgreSQL with a pool of so many connections.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

from benchmarks.rival import CALL, Api, obey

# Before the imports: they read it.
os.environ["LANGSMITH_TRACING"] = "false"

from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt


class State(TypedDict, total=False):
    """Of one call."""

    call: dict[str, Any]
    answer: dict[str, Any]


@asynccontextmanager
async def saver(database: str, at_once: int) -> AsyncIterator[Any]:
    """Its own, for this database."""
    if not database.startswith("postgresql"):
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # one of the two is asked for

        async with AsyncSqliteSaver.from_conn_string(database) as found:
            await found.setup()
            async with found.conn.execute("PRAGMA synchronous") as cursor:
                assert await cursor.fetchone() == (2,), "synchronous is not FULL"
            yield found
        return
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver  # one of the two is asked for
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    kwargs = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(database, min_size=at_once, max_size=at_once, kwargs=kwargs, open=False) as pool:
        found = AsyncPostgresSaver(pool)
        await found.setup()
        yield found


async def main(port: int, at_once: int, database: str, durability: Any) -> None:
    """Until told to end."""
    api = Api(port)

    async def send(state: State) -> State:
        if interrupt(state["call"]) != "approve":
            return {}
        return {"answer": await api.post(state["call"])}

    builder = StateGraph(State)
    builder.add_node("send", send)
    builder.add_edge(START, "send")
    async with saver(database, at_once) as checkpointer:
        graph = builder.compile(checkpointer=checkpointer)

        def thread(name: str) -> Any:
            return {"configurable": {"thread_id": name}}

        async def pause(name: str) -> None:
            found = await graph.ainvoke({"call": {**CALL, "subject": name}}, thread(name), durability=durability)
            assert found["__interrupt__"], found

        async def resume(name: str) -> None:
            found = await graph.ainvoke(Command(resume="approve"), thread(name), durability=durability)
            assert found["answer"], found

        await obey(pause, resume, at_once)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))

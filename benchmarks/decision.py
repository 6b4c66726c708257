"""From a decision to its send: how long after the approver's POST the provider has the request.

    python -m benchmarks.decision [--count 960] [--at-once 16] [--database postgresql://... | --own-server]

Calls are paused first; then so many approvers at once decide one after the other, each the next when the last call has
been made. The time begins before the first byte of the POST and ends when the request arrives at the API, which is in
the process of the load generator: one clock. What is between them: the page's checks, the vote's commit, policy decided
anew, the intent's commit, the credential, the connection.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.machine import header, own_server, quantile
from benchmarks.pausing import AT_ONCE, Pausing
from benchmarks.world import Api, Service, started

MOST_MS = 25.0
"""The p99 has to stay at or below."""
_NUMBER = re.compile(rb"number (\d+)\.")


class Receipts:
    """An API that notes when it was asked for what."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    def protocol(self) -> asyncio.Protocol:
        """For one connection."""
        receipts = self

        class Noting(Api):
            def data_received(self, data: bytes) -> None:
                now = time.perf_counter()
                for found in _NUMBER.finditer(data):
                    receipts.at.setdefault(int(found[1]), now)
                super().data_received(data)

        return Noting()


async def run(database: str, *, count: int, at_once: int) -> tuple[list[float], list[float]]:
    """Milliseconds from each decision to its request, and to the answer that the approver got."""
    receipts = Receipts()
    begun: dict[int, float] = {}
    answered: dict[int, float] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jit-auth-bench-")))
        oauth, (_, oauth_port) = started("api")
        stack.callback(oauth.wait, 20)
        stack.callback(oauth.terminate)
        server = await asyncio.get_running_loop().create_server(receipts.protocol, "127.0.0.1", 0, backlog=1024)
        stack.callback(server.close)
        port = server.sockets[0].getsockname()[1]
        service = Service(folder, port, oauth_port, database=database, rules=20, asks=True)
        stack.callback(service.stop)
        await asyncio.to_thread(service.connect)
        pausing = stack.enter_context(Pausing(service, at_once))
        for many in (at_once, count):  # the first to warm
            await pausing.pause(count=many)
            await pausing.shown()
            begun.clear()
            await pausing.resume(
                before=lambda number: begun.__setitem__(number, time.perf_counter()),
                after=lambda number: answered.__setitem__(number, time.perf_counter()),
            )
    sent, told = ([(ends[number] - at) * 1000 for number, at in begun.items()] for ends in (receipts.at, answered))
    return sent, told


def main() -> int:
    """Exit 1 where --check is given and the p99 is too long."""
    parser = argparse.ArgumentParser(description="From a decision to its send.")
    parser.add_argument("--count", type=int, default=960, help="decisions (default: 960)")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help=f"approvers (default: {AT_ONCE})")
    parser.add_argument("--database", default="sqlite:///bench.db", help="[storage] url (default: a SQLite file)")
    parser.add_argument("--own-server", action="store_true", help="on a PostgreSQL server of its own")
    parser.add_argument("--check", action="store_true", help=f"exit 1 where the p99 is above {MOST_MS:.0f} ms")
    options = parser.parse_args()
    with ExitStack() as stack:
        database = stack.enter_context(own_server()) if options.own_server else options.database
        sent, told = asyncio.run(run(database, count=options.count, at_once=options.at_once))
    print(header() + "\n\n| decisions | at once | | p50 ms | p99 ms | longest ms |\n|---|---|---|---|---|---|")
    for name, found in (("to the request at the provider", sent), ("to the approver's answer", told)):
        print(
            f"| {len(found)} | {options.at_once} | {name} | {quantile(found, 0.5):.1f} | {quantile(found, 0.99):.1f} "
            f"| {max(found):.1f} |"
        )
    return bool(options.check and quantile(sent, 0.99) > MOST_MS)


if __name__ == "__main__":
    sys.exit(main())

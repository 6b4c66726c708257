"""Turns names into addresses, once for all who ask at the same moment."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Addresses of a name, as text; raises OSError."""

KEEP = 5.0
"""Seconds a result is used: as long as the send window, so that a name judged before the intent is not asked for again
between the intent and the first byte. No longer: revoked names should die. Rebinding gains nothing by it, since what is
connected to is the very address that was judged."""
_MOST = 1024


async def system(host: str) -> tuple[str, ...]:
    """getaddrinfo in the loop's thread pool: /etc/hosts and the system's own rules hold."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class Resolver:
    """A name's addresses, kept for KEEP seconds. Failures are not kept."""

    def __init__(self, resolve: Resolve = system) -> None:
        self._resolve = resolve
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._asking: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    def known(self, host: str, now: float) -> tuple[str, ...] | None:
        """What was found within the last KEEP seconds."""
        found = self._known.get(host)
        return found[1] if found is not None and found[0] > now else None

    async def ask(self, host: str) -> tuple[str, ...]:
        """Resolve, together with whoever else is asking for this name. Raises OSError."""
        task = self._asking.get(host)
        if task is None:
            task = self._asking[host] = asyncio.ensure_future(self._ask(host))
            task.add_done_callback(_seen)
        # Shielded: one caller's timeout must not fail the others.
        return await asyncio.shield(task)

    async def _ask(self, host: str) -> tuple[str, ...]:
        try:
            found = tuple(await self._resolve(host))
        finally:
            del self._asking[host]
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[host] = (asyncio.get_running_loop().time() + KEEP, found)
        return found

    async def close(self) -> None:
        """Stop asking."""
        tasks = tuple(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _seen(task: asyncio.Task[tuple[str, ...]]) -> None:
    """Where all callers have gone, the failure is nobody's."""
    if not task.cancelled():
        task.exception()

"""What is in force in this process: one bundle, with the settings that it was made from. Swapped whole, never patched.

A decision takes `bundle` once, at its beginning, and goes on with that: it never mixes two. What it decides by one that
is no longer published is refused in the intent's transaction, and decided anew (THREAT_MODEL 9, 10).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jit_auth.config.settings import Settings
from jit_auth.engine.bundle import Bundle


class Current:
    """The one holder: everything that lives as long as the process asks it."""

    def __init__(self, settings: Settings, bundle: Bundle) -> None:
        self.settings = settings
        self.bundle = bundle
        self._changing = asyncio.Lock()

    def swap(self, settings: Settings, bundle: Bundle) -> None:
        """From now on these. Nothing comes between the two: there is one loop."""
        self.settings, self.bundle = settings, bundle

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """While another bundle is published and swapped in; one after the other."""
        async with self._changing:
            yield

    async def settled(self) -> None:
        """When no change is under way. Between the publishing and the swap this process holds the older bundle: a
        decision that was refused for that waits, and is not refused a second time."""
        async with self._changing:
            pass

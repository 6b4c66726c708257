"""Where the services of a test run listen, and the token of their first agent: known before any test is imported.

An agent that makes its client when it is imported reads JIT_AUTH_URL and JIT_AUTH_TOKEN then; so there is one address
for all services of a process, one after the other, that nobody else is given meanwhile.
"""

from __future__ import annotations

import secrets
import socket


class Place:
    """A port of this machine, held until `close`. Nothing listens there but a service: others find it closed."""

    def __init__(self) -> None:
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._held.getsockname()[1]}"
        self.token = "jat_agt_" + secrets.token_hex(32)
        self.taken = False
        """A service listens there."""

    def close(self) -> None:
        """Give the port back."""
        self._held.close()

"""A port for a service that is stopped and started again on it.

It lies below the ports that the system gives to outgoing connections: one of those could take it between the two.
"""

from __future__ import annotations

import random
import socket

_DRAW = random.SystemRandom()


def free_port() -> int:
    """A loopback port that nobody listens on."""
    while True:
        port = _DRAW.randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port

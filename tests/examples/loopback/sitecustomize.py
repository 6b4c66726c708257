"""On the PYTHONPATH of a process that has no business on the network: whatever leaves this machine ends it."""

from __future__ import annotations

import os
import sys
from typing import Any

HERE = ("127.0.0.1", "::1", "localhost", "")


def stay(event: str, words: tuple[Any, ...]) -> None:
    host = None
    if event == "socket.getaddrinfo":
        host = words[0]
    elif event == "socket.connect" and isinstance(words[1], tuple):
        host = words[1][0]
    if host is not None and (host.decode() if isinstance(host, bytes) else host) not in HERE:
        os.write(1, f"this process wanted to reach {host!r}\n".encode())
        os._exit(1)


sys.addaudithook(stay)

"""The program around an example: a command line, and for callbacks a small HTTP server. Yours is there already.

python -m examples.frameworks.run on_langgraph ask NAME "Refund 40 of inv-7" ...
python -m examples.frameworks.run on_langgraph serve           # answers callbacks
python -m examples.frameworks.run on_asyncio resume NAME ...   # the others wait for what they asked
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

LONGEST = 65_536


def serve(callback: Callable[[bytes, Mapping[str, str]], int]) -> None:
    """One delivery after the other, until it is stopped."""

    class Callbacks(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > LONGEST:
                self.send_error(400)
                return
            self.send_response(callback(self.rfile.read(int(length)), dict(self.headers)))
            self.end_headers()

        def log_message(self, format: str, *words: object) -> None:
            """What it does is printed by the example."""

    there = urlsplit(os.environ["CALLBACK_URL"])
    with HTTPServer((there.hostname or "", there.port or 80), Callbacks) as server:
        print("listens", flush=True)
        server.serve_forever()


async def all_of(jobs: list[Coroutine[Any, Any, None]], close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """All at once, as the conversations of many users are."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)
    finally:
        await close()


def main(name: str, what: str, words: list[str]) -> None:
    example = importlib.import_module(f"examples.frameworks.{name}")
    if what == "serve":
        serve(example.callback)
    elif name == "on_langgraph":
        for thread, prompt in zip(words[::2], words[1::2], strict=True):
            example.run(thread, {"messages": [("user", prompt)]})
    elif what == "ask":
        pairs = zip(words[::2], words[1::2], strict=True)
        asyncio.run(all_of([example.ask(run, prompt) for run, prompt in pairs], example.jit.close))
    else:
        asyncio.run(all_of([example.resume(run) for run in words], example.jit.close))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])

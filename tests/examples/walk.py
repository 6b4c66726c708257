"""A page's own words, done: its files are written and its commands run as they stand, in a folder of their own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from examples.demo.world import free_port

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"(?:`(?P<file>[\w./-]+)`:\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of a page. `file` is the name at the end of the paragraph before it; commands have none."""

    file: str | None
    language: str
    text: str


def blocks(page: str, heading: str = "") -> list[Block]:
    """Those of a page, or of its section under `heading`, in order."""
    text = (ROOT / page).read_text()
    if heading:
        text = text[text.index(f"\n## {heading}") :]
        text = text[: text.index("\n## ", 1)]
    return [Block(found["file"], found["language"], found["text"]) for found in _BLOCK.finditer(text)]


class Walk:
    """A folder with an empty home, free ports for those of the page, and terminals that are closed at the end."""

    def __init__(self, folder: Path, ports: Iterable[str]) -> None:
        self.folder = folder
        self.ports = {port: str(free_port()) for port in ports}
        self.words: dict[str, str] = {}
        self._terminals: list[asyncio.subprocess.Process] = []
        (folder / "home").mkdir()
        # Installing is `make test`'s own: the environment that runs this test stands for it.
        (folder / ".venv").symlink_to(Path(sys.prefix))

    def typed(self, text: str) -> str:
        """What a reader types: the page's text with this walk's ports, and with what was printed in place of dots."""
        for old, new in (*self.ports.items(), *self.words.items()):
            text = text.replace(old, new)
        return text

    def write(self, block: Block) -> None:
        """Save a file. Its folder has to be there."""
        assert block.file is not None
        (self.folder / block.file).write_text(self.typed(block.text))

    def move(self, config: Path) -> None:
        """The one thing that is on no page: let the service listen where it is free here."""
        text = config.read_text()
        for old, new in self.ports.items():
            text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")  # with the host: a digest may hold the digits
        config.write_text(text)

    async def run(self, command: str) -> str:
        """What a command prints. It has to succeed, within a minute."""
        process = await self._start(command)
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, f"{command}\n{out.decode()}"
        return out.decode()

    async def terminal(self, command: str) -> asyncio.subprocess.Process:
        """A command that goes on, in a terminal of its own."""
        process = await self._start(command)
        self._terminals.append(process)
        return process

    async def line(self, process: asyncio.subprocess.Process, holding: str) -> str:
        """The next line of a terminal that holds these words."""
        assert process.stdout is not None
        seen = []
        async for raw in process.stdout:
            seen.append(raw.decode())
            if holding in seen[-1]:
                return seen[-1]
        raise AssertionError(f"no {holding!r} in:\n{''.join(seen)}")

    async def rest(self, process: asyncio.subprocess.Process) -> str:
        """All that a terminal still prints until it ends by itself, well."""
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, out.decode()
        return out.decode()

    async def stop(self, process: asyncio.subprocess.Process) -> str:
        """End a terminal; what it had still printed."""
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
        out, _ = await process.communicate()
        return out.decode()

    async def close(self) -> None:
        """End the terminals that are left."""
        for process in self._terminals:
            if process.returncode is None:
                await self.stop(process)

    async def _start(self, command: str) -> asyncio.subprocess.Process:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("JIT_AUTH_")}
        return await asyncio.create_subprocess_exec(
            "sh", "-ec", self.typed(command),
            cwd=self.folder,
            env={**kept, "HOME": str(self.folder / "home"), "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

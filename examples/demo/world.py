"""Everything the demo needs, started on loopback and always stopped: MailHub, a configuration, `jit-auth serve`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from examples.mailhub import service

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
HERE = Path(__file__).parent
CONNECTORS = HERE.parent / "mailhub" / "connectors"
ANYWHERE = ("http://127.0.0.1:9400", "http://127.0.0.1:9401")


class WorldError(Exception):
    """Something that the demo needs did not come up."""


@dataclass(frozen=True)
class Asked:
    """A line that `jit-auth serve` prints on loopback: one approver's link to one approval."""

    approval: str
    person: str
    url: str


class World:
    """The running pieces. `url` and `token` are all that an agent needs; `asked` fills with the approvers' links."""

    def __init__(self, folder: Path, policies: Path) -> None:
        self.folder = folder
        self.policies = policies
        self.url = f"http://127.0.0.1:{free_port()}"
        self.token = "jat_agt_" + secrets.token_urlsafe(32)
        self.asked: dict[str, Asked] = {}
        self._heard = asyncio.Condition()
        self.log: list[str] = []
        self._hub: service.MailHub | None = None
        self._serve: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, policies: Path = HERE / "policies.toml") -> AsyncIterator[World]:
        """Start everything in a temporary folder; stop and remove it at the end, whatever happened."""
        folder = Path(tempfile.mkdtemp(prefix="jit-auth-demo-"))
        world = cls(folder, policies)
        try:
            await world.start()
            yield world
        finally:
            await world.stop()
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def hub(self) -> service.MailHub:
        if self._hub is None:
            raise WorldError("MailHub is not running")
        return self._hub

    async def start(self) -> None:
        for left in (2, 1, 0):
            self._hub = await service.start(self.url + "/oauth/callback/mailhub")
            self._write()
            try:
                await self.serve()
                return
            except WorldError:
                if not left or not any("cannot listen" in line for line in self.log):
                    raise
                # Somebody took the port in the moment since it was free: everything names it, so write all anew.
                await self._hub.stop()
                shutil.rmtree(self.folder)
                self.folder.mkdir(mode=0o700)
                self.url, self.log = f"http://127.0.0.1:{free_port()}", []

    async def stop(self) -> None:
        if self._serve is not None and self._serve.returncode is None:
            self._serve.terminate()
            try:
                await asyncio.wait_for(self._serve.wait(), 3)
            except TimeoutError:
                await self.kill()
        for reader in self._readers:
            reader.cancel()
        if self._hub is not None:
            await self._hub.stop()

    async def serve(self) -> None:
        """Start `jit-auth serve` and wait until it says that it can work."""
        self._serve = await asyncio.create_subprocess_exec(
            *_command(),
            "serve",
            "-c",
            str(self.folder / "config.toml"),
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._readers.append(asyncio.create_task(self._read(self._serve)))
        give_up = time.monotonic() + 30
        while not await asyncio.to_thread(_ready, self.url):
            if self._serve.returncode is not None or time.monotonic() > give_up:
                raise WorldError("jit-auth serve did not become ready:\n" + "\n".join(self.log[-20:]))
            await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """`kill -9`: no goodbye, no chance to save anything."""
        if self._serve is not None and self._serve.returncode is None:
            self._serve.kill()
            await self._serve.wait()

    async def command(self, *words: str) -> tuple[int, str]:
        """Run a `jit-auth` command on this world's configuration. Gives its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *_command(),
            *words,
            "-c",
            str(self.folder / "config.toml"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    async def link(self, approval: str, patience: float) -> Asked:
        """The link that `serve` printed for an approval; waits `patience` seconds for it. Raises TimeoutError."""
        async with self._heard:
            await asyncio.wait_for(self._heard.wait_for(lambda: approval in self.asked), patience)
            return self.asked[approval]

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 (it was asked for)
        async for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self.log.append(line)
            match line.split():
                case ["approve", approval, person, url]:
                    async with self._heard:
                        self.asked[approval] = Asked(approval, person, url)
                        self._heard.notify_all()

    def _write(self) -> None:
        hub = self.hub
        config = Template((HERE / "config.toml.in").read_text()).substitute(
            public_url=self.url,
            listen=self.url.removeprefix("http://"),
            token_sha256=hashlib.sha256(self.token.encode()).hexdigest(),
            client_id=service.CLIENT_ID,
        )
        connector = (CONNECTORS / "mailhub" / "connector.toml").read_text()
        connector = connector.replace(ANYWHERE[0], hub.provider_url)
        connector = connector.replace(ANYWHERE[1], hub.api_url.removesuffix("/v1"))
        (self.folder / "connectors" / "mailhub").mkdir(parents=True)
        _private(self.folder / "config.toml", config)
        _private(self.folder / "policies.toml", self.policies.read_text())
        _private(self.folder / "connectors" / "mailhub" / "connector.toml", connector)
        _private(self.folder / "vault.key", base64.b64encode(secrets.token_bytes(32)).decode())
        _private(self.folder / "mailhub.secret", hub.client_secret)


def _command() -> list[str]:
    beside = Path(sys.executable).parent / "jit-auth"
    return [str(beside)] if beside.exists() else ["jit-auth"]


def _private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _ready(url: str) -> bool:
    try:
        with _direct.open(url + "/readyz", timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False

"""Scenarios of the disk: full (by a limit, and really), and read-only in the middle of the work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jit_auth.engine.advance import DRAIN
from tests.chaos.ledger import Findings
from tests.chaos.stage import Stage, stage
from tests.crash.nursery import Life
from tests.crash.process import ROOT

Choke = Callable[[Path, Life], contextlib.AbstractContextManager[None]]


SPARE = 5.0
"""Seconds that a process may take beyond its time to drain: it has to die too."""


class Unable(Exception):
    """This machine does not let us make such a disk; the sentence says what it takes."""


async def full(folder: Path, choke: Choke, *, seconds: float, times: int = 1) -> Findings:
    """No room: calls are 503 storage_unavailable and not lost. Room again: the service goes on by itself."""
    async with stage(folder, pause=0.01) as at, at.alive() as (life,):
        await at.connected()
        at.load.start()
        for _ in range(times):
            await at.load.progress(10)
            async with at.troubles.lasting():
                with choke(folder, life):
                    at.load.refusals.clear()
                    await at.load.refused("storage_unavailable")
                    await asyncio.sleep(seconds)
            await at.load.progress(20)
        return await at.judged()


@contextmanager
def limited(folder: Path, life: Life) -> Iterator[None]:
    """No file of the process may grow."""
    most = max(file.stat().st_size for file in folder.glob("jit-auth.db*"))
    soft, hard = resource.prlimit(life.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(life.pid, resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.prlimit(life.pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def filled(folder: Path, _: Life) -> Iterator[None]:
    """Something else has taken all the room of this disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def small(folder: Path, megabytes: int = 64) -> Iterator[None]:
    """A disk of this size, in memory; the log that SQLite writes ahead takes 16 of them. Raises Unable."""
    folder.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))


def resize(folder: Path, megabytes: int) -> None:
    """A disk that `small` made has this size now."""
    _run("mount", "-o", f"remount,size={megabytes}m", str(folder))


class Ext4:
    """A file system that turns read-only at its first fault (errors=remount-ro), as a server's does."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self._folder = folder
        folder.mkdir(parents=True)
        with image.open("wb") as file:
            file.truncate(32 << 20)
        _run("mkfs.ext4", "-q", str(image))

    def mount(self, *options: str) -> None:
        """Raises Unable."""
        _run("mount", "-o", ",".join(("loop", "errors=remount-ro", *options)), str(self._image), str(self._folder))

    def again(self, *options: str) -> None:
        """Unmounted, repaired by its journal, mounted so."""
        for given in ((), options) if options else ((),):
            subprocess.run(("umount", str(self._folder)), check=True, timeout=30)
            self.mount(*given)

    def end(self) -> None:
        """It is not needed any more."""
        subprocess.run(("umount", "--lazy", str(self._folder)), check=False, capture_output=True, timeout=30)

    def fail(self) -> None:
        """Its first fault. Raises Unable where the kernel has no such switch."""
        device = Path(_run("findmnt", "-n", "-o", "SOURCE", str(self._folder)).strip()).name
        try:
            with contextlib.suppress(OSError):  # the file system answers with its fault
                os.write(os.open(f"/sys/fs/ext4/{device}/trigger_fs_error", os.O_WRONLY), b"1\n")
        except FileNotFoundError:
            raise Unable("the kernel cannot make an ext4 fail") from None


async def read_only(folder: Path, *, drains: bool = True) -> Findings:
    """The disk turns read-only under load: 503, no crash; a start on it is refused in a sentence; once it is writable
    again, nothing is lost. `drains`: it is told to stop, which takes its time, and not killed."""
    disk = Ext4(folder.with_suffix(".img"), folder)
    await asyncio.to_thread(disk.mount)
    try:
        async with stage(folder.with_name("files"), f"sqlite:///{folder}/jit-auth.db", pause=0.01) as at:
            async with at.alive() as (life,):
                await at.connected()
                at.load.start()
                await at.load.progress(10)
                async with at.troubles.lasting():
                    await asyncio.to_thread(disk.fail)
                    await at.load.refused("storage_unavailable")
                    begun = time.monotonic()
                    (life.end if drains else life.kill)()
                    await life.wait()
                    took = time.monotonic() - begun
                ended = life.exit
            await asyncio.to_thread(disk.again, "ro")
            said = await asyncio.to_thread(_serve, at)
            await asyncio.to_thread(disk.again)
            async with at.alive():
                await at.load.progress(20)
                found = await at.judged(may=("unknown",))
            if drains and (ended != 0 or took > DRAIN + SPARE):
                found.wrong.append(f"told to stop on a read-only disk: exit {ended} after {took:.1f} s")
            found.notes["stop (s)"] = round(took, 2)
            return Findings(**vars(found) | {"wrong": found.wrong + said})
    finally:
        await asyncio.to_thread(disk.end)


def _serve(at: Stage) -> list[str]:
    """What is wrong with how `serve` refuses to start."""
    command = [sys.executable, "-m", "jit_auth", "serve", "-c", str(at.kit.folder / "config.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 1 or "Traceback" in done.stderr or "read-only" not in done.stderr.lower():
        return [f"serve on a read-only disk: exit {done.returncode}, {done.stderr}"]
    return []


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except FileNotFoundError:
        raise Unable(f"there is no {command[0]}") from None
    except subprocess.CalledProcessError as error:
        raise Unable(f"{command[0]}: {error.stderr.strip()}") from None

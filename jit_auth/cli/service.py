"""`jit-auth serve`: runs the service until it is told to stop; SIGTERM drains, SIGHUP reloads."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import functools
import logging
import os
import signal
import sys
from collections.abc import Callable

from aiohttp import web

from jit_auth.app import Service, build, calm_gc
from jit_auth.cli.configured import settings_of
from jit_auth.cli.database import judge
from jit_auth.cli.options import config_option
from jit_auth.config.settings import Settings
from jit_auth.engine.advance import DRAIN
from jit_auth.engine.bundle import Bundle
from jit_auth.errors import JitAuthError
from jit_auth.loading import load_bundle
from jit_auth.send.shapes import remove
from jit_auth.watch import Watch
from jit_auth.watch.access import Access
from jit_auth.watch.exporter import traces_of
from jit_auth.watch.logs import configure
from jit_auth.web.patience import runner_of, watch

log = logging.getLogger(__name__)


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = sub.add_parser("serve", help="run the service")
    config_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0 after a drained stop, 1 where it cannot work."""
    os.umask(0o077)
    hangup = asyncio.Event()
    signal.signal(signal.SIGHUP, lambda *_: hangup.set())  # one that comes before it listens: not its end, but kept
    try:
        settings = settings_of(args)
        bundle = load_bundle(settings)
        asyncio.run(serve(settings, bundle, functools.partial(settings_of, args), hangup))
    except JitAuthError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot listen: {error.strerror or error}", file=sys.stderr)
        if error.errno == errno.EADDRINUSE:
            print("Stop what listens there, or change listen and public_url in [server].", file=sys.stderr)
        return 1
    return 0


async def serve(settings: Settings, bundle: Bundle, read: Callable[[], Settings], hangup: asyncio.Event) -> None:
    """Until SIGTERM or SIGINT: listen, work, drain. At SIGHUP, which sets `hangup`, go on with what `read` reads."""
    json = not sys.stderr.isatty()
    configure(sys.stderr, json=json, remove=remove)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    access = Access(sys.stderr, json=json)
    traces = traces_of(os.environ)
    try:
        async with build(settings, bundle, watch=Watch(access=access, traces=traces)) as service:
            await judge(service.store, settings)
            reloads = asyncio.create_task(reload(service, read, hangup))
            try:
                await listen(service, settings, stop)
            finally:
                reloads.cancel()
                await asyncio.gather(reloads, return_exceptions=True)
    finally:
        access.flush()
        if traces is not None:
            traces.close()


async def reload(service: Service, read: Callable[[], Settings], hangup: asyncio.Event) -> None:
    """Whenever `hangup` is set, one after the other: a SIGHUP that comes meanwhile is another reload afterwards."""
    while True:
        await hangup.wait()
        hangup.clear()
        await service.reload(read)


async def listen(service: Service, settings: Settings, stop: asyncio.Event) -> None:
    """Answer until `stop` is set, then let calls under way end."""
    runner = runner_of(service.app, DRAIN / 2)  # which is waited for twice
    await runner.setup()
    scraped = runner_of(service.metrics, 1) if service.metrics else None
    worker = asyncio.create_task(service.worker.run())
    watching: list[asyncio.Task[None]] = []
    try:
        host, port = settings.server.listen
        await web.TCPSite(runner, host, port, backlog=1024).start()
        if scraped is not None and settings.server.metrics_listen is not None:
            await scraped.setup()
            await web.TCPSite(scraped, *settings.server.metrics_listen).start()
        watching += [asyncio.create_task(watch(each)) for each in (runner, scraped) if each is not None]
        calm_gc()
        log.info("jit_auth listens on %s", settings.server.public_url)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped, worker}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
    finally:
        service.stop(DRAIN)
        for each in watching:
            each.cancel()
        await runner.cleanup()
        if scraped is not None:
            await scraped.cleanup()
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker

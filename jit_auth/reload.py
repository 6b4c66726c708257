"""SIGHUP: the files are read anew as one bundle, all or nothing, and the service goes on with it (THREAT_MODEL 10).

Attacks: a faulty file takes half of the rules away (nothing of it is taken; log, /readyz and record say so); a file
that says loopback brings the reliefs of development to a service beyond it (refused: that takes a restart); a call that
was decided by the older rules is sent under the newer (its intent names its bundle, and is refused); a slow body, or an
open stream, outlives its agent's token (asked again after the wait).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from jit_auth.config.settings import Settings
from jit_auth.engine.bundle import Bundle
from jit_auth.engine.current import Current
from jit_auth.errors import Fault, Faults, JitAuthError, StorageError
from jit_auth.loading import load_bundle
from jit_auth.model import Audit, Unit
from jit_auth.storage.retention import Keep
from jit_auth.storage.store import Store

log = logging.getLogger(__name__)

RELOADED = ("agents", "callback_secrets", "admins", "people", "providers", "policies", "retention", "document",
            "warnings")  # fmt: skip
"""What of the settings is taken over; of `connectors` the paths, of `server` the admin tokens."""
PUBLISH_PAUSES = (0.2, 1.0, 5.0)
"""Seconds between tries to publish while the database is away: its answer may be lost, and the bundle be published."""


def loaded(bundle: Bundle) -> dict[str, Any]:
    """What goes on record of a bundle that is in force from now on."""
    return {"do": "config.loaded", "bundle": bundle.hash, "policy": bundle.policy.hash}


def kept_for(settings: Settings) -> Keep:
    """For how long the store keeps things from now on."""
    return Keep(settings.retention.params, settings.retention.results, settings.retention.audit)


@dataclass
class Reload:
    """Reads, publishes, swaps. One at a time: what is asked for meanwhile comes afterwards."""

    store: Store
    current: Current
    failed: bool = False
    """The last one failed: what is in force is not what the files say."""
    failures: int = 0
    """Since the start."""

    async def __call__(self, read: Callable[[], Settings]) -> bool:
        """Whether the service goes on with what `read` gives now. Raises nothing: a fault is told, and changes
        nothing."""
        async with self.current.changing():
            try:
                settings, bundle, kept = await asyncio.to_thread(_load, read, self.current.settings)
                await self._publish(bundle)
            except JitAuthError as error:
                await self._fail(error)
            except Exception as error:
                log.exception("the reload ran into a fault of the program")
                await self._fail(JitAuthError(type(error).__name__, code="internal"))
            else:
                self.current.swap(settings, bundle)
                self.store.keep = kept_for(settings)
                self.failed = False
                log.info("reloaded: the bundle is %s now, its policy %s", bundle.hash, bundle.policy.hash)
                if kept:
                    log.warning("changed, and in force only after a restart: %s", ", ".join(kept))
            return not self.failed

    async def _publish(self, bundle: Bundle) -> None:
        for pause in PUBLISH_PAUSES:
            try:
                await self.store.publish(bundle.hash, "engine", loaded(bundle))
                return
            except StorageError as error:
                log.warning("the bundle could not be published yet: %s", error.message)
                await asyncio.sleep(pause)
        await self.store.publish(bundle.hash, "engine", loaded(bundle))

    async def _fail(self, error: JitAuthError) -> None:
        self.failed = True
        self.failures += 1
        faults: tuple[Fault | str, ...] = error.faults if isinstance(error, Faults) else (error.message,)
        for fault in faults:
            log.error("%s", fault)
        log.error("not reloaded: what was in force stays in force")
        # A fault may hold a person's id, which the record must not: it names how many there are.
        fact = {"do": "config.reload_failed", "code": error.code, "faults": len(faults)}
        try:
            await self.store.apply(Unit(None, (), Audit(actor="engine", what=(fact,))))
        except StorageError as away:
            log.warning("the failed reload could not be put on record: %s", away.message)


def _load(read: Callable[[], Settings], old: Settings) -> tuple[Settings, Bundle, tuple[str, ...]]:
    """The settings and bundle to go on with, and what of the files takes a restart. Raises Faults."""
    new = read()
    if new.loopback != old.loopback:
        message = "server: only a restart takes the service to, or from, loopback"
        raise Faults([new.document.fault(("server", "public_url"), message)])
    settings = replace(
        old,
        **{name: getattr(new, name) for name in RELOADED},
        connectors=replace(old.connectors, paths=new.connectors.paths),
        server=replace(old.server, admin_token_sha256=new.server.admin_token_sha256),
    )
    return settings, load_bundle(settings), tuple(_differing(settings, new))


def _differing(ours: Any, theirs: Any, name: str = "") -> Iterator[str]:
    """The keys of config.toml in which two settings differ. Never their values, which may be secrets."""
    if isinstance(ours, Struct) and type(ours) is type(theirs):
        pairs = {field: (getattr(ours, field), getattr(theirs, field)) for field in ours.__struct_fields__}
    elif isinstance(ours, dict):
        pairs = {key: (ours.get(key), theirs.get(key)) for key in sorted({*ours, *theirs})}
    else:
        yield name
        return
    for key, (mine, other) in pairs.items():
        path = f"{name}.{key}" if name else key
        if mine != other and path != "server.host":  # which `server.public_url` says
            yield from _differing(mine, other, path)

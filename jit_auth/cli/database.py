"""What `check` and `serve` say of the service's role of the database: may it alter the record (THREAT_MODEL 40)?"""

from __future__ import annotations

import logging

from jit_auth.config.settings import Retention, Settings
from jit_auth.errors import StorageError
from jit_auth.storage.roles import Rights
from jit_auth.storage.store import Store

log = logging.getLogger(__name__)

_WHERE = "docs/operations.md (Roles of the database)"


def spoken(rights: Rights, retention: Retention) -> str:
    """One sentence: what the role may do with the record, and what follows from it."""
    if rights.owns:
        what = "owns tables, their schema or the database"
        return f"the role {rights.role!r} {what}: whoever has the service can alter or remove its record; see {_WHERE}"
    if rights.alters:
        may = ", ".join(rights.alters)
        return f"the role {rights.role!r} has {may} on the table audit, and can alter the record; see {_WHERE}"
    said = f"the role {rights.role!r} can add to the record, and not alter it"
    if retention.audit is not None:
        said += "; what [retention] audit no longer keeps goes by `jit-auth db retain`, run by the role that owns it"
    return said


def lacking(rights: Rights) -> str:
    """What a service needs and this role may not."""
    return f"the role {rights.role!r} has no {', '.join(rights.lacks)}; see {_WHERE}"


async def judge(store: Store, settings: Settings) -> None:
    """As the service starts: refuse a role that cannot do its work, and, off loopback, log one that can do more.
    Raises StorageError."""
    rights = await store.roles.rights()
    if rights is None:
        return
    if rights.lacks:
        raise StorageError(f"In this database {lacking(rights)}.")
    if rights.adds_only:
        log.info("storage: %s", spoken(rights, settings.retention))
    elif not settings.loopback:
        log.warning("storage: %s", spoken(rights, settings.retention))

"""`jit-auth db migrate`: the newest schema, on a file or on a server."""

from __future__ import annotations

import asyncio
from pathlib import Path

from jit_auth.storage.place import file_of, make_private
from jit_auth.storage.schema import HEAD, prepare_sqlite
from jit_auth.vault import Vault


async def migrate(url: str, base: Path, vault: Vault) -> str:
    """Bring the database to the newest schema, from nothing or from an older one; the revision. Raises StorageError."""
    path = file_of(url, base)
    if path is None:
        from jit_auth.storage.remote import prepare_postgres  # see there

        await prepare_postgres(url, vault, upgrade=True)
    else:
        make_private(path)
        await asyncio.to_thread(prepare_sqlite, path, vault)
    return HEAD

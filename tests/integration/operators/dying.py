"""`jit-auth keys rotate` that ends as `kill -9` ends it: `python -m tests.integration.operators.dying POINT -c FILE`.

POINT is `wrapped` (the first batch is committed, the next is not begun) or `verified` (everything is wrapped, the
chains are not closed yet).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from jit_auth.cli.configured import settings_of, with_store
from jit_auth.storage import rewrap
from jit_auth.storage.store import Store
from jit_auth.vault import Vault


def main(point: str, config: Path) -> None:
    """Rotate until the point."""
    rewrap.BATCH = 2

    def progress(doing: str, count: int) -> None:
        if doing == point:
            os.kill(os.getpid(), signal.SIGKILL)

    async def work(store: Store, vault: Vault) -> None:
        await store.keys.rotate("operator", {}, progress=progress)

    with_store(settings_of(argparse.Namespace(config=config)), work)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[3]))

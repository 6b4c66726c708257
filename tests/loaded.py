"""What every service and command does anew in its process, done once: imported by what forks them, for that alone.

All modules are loaded, also those that a process imports when it first needs them, and a service has been built and
closed: what is the same for all services of a process is there (pages are compiled, shipped connectors read).
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import pkgutil
import tempfile
from pathlib import Path

import jit_auth
from jit_auth.app import build
from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.config.init import init
from jit_auth.config.load import load
from jit_auth.loading import load_bundle
from jit_auth.storage.compiled import compiler_for
from jit_auth.storage.journal import Texts
from jit_auth.storage.rows import SHAPES

EXTRA = ("jit_auth.watch.traces",)
"""What needs an extra that may not be installed."""

for _module in pkgutil.walk_packages(jit_auth.__path__, "jit_auth."):
    if not _module.name.endswith("__main__") and ".migrations" not in _module.name and _module.name not in EXTRA:
        importlib.import_module(_module.name)


async def _once() -> None:
    with tempfile.TemporaryDirectory() as folder:
        init(Path(folder))
        settings = load(Path(folder) / "config.toml", channels=CHANNEL_TABLES)
        async with build(settings, load_bundle(settings)):
            pass
    for dialect in ("sqlite", "postgresql"):
        compiler_for(dialect).shared(Texts)
        for shape in SHAPES.values():
            compiler_for(dialect).insert(shape.table, shape.columns())


asyncio.run(_once())
gc.collect()
gc.freeze()  # what is there is not copied in children when they collect

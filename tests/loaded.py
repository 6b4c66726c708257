"""What every service and command does anew in its process, done once: imported by what forks them, for that alone.

All modules are loaded, also those that a process imports when it first needs them; pages are compiled (most of a
start's time), and the connectors that are shipped are read.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil

import jit_auth
from jit_auth.catalog.files import find, shipped_path
from jit_auth.storage.compiled import compiler_for
from jit_auth.web.pages import Pages

EXTRA = ("jit_auth.watch.traces",)
"""What needs an extra that may not be installed."""

for _module in pkgutil.walk_packages(jit_auth.__path__, "jit_auth."):
    if not _module.name.endswith("__main__") and ".migrations" not in _module.name and _module.name not in EXTRA:
        importlib.import_module(_module.name)

Pages("http://127.0.0.1", "test")
find([shipped_path()], [])
for _dialect in ("sqlite", "postgresql"):
    compiler_for(_dialect)
gc.freeze()  # what is there is not copied in children when they collect

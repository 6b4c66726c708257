"""The testing kit is beside the service: nothing of it can be reached from one that is shipped (THREAT_MODEL 80)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from jit_auth.app import build
from jit_auth.config.tables import File
from jit_auth.loading import load_bundle
from jit_auth.testing import Setup, run
from tests.project.test_toml_in_documents import keys
from tests.project.tree import ROOT, modules, shown

SEAMS = {"egress", "channels", "clock", "opened"}
"""Arguments of `app.build` by which a test changes what a service stands on."""
ALONE = """
import sys, importlib, importlib.abc
class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("pytest", "_pytest"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Without())
import jit_auth.cli.service, jit_auth.client
print(*sorted(name for name in sys.modules if name.startswith(("jit_auth.testing", "pytest", "_pytest"))))
try:
    import jit_auth.testing
except ModuleNotFoundError as fault:
    print(fault)
"""


def outside() -> list[Path]:
    return [path for path in modules() if not shown(path).startswith("jit_auth/testing/")]


def test_nothing_of_the_service_knows_the_testing_kit() -> None:
    assert [shown(path) for path in outside() if "jit_auth.testing import" in path.read_text()] == []
    assert [key for key in keys(File) if "test" in key] == []
    told = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout == "\njit_auth.testing needs pytest: pip install 'jit-auth[testing]'.\n"


def test_no_shipped_code_changes_what_a_service_stands_on() -> None:
    found = [
        f"{shown(path)}:{node.lineno} {word.arg}"
        for path in outside()
        if "build(" in path.read_text()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "build"
        for word in node.keywords
        if word.arg in SEAMS
    ]
    assert found == []


def test_the_testing_kit_is_no_plugin_that_is_loaded_unasked() -> None:
    assert "pytest11" not in (ROOT / "pyproject.toml").read_text()


async def test_the_testing_kit_adds_no_route(tmp_path: Path) -> None:
    """What decides for people is a call of the test's own process: over HTTP there is what there always is."""
    with run(Setup(), tmp_path) as kit:
        settings, inside = kit._configuration.settings(), kit._running.service.app
        answered = {str(route) for route in inside.router.routes()}
    async with build(settings, load_bundle(settings), write=lambda text: None) as shipped:
        served = {str(route) for route in shipped.app.router.routes()}
    assert len(served) > 30
    assert _plain(answered) == _plain(served)


def _plain(routes: set[str]) -> set[str]:
    return {re.sub(r" at 0x[0-9a-f]+", "", each) for each in routes}

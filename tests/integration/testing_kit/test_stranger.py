"""docs/testing.md as a stranger follows it: its files in an empty folder, plain pytest, warnings are errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.project.tree import ROOT

FILE = re.compile(r"^`(\S+)`:\n\n```(?:toml|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ALONE = ("asyncio", "aiohttp", "schemathesis", "xdist", "hypothesispytest", "cacheprovider")
"""Plugins that a stranger need not have."""


def test_the_page_is_a_project_that_passes(tmp_path: Path) -> None:
    files = FILE.findall((ROOT / "docs" / "testing.md").read_text())
    assert len(files) == 6
    for name, text in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JIT_AUTH_URL": "https://production.example",
        "JIT_AUTH_TOKEN": "t",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", *(f"-pno:{name}" for name in ALONE)]
    came = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert came.returncode == 0, came.stdout + came.stderr
    assert "9 passed" in came.stdout

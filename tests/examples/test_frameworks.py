"""The agents of examples/frameworks: every path ends right after a restart, is paid once, and nothing leaves home."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples.frameworks.play import AMOUNTS, EXAMPLES, play
from examples.frameworks.world import OWN_API, World
from jit_auth.cli.main import main

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "frameworks"
LOOPBACK = Path(__file__).parent / "loopback"
INSTALLED = [Path(f"{sys.prefix}-frameworks"), ROOT / ".venv-frameworks"]
SHOWN = [*FOLDER.glob("on_*.py"), *FOLDER.glob("own_api/*.py"), *FOLDER.glob("own_api/**/connector.toml")]

TOLD = {
    "allowed": "It is refunded.",
    "approved": "It is refunded.",
    "failed": "That cannot be refunded as it stands.",
    "refused": "That cannot be refunded as it stands.",
    "denied": "It is not to be, and I will not try it again.",
    "unknown": "It is not to be, and I will not try it again.",
    "expired": "Not now. Shall I ask once more?",
    "both": "It is refunded. It is not to be, and I will not try it again.",
}
LISTED = {"allowed": "paid", "approved": "paid"}


def python(example: str) -> str:
    """The interpreter that has its framework; skips where it is not there."""
    if example in ("own_api", "on_asyncio"):
        return sys.executable
    found = [str(each / "bin" / "python") for each in INSTALLED if (each / ".installed").exists()]
    if not found:
        pytest.skip(f"{example}: there is no .venv-frameworks; make frameworks installs it")
    return found[0]


@pytest.mark.parametrize("example", EXAMPLES)
async def test_every_path_ends_right_after_a_restart(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter = python(example)
    monkeypatch.setenv("PYTHONPATH", str(LOOPBACK))
    async with World.running() as world:
        said = await play(world, example, interpreter)
    mine = example.removeprefix("on_").replace("_", "-") + "-"
    paid = {invoice.removeprefix(mine): times for invoice, times in world.billing.paid.items()}
    if example == "own_api":
        assert {path: words.partition(":")[0] for path, words in said.items()} == {
            path: path for path in AMOUNTS
        } | LISTED
        assert paid == {"allowed": 1, "approved": 1, "unknown": 1}
    else:
        assert said == TOLD
        assert paid == {"allowed": 1, "approved": 1, "unknown": 1, "both-approved": 1}


def test_the_walk_ends_a_process_that_wants_to_leave_this_machine() -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(LOOPBACK)}, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (1, "this process wanted to reach '192.0.2.1'\n")


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.name)
def test_an_example_is_under_sixty_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60
    assert all(len(line) <= 120 for line in path.read_text().splitlines())


def test_the_examples_are_all_there() -> None:
    assert {path.stem for path in SHOWN if path.suffix == ".py"} - {"__init__"} == {*EXAMPLES, "refunds"} - {"own_api"}


@pytest.mark.parametrize("words", ["check -c config.toml", "policy test -c config.toml"])
def test_the_files_of_the_own_api_pass(words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(shutil.copytree(OWN_API, tmp_path / "own_api"))
    for name in ("VAULT_KEY", "JIT_AUTH_CALLBACK_SECRET", "BILLING_KEY"):
        monkeypatch.setenv(name, ("whsec_" if "CALLBACK" in name else "") + base64.b64encode(bytes(32)).decode())
    assert main(words.split()) == 0

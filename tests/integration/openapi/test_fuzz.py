"""schemathesis reads the document and tries what it says on the running service, with all of its checks.

Short here; `make fuzz` is longer (`FUZZ_SECONDS`).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.integration.connections.conftest import let
from tests.integration.operators.conftest import ADMINS, TOKENS
from tests.integration.service.kit import AGENT, Kit, kit
from tests.project.tree import ROOT

SECONDS = int(os.environ.get("FUZZ_SECONDS", "8"))
HERE = Path(__file__).parent


async def known(world: Kit) -> dict[str, list[str]]:
    """Names and ids that exist, for what the document cannot know."""
    ended = [(await world.execute("note", params={"text": str(number)})).json["id"] for number in range(3)]
    page = (await world.call("GET", "/executions?limit=1")).json["next"]
    return {
        "person": ["alice@example.com", "ana@example.com"],
        "execution": ended,
        "action": ["mailhub.note", "mailhub.send_message", "mailhub.list_messages"],
        "agent": ["mailbot", "otherbot"],
        "connector": ["mailhub"],
        "user": ["alice@example.com", "zed@example.com"],
        "grant": ["grt_nothing"],
        "cursor": [page],
    }


SHORT = [] if "FUZZ_SECONDS" in os.environ else ["--seed", "1", "--phases", "examples,coverage"]
"""A short run tries the same each time: what is new is found by the long ones."""


async def tried(world: Kit, *which: str) -> tuple[int, str]:
    """What schemathesis found, by its exit code and its words."""
    environment = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "SCHEMATHESIS_HOOKS": "tests.integration.openapi.formats",
        "FUZZ_AGENT": AGENT,
        "FUZZ_ADMIN": TOKENS["security"],
        "FUZZ_KNOWN": json.dumps(await known(world)),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"),
        "run", f"{world.url}/openapi.json", "--checks", "all", *which, "--max-time", str(SECONDS),
        "--continue-on-failure", "--no-shrink", "--max-failures", "30",
        *SHORT,
        cwd=world.folder, env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), SECONDS + 120)
    return process.returncode or 0, out.decode(errors="replace")


APART = {
    "agents": ["--include-tag", "agents"],
    "operators": ["--include-tag", "operators", "--phases", "examples,coverage,fuzzing"],
    "people": ["--include-tag", "people"],
    "health": ["--include-tag", "health", "--phases", "examples,coverage,fuzzing"],
}
"""What is tried apart: operators halt everything, and the forms of pages take long to make up."""


@pytest.mark.parametrize("which", APART)
async def test_the_service_keeps_to_its_document(tmp_path: Path, which: str) -> None:
    if which in ("people", "health") and "FUZZ_SECONDS" not in os.environ:
        pytest.skip(f"{which}: by `make fuzz` alone")
    async with kit(tmp_path, config=ADMINS) as world, let(world, "mailbot").running():
        await world.connected()
        code, out = await tried(world, *APART[which])
        assert code == 0, out

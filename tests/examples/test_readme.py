"""The README's five minutes, followed word by word: its own commands, in its order, with the people played."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from examples.demo import person
from examples.demo.world import free_port
from examples.mailhub import service

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    """The shell blocks of the section, in order."""
    text = (ROOT / "README.md").read_text()
    section = text[text.index("## Five minutes") : text.index("## How an execution lives")]
    return re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


class Walk:
    """A copy of the tree, other ports than the README's, and terminals that are closed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {port: str(free_port()) for port in ("8080", "9400", "9401")}
        self.terminals: list[asyncio.subprocess.Process] = []
        self.words: dict[str, str] = {}

    async def start(self, command: str) -> asyncio.subprocess.Process:
        for old, new in (*self.ports.items(), *self.words.items()):
            command = command.replace(old, new)
        return await asyncio.create_subprocess_exec(
            "sh", "-ec", command,
            cwd=self.folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    async def run(self, command: str) -> str:
        process = await self.start(command)
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, f"{command}\n{out.decode()}"
        return out.decode()

    async def terminal(self, command: str) -> asyncio.subprocess.Process:
        process = await self.start(command)
        self.terminals.append(process)
        return process

    async def line(self, process: asyncio.subprocess.Process, holding: str) -> str:
        """The next line of a terminal that holds these words."""
        assert process.stdout is not None
        seen = []
        async for raw in process.stdout:
            seen.append(raw.decode())
            if holding in seen[-1]:
                return seen[-1]
        raise AssertionError(f"no {holding!r} in:\n{''.join(seen)}")

    async def close(self) -> None:
        for process in self.terminals:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGTERM)
            await process.communicate()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands use curl")
async def test_five_minutes_word_by_word(tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    connector = tmp_path / "examples/mailhub/connectors/mailhub/connector.toml"
    for old, new in walk.ports.items():
        connector.write_text(connector.read_text().replace(old, new))
    # Step 1, the installation, is `make test`'s own: the environment that runs this test stands for it.
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    install, mailhub, configure, serve, ask, follow, record = commands()
    assert "pip install" in install
    try:
        public = f"--public-url http://127.0.0.1:{walk.ports['8080']} --port {walk.ports['9400']}"
        hub = await walk.terminal(f"exec {mailhub.strip()} {public} --api-port {walk.ports['9401']}")
        await walk.line(hub, "redirect URI")
        out = await walk.run(configure)
        walk.words["jat_agt_..."] = str(re.search(r"jat_agt_\w+", out)[0])  # type: ignore[index]  # it is printed
        config = tmp_path / "try" / "config.toml"
        config.write_text(config.read_text().replace(":8080", f":{walk.ports['8080']}"))
        service_terminal = await walk.terminal("exec " + serve.strip())
        await walk.line(service_terminal, "listens")
        execution = json.loads(await walk.run(ask))
        assert execution["status"] == "paused", execution
        waiting = {item["kind"]: item for item in execution["waiting_for"]}
        assert set(waiting) == {"consent", "approval"}
        walk.words["exe_..."] = execution["id"]
        approve = await walk.line(service_terminal, "approve " + waiting["approval"]["id"])
        async with person.Browser() as browser:
            await person.consent(browser, waiting["consent"]["url"], service.ALICE.email, service.ALICE.password)
            await person.approve(browser, approve.split()[-1], ["carol@example.net", "Tuesday at ten is fine."])
        token = f"TOKEN={walk.words['jat_agt_...']}\n"
        done = json.loads(await walk.run(token + follow))
        assert (done["status"], done["result"]["status"]) == ("succeeded", 201), done
        again = json.loads(await walk.run(ask))
        assert (again["id"], again["status"]) == (execution["id"], "succeeded")
        read = re.sub(
            r'"action".*"reason": "[^"]*"',
            '"action": "mailhub.list_messages", "user": "me@example.com"',
            ask,
            flags=re.S,
        )
        read = json.loads(await walk.run(read.replace("first-steps", "second")))
        assert [(item["kind"], item["missing_scopes"]) for item in read["waiting_for"]] == [("consent", ["mail.read"])]
        trail = await walk.run(record)
        assert "whole" in trail.splitlines()[-1]
    finally:
        await walk.close()

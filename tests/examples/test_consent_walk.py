"""MailHub's walk, word by word: an account of the user's, with the consent and the approval played."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from examples.demo import person
from examples.mailhub import service
from tests.examples.walk import ROOT, Walk, blocks


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands use curl")
async def test_a_users_account_word_by_word(tmp_path: Path) -> None:
    walk = Walk(tmp_path, ("8080", "9400", "9401"))
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    walk.move(tmp_path / "examples/mailhub/connectors/mailhub/connector.toml")
    install, mailhub, configure, serve, ask, follow, record = [
        block.text for block in blocks("examples/mailhub/README.md") if block.language == "sh"
    ]
    assert "pip install" in install
    try:
        public = f"--public-url http://127.0.0.1:{walk.ports['8080']} --port {walk.ports['9400']}"
        hub = await walk.terminal(f"exec {mailhub.strip()} {public} --api-port {walk.ports['9401']}")
        await walk.line(hub, "redirect URI")
        out = await walk.run(configure)
        walk.words["jat_agt_..."] = str(re.search(r"jat_agt_\w+", out)[0])  # type: ignore[index]  # it is printed
        walk.move(tmp_path / "try" / "config.toml")
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

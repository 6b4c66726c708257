"""The README's fifteen minutes, word by word in an empty folder: a call of an own API, and an own function."""

from __future__ import annotations

import re
from pathlib import Path

from examples.demo import person
from tests.examples.walk import Block, Walk, blocks

HEADING = "Fifteen minutes: your own API and your own function"
INSTALLED = re.compile(r"^(python3 -m venv .venv|.venv/bin/pip install ./jit_auth)\n", re.MULTILINE)


def commands(page: list[Block]) -> list[str]:
    return [block.text.strip() for block in page if block.language == "sh"]


async def test_fifteen_minutes_word_by_word(tmp_path: Path) -> None:
    page = blocks("README.md", HEADING)
    walk = Walk(tmp_path, ("8080", "9000"))
    install, configure, api, serve, run, record = commands(page)
    files = {block.file: block for block in page if block.file}
    assert list(files) == ["api.py", "connectors/house/connector.toml", "agent.py"]
    rest, installed = INSTALLED.subn("", install + "\n")
    assert installed == 2
    try:
        printed = await walk.run(rest)
        walk.words["jat_agt_..."] = str(re.search(r"jat_agt_\w+", printed)[0])  # type: ignore[index]  # it is printed
        for block in files.values():
            walk.write(block)
        walk.move(tmp_path / "config.toml")
        assert (await walk.run(configure)).splitlines() == ["ok"]
        house = await walk.terminal("exec " + api)
        service = await walk.terminal("exec " + serve)
        await walk.line(service, "listens")
        agent = await walk.terminal(run)
        assert await walk.line(agent, "") == "paused Refund 40 of 2026-117\n"

        await decide(await walk.line(service, "approve apr_"), ["Refund 40 of 2026-117", '{"amount":40}', "never came"])
        assert await walk.line(agent, "") == "{'refunded': 40}\n"
        await decide(await walk.line(service, "approve apr_"), ["Restart worker", '{"service":"worker"}'])
        assert await walk.rest(agent) == "restarting worker\nworker is back\n"

        again = await walk.run(run)
        assert again.splitlines() == ["succeeded Refund 40 of 2026-117", "{'refunded': 40}", "worker is back"]
        trail = (await walk.run(record)).splitlines()
        assert len([line for line in trail if " vote " in line]) == 2
        assert "whole" in trail[-1]
        assert (await walk.stop(house)).count("POST /invoices/2026-117/refunds") == 1
        assert "approve apr_" not in await walk.stop(service)
    finally:
        await walk.close()


async def decide(line: str, expected: list[str]) -> None:
    """Be the user: open the link that `serve` printed, read the page, press its button."""
    word, _, who, link = line.split()
    assert (word, who) == ("approve", "me@example.com")
    async with person.Browser() as browser:
        await person.approve(browser, link, [*expected, "Money and machines: a person looks first"])

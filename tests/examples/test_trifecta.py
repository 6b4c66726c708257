"""The injected agent of examples/trifecta is stopped, and its rules do what its page says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from examples.demo.agent import Execution, JitAuth
from examples.demo.world import World
from examples.trifecta.__main__ import ALICE, THIEF, run
from examples.trifecta.agent import assist

FOLDER = Path(__file__).parents[2] / "examples" / "trifecta"


def tell(execution: Execution) -> None:
    raise AssertionError(f"nobody has to be asked for {execution['summary']}")


async def test_the_mail_that_gives_orders_is_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    async with World.running(FOLDER / "policies.toml") as world:
        read, sent = await run(world)
        assert (read["status"], read["action"]) == ("succeeded", "mailhub.list_messages")
        assert (sent["status"], sent["params"]["to"]) == ("denied", [THIEF])
        assert sent["decision"]["rules"] == ["trifecta"]
        assert sent["task"] == {"id": "task-1", "title": "Sum up my mail"}
        assert world.hub.api.sent == []
        code, out = await world.command("policy", "test")
        assert code == 0, out
        # The same agent in a task of its own that has read nothing sends by itself: the rule is about what came before.
        jit = JitAuth(world.url, world.token)
        letter = {"to": ["carol@example.net"], "subject": "Tuesday", "body": "At ten."}
        free = await asyncio.to_thread(
            lambda: jit.execute("mailhub.send_message", user=ALICE, params=letter, key="free", task={"id": "task-2"})
        )
        assert free["decision"]["rules"] == ["sending"]
        # And an agent that leaves its task out is asked as if it had read everything.
        bare = await asyncio.to_thread(
            lambda: jit.execute("mailhub.send_message", user=ALICE, params=letter, key="bare")
        )
        assert bare["decision"]["rules"] == ["trifecta"]
    told = capsys.readouterr().out
    assert "bo reads it, and denies it" in told
    assert "MailHub has sent 0 mails" in told


def test_an_agent_without_a_prompt_about_mail_reads_none() -> None:
    assert assist(JitAuth("http://127.0.0.1:1", "t"), ALICE, "What is the time?", "t", tell) == []


def test_the_agent_is_short() -> None:
    assert len((FOLDER / "agent.py").read_text().splitlines()) < 60

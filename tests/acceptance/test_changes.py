"""Files that change while calls are paused: what was decided before is decided anew, and what was answered stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance import files
from tests.acceptance.kit import Answer, Service, World, until

Own = Callable[..., Service]
ANA = "ana@example.com"
DENY = '\n[[rule]]\nid = "closed"\nmatch = ["echo.say"]\neffect = "deny"\n'


def test_a_key_gives_its_execution_whatever_the_rules_say_now(own: Own, world: World, person: str) -> None:
    service = own().start()
    key = {"Idempotency-Key": "kept"}
    first = service.agent.execute("echo.say", person, key, params={"text": "x"})
    service.end()
    service.write("policies.toml", files.POLICIES + DENY)
    service.start()
    assert service.agent.execute("echo.say", person, params={"text": "x"}).status == 403
    again = service.agent.execute("echo.say", person, key, params={"text": "x"})
    assert (again.status, again.json) == (200, first.json)


def sending(service: Service, world: World, person: str) -> tuple[dict[str, Any], str, str]:
    """(execution, approval id, consent link): Ana has approved, the consent is missing."""
    answer = service.agent.execute("mailhub.send_message", person, params={"to": ["a@example.com"], "subject": person})
    items = {item["kind"]: item for item in answer.json["waiting_for"]}
    assert service.vote(service.link(items["approval"]["id"], ANA)).status == 200
    return answer.json, items["approval"]["id"], items["consent"]["url"]


def test_another_destination_voids_the_approval(own: Own, world: World, person: str) -> None:
    service = own().start()
    told, approval, consent = sending(service, world, person)
    service.end()
    moved = files.mailhub(world).replace(f'base_url = "{world.mail.url}"', f'base_url = "{world.upstream.url}/moved"')
    service.write("connectors/mailhub/connector.toml", moved)
    service.start()
    world.consent(consent, user=person.partition("@")[0])

    def asked() -> dict[str, Any] | None:
        items = service.agent.get(f"/executions/{told['id']}").json["waiting_for"]
        return next((item for item in items if item["kind"] == "approval" and item["id"] != approval), None)

    fresh = until(asked)
    assert not world.upstream.of("/moved/messages")
    now = service.agent.get(f"/executions/{told['id']}").json
    assert now["digest"] != told["digest"]
    link = service.link(fresh["id"], ANA)
    assert "/moved/messages" in service.anyone.get(link, Accept="text/html").body.decode()
    assert service.vote(link).status == 200
    done = service.agent.settled(told)
    assert (done["status"], done["digest"]) == ("succeeded", now["digest"])
    assert len(world.upstream.of("/moved/messages")) == 1


@pytest.mark.parametrize(
    ("change", "to"),
    [
        ('"mailhub.*", "mailhub.delete_everything", "echo.*"', '"mailhub.*", "mailhub.delete_everything", "echo.say"'),
        ('users = ["*"]', 'users = ["nobody@example.com"]'),
    ],
    ids=["action", "user"],
)
def test_what_the_agent_may_no_longer_do_is_not_sent(own: Own, world: World, person: str, change: str, to: str) -> None:
    service = own().start()
    told = service.agent.execute("echo.ask", person, params={"text": person}).json
    link = service.link(told["waiting_for"][0]["id"], ANA)
    service.end()
    assert change in files.CONFIG
    service.write("config.toml", files.CONFIG.replace(change, to, 1))
    service.start()
    vote: Answer = service.vote(link)
    assert vote.status < 500, vote.body
    done = service.agent.settled(told)
    assert (done["status"], bool(done["error"]["code"])) == ("denied", True), done
    assert not [seen for seen in world.upstream.of("/v1/say") if person.encode() in seen.body]


def test_an_agent_that_is_gone_sends_nothing(own: Own, world: World) -> None:
    service = own().start()
    params = {"to": ["a@example.com"], "subject": "gone"}
    told = service.other.execute("mailhub.send_message", "zed@example.com", params=params).json
    items = {item["kind"]: item for item in told["waiting_for"]}
    link = service.link(items["approval"]["id"], ANA)
    service.end()
    start, end = files.CONFIG.index("[agents.otherbot]"), files.CONFIG.index("[users]")
    service.write("config.toml", files.CONFIG[:start] + files.CONFIG[end:])
    service.start()
    assert service.other.get(f"/executions/{told['id']}").status == 401
    assert service.vote(link).status < 500
    page = service.anyone.get(items["consent"]["url"])
    assert page.status < 500
    assert not [message for message in world.mail.messages if message.get("subject") == "gone"]


def test_a_connector_that_is_gone_breaks_nothing(own: Own, world: World, person: str) -> None:
    service = own().start()
    told = service.agent.execute("echo.ask", person, params={"text": "x"}).json
    say = service.agent.execute("echo.say", person, params={"text": "x"}).json
    link = service.link(told["waiting_for"][0]["id"], ANA)
    service.end()
    (service.folder / "connectors/echo/connector.toml").unlink()
    (service.folder / "connectors/echo").rmdir()
    rules = files.POLICIES[: files.POLICIES.index('[[rule]]\nid = "reads"')]
    service.write("policies.toml", rules + '[[rule]]\nid = "all"\nmatch = ["mailhub.*"]\neffect = "allow"\n')
    service.start()
    read = service.agent.get(f"/executions/{say['id']}").json
    # The template of the summary went with its file.
    assert {**read, "summary": None} == {**say, "summary": None}
    assert len(service.agent.get("/executions").json["items"]) == 2
    for answer in (service.anyone.get(link, Accept="text/html"), service.vote(link)):
        assert 400 <= answer.status < 500, answer.body
    now = service.agent.get(f"/executions/{told['id']}?wait=2")
    assert now.status == 200
    assert now.json["status"] in ("paused", "denied", "failed")
    assert service.agent.post(f"/executions/{told['id']}/cancel").status in (200, 409)

"""What becomes of tokens and of calls: refresh, refusals by the API, scopes that are missing after all."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance import files
from tests.acceptance.kit import Service, World
from tests.acceptance.test_consent import asked, connected, straight, user_of  # noqa: F401  (straight: a fixture)

pytestmark = pytest.mark.usefixtures("straight")


def expired_soon(world: World) -> None:
    world.provider.odd.expires_in = 1


def test_refresh_rotation_and_what_breaks_a_grant(service: Service, world: World, person: str) -> None:
    expired_soon(world)
    connected(service, world, person)
    refreshes = world.provider.counts["refresh_token"]
    time.sleep(1.0)  # the provider's own clock: the token is dead afterwards
    world.provider.odd.expires_in = 3600
    assert service.agent.execute("mailhub.list_messages", person).json["status"] == "succeeded"
    assert world.provider.counts["refresh_token"] == refreshes + 1
    assert service.agent.execute("mailhub.list_messages", person).json["status"] == "succeeded"
    assert world.provider.counts["refresh_token"] == refreshes + 1
    # Dead at the provider: a 401, one forced refresh, invalid_grant: the next call asks for consent.
    for family in world.provider.families:
        if family.user == user_of(person):
            family.live = False
    answer = service.agent.execute("mailhub.list_messages", person)
    if answer.json["status"] != "paused":
        assert answer.json["status"] == "failed", answer.body
        answer = service.agent.execute("mailhub.list_messages", person)
    told, item = service.paused(answer, "consent")
    counted = world.provider.counts["refresh_token"]
    service.agent.execute("mailhub.list_messages", person)
    assert world.provider.counts["refresh_token"] == counted, "not refreshed again"
    world.consent(item["url"], user=user_of(person))
    assert service.agent.settled(told)["status"] == "succeeded"


def test_an_outage_of_the_token_endpoint_is_no_consent_item(service: Service, world: World, person: str) -> None:
    expired_soon(world)
    connected(service, world, person)
    world.provider.odd.expires_in = 3600
    time.sleep(1.0)
    world.provider.faults += [(500, "application/json", '{"error":"invalid_grant"}'), (200, "text/html", "<h1>Oops")]
    answer = service.agent.execute("mailhub.list_messages", person, {"Prefer": "wait=0"})
    assert answer.json["status"] == "executing"
    assert service.agent.settled(answer.json, 12)["status"] == "succeeded", "retried after 1 s and 2 s"
    assert not world.provider.faults


def test_invalid_client_is_a_fault_of_the_configuration(service: Service, world: World, person: str) -> None:
    expired_soon(world)
    connected(service, world, person)
    world.provider.odd.expires_in = 3600
    time.sleep(1.0)
    world.provider.faults += [(401, "application/json", '{"error":"invalid_client"}')]
    told = service.agent.execute("mailhub.list_messages", person).json
    assert (told["status"], told["error"]["code"]) == ("failed", "provider_misconfigured")
    assert service.agent.execute("mailhub.list_messages", person).json["status"] == "succeeded"


def test_401_forces_one_refresh(service: Service, world: World, person: str) -> None:
    connected(service, world, person)
    for faults, expected in ((["401"], "succeeded"), (["401", "401"], "failed"), (["401-bare"], "succeeded")):
        world.mail.faults += faults
        calls = world.mail.counts["GET"]
        told = service.agent.execute("mailhub.list_messages", person).json
        assert told["status"] == expected, (faults, told)
        assert world.mail.counts["GET"] == calls + 2


def test_401_of_a_write(service: Service, world: World, person: str) -> None:
    def send(fault: str) -> tuple[dict[str, Any], int]:
        answer = service.agent.execute(
            "mailhub.send_message", person, params={"to": ["a@example.com"], "subject": fault}
        )
        for item in answer.json["waiting_for"]:
            if item["kind"] == "approval":
                service.vote(service.link(item["id"], "ana@example.com")) if not world.mail.faults else None
        return answer.json, world.mail.counts["POST"]

    connected(service, world, person)
    first, _ = send("consent")
    item = next(
        item
        for item in service.agent.get(f"/executions/{first['id']}").json["waiting_for"]
        if item["kind"] == "consent"
    )
    world.consent(item["url"], user=user_of(person))
    assert service.agent.settled(first)["status"] == "succeeded"
    for fault, expected, calls in (("401", "succeeded", 2), ("401-bare", "failed", 1)):
        before = world.mail.counts["POST"]
        told = service.agent.execute(
            "mailhub.send_message", person, params={"to": ["a@example.com"], "subject": fault}
        ).json
        world.mail.faults.append(fault)
        service.vote(service.link(told["waiting_for"][0]["id"], "ana@example.com"))
        assert service.agent.settled(told)["status"] == expected, fault
        assert world.mail.counts["POST"] == before + calls


def test_403_insufficient_scope_pauses_for_consent_once(service: Service, world: World, person: str) -> None:
    connected(service, world, person)
    for family in world.provider.families:
        if family.user == user_of(person):
            family.scopes = ("offline_access",)  # withdrawn at the provider
    told = service.agent.execute("mailhub.list_messages", person).json
    assert told["status"] == "paused", told
    assert told["waiting_for"][0]["missing_scopes"] == ["mail.read"]
    calls = world.mail.counts["GET"]
    world.mail.faults += ["403-bare"]
    world.consent(told["waiting_for"][0]["url"], user=user_of(person))
    done = service.agent.settled(told)
    assert (done["status"], done["result"]["status"]) == ("failed", 403), "a bare 403 is an answer"
    assert world.mail.counts["GET"] == calls + 1


def test_an_echoed_credential_is_scrubbed(service: Service, world: World, person: str) -> None:
    connected(service, world, person)
    token = next(family.access for family in reversed(world.provider.families) if family.user == user_of(person))
    world.mail.faults.append("echo")
    answer = service.agent.execute("mailhub.list_messages", person)
    assert (answer.status, answer.json["status"]) == (200, "succeeded")
    text = answer.body.decode()
    for hidden in (token, quote(token, safe=""), base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")):
        assert hidden not in text
    for shift in range(3):
        coded = base64.b64encode(b" " * shift + f"Bearer {token}".encode()).decode()
        assert coded[8:-8] not in text


def test_insufficient_scope_naming_another_scope_pauses_for_it(service: Service, world: World, person: str) -> None:
    """Here the provider wants a scope that the connector did not list."""
    connected(service, world, person)
    world.mail.faults.append("403")  # insufficient_scope, scope="mail.send"
    told = service.agent.execute("mailhub.list_messages", person).json
    assert told["status"] == "paused", told
    assert "mail.send" in told["waiting_for"][0]["missing_scopes"]


def test_all_that_one_consent_resumes_is_sent_once(service: Service, world: World, person: str) -> None:
    calls = [asked(service, person, "shared.write", params={"n": n}) for n in range(3)]
    before = len(world.upstream.of("/shared/write"))
    world.consent(calls[0][1]["url"], user=user_of(person))
    assert [service.agent.settled(told)["status"] for told, _ in calls] == ["succeeded"] * 3
    assert len(world.upstream.of("/shared/write")) == before + 3
    reads = [asked(service, "r-" + person, "shared.read", params={"q": str(n)}) for n in range(3)]
    before = len(world.upstream.of("/shared/read"))
    world.consent(reads[0][1]["url"], user="r-" + user_of(person))
    assert [service.agent.settled(told)["status"] for told, _ in reads] == ["succeeded"] * 3
    assert len(world.upstream.of("/shared/read")) == before + 3


def test_userinfo_takes_a_bearer_token_whatever_the_api_takes(
    own: Callable[..., Service], world: World, person: str
) -> None:
    """Here the API takes the token in the query, and userinfo as RFC 6750 has it."""
    text = files.shared_provider(world).replace(
        "scope_separator", f'userinfo_url = "{world.provider.url}/me"\nscope_separator'
    )
    service = own({"connectors/corp/provider.toml": text}).start()
    told, item = asked(service, person, "shared.read")
    world.consent(item["url"], user=user_of(person))
    assert service.agent.settled(told, 5)["status"] == "succeeded"

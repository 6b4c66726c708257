"""What needs a world of its own: a real OAuth server, accounts in URLs, shared consent, many callers at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.acceptance import files
from tests.acceptance.kit import Answer, Service, World, until
from tests.fakes.browser import Browser
from tests.fakes.provider_dot import DotProvider

Own = Callable[..., Service]
ANA = "ana@example.com"


@pytest.fixture(scope="module")
def dot() -> Iterator[DotProvider]:
    with DotProvider.start() as made:
        yield made


def on_dot(world: World, dot: DotProvider) -> dict[str, str]:
    """That connector, with this server's places."""
    text = (
        files.mailhub(world)
        .replace(world.mail.url, dot.url + "/v1")
        .replace(f'issuer = "{world.provider.url}"', f'issuer = "{dot.url}"')
    )
    for key, url in (
        ("authorize_url", dot.authorize_url),
        ("token_url", dot.token_url),
        ("revoke_url", dot.revoke_url),
        ("userinfo_url", dot.userinfo_url),
    ):
        old = next(line for line in text.splitlines() if line.startswith(key))
        text = text.replace(old, f'{key} = "{url}"')
    return {"connectors/mailhub/connector.toml": text}


def test_a_real_oauth_server(own: Own, world: World, dot: DotProvider) -> None:
    service = own(on_dot(world, dot))
    dot.client("odd", world.provider.client_secret, f"{service.url}/oauth/callback/mailhub")
    service.start()
    user = "alice@example.com"
    params = {"to": ["x@example.com"], "subject": "hello", "body": "there"}
    told = service.agent.execute("mailhub.send_message", user, params=params).json
    items = {item["kind"]: item for item in told["waiting_for"]}
    assert service.vote(service.link(items["approval"]["id"], ANA)).status == 200

    async def refuse_then_allow(browser: Browser) -> int:
        # Sign-in on another origin, then one scope unticked: partly granted; then all.
        page = await browser.connect(items["consent"]["url"], user=user, untick=["mail.send"])
        assert "mail.send" in page.text or "Send e-mail" in page.text
        now = service.agent.get(f"/executions/{told['id']}").json
        assert now["status"] == "paused"
        again = await browser.connect(now["waiting_for"][0]["url"], user=user)
        return again.status

    assert world.browse(refuse_then_allow) == 200
    done = service.agent.settled(told)
    assert (done["status"], done["result"]["status"]) == ("succeeded", 201), done
    listed = service.agent.execute("mailhub.list_messages", user)
    if listed.status == 202:
        world.consent(listed.json["waiting_for"][0]["url"], user=user)
        listed = service.agent.get(f"/executions/{service.agent.settled(listed.json)['id']}")
    assert listed.json["result"]["body"]["messages"][0]["subject"] == "hello"

    # Refused: django-oauth-toolkit sends no `iss` with a denial.
    bob = service.agent.execute("mailhub.list_messages", "bob@example.com").json
    world.consent(bob["waiting_for"][0]["url"], user="bob@example.com", deny=True)
    refused = service.agent.settled(bob)
    assert (refused["status"], refused["error"]["code"]) == ("denied", "consent_refused")


def test_24_callers_on_one_expired_token(service: Service, world: World, person: str) -> None:
    """Refresh tokens rotate, and a second use of one ends them all."""
    world.provider.odd.expires_in = 1
    told = service.agent.execute("mailhub.list_messages", person).json
    world.consent(told["waiting_for"][0]["url"], user=person.partition("@")[0])
    assert service.agent.settled(told)["status"] == "succeeded"
    world.provider.odd.expires_in = 3600
    time.sleep(1.0)  # until the token has run out
    refreshes = world.provider.counts["refresh_token"]
    answers: list[Answer] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(service.agent.execute("mailhub.list_messages", person, {"Prefer": "wait=20"}))
        )
        for _ in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [(answer.status, answer.json["status"]) for answer in answers] == [(200, "succeeded")] * 24
    assert world.provider.counts["refresh_token"] == refreshes + 1


def test_an_account_in_the_url(own: Own, world: World, person: str) -> None:
    text = files.mailhub(world).replace(world.mail.url, world.upstream.url + "/of/{account.id}")
    service = own({"connectors/mailhub/connector.toml": text}).start()
    answer = service.agent.execute("mailhub.send_message", person, params={"to": ["a@example.com"], "subject": "x"})
    assert [item["kind"] for item in answer.json["waiting_for"]] == ["consent"], (
        "asked first: the destination is not known"
    )
    user = person.partition("@")[0]
    world.consent(answer.json["waiting_for"][0]["url"], user=user)

    def asked() -> dict[str, Any] | None:
        items = service.agent.get(f"/executions/{answer.json['id']}").json["waiting_for"]
        return next((item for item in items if item["kind"] == "approval"), None)

    link = service.link(until(asked)["id"], ANA)
    assert f"/of/odd-{user}/messages" in service.anyone.get(link, Accept="text/html").body.decode()
    assert service.vote(link).status == 200
    assert service.agent.settled(answer.json)["status"] == "succeeded"
    assert world.upstream.seen[-1].target == f"/of/odd-{user}/messages"


def test_shared_consent_counts_for_all_agents(own: Own, world: World) -> None:
    service = own({"config.toml": files.CONFIG.replace('consent = "agent"', 'consent = "shared"')}).start()
    told = service.agent.execute("mailhub.list_messages", "zed@example.com").json
    world.consent(told["waiting_for"][0]["url"], user="shared-zed")
    assert service.agent.settled(told)["status"] == "succeeded"
    assert service.other.execute("mailhub.list_messages", "zed@example.com").json["status"] == "succeeded"


def test_one_agents_consent_resumes_no_other_agents_calls(own: Own, world: World) -> None:
    service = own().start()
    mine = service.agent.execute("mailhub.list_messages", "zed@example.com").json
    others = service.other.execute("mailhub.list_messages", "zed@example.com").json
    world.consent(mine["waiting_for"][0]["url"], user="one-zed")
    assert service.agent.settled(mine)["status"] == "succeeded"
    now = service.other.get(f"/executions/{others['id']}?wait=1").json
    assert now["status"] == "paused"
    assert now["waiting_for"][0]["kind"] == "consent"


def test_a_digest_given_with_a_vote_is_compared(service: Service, person: str) -> None:
    told = service.agent.execute("echo.ask", person, params={"text": "x"}).json
    link = service.link(told["waiting_for"][0]["id"], ANA)
    other = service.vote(link, digest="sha256:" + "0" * 64)
    assert (other.status, bool(other.code)) == (409, True)
    assert service.agent.get(f"/executions/{told['id']}").json["status"] == "paused"
    assert service.vote(link, digest=told["digest"]).status == 200


def test_retry_after_of_a_503_and_senseless_ones(service: Service, world: World, person: str) -> None:
    world.upstream.tell("/v1/look", (503, {"Retry-After": "1"}, b""))
    assert service.agent.execute("echo.look", person, {"Prefer": "wait=10"}).json["status"] == "succeeded"
    for headers in ({}, {"Retry-After": "soon"}, {"Retry-After": "-5"}):
        world.upstream.tell("/v1/look", (429, headers, b""))
        told = service.agent.execute("echo.look", person).json
        assert (told["status"], told["result"]["status"]) == ("failed", 429), headers


def test_a_file_elsewhere_and_hosts_by_default(own: Own, world: World, tmp_path: Any, person: str) -> None:
    text = files.mailhub(world).replace('hosts = ["127.0.0.1"]\n', "").replace(f'issuer = "{world.provider.url}"\n', "")
    path = tmp_path / "deep" / "state.db"
    path.parent.mkdir()
    config = files.CONFIG.replace("sqlite:///jit-auth.db", f"sqlite:///{path}")
    service = own({"connectors/mailhub/connector.toml": text, "config.toml": config}).start()
    told = service.agent.execute("mailhub.list_messages", person).json
    world.consent(told["waiting_for"][0]["url"], user=person.partition("@")[0])
    assert service.agent.settled(told)["status"] == "succeeded"
    assert path.exists()


def test_metadata_names_what_the_file_leaves_out(service: Service, world: World, person: str) -> None:
    told = service.agent.execute("public.read", person).json
    page = service.anyone.form(told["waiting_for"][0]["url"], {}, Origin=service.url)
    query = parse_qs(urlsplit(page.headers["refresh"].partition("url=")[2]).query)
    assert query["client_id"] == ["public"]
    assert query["redirect_uri"] == [service.url + "/oauth/callback/public"]

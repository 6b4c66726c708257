"""GET and POST /connect/{ticket}, GET /oauth/callback/{provider}, and what tokens do afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.acceptance.kit import Answer, Http, Service, World
from tests.fakes.browser import Browser
from tests.fakes.provider_odd import Oddities


@pytest.fixture(autouse=True)
def straight(world: World) -> Iterator[None]:
    """The provider is itself again after each test."""
    yield
    world.provider.odd = Oddities()
    world.provider.faults.clear()
    world.mail.faults.clear()


def user_of(person: str) -> str:
    return person.partition("@")[0]


def asked(
    service: Service, person: str, action: str = "mailhub.list_messages", **more: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    return service.paused(service.agent.execute(action, person, **more), "consent")


def connected(
    service: Service, world: World, person: str, action: str = "mailhub.list_messages", **more: Any
) -> dict[str, Any]:
    told, item = asked(service, person, action)
    page = world.consent(item["url"], user=user_of(person), **more)
    assert page.status == 200, page.text
    return service.agent.settled(told)


def check_headers(answer: Answer) -> None:
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "no-store" in answer.headers["cache-control"]


def test_the_item_and_its_page(service: Service, person: str) -> None:
    told, item = asked(service, person, reason="Look \u202e for \u200b news")
    assert set(item) >= {"kind", "provider", "missing_scopes", "new_agent", "url", "expires_at"}
    assert (item["provider"], item["new_agent"]) == ("mailhub", False)
    assert "mail.read" in item["missing_scopes"]
    assert item["expires_at"] == told["expires_at"], "a consent is open as long as the execution"
    for _ in range(3):
        page = service.anyone.get(item["url"] + "?utm_source=mail", Accept="text/html")
        assert page.status == 200
        check_headers(page)
        text = page.body.decode()
        for word in ("mailbot", "MailHub", "List messages", "Read your e-mail", person, "acceptance"):
            assert word in text, word
        assert "\u202e" not in text
        assert "\u200b" not in text
        assert "set-cookie" not in page.headers
    assert service.agent.get(f"/executions/{told['id']}").json == told


def test_the_post_binds_the_browser_and_goes_on_by_refresh(service: Service, world: World, person: str) -> None:
    _, item = asked(service, person)
    page = service.anyone.form(item["url"], {}, Origin=service.url)
    assert page.status == 200
    check_headers(page)
    kind, _, url = page.headers["refresh"].partition(";")
    assert kind.strip() == "0"
    url = url.strip().removeprefix("url=").strip("'\"")
    assert url.replace("&", "&amp;").encode() in page.body, "a visible link too"
    query = parse_qs(urlsplit(url).query)
    assert url.startswith(world.provider.url + "/authorize?")
    assert query["response_type"] == ["code"]
    assert query["client_id"] == ["odd"]
    assert query["redirect_uri"] == [service.url + "/oauth/callback/mailhub"]
    assert query["code_challenge_method"] == ["S256"]
    assert query["access_type"] == ["offline"]
    assert set(query["scope"][0].split(" ")) == {"mail.read", "offline_access"}
    assert len(query["state"][0]) >= 22
    cookie = page.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    again = service.anyone.form(item["url"], {}, Origin=service.url)
    other = parse_qs(urlsplit(again.headers["refresh"].partition("url=")[2]).query)
    assert other["state"] != query["state"]
    assert other["code_challenge"] != query["code_challenge"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_foreign_origin_is_refused(service: Service, person: str, origin: str) -> None:
    told, item = asked(service, person)
    answer = service.anyone.form(item["url"], {}, Origin=origin)
    assert answer.status == 403
    assert "refresh" not in answer.headers
    assert service.agent.get(f"/executions/{told['id']}").json["status"] == "paused"


def test_consent_resumes_what_it_unblocks(service: Service, world: World, person: str) -> None:
    first, item = asked(service, person)
    second, _ = asked(service, person, "mailhub.search", params={"q": "x"})
    page = world.consent(item["url"], user=user_of(person))
    assert page.status == 200
    assert page.url.startswith(service.url)
    for told in (first, second):
        done = service.agent.settled(told)
        assert done["status"] == "succeeded", done
        assert done["result"]["body"] == {"messages": []}
    assert service.agent.execute("mailhub.list_messages", person).json["status"] == "succeeded"


def test_it_goes_to_return_url(service: Service, world: World, person: str) -> None:
    told, item = asked(service, person, return_url="http://127.0.0.1:9000/back?x=1")

    async def play(browser: Browser) -> str:
        await browser.get(item["url"])
        await browser.submit()
        try:
            await browser.consent(user=user_of(person))
        except Exception:  # nothing listens on 9000
            return browser.trail[-1]
        return browser.page.headers.get("Refresh", "") + browser.page.html

    where = world.browse(play)
    assert "http://127.0.0.1:9000/back?" in where
    assert service.agent.settled(told)["status"] == "succeeded"


def test_refused_is_denied(service: Service, world: World, person: str) -> None:
    told, item = asked(service, person)
    page = world.consent(item["url"], user=user_of(person), deny=True)
    assert "Denied. Nothing is sent." in page.text
    assert "goes on" not in page.text
    done = service.agent.settled(told)
    assert (done["status"], done["error"]["code"]) == ("denied", "consent_refused")
    assert service.anyone.get(item["url"]).status in (409, 410)


def test_a_no_on_our_own_page_is_told_as_one(service: Service, person: str) -> None:
    told, item = asked(service, person)
    page = service.anyone.form(item["url"], {"decision": "refuse"}, Origin=service.url)
    assert (page.status, b"Denied. Nothing is sent." in page.body, b"goes on" in page.body) == (200, True, False)
    assert service.agent.settled(told)["status"] == "denied"


def test_partly_granted_stays_paused_with_a_fresh_link(service: Service, world: World, person: str) -> None:
    told, item = asked(service, person, "shared.read")
    page = world.consent(item["url"], user=user_of(person), untick=["b.read"])
    assert page.status == 200
    assert "b.read" in page.text
    now = service.agent.get(f"/executions/{told['id']}").json
    assert now["status"] == "paused"
    fresh = now["waiting_for"][0]
    assert fresh["missing_scopes"] == ["b.read"]
    assert fresh["url"] != item["url"]
    assert service.anyone.get(fresh["url"]).status == 200
    world.consent(fresh["url"], user=user_of(person))
    assert service.agent.settled(told)["status"] == "succeeded"


def test_another_error_stays_paused_and_is_shown(service: Service, world: World, person: str) -> None:
    told, item = asked(service, person)

    async def play(browser: Browser) -> int:
        await browser.get(item["url"])
        await browser.submit()
        state = parse_qs(urlsplit(browser.page.url).query)["state"][0]
        page = await browser.get(
            f"{service.url}/oauth/callback/mailhub?error=server_error&state={state}&iss={world.provider.url}&x=unknown"
        )
        assert "server_error" in page.text
        return page.status

    world.browse(play)
    now = service.agent.get(f"/executions/{told['id']}").json
    assert now["status"] == "paused"
    assert now["waiting_for"][0]["last_error"]
    assert "server_error" in str(now["waiting_for"][0]["last_error"])
    world.consent(now["waiting_for"][0]["url"], user=user_of(person))
    assert service.agent.settled(told)["status"] == "succeeded"


def refused(service: Service, world: World, told: dict[str, Any], answer: Answer) -> None:
    """A callback was refused: nothing changed, and the link that is shown works."""
    assert 400 <= answer.status < 500, answer.body
    now = service.agent.get(f"/executions/{told['id']}").json
    assert now["status"] == "paused"
    assert now["waiting_for"][0]["kind"] == "consent"
    assert service.anyone.get(now["waiting_for"][0]["url"]).status == 200


def callback(service: Service, world: World, item: dict[str, Any], person: str) -> tuple[str, str]:
    """(callback URL with a good code, Cookie header) of a round trip that was not finished."""

    async def play(browser: Browser) -> tuple[str, str]:
        await browser.get(item["url"])
        await browser.submit()
        cookie = "; ".join(
            f"{name}={value}" for name, value in browser.cookies(service.url + "/oauth/callback/mailhub").items()
        )
        assert browser._session is not None
        query = urlsplit(browser.page.url).query
        async with browser._session.post(
            browser.page.url,
            data={"username": user_of(person), "allow": "yes", "tick": ["mail.read", "offline_access"]},
            allow_redirects=False,
        ) as reply:
            assert reply.status == 302, query
            return reply.headers["Location"], cookie

    return world.browse(play)


def test_a_foreign_browser_state_or_provider_is_refused(service: Service, world: World, person: str) -> None:
    told, item = asked(service, person)
    url, cookie = callback(service, world, item, person)
    refused(service, world, told, service.anyone.get(url))
    refused(service, world, told, service.anyone.get(url, Cookie="jit_auth=x"))
    refused(service, world, told, service.anyone.get(url.replace("state=", "state=x"), Cookie=cookie))
    refused(service, world, told, service.anyone.get(url.replace("/mailhub?", "/keyed?"), Cookie=cookie))
    refused(service, world, told, service.anyone.get(url.replace("iss=http", "iss=https"), Cookie=cookie))
    base, _, query = url.partition("?")
    without = "&".join(part for part in query.split("&") if not part.startswith("iss="))
    refused(service, world, told, service.anyone.get(f"{base}?{without}", Cookie=cookie))
    refused(service, world, told, service.anyone.get(f"{service.url}/oauth/callback/mailhub"))
    assert service.anyone.get(f"{service.url}/oauth/callback/nobody?code=x&state=y").status == 404
    assert service.anyone.get(url, Cookie=cookie).status == 200, "none of this spent anything"
    assert service.agent.settled(told)["status"] == "succeeded"


def test_prefetches_change_nothing(service: Service, world: World, person: str) -> None:
    told, item = asked(service, person)
    url, cookie = callback(service, world, item, person)
    for name, value in (("Sec_Purpose", "prefetch;prerender"), ("Purpose", "prefetch"), ("X_Moz", "prefetch")):
        answer = service.anyone.get(url, Cookie=cookie, **{name: value})
        assert answer.status != 500
        assert service.agent.get(f"/executions/{told['id']}").json["status"] == "paused"
    assert service.anyone.get(url, Cookie=cookie).status == 200
    assert service.agent.settled(told)["status"] == "succeeded"


def test_a_second_run_says_so_and_spends_nothing(service: Service, world: World, person: str) -> None:
    told, item = asked(service, person)
    url, cookie = callback(service, world, item, person)
    assert service.anyone.get(url, Cookie=cookie).status == 200
    service.agent.settled(told)
    before = world.provider.counts["authorization_code"]
    again = service.anyone.get(url, Cookie=cookie)
    assert again.status < 500
    assert b"already" in again.body.lower()
    assert world.provider.counts["authorization_code"] == before
    assert service.agent.execute("mailhub.list_messages", person).json["status"] == "succeeded"
    assert service.anyone.get(item["url"]).status in (409, 410), "useless twice"
    assert service.anyone.form(item["url"], {}, Origin=service.url).status in (409, 410)


def test_unknown_tickets_are_404(service: Service) -> None:
    for path in ("/connect/jat_x", "/connect/x", "/connect/jat_Y25zXzAxbTg4NXhqbTZiMXR2OWt4YmVwdHp6OWEw" + "A" * 43):
        assert service.anyone.get(path).status == 404
        assert service.anyone.form(path, {}, Origin=service.url).status == 404


def test_a_cancelled_ones_link_is_410(service: Service, person: str) -> None:
    told, item = asked(service, person)
    service.agent.post(f"/executions/{told['id']}/cancel")
    assert service.anyone.get(item["url"]).status == 410
    assert service.anyone.form(item["url"], {}, Origin=service.url).status == 410


def test_incremental_consent_asks_the_union(service: Service, world: World, person: str) -> None:
    connected(service, world, person)
    told = service.agent.execute("mailhub.send_message", person, params={"to": ["a@example.com"], "subject": "x"})
    item = next(item for item in told.json["waiting_for"] if item["kind"] == "consent")
    assert item["missing_scopes"] == ["mail.send"]
    page = service.anyone.form(item["url"], {}, Origin=service.url)
    query = parse_qs(urlsplit(page.headers["refresh"].partition("url=")[2]).query)
    assert set(query["scope"][0].split(" ")) == {"mail.read", "mail.send", "offline_access"}


def test_consent_and_approval_are_asked_at_once(service: Service, world: World, person: str) -> None:
    answer = service.agent.execute(
        "mailhub.send_message", person, params={"to": ["a@example.com"], "subject": "hi", "body": "there"}
    )
    assert sorted(item["kind"] for item in answer.json["waiting_for"]) == ["approval", "consent"]
    approval = next(item for item in answer.json["waiting_for"] if item["kind"] == "approval")
    assert service.vote(service.link(approval["id"], "ana@example.com")).status == 200
    now = service.agent.get(f"/executions/{answer.json['id']}").json
    assert [item["kind"] for item in now["waiting_for"]] == ["consent"]
    world.consent(now["waiting_for"][0]["url"], user=user_of(person))
    done = service.agent.settled(now)
    assert (done["status"], done["result"]["status"]) == ("succeeded", 201), done
    assert done["digest"] == answer.json["digest"]
    assert {"of": user_of(person), "to": ["a@example.com"], "subject": "hi", "body": "there"} in world.mail.messages


def test_implied_scopes_are_not_asked(service: Service, world: World, person: str) -> None:
    world.provider.odd.add_scopes = ("mail.read",)  # the provider's own reading of mail.write
    connected(service, world, person, "mailhub.read_by_write")
    assert service.agent.execute("mailhub.list_messages", person).json["status"] == "succeeded"
    answer = service.agent.execute("mailhub.send_message", person, params={"to": ["a@example.com"], "subject": "x"})
    assert [item["kind"] for item in answer.json["waiting_for"]] == ["approval"]


def test_another_agent_asks_on_our_own_page(service: Service, world: World) -> None:
    person = "zed@example.com"
    connected(service, world, person)
    before = world.provider.counts["authorize"]
    told, item = service.paused(service.other.execute("mailhub.list_messages", person), "consent")
    assert (item["missing_scopes"], item["new_agent"]) == ([], True)
    page = service.anyone.get(item["url"], Accept="text/html")
    assert b"otherbot" in page.body
    done = service.anyone.form(item["url"], {}, Origin=service.url)
    assert done.status == 200
    assert "refresh" not in done.headers
    assert service.other.settled(told)["status"] == "succeeded"
    assert world.provider.counts["authorize"] == before, "without a trip to the provider"


def test_a_second_account_and_ambiguity(service: Service, world: World, person: str) -> None:
    connected(service, world, person)
    told = service.agent.execute("mailhub.send_message", person, params={"to": ["a@example.com"], "subject": "x"}).json
    item = next(item for item in told["waiting_for"] if item["kind"] == "consent")
    world.consent(item["url"], user="work-" + user_of(person))
    answer = service.agent.execute("mailhub.list_messages", person)
    assert (answer.status, answer.code) == (422, "ambiguous_account"), answer.body
    accounts = answer.json["accounts"]
    shown = {f"{user_of(person)}@example.com", f"work-{user_of(person)}@example.com"}
    assert {each for each in shown if each in str(accounts)} == shown
    for account in (f"{user_of(person)}@example.com", f"odd-{user_of(person)}"):
        chosen = service.agent.execute("mailhub.list_messages", person, account=account)
        assert (chosen.status, chosen.json["status"]) == (200, "succeeded"), chosen.body
    unknown = service.agent.execute("mailhub.list_messages", person, account="play")
    assert (unknown.status, unknown.code) == (422, "unknown_account")


def test_shared_provider_separator_post_auth_and_query(service: Service, world: World, person: str) -> None:
    world.provider.odd.separator = ","
    told, item = asked(service, person, "shared.read")
    assert item["provider"] == "corp"
    page = service.anyone.form(item["url"], {}, Origin=service.url)
    query = parse_qs(urlsplit(page.headers["refresh"].partition("url=")[2]).query)
    assert query["scope"] == ["a.read,b.read"]
    assert query["redirect_uri"] == [service.url + "/oauth/callback/corp"]
    world.consent(item["url"], user=user_of(person))
    assert service.agent.settled(told)["status"] == "succeeded"
    form = world.provider.forms[-1]
    assert (form["client_id"], form["client_secret"]) == (world.provider.client_id, world.provider.client_secret)
    seen = world.upstream.of("/shared/read")[-1]
    token = parse_qs(urlsplit(seen.target).query)["access_token"][0]
    assert world.provider.introspect(token)
    assert seen.header("Authorization") is None
    answer = service.agent.execute("shared.read", person, params={"q": "x"})
    assert parse_qs(urlsplit(world.upstream.of("/shared/read")[-1].target).query)["q"] == ["x"]
    assert token.encode() not in answer.body


@pytest.mark.parametrize("name", ["keyed", "public"])
def test_the_other_ways_of_a_client(service: Service, world: World, person: str, name: str) -> None:
    told, item = asked(service, person, f"{name}.read")
    page = world.consent(item["url"], user=user_of(person))
    assert page.status == 200, page.text
    assert service.agent.settled(told)["status"] == "succeeded"
    assert world.provider.forms[-1]["client_id"] == name
    seen = world.upstream.of(f"/{name}/read")[-1]
    token = (seen.header("X-Token") or "").removeprefix("token=") or (seen.header("Authorization") or "").removeprefix(
        "Bearer "
    )
    assert world.provider.introspect(token)
    assert (seen.header("X-Token") is None) is (name == "public")
    # A refresh authenticates the same way.
    world.upstream.tell(f"/{name}/read", (401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}, b""))
    assert service.agent.execute(f"{name}.read", person).json["status"] == "succeeded"
    assert world.provider.forms[-1]["grant_type"] == "refresh_token"


def test_a_401_that_the_connector_calls_unexecuted(service: Service, world: World, person: str) -> None:
    connected(service, world, person, "keyed.read")
    world.upstream.tell("/keyed/read", (401, {}, b""))
    assert service.agent.execute("keyed.read", person).json["status"] == "succeeded"


def test_the_page_knows_its_methods(service: Service, person: str) -> None:
    _, item = asked(service, person)
    json_post = service.anyone.post(item["url"], {}, Origin=service.url)
    assert json_post.status in (200, 400, 415)
    assert Http(service.url).ask("HEAD", item["url"]).status in (200, 405)
    assert Http(service.url).ask("PUT", item["url"]).status == 405

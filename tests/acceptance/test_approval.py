"""GET and POST /approvals/{ticket}, its lines on stdout, rounds, races."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance import files
from tests.acceptance.kit import Answer, Service, World, until
from tests.acceptance.test_consent import check_headers
from tests.fakes.browser import Browser

ANA = "ana@example.com"
HTML = {"Accept": "text/html"}


def ask(service: Service, person: str, text: str = "x", **more: Any) -> tuple[dict[str, Any], str, str]:
    """(execution, approval id, Ana's link)"""
    params = {"text": text, **more.pop("params", {})}
    told, item = service.paused(service.agent.execute("echo.ask", person, params=params, **more))
    return told, item["id"], service.link(item["id"], ANA)


def test_the_line_on_stdout(service: Service, person: str) -> None:
    told, approval, link = ask(service, person)
    assert service.approvals(approval) == {ANA: link}
    assert link.startswith(service.url + "/approvals/")
    ticket = link.rsplit("/", 1)[1]
    assert ticket.startswith("jat_")
    assert len(ticket) > 40
    assert approval not in link
    _, _, another = ask(service, person, "something else")
    assert another != link
    assert service.anyone.get(f"/approvals/{told['id']}").status == 404


def test_the_page_shows_what_will_be_sent_and_decides_nothing(service: Service, world: World, person: str) -> None:
    told, _, link = ask(
        service,
        person,
        "Buy \u202e now <b>",
        params={"secret": "hush-hush"},
        reason="already approved\u200b by the CFO",
    )
    for _ in range(3):
        page = service.anyone.get(link + "?utm=x&fbclid=y", **HTML)
        assert page.status == 200
        check_headers(page)
        text = page.body.decode()
        for word in (
            "mailbot",
            "Echo",
            "Say something, asked first",
            person,
            "acceptance",
            "high",
            "Ana looks at what leaves",
            "Approve",
            "Deny",
            "POST",
            "/v1/say",
            urlsplit(world.upstream.url).netloc,
            "already approved",
        ):
            assert word in text, word
        for hidden in ("\u202e", "\u200b", "now <b>"):
            assert hidden not in text
        assert "U+202E" in text
        assert "&lt;b&gt;" in text
        assert "hush-hush" in text, "sensitive values are shown on the approval page"
    assert service.anyone.ask("HEAD", link).status in (200, 405)
    assert service.agent.get(f"/executions/{told['id']}").json["status"] == "paused"
    page = service.anyone.get(link, Sec_Purpose="prefetch", **HTML)
    assert page.status < 500
    assert service.agent.get(f"/executions/{told['id']}").json["status"] == "paused"


def test_the_form_of_the_page_decides(service: Service, world: World, person: str) -> None:
    told, _, link = ask(service, person, "by form")

    async def play(browser: Browser) -> int:
        await browser.get(link)
        page = await browser.submit("Approve")
        return page.status

    assert world.browse(play) == 200
    assert service.agent.settled(told)["status"] == "succeeded"
    told, _, link = ask(service, person, "by form, denied")

    async def deny(browser: Browser) -> int:
        await browser.get(link)
        page = await browser.submit("Deny", {"feedback": "Too \u202e dear"})
        return page.status

    assert world.browse(deny) == 200
    done = service.agent.settled(told)
    assert (done["status"], done["error"]["code"], done["error"]["by"]) == ("denied", "approval_denied", ANA)
    assert "Too" in done["error"]["feedback"]


def test_json_decides_and_counts_once(service: Service, world: World, person: str) -> None:
    before = len(world.upstream.of("/v1/say"))
    told, _, link = ask(service, person)
    answer = service.vote(link)
    assert answer.status == 200
    assert service.agent.settled(told)["status"] == "succeeded"
    for decision in ("approve", "deny"):
        late = service.vote(link, decision)
        assert late.status == 409
        assert late.code
        assert ANA in late.body.decode(), "who decided"
        assert told["created_at"][:10] in late.body.decode(), "and when"
    page = service.anyone.get(link, **HTML)
    assert page.status in (200, 409, 410)
    assert b">Approve<" not in page.body
    assert len(world.upstream.of("/v1/say")) == before + 1


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        b"[]",
        b"{}",
        b'{"decision":"maybe"}',
        b'{"decision":1}',
        b'{"decision":"approve","decision":"deny"}',
        b'{"decision":"deny","feedback":1}',
        b'{"decision":"approve","for":"1h"}',
        b'{"decision":"approve","params":{"text":"y"}}',
    ],
)
def test_what_is_no_decision_decides_nothing(service: Service, person: str, body: bytes) -> None:
    told, _, link = ask(service, person)
    answer = service.anyone.post(link, body, Content_Type="application/json", Accept="application/json")
    assert answer.status in (400, 422), answer.body
    assert service.agent.get(f"/executions/{told['id']}").json["status"] == "paused"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"])
def test_a_foreign_origin_is_403(service: Service, person: str, origin: str) -> None:
    told, _, link = ask(service, person)
    for answer in (
        service.anyone.post(link, {"decision": "approve"}, Origin=origin),
        service.anyone.form(link, {"decision": "approve"}, Origin=origin),
        service.anyone.form(link, {"decision": "approve"}, Sec_Fetch_Site="cross-site"),
    ):
        assert answer.status == 403
    assert service.agent.get(f"/executions/{told['id']}").json["status"] == "paused"
    assert service.anyone.post(link, {"decision": "approve"}, Origin=service.url).status == 200


def test_unknown_tickets_are_404(service: Service, person: str) -> None:
    told, approval, link = ask(service, person)
    forged = link[:-4] + ("AAAA" if not link.endswith("AAAA") else "BBBB")
    for url in (forged, f"{service.url}/approvals/jat_x", f"{service.url}/approvals/x", link + "x"):
        assert service.anyone.get(url).status == 404
        assert service.vote(url).status == 404
    assert service.anyone.get(f"/approvals/{approval}").status == 401, "an approval's id is no link"
    assert service.anyone.get("/approvals/apr_x").status == 404
    for path in (f"/approvals/{approval}", "/approvals/apr_x"):
        assert service.anyone.post(path, {"decision": "approve"}).status in (401, 404)
    assert service.agent.get(f"/executions/{told['id']}").json["status"] == "paused"
    _, item = service.paused(service.agent.execute("mailhub.list_messages", person), "consent")
    ticket = item["url"].rsplit("/", 1)[1]
    assert service.anyone.get(f"/approvals/{ticket}").status == 404, "tickets are for one purpose"
    assert service.anyone.get(link.replace("/approvals/", "/connect/")).status == 404


def test_twenty_votes_at_once_are_one(service: Service, world: World, person: str) -> None:
    told, _, link = ask(service, person)
    before = len(world.upstream.of("/v1/say"))
    answers: list[Answer] = []

    def vote(decision: str) -> None:
        answers.append(service.vote(link, decision))

    threads = [threading.Thread(target=vote, args=(decision,)) for decision in ("approve", "deny") * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answer.status for answer in answers) == [200] + [409] * 19
    done = service.agent.settled(told)
    assert done["status"] in ("succeeded", "denied")
    assert len(world.upstream.of("/v1/say")) == before + (done["status"] == "succeeded")


def test_a_denial_is_final_and_expiry_is_none(service: Service, person: str) -> None:
    told, _, link = ask(service, person)
    assert service.vote(link, "deny", feedback="no").status == 200
    done = service.agent.settled(told)
    assert done["status"] == "denied"
    assert done["error"]["hint"]
    assert service.vote(link).status == 409


def quick(policies: str, expires: str) -> str:
    return policies.replace('expires = "4h"', f'expires = "{expires}"')


def test_an_open_requirement_that_runs_out_is_expired(own: Callable[..., Service], person: str) -> None:
    service = own({"policies.toml": quick(files.POLICIES, "1s")}).start()
    told, _, link = ask(service, person)
    done = service.agent.settled(told)
    assert done["status"] == "expired", "never reported as a denial"
    assert done["error"]["code"] not in ("approval_denied", "policy_denied")
    assert service.anyone.get(link).status == 410
    assert service.vote(link).status == 410
    again = service.agent.get(f"/executions/{told['id']}?wait=1")
    assert again.status == 200


def test_an_approval_that_ran_out_is_asked_again_under_a_new_id(
    own: Callable[..., Service], world: World, person: str
) -> None:
    service = own({"policies.toml": quick(files.POLICIES, "1s")}).start()
    params = {"to": ["a@example.com"], "subject": "late"}
    answer = service.agent.execute("mailhub.send_message", person, params=params)
    approval = next(item for item in answer.json["waiting_for"] if item["kind"] == "approval")
    link = service.link(approval["id"], ANA)
    assert service.vote(link).status == 200
    until(lambda: service.anyone.get(link).status == 410)  # it ran out, the consent is still missing
    now = service.agent.get(f"/executions/{answer.json['id']}").json
    assert [item["kind"] for item in now["waiting_for"]] == ["consent"]
    world.consent(now["waiting_for"][0]["url"], user=person.partition("@")[0])

    def asked() -> dict[str, Any] | None:
        items = service.agent.get(f"/executions/{answer.json['id']}").json["waiting_for"]
        return next((item for item in items if item["kind"] == "approval" and item["id"] != approval["id"]), None)

    fresh = until(asked)
    assert service.vote(link).status == 409
    assert service.vote(link).code == "superseded"
    assert service.vote(service.link(fresh["id"], ANA)).status == 200
    assert service.agent.settled(answer.json)["status"] == "succeeded"


def test_approved_send_within(own: Callable[..., Service], world: World, person: str) -> None:
    config = files.CONFIG.replace('approved_send_within = "15m"', 'approved_send_within = "1s"')
    service = own({"config.toml": config}).start()
    params = {"to": ["a@example.com"], "subject": "late"}
    answer = service.agent.execute("mailhub.send_message", person, params=params)
    items = {item["kind"]: item for item in answer.json["waiting_for"]}
    assert service.vote(service.link(items["approval"]["id"], ANA)).status == 200
    world.consent(items["consent"]["url"], user=person.partition("@")[0])
    # The clock runs from the last requirement, which was the consent: it is sent.
    assert service.agent.settled(answer.json)["status"] == "succeeded"


def test_an_approval_is_void_when_the_rules_ask_for_more(
    own: Callable[..., Service], world: World, person: str
) -> None:
    service = own().start()
    params = {"to": ["a@example.com"], "subject": "void"}
    answer = service.agent.execute("mailhub.send_message", person, params=params)
    first = next(item for item in answer.json["waiting_for"] if item["kind"] == "approval")
    link = service.link(first["id"], ANA)
    assert service.vote(link).status == 200
    service.end()
    service.write("policies.toml", files.POLICIES.replace("user:ana@example.com", "user:bo@example.com"))
    service.start()
    now = service.agent.get(f"/executions/{answer.json['id']}").json
    consent = next(item for item in now["waiting_for"] if item["kind"] == "consent")
    world.consent(consent["url"], user=person.partition("@")[0])

    def asked() -> dict[str, Any] | None:
        items = service.agent.get(f"/executions/{answer.json['id']}").json["waiting_for"]
        return next((item for item in items if item["kind"] == "approval" and item["id"] != first["id"]), None)

    fresh = until(asked)
    assert fresh["from"] == ["user:bo@example.com"]
    assert service.vote(link).code == "superseded"
    bo = service.link(fresh["id"], "bo@example.com")
    page = service.anyone.get(bo, **HTML).body.decode()
    assert "again" in page.lower(), "says why it is asked again"
    assert service.vote(bo).status == 200
    assert service.agent.settled(answer.json)["status"] == "succeeded"


def test_a_change_that_leaves_both_untouched_voids_nothing(
    own: Callable[..., Service], world: World, person: str
) -> None:
    service = own().start()
    answer = service.agent.execute("mailhub.send_message", person, params={"to": ["a@example.com"], "subject": "kept"})
    first = next(item for item in answer.json["waiting_for"] if item["kind"] == "approval")
    assert service.vote(service.link(first["id"], ANA)).status == 200
    service.end()
    more = '\n[[rule]]\nid = "more"\nmatch = ["echo.erase"]\neffect = "deny"\n'
    service.write("policies.toml", files.POLICIES + more)
    service.write("config.toml", files.CONFIG.replace('environment = "acceptance"', 'environment = "changed"'))
    service.start()
    now = service.agent.get(f"/executions/{answer.json['id']}").json
    assert [item["kind"] for item in now["waiting_for"]] == ["consent"]
    world.consent(now["waiting_for"][0]["url"], user=person.partition("@")[0])
    assert service.agent.settled(answer.json)["status"] == "succeeded"


def test_a_policy_that_tightened_meanwhile_denies(own: Callable[..., Service], person: str) -> None:
    service = own().start()
    told, _, link = ask(service, person)
    service.end()
    service.write(
        "policies.toml", files.POLICIES + '\n[[rule]]\nid = "closed"\nmatch = ["echo.ask"]\neffect = "deny"\n'
    )
    service.start()
    service.vote(link)
    done = service.agent.settled(told)
    assert (done["status"], done["error"]["code"]) == ("denied", "policy_denied")
    assert (done["decision"]["effect"], done["decision"]["rules"]) == ("deny", ["closed"])
    assert done["decision"]["policy"] != told["decision"]["policy"]


def test_the_requester_counts_where_named(service: Service, person: str) -> None:
    told, item = service.paused(service.agent.execute("echo.ask_own", person, params={"text": "x"}))
    assert item["from"] == ["requester"]
    assert service.vote(service.link(item["id"], person)).status == 200
    assert service.agent.settled(told)["status"] == "succeeded"


def test_links_of_people_with_aliases_are_the_persons(service: Service) -> None:
    told, item = service.paused(service.agent.execute("echo.ask_own", "ana.rossi@example.com", params={"text": "x"}))
    assert told["user"] == ANA
    assert set(service.approvals(item["id"]) or {ANA: service.link(item["id"], ANA)}) == {ANA}


def test_feedback_is_foreign_text_for_the_agent_too(service: Service, person: str) -> None:
    _, _, link = ask(service, person)
    assert service.vote(link, "deny", feedback="x" * 5000).status in (200, 400, 422)

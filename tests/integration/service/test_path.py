"""The whole path: submit, decide, consent, approve, send, record."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from email import policy
from email.parser import BytesParser

from tests.fakes.browser import Browser
from tests.integration.service.kit import OTHER, Kit

SEND = {"to": ["x@y.example"], "subject": "hi", "body": "hello"}


async def test_a_read_pauses_for_consent_and_resumes_by_itself(both: Kit) -> None:
    answer = await both.execute("list_messages")
    assert answer.status == 202, answer
    assert answer.json["status"] == "paused"
    assert answer.headers["Location"] == f"/executions/{answer.json['id']}"
    (item,) = answer.json["waiting_for"]
    assert (item["kind"], item["provider"], item["missing_scopes"], item["new_agent"]) == (
        "consent", "mailhub", ["mail.read"], False,
    )  # fmt: skip
    browser = await both.connect(answer)
    assert browser.page.status == 200, browser.page.text
    done = await both.ended(answer.json["id"])
    assert done["status"] == "succeeded", done
    assert done["result"]["body"] == {"messages": []}
    assert done["waiting_for"] == []
    again = await both.execute("list_messages")
    assert (again.status, again.json["status"]) == (200, "succeeded")


async def test_a_send_asks_for_the_new_scope_and_an_approval_at_once(both: Kit) -> None:
    first = await both.execute("list_messages")
    await both.connect(first)
    await both.ended(first.json["id"])
    answer = await both.execute("send_message", params=SEND, reason="because")
    assert [item["kind"] for item in answer.json["waiting_for"]] == ["consent", "approval"]
    assert answer.json["waiting_for"][0]["missing_scopes"] == ["mail.send"]
    link = await both.approval_link(answer.json["id"])
    assert (await both.decide(link)).status == 200
    still = (await both.call("GET", f"/executions/{answer.json['id']}")).json
    assert [item["kind"] for item in still["waiting_for"]] == ["consent"]
    await both.connect(answer)
    done = await both.ended(answer.json["id"])
    assert done["status"] == "succeeded", done
    assert done["result"]["status"] == 201
    assert both.mail.counts["POST"] == 1
    assert both.mail.messages == [{"of": "alice@example.com", **SEND}]
    late = await both.decide(link)
    assert late.status == 409
    assert late.json["code"] == "already_decided"


MAIL = {
    "to": ["x@y.example", "z@y.example"],
    "bcc": ["hidden@y.example"],
    "subject": "Grüße: =?utf-8?q?x?=",
    "text": "Dear X,\nsee you.",
    "threadId": "18c",
}


async def test_people_read_the_parameters_and_the_api_gets_the_message(world: Kit) -> None:
    await world.connected()
    answer = await world.execute("send_mail", params=MAIL)
    assert answer.status == 202, answer
    link = await world.approval_link(answer.json["id"])
    async with world.session.get(link) as page:
        html = await page.text()
    for readable in (*MAIL["to"], *MAIL["bcc"], "Grüße", "Dear X,", "see you."):
        assert readable in html
    assert "opaque" not in html
    assert (await world.decide(link, digest=answer.json["digest"])).status == 200
    done = await world.ended(answer.json["id"])
    assert done["status"] == "succeeded", done
    assert done["digest"] == answer.json["digest"]
    got = world.mail.messages[-1]
    assert got.keys() == {"of", "raw", "threadId"}
    message = BytesParser(policy=policy.default).parsebytes(urlsafe_b64decode(got["raw"]))
    assert message["to"] == ", ".join(MAIL["to"])
    assert message["bcc"] == MAIL["bcc"][0]
    assert message["subject"] == MAIL["subject"]
    assert message.get_content() == "Dear X,\r\nsee you."  # type: ignore[attr-defined]  # of an EmailMessage


async def test_a_header_that_would_hold_two_lines_is_refused_at_once(world: Kit) -> None:
    answer = await world.execute("send_mail", params=MAIL | {"subject": "Hi\r\nBcc: eve@evil.example"})
    assert (answer.status, answer.json["code"]) == (422, "invalid_params")
    assert answer.json["faults"][0]["pointer"] == "/params/subject"
    assert world.mail.counts["POST"] == 0


async def test_denied_by_policy_and_by_a_person(both: Kit) -> None:
    never = await both.execute("delete_message", params={"id": "1"})
    assert never.status == 403
    assert never.json["code"] == "policy_denied"
    assert never.json["execution"]["status"] == "denied"
    await both.connected()
    answer = await both.execute("send_message", params=SEND)
    link = await both.approval_link(answer.json["id"])
    assert (await both.decide(link, "deny", feedback="not now")).status == 200
    done = await both.ended(answer.json["id"])
    assert done["status"] == "denied"
    assert (done["error"]["code"], done["error"]["feedback"]) == ("approval_denied", "not now")
    assert both.mail.counts["POST"] == 1  # the note that connected the account


async def test_consent_is_per_agent_and_answered_without_a_trip(both: Kit) -> None:
    await both.connected()
    other = await both.execute("list_messages", token=OTHER)
    assert other.status == 202
    (item,) = other.json["waiting_for"]
    assert (item["missing_scopes"], item["new_agent"]) == ([], True)
    trips = both.provider.counts["authorize"]
    async with Browser() as browser:
        await browser.get(item["url"])
        await browser.submit()
    assert both.provider.counts["authorize"] == trips
    done = await both.ended(other.json["id"], token=OTHER)
    assert done["status"] == "succeeded", done

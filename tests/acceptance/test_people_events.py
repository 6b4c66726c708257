"""Contract, section 8: webhooks, callbacks and the stream of an execution."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.acceptance.kit import OTHER, TOKEN, Service, until
from tests.acceptance.office import ANA, CALLBACK, WEBHOOK, Office
from tests.fakes.receiver import Told


def check(told: Told, secret: str) -> None:
    """https://www.standardwebhooks.com, by hand."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    stamp = told.headers["webhook-timestamp"]
    assert abs(time.time() - int(stamp)) < 300
    signed = f"{told.headers['webhook-id']}.{stamp}.".encode() + told.body
    good = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert good in told.headers["webhook-signature"].split(" ")
    assert told.headers["content-type"].startswith("application/json")


def test_webhooks_tell_the_story_and_no_more(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.chat", person, word, params={"secret": "hush-hush"}, reason="because")
    requested = office.event(told["id"], "approval.requested")
    office.service.vote(office.service.link(approval, ANA), feedback="fine words")
    office.event(told["id"], "execution.finished")
    found = office.events(told["id"])
    kinds = [one.type for one in found]
    for kind in ("execution.paused", "approval.requested", "approval.decided", "execution.finished"):
        assert kinds.count(kind) == 1, kinds
    for one in found:
        check(one, WEBHOOK)
        with pytest.raises(AssertionError):
            check(one, CALLBACK)
        for private in (word, "hush-hush", "because", "fine words", "jat_", person, ANA):
            assert private not in one.body.decode(), private
        data = one.json["data"]
        assert (data["action"], data["environment"]) == ("desk.chat", "office-test")
        assert data["status"]
    assert requested.json["data"]["approval"] == approval
    assert len({one.id for one in found}) == len(found)


def test_grants_and_configuration_are_told_to_operators(office: Office, person: str) -> None:
    told, item = office.service.paused(office.service.agent.execute("mailhub.list_messages", person), "consent")
    office.world.consent(item["url"])
    assert office.service.agent.settled(told)["status"] == "succeeded"
    kinds = until(lambda: {one.type for one in list(office.receiver.told)} & {"grant.created"})
    assert kinds
    assert {"config.loaded", "policy.loaded"} <= {one.type for one in office.receiver.told}


def test_a_delivery_that_failed_is_repeated_under_its_id(office: Office, word: str, person: str) -> None:
    failed: list[Told] = []
    plain = office.receiver.answer

    def answer(one: Told) -> int:
        if one.json["data"].get("action") == "desk.pair" and len(failed) < 2:
            failed.append(one)
            return 500 if len(failed) == 1 else 302
        return 204

    def repeated(name: str) -> list[Told]:
        return [one for one in list(office.receiver.told) if one.path == "/ops" and one.id == name][1:]

    office.receiver.answer = answer
    try:
        office.ask("desk.pair", person, word)
        until(lambda: len(failed) == 2)
        for first in failed:
            until(functools.partial(repeated, first.id))
            assert repeated(first.id)[0].body == first.body
            check(repeated(first.id)[0], WEBHOOK)
    finally:
        office.receiver.answer = plain


def test_callbacks_get_their_own_executions(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.chat", person, word, callback_url=f"{office.receiver.url}/hooks/a?b=c")
    one = office.event(told["id"], "approval.requested", "/hooks/a?b=c")
    check(one, CALLBACK)
    office.service.vote(office.service.link(approval, ANA))
    office.event(told["id"], "execution.finished", "/hooks/a?b=c")
    for each in office.events(told["id"], "/hooks/a?b=c"):
        check(each, CALLBACK)
    printed = office.service.command("keys", "callback", "mailbot")
    assert (printed.returncode, printed.stdout.strip()) == (0, CALLBACK)
    derived = office.service.command("keys", "callback", "blindbot").stdout.strip()
    assert 24 <= len(base64.b64decode(derived.removeprefix("whsec_"))) <= 64
    answer = office.service.other.execute(
        "desk.chat", person, params={"text": word}, callback_url=f"{office.receiver.url}/blind/x"
    )
    check(office.event(answer.json["id"], "execution.paused", "/blind/x"), derived)
    assert office.service.command("keys", "callback", "nobody").returncode == 1


@pytest.mark.parametrize(
    "wrong",
    [
        "@/other",
        "@/hooks",
        "@/hooks/../ops",
        "@/hooks/%2e%2e/ops",
        "@/hooks/.%2E/ops",
        "@.evil.example/hooks/",
        "http://127.0.0.1:1@evil.example/hooks/",
        "http://user:pw@127.0.0.1/hooks/",
        "@/hooks\\..\\ops",
        "https://127.0.0.1/hooks/",
        "//127.0.0.1/hooks/",
        "/hooks/x",
        "@/hooks/x#fragment",
        "@/HOOKS/x",
    ],
)
def test_callback_prefixes(office: Office, word: str, person: str, wrong: str) -> None:
    url = wrong.replace("@/", office.receiver.url + "/", 1) if wrong[0] == "@" and wrong[1] == "/" else wrong
    url = url.replace("@.", office.receiver.url + ".", 1) if url[0] == "@" else url
    answer = office.service.agent.execute("desk.chat", person, params={"text": word}, callback_url=url)
    assert answer.status in (400, 422), url
    assert "callback" in answer.body.decode()
    assert office.service.agent.get(f"/executions?user={person}").json["items"] == []


@contextmanager
def stream(service: Service, execution: str, last: str | None = None, token: str = TOKEN) -> Iterator[Any]:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = last
    connection.request("GET", f"/executions/{execution}/events", headers=headers)
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def read(reply: Any) -> list[dict[str, str]]:
    """All events up to the end."""
    found = []
    for block in reply.read().decode().replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != ":")
        if "data" in fields:
            found.append(fields)
    return found


def test_the_stream_of_an_execution(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.chat", person, word)
    with stream(office.service, told["id"]) as reply:
        assert reply.status == 200
        assert reply.getheader("Content-Type").split(";")[0] == "text/event-stream"
        office.service.vote(office.service.link(approval, ANA))
        found = read(reply)
    kinds = [json.loads(one["data"])["type"] for one in found]
    assert kinds[0] == "approval.decided"
    assert kinds[-1] == "execution.finished"
    assert all(one["id"] for one in found)
    assert json.loads(found[-1]["data"])["data"]["status"] == "succeeded"
    for private in (word, person, ANA):
        assert private not in json.dumps(found)
    # Nothing after the named one is left out.
    with stream(office.service, told["id"], found[0]["id"]) as reply:
        assert reply.status == 200
        rest = read(reply)
    assert [one["id"] for one in rest][-(len(found) - 1) :] == [one["id"] for one in found[1:]]
    with stream(office.service, told["id"], found[-1]["id"]) as reply:
        assert reply.status in (200, 204)
    with stream(office.service, told["id"], token=OTHER) as reply:
        assert reply.status == 404
    with stream(office.service, told["id"], token="nonsense") as reply:
        assert reply.status == 401

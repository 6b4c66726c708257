"""What a program outside sees of the catalogue, dry runs, lists and the stream of all events."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.acceptance.kit import TOKEN, Http, Service

ASK = {"text": "x"}


def test_models_get_a_bare_array_in_their_own_form(service: Service) -> None:
    names = [item["name"] for item in service.agent.get("/actions?limit=200").json["items"]]
    openai = service.agent.get("/actions?format=openai").json
    anthropic = service.agent.get("/actions?format=anthropic").json
    assert len(openai) == len(anthropic) == len(names)
    for name, one, other in zip(names, openai, anthropic, strict=True):
        assert set(one) == {"type", "function"}
        assert one["type"] == "function"
        assert {"name", "description", "parameters"} <= set(one["function"])
        assert set(other) == {"name", "description", "input_schema"}
        assert one["function"]["name"] == other["name"]
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", other["name"])
        assert other["name"] == name.replace(".", "__") or len(name) > 60
        schema = other["input_schema"]
        assert (schema["type"], schema["additionalProperties"]) == ("object", False)
        assert not {"oneOf", "anyOf", "allOf"} & set(schema)
        assert "risk" in other["description"]
        assert "paused" in other["description"]
    assert len({tool["name"] for tool in anthropic}) == len(names)


def test_execute_and_get_take_either_name(service: Service, person: str) -> None:
    told = service.agent.get("/actions/echo.say").json
    assert told["tool_name"] == "echo__say"
    assert service.agent.get("/actions/echo__say").json == told
    one = service.agent.execute("echo__say", person, {"Idempotency-Key": person}, params=ASK)
    two = service.agent.execute("echo.say", person, {"Idempotency-Key": person}, params=ASK)
    assert one.json["action"] == two.json["action"] == "echo.say"
    assert one.json["id"] == two.json["id"]
    assert service.agent.execute("echo.say", person, params=ASK).json["digest"] == one.json["digest"]


def test_search_finds_by_words_and_is_the_same_each_time(service: Service) -> None:
    found = [service.agent.get("/actions?q=message+send").json["items"] for _ in range(3)]
    assert found[0] == found[1] == found[2]
    assert found[0][0]["name"] == "mailhub.send_message"
    assert service.agent.get("/actions?q=zzzzzz").json == {"items": [], "next": None}
    for query in ("format=xml", "q=" + "y" * 1_000, "format=openai&cursor=abc"):
        assert service.agent.get("/actions?" + query).code == "bad_query"
    assert service.agent.get("/actions?formt=openai").code == "unknown_field"


def test_a_dry_run_tells_and_does_nothing(service: Service, person: str) -> None:
    before = len(service.lines)
    seen = service.agent.execute("echo.ask", person, {"Idempotency-Key": person}, params=ASK, dry_run=True)
    assert seen.status == 200
    told = seen.json
    assert (told["id"], told["status"], told["result"]) == (None, None, None)
    assert told["decision"]["effect"] == "require_approval"
    (item,) = told["waiting_for"]
    assert (item["kind"], item["from"], item["need"]) == ("approval", ["user:ana@example.com"], 1)
    assert not {"id", "url"} & set(item)
    consent = service.agent.execute("mailhub.list_messages", person, dry_run=True).json["waiting_for"]
    assert [(item["kind"], item["provider"], "url" in item) for item in consent] == [("consent", "mailhub", False)]
    assert service.agent.get(f"/executions?user={person}").json["items"] == []
    assert len(service.lines) == before
    denied = service.agent.execute("echo.say", person, params={"text": "forbidden"}, dry_run=True)
    assert (denied.status, denied.json["error"]["code"]) == (200, "policy_denied")
    real = service.agent.execute("echo.ask", person, {"Idempotency-Key": person}, params=ASK)
    assert (real.status, "joined" in real.json) == (202, False)
    rows = service.admin.get("/admin/audit?limit=50").json["items"]
    assert [fact["action"] for row in rows for fact in row["what"] if fact["do"] == "preview"][:1] == ["echo.say"]


def test_a_dry_run_is_refused_as_the_call_would_be(service: Service, person: str) -> None:
    for action, body in (
        ("echo.nothing_such", {}),
        ("elsewhere.thing", {}),
        ("echo.say", {"params": {"txt": "x"}}),
        ("echo.say", {"params": ASK, "expires_in": 1}),
        ("echo.say", {"params": ASK, "unknown": 1}),
    ):
        real, seen = (service.agent.execute(action, person, **body, **dry) for dry in ({}, {"dry_run": True}))
        assert (seen.status, seen.code) == (real.status, real.code)
        assert seen.json == real.json
    assert service.agent.execute("echo.say", person, params=ASK, dry_run=1).status == 422


def pages(http: Http, query: str) -> Iterator[Any]:
    cursor = ""
    while True:
        page = http.get(f"/executions?limit=2&{query}{cursor}").json
        yield from page["items"]
        if page["next"] is None:
            return
        cursor = f"&cursor={page['next']}"


def test_lists_hold_what_was_asked_for_newest_first(service: Service, person: str) -> None:
    made = [service.agent.execute("echo.say", person, params={"text": str(n)}).json["id"] for n in range(5)]
    paused = service.agent.execute("echo.ask", person, params=ASK).json["id"]
    found = [item["id"] for item in pages(service.agent, f"user={person}")]
    assert found == [paused, *reversed(made)]
    assert [item["id"] for item in pages(service.agent, f"user={person}&status=paused")] == [paused]
    both = [item["id"] for item in pages(service.agent, f"user={person}&status=succeeded,paused")]
    assert both == found
    third = service.agent.get(f"/executions/{made[2]}").json["updated_at"]
    since = [item["id"] for item in pages(service.agent, f"user={person}&updated_since={third}")]
    assert set(since) >= {made[2], made[3], made[4], paused}
    assert made[0] not in since or service.agent.get(f"/executions/{made[0]}").json["updated_at"] == third
    assert list(pages(service.agent, "user=nobody-at-all@example.com")) == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("status=done", "bad_query"), ("status=", "bad_query"), ("status=paused,", "bad_query"),
        ("status=Paused", "bad_query"), ("user=*", "bad_user"), ("user=", "bad_user"),
        ("updated_since=yesterday", "bad_query"), ("updated_since=2026-01-01", "bad_query"),
        ("limit=0", "bad_query"), ("limit=-1", "bad_query"), ("limit=x", "bad_query"), ("cursor=", "bad_query"),
        ("cursor=abc", "bad_query"), ("limit=1&limit=2", "bad_query"), ("state=paused", "unknown_field"),
    ],
)  # fmt: skip
def test_a_question_that_means_nothing_is_400(service: Service, query: str, code: str) -> None:
    answer = service.agent.get("/executions?" + query)
    assert (answer.status, answer.code) == (400, code)


def test_a_cursor_is_good_for_its_list_alone(service: Service, person: str) -> None:
    for number in range(3):
        service.agent.execute("echo.say", person, params={"text": str(number)})
    cursor = service.agent.get(f"/executions?limit=1&user={person}").json["next"]
    assert service.agent.get(f"/executions?limit=2&user={person}&cursor={cursor}").status == 200
    for query in ("", f"&user={person}&status=succeeded", "&user=alice@example.com"):
        assert service.agent.get(f"/executions?cursor={cursor}{query}").code == "bad_query"
    assert service.other.get(f"/executions?user={person}&cursor={cursor}").code == "bad_query"
    assert service.agent.get(f"/actions?cursor={cursor}").code == "bad_query"


@contextmanager
def stream(service: Service, last: str = "", token: str = TOKEN) -> Iterator[Iterator[dict[str, str]]]:
    """The blocks of /events, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    connection.request(
        "GET", "/events", headers={"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last} if last else {})
    )
    reply = connection.getresponse()
    assert (reply.status, (reply.getheader("Content-Type") or "").split(";")[0]) == (200, "text/event-stream")

    def blocks() -> Iterator[dict[str, str]]:
        fields: dict[str, str] = {}
        while line := reply.readline().decode():
            if line == "\n":
                yield fields
                fields = {}
            elif line[0] != ":":
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value

    try:
        yield blocks()
    finally:
        connection.close()


def about(blocks: Iterator[dict[str, str]], executions: set[str], count: int) -> list[tuple[str, str, str]]:
    """(execution, type, id) of the next events about these."""
    found = []
    while len(found) < count:
        fields = next(blocks)
        if "data" in fields and (event := json.loads(fields["data"]))["data"]["execution"] in executions:
            found.append((event["data"]["execution"], event["type"], fields["id"]))
    return found


def test_the_stream_of_all_goes_on_where_it_was_left_also_after_a_restart(own: Any, person: str) -> None:
    service: Service = own().start()
    with stream(service) as blocks:
        assert next(blocks)["id"]
        one = service.agent.execute("echo.say", person, params={"text": "1"}).json["id"]
        two, approval = service.paused(service.agent.execute("echo.ask", person, params={"text": "2"}))
        found = about(blocks, {one, two["id"]}, 3)
    kinds = [(name, kind) for name, kind, _ in found]
    asked = [(two["id"], "execution.paused"), (two["id"], "approval.requested")]
    assert kinds == [(one, "execution.finished"), *asked]
    link = service.link(approval["id"], "ana@example.com")
    service.restart()
    service.vote(link)
    ends = [(two["id"], "approval.decided"), (two["id"], "execution.finished")]
    with stream(service, found[0][2]) as blocks:
        again = about(blocks, {one, two["id"]}, 4)
        assert [(name, kind) for name, kind, _ in again] == [*asked, *ends]
    with stream(service, again[2][2]) as blocks:
        assert [kind for _, kind, _ in about(blocks, {two["id"]}, 1)] == ["execution.finished"]
    service.admin.post("/admin/agents/mailbot/suspend", {})
    with stream(service) as blocks:
        assert all("data" not in fields for fields in blocks)


@pytest.mark.parametrize("last", ["nonsense", "l-532.510062", "-1", "prc_1-1"])
def test_an_id_that_was_never_given_is_400(service: Service, person: str, last: str) -> None:
    asked = service.agent.execute("echo.ask", person, params=ASK).json["id"]
    for path in ("/events", f"/executions/{asked}/events"):
        answer = service.agent.get(path, Last_Event_ID=last)
        assert (answer.status, answer.code) == (400, "bad_query")

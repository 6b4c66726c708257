"""The execution as it is answered, waited for, listed, cancelled, resolved, and replayed by its key."""

from __future__ import annotations

import re
import threading
import time
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.kit import Answer, Service, World, until

MEMBERS = {
    "labels",
    "edited_by",
    "id",
    "action",
    "user",
    "agent",
    "chain",
    "account",
    "summary",
    "params",
    "reason",
    "task",
    "metadata",
    "status",
    "digest",
    "decision",
    "waiting_for",
    "result",
    "error",
    "created_at",
    "updated_at",
    "expires_at",
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
OK = (200, {"Content-Type": "application/json"}, b'{"ok":true}')


def say(service: Service, person: str, text: str = "x", **more: Any) -> Answer:
    return service.agent.execute("echo.say", person, params={"text": text}, **more)


def test_a_finished_one_is_200_with_all_members(service: Service, person: str) -> None:
    answer = say(service, person, reason="because")
    told = answer.json
    assert (answer.status, told["status"]) == (200, "succeeded")
    assert set(told) == MEMBERS
    assert told["id"].startswith("exe_")
    assert (told["action"], told["user"], told["agent"], told["chain"]) == ("echo.say", person, "mailbot", ["mailbot"])
    assert (told["summary"], told["reason"], told["account"]) == ("Say x", "because", None)
    assert told["params"] == {"text": "x", "count": 1}, "defaults are filled in"
    assert told["waiting_for"] == []
    assert told["error"] is None
    assert told["result"] == {
        "status": 200,
        "headers": {"content-type": "application/json"},
        "body": {"ok": True},
        "untrusted": True,
    }
    assert DIGEST.fullmatch(told["digest"])
    assert told["decision"]["effect"] == "allow"
    assert told["decision"]["rules"] == ["reads"]
    assert DIGEST.fullmatch(told["decision"]["policy"])
    assert all(TIME.fullmatch(told[name]) for name in ("created_at", "updated_at", "expires_at"))
    assert service.agent.get(f"/executions/{told['id']}").json == told


def test_denied_is_403_with_the_execution_and_stays_readable(service: Service, person: str) -> None:
    answer = say(service, person, "forbidden", headers={"Idempotency-Key": f"deny-{person}"})
    assert (answer.status, answer.code) == (403, "policy_denied")
    told = answer.json["execution"]
    assert set(told) == MEMBERS
    assert (told["status"], told["error"]["code"], told["decision"]["effect"]) == ("denied", "policy_denied", "deny")
    assert told["decision"]["rules"] == ["never"]
    assert told["decision"]["reasons"] == ["Nobody says that"]
    again = say(service, person, "forbidden", headers={"Idempotency-Key": f"deny-{person}"})
    assert (again.status, again.json["execution"]["id"]) == (403, told["id"])
    read = service.agent.get(f"/executions/{told['id']}")
    assert (read.status, read.json["status"]) == (200, "denied")


def test_what_no_rule_matches_is_denied(service: Service, person: str) -> None:
    answer = service.agent.execute("echo.nothing", person)
    assert (answer.status, answer.code) == (403, "policy_denied")
    assert answer.json["execution"]["decision"]["rules"] == []


def test_paused_is_202_with_location_and_retry_after(service: Service, person: str) -> None:
    started = time.monotonic()
    answer = service.agent.execute("echo.ask", person, params={"text": "x"})
    assert time.monotonic() - started < 2, "nobody waits for people unless asked to"
    told, item = service.paused(answer)
    assert answer.headers["location"].endswith(f"/executions/{told['id']}")
    assert int(answer.headers["retry-after"]) > 0
    assert set(item) == {"kind", "id", "from", "need", "approved_by", "expires_at"}
    assert item["id"].startswith("apr_")
    assert (item["from"], item["need"], item["approved_by"]) == (["user:ana@example.com"], 1, [])
    assert told["decision"]["reasons"] == ["Ana looks at what leaves"]
    assert told["result"] is None


def test_nothing_an_agent_gets_can_decide(service: Service, person: str) -> None:
    told, item = service.paused(service.agent.execute("echo.ask", person, params={"text": "x"}))
    link = service.link(item["id"], "ana@example.com")
    assert link.rsplit("/", 1)[1] not in str(told)
    assert service.agent.post(f"/approvals/{item['id']}", {"decision": "approve"}).status in (401, 403, 404)
    assert service.agent.get(f"/executions/{told['id']}").json["status"] == "paused"


def test_prefer_wait_waits_while_paused(service: Service, person: str) -> None:
    answer = service.agent.execute("echo.ask", person, {"Prefer": "wait=1"}, params={"text": "x"})
    assert answer.status == 202
    assert 0.9 < answer.seconds < 3

    def approve() -> None:
        until(lambda: [line for line in service.lines if person_in(line)])

    def person_in(line: str) -> bool:
        return line.startswith("approve ") and line.split(" ")[1] not in known

    known = {line.split(" ")[1] for line in service.lines if line.startswith("approve ")}
    answers: list[Answer] = []
    thread = threading.Thread(
        target=lambda: answers.append(
            service.agent.execute("echo.ask", person, {"Prefer": "wait=30"}, params={"text": "y"})
        )
    )
    thread.start()
    approve()
    link = next(line for line in service.lines if person_in(line)).split(" ")[3]
    assert service.vote(link).status == 200
    thread.join(10)
    assert (answers[0].status, answers[0].json["status"]) == (200, "succeeded")
    assert answers[0].seconds < 10


def test_a_denial_that_is_waited_for_is_403(service: Service, person: str) -> None:
    told, item = service.paused(
        service.agent.execute("echo.ask", person, {"Idempotency-Key": person}, params={"text": "x"})
    )
    service.vote(service.link(item["id"], "ana@example.com"), "deny", feedback="Not today")
    again = service.agent.execute(
        "echo.ask", person, {"Idempotency-Key": person, "Prefer": "wait=5"}, params={"text": "x"}
    )
    assert (again.status, again.code) == (403, "approval_denied")
    error = again.json["execution"]["error"]
    assert (error["code"], error["by"], error["feedback"]) == ("approval_denied", "ana@example.com", "Not today")
    assert again.json["execution"]["id"] == told["id"]


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0"])
def test_respond_async_and_wait_0_do_not_wait(service: Service, world: World, person: str, prefer: str) -> None:
    world.upstream.tell("/v1/look", 0.6, OK)
    answer = service.agent.execute("echo.look", person, {"Prefer": prefer})
    assert answer.seconds < 0.5
    assert (answer.status, answer.json["status"]) == (202, "executing")
    assert answer.headers["location"]
    assert service.agent.settled(answer.json)["status"] == "succeeded"


def test_without_prefer_the_call_is_waited_for(service: Service, world: World, person: str) -> None:
    world.upstream.tell("/v1/risky", 0.7, OK)
    answer = service.agent.execute("echo.risky", person)
    assert (answer.status, answer.json["status"]) == (200, "succeeded")
    assert answer.seconds >= 0.7


@pytest.mark.parametrize("prefer", ["wait=-1", "wait=x", "wait=1.5", "wait="])
def test_a_senseless_wait_is_400(service: Service, person: str, prefer: str) -> None:
    told = service.agent.execute("echo.ask", person, params={"text": "x"}).json
    value = prefer.removeprefix("wait=")
    assert service.agent.get(f"/executions/{told['id']}?wait={value}").status == 400


def test_get_waits_until_it_ends(service: Service, person: str) -> None:
    told, item = service.paused(service.agent.execute("echo.ask", person, params={"text": "x"}))
    still = service.agent.get(f"/executions/{told['id']}?wait=1")
    assert (still.status, still.json["status"]) == (200, "paused")
    assert 0.9 < still.seconds < 3
    link = service.link(item["id"], "ana@example.com")
    timer = threading.Timer(0.2, service.vote, [link])
    timer.start()
    done = service.agent.get(f"/executions/{told['id']}?wait=100")
    timer.join()
    assert (done.status, done.json["status"]) == (200, "succeeded")
    assert done.seconds < 10


def test_others_executions_are_404(service: Service, person: str) -> None:
    mine = say(service, "alice@example.com").json["id"]
    assert service.other.get(f"/executions/{mine}").status == 404
    assert service.other.post(f"/executions/{mine}/cancel").status == 404
    assert mine not in str(service.other.get("/executions?limit=200").json)
    assert service.agent.get("/executions/exe_00000000000000000000000000").status == 404


def test_lists_are_newest_first_and_paged(service: Service, person: str) -> None:
    made = [say(service, person, str(number)).json["id"] for number in range(5)]
    made.append(say(service, person, "forbidden").json["execution"]["id"])
    path = f"/executions?user={quote(person)}"
    listed = service.agent.get(path).json
    assert set(listed) == {"items", "next"}
    assert [item["id"] for item in listed["items"]] == made[::-1]
    assert listed["next"] is None
    found, cursor = [], ""
    for _ in range(10):
        page = service.agent.get(f"{path}&limit=2" + (f"&cursor={quote(cursor)}" if cursor else "")).json
        assert len(page["items"]) <= 2
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert found == made[::-1]
    denied = service.agent.get(f"{path}&status=denied").json["items"]
    assert [item["id"] for item in denied] == made[5:]
    third = service.agent.get(f"/executions/{made[2]}").json["updated_at"]
    since = service.agent.get(f"{path}&updated_since={quote(third)}").json["items"]
    assert {made[2], made[3], made[4], made[5]} >= {item["id"] for item in since} >= {made[3], made[4], made[5]}
    assert service.agent.get(f"{path}&limit=1000").status == 200


def test_task_and_metadata_are_told_again_and_listed(service: Service, person: str) -> None:
    task = {"id": f"of {person}", "title": "Refund of order 7"}
    made = service.agent.execute(
        "echo.say", person, params={"text": "t"}, task=task, metadata={"thread": [1, "é"]}
    ).json
    assert (made["task"], made["metadata"]) == (task, {"thread": [1, "é"]})
    plain = say(service, person, "plain").json
    assert (plain["task"], plain["metadata"]) == (None, {})
    assert [item["id"] for item in service.agent.get(f"/executions?task={quote(task['id'])}").json["items"]] == [
        made["id"]
    ]
    assert service.other.get(f"/executions?task={quote(task['id'])}").json["items"] == []
    for wrong in ({"task": "x"}, {"task": {"id": ""}}, {"metadata": []}, {"metadata": {"a": "x" * 2048}}):
        assert service.agent.execute("echo.say", person, params={"text": "t"}, **wrong).code == "invalid_params", wrong


def test_the_default_limit_is_50(service: Service, person: str) -> None:
    for _ in range(51):
        service.agent.execute("echo.nothing", person)
    listed = service.agent.get(f"/executions?user={quote(person)}").json
    assert (len(listed["items"]), bool(listed["next"])) == (50, True)
    assert len(service.agent.get(f"/executions?user={quote(person)}&limit=1000").json["items"]) == 51


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("/executions?stauts=paused", "status"),
        ("/executions?limt=1", "limit"),
        ("/executions/exe_x?wiat=1", "wait"),
        ("/actions?frmat=json", ""),
        ("/executions?tsk=x", "task"),
    ],
)
def test_an_unknown_query_parameter_is_400(service: Service, path: str, nearest: str) -> None:
    answer = service.agent.get(path)
    assert (answer.status, answer.code) == (400, "unknown_field")
    assert nearest in answer.json["hint"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "limit=-1", "status=nonsense", "updated_since=yesterday", "cursor=nonsense", "user=a/b"],
)
def test_senseless_filters_are_400(service: Service, query: str) -> None:
    answer = service.agent.get(f"/executions?{query}")
    assert (answer.status, bool(answer.code)) == (400, True)


def test_actions_lists_by_name_what_this_agent_may_use(service: Service) -> None:
    listed = service.agent.get("/actions").json
    names = [item["name"] for item in listed["items"]]
    assert names == sorted(names)
    assert "mailhub.delete_everything" in names
    assert "echo.erase" not in names
    assert listed["next"] is None
    item = next(item for item in listed["items"] if item["name"] == "mailhub.send_message")
    assert (item["title"], item["risk"], item["effect"], item["scopes"]) == (
        "Send an e-mail",
        "high",
        "create",
        ["mail.send"],
    )
    schema = next(value for value in item.values() if isinstance(value, dict) and "properties" in value)
    assert set(schema["properties"]) == {"to", "subject", "body"}
    assert set(schema["required"]) == {"to", "subject"}
    assert schema["additionalProperties"] is False
    assert item["exposes"] == []
    assert service.agent.get("/actions/mailhub.send_message").json == item
    others = [item["name"] for item in service.other.get("/actions").json["items"]]
    assert others == [
        "echo.say",
        "mailhub.list_messages",
        "mailhub.read_by_write",
        "mailhub.search",
        "mailhub.send_message",
    ]
    assert service.other.get("/actions/echo.look").status in (403, 404)
    assert service.agent.get("/actions/echo.unknown").status == 404


def test_cancel(service: Service, world: World, person: str) -> None:
    told, item = service.paused(service.agent.execute("echo.ask", person, params={"text": "x"}))
    link = service.link(item["id"], "ana@example.com")
    for _ in range(2):
        answer = service.agent.post(f"/executions/{told['id']}/cancel")
        assert (answer.status, answer.json["status"]) == (200, "cancelled")
    assert service.anyone.get(link).status == 410
    assert service.vote(link).status == 410
    done = say(service, person).json["id"]
    answer = service.agent.post(f"/executions/{done}/cancel")
    assert (answer.status, answer.code) == (409, "already_finished")
    world.upstream.tell("/v1/risky", 0.8, OK)
    sent = service.agent.execute("echo.risky", person, {"Prefer": "wait=0"}).json
    until(lambda: service.agent.get(f"/executions/{sent['id']}").json["status"] == "executing")
    answer = service.agent.post(f"/executions/{sent['id']}/cancel")
    assert (answer.status, answer.code) == (409, "executing")
    assert service.agent.settled(sent)["status"] == "succeeded"


def test_resolve(service: Service, world: World, person: str) -> None:
    done = say(service, person).json["id"]
    answer = service.admin.post(f"/executions/{done}/resolve", {"outcome": "succeeded", "note": "x"})
    assert answer.status == 409
    assert answer.code
    world.upstream.tell("/v1/risky", "hang-up")
    lost = service.agent.execute("echo.risky", person)
    assert (lost.status, lost.json["status"]) == (200, "unknown")
    path = f"/executions/{lost.json['id']}/resolve"
    assert service.agent.post(path, {"outcome": "succeeded", "note": "x"}).status in (401, 403, 404)
    assert service.anyone.post(path, {"outcome": "succeeded", "note": "x"}).status == 401
    for bad in ({"outcome": "maybe", "note": "x"}, {"outcome": "unknown"}, {"outcome": "failed", "nte": "x"}, {}):
        assert service.admin.post(path, bad).status in (400, 422), bad
    settled = service.admin.post(path, {"outcome": "failed", "note": "Looked it up"})
    assert settled.status == 200, settled.body
    assert service.agent.get(f"/executions/{lost.json['id']}").json["status"] == "failed"
    assert service.admin.post(path, {"outcome": "failed", "note": "x"}).status == 409
    assert service.admin.post("/executions/exe_0/resolve", {"outcome": "failed", "note": "x"}).status == 404


def test_one_key_one_execution(service: Service, world: World, person: str) -> None:
    before = len(world.upstream.of("/v1/say"))
    first = say(service, person, headers={"Idempotency-Key": "k1"})
    again = say(service, person, headers={"Idempotency-Key": "k1"})
    assert (again.status, again.json["id"]) == (200, first.json["id"])
    same = f'{{"params": {{"text": "\\u0078"}},\n "user":"{person}", "action":"echo.say"}}'
    reordered = service.agent.post("/execute", same.encode(), Idempotency_Key="k1")
    assert reordered.json["id"] == first.json["id"], "bodies are compared as parsed values"
    other = say(service, person, "y", headers={"Idempotency-Key": "k1"})
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    assert len(world.upstream.of("/v1/say")) == before + 1
    elsewhere = say(service, "k1-" + person, headers={"Idempotency-Key": "k1"})
    assert elsewhere.json["id"] != first.json["id"], "its scope is agent, user and chain"


def test_a_call_that_was_never_admitted_binds_no_key(service: Service, person: str) -> None:
    key = {"Idempotency-Key": "never"}
    assert service.agent.execute("echo.say", person, key, params={"txt": "x"}).status == 422
    assert service.agent.execute("echo.sayy", person, key, params={"text": "x"}).status == 404
    assert say(service, person, headers=key).status == 200


def test_twenty_at_once_with_one_key_are_one(service: Service, world: World, person: str) -> None:
    before = len(world.upstream.of("/v1/risky"))
    answers: list[Answer] = []

    def call() -> None:
        answers.append(
            service.agent.execute("echo.risky", person, {"Idempotency-Key": "many"}, params={"text": person})
        )

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {answer.status for answer in answers} <= {200, 202}, [answer.body for answer in answers]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert service.agent.settled(answers[0].json)["status"] == "succeeded"
    assert len(world.upstream.of("/v1/risky")) == before + 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_senseless_keys_are_told(service: Service, person: str, key: str) -> None:
    answer = say(service, person, headers={"Idempotency-Key": key})
    assert answer.status in (200, 400)


def test_approvers_names_only_for_agents_that_see_people(service: Service, person: str) -> None:
    told = service.other.execute(
        "mailhub.send_message", "zed@example.com", params={"to": ["a@example.com"], "subject": "x"}
    ).json
    assert told["status"] == "paused", told
    assert "ana@example.com" not in str(told)
    item = next(item for item in told["waiting_for"] if item["kind"] == "approval")
    service.vote(service.link(item["id"], "ana@example.com"), "approve")
    seen = service.other.get(f"/executions/{told['id']}").json
    assert "ana@example.com" not in str(seen)
    told = service.other.execute(
        "mailhub.send_message", "zed@example.com", params={"to": ["a@example.com"], "subject": "y"}
    ).json
    item = next(item for item in told["waiting_for"] if item["kind"] == "approval")
    service.vote(service.link(item["id"], "ana@example.com"), "deny", feedback="no")
    seen = service.other.get(f"/executions/{told['id']}").json
    assert (seen["status"], seen["error"]["feedback"]) == ("denied", "no")
    assert "ana@example.com" not in str(seen)


def test_two_rules_are_two_requirements_of_one_round(service: Service, world: World, person: str) -> None:
    answer = service.agent.execute("echo.both", person, params={"text": "x"})
    assert answer.status == 202
    items = answer.json["waiting_for"]
    assert sorted(str(item["from"]) for item in items) == ["['requester']", "['user:ana@example.com']"]
    assert len({item["id"] for item in items}) == 1
    approval = items[0]["id"]
    links = {name: service.link(approval, name) for name in ("ana@example.com", person)}
    assert service.vote(links["ana@example.com"]).status == 200
    told = service.agent.get(f"/executions/{answer.json['id']}").json
    assert told["status"] == "paused"
    assert service.vote(links[person]).status == 200
    assert service.agent.settled(told)["status"] == "succeeded"

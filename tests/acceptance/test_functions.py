"""Functions of agents' own (`run = "agent"`): decided, asked, released once, recorded; run by the agent."""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance import files
from tests.acceptance.kit import ADMIN, Answer, Http, Service, World, until

Own = Callable[..., Service]
ANA = "ana@example.com"

OPS = """
id = "ops"
name = "Operations"

[actions.restart]
title = "Restart a service"
summary = "Restart {service}"
run = "agent"
risk = "high"
effect = "update"
params.service = { type = "string", required = true }
params.force = { type = "boolean", default = false }
params.secret = { type = "string", sensitive = true }

[actions.look]
title = "Look at a service"
run = "agent"
risk = "low"
effect = "read"
claim_timeout = "1s"
params.service = { type = "string", required = true }

[actions.short]
title = "Restart in a hurry"
run = "agent"
risk = "medium"
effect = "update"
claim_timeout = "1s"
params.service = { type = "string", required = true }

[actions.restart_free]
title = "Restart without asking"
run = "agent"
risk = "medium"
effect = "update"
params.service = { type = "string", required = true }

[actions.wipe]
title = "No rule is about this"
run = "agent"
risk = "medium"
effect = "delete"
"""

RULES = """
[[rule]]
id = "ops-ask"
match = ["ops.restart"]
effect = "require_approval"
reason = "Ana looks at what is restarted"
approval = { from = ["user:ana@example.com"], via = ["page"], expires = "1h", for_max = "1h", max_uses = 1 }

[[rule]]
id = "ops-allow"
match = ["ops.look", "ops.short", "ops.restart_free"]
effect = "allow"

[[rule]]
id = "ops-never"
match = ["ops.restart", "ops.look", "ops.short"]
when = "has(params.service) && params.service == 'forbidden'"
effect = "deny"
reason = "Nobody touches that"
"""


def config(**limits: str) -> str:
    text = files.CONFIG.replace('"shared.*", ', '"shared.*", "ops.*", ')
    text = text.replace('actions = ["mailhub.*", "echo.say"]', 'actions = ["mailhub.*", "echo.say", "ops.*"]')
    for name, value in limits.items():
        text = text.replace('approved_send_within = "15m"', f'{name} = "{value}"')
    return text


def changed(**limits: str) -> dict[str, str]:
    return {
        "config.toml": config(**limits),
        "connectors/ops/connector.toml": OPS,
        "policies.toml": files.POLICIES + RULES,
    }


@pytest.fixture(scope="module")
def ops(world: World, tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Service(tmp_path_factory.mktemp("ops"), {**files.everything(world), **changed()}).start()
    yield made
    made.stop()


def released(ops: Service, action: str = "ops.short", **params: Any) -> dict[str, Any]:
    answer = ops.agent.execute(action, params={"service": "web", **params})
    assert answer.status == 202, answer.body
    told: dict[str, Any] = answer.json
    assert told["status"] == "released", told
    return told


def claim(who: Http, told: dict[str, Any], **body: Any) -> Answer:
    return who.post(f"/executions/{told['id']}/claim", {"digest": told["digest"], **body})


def claimed(service: Service, told: dict[str, Any]) -> str:
    answer = claim(service.agent, told)
    assert answer.status == 200, answer.body
    secret: str = answer.json["claim"]
    return secret


def complete(who: Http, told: dict[str, Any], secret: str, outcome: str = "succeeded", **more: Any) -> Answer:
    return who.post(f"/executions/{told['id']}/complete", {"claim": secret, "outcome": outcome, **more})


def test_an_allowed_function_is_released_claimed_and_completed(ops: Service) -> None:
    answer = ops.agent.execute("ops.look", params={"service": "web"})
    assert answer.status == 202
    assert answer.headers["location"] == f"/executions/{answer.json['id']}"
    assert int(answer.headers["retry-after"]) > 0
    told = answer.json
    assert told["status"] == "released"
    assert told["user"] is None
    assert told["waiting_for"] == []
    assert re.fullmatch("sha256:[0-9a-f]{64}", told["digest"])
    assert ops.agent.get(f"/executions/{told['id']}").json == told
    taken = claim(ops.agent, told)
    assert taken.status == 200
    assert taken.json["status"] == "executing"
    assert taken.json["id"] == told["id"]
    secret = taken.json["claim"]
    assert len(base64.urlsafe_b64decode(secret.removeprefix("jat_clm_") + "=")) == 32, "256 bits"
    assert taken.json["claim_expires_at"].endswith("Z")
    assert "claim" not in ops.agent.get(f"/executions/{told['id']}").json, "it is shown once"
    done = complete(ops.agent, told, secret, result={"lines": ["a", 1.5, None]})
    assert done.status == 200
    assert done.json["status"] == "succeeded"
    assert done.json["result"] == {
        "status": None, "headers": {}, "body": {"lines": ["a", 1.5, None]}, "untrusted": True
    }  # fmt: skip
    assert done.json["error"] is None
    assert ops.agent.get(f"/executions/{told['id']}").json == done.json


def test_a_function_that_failed(ops: Service) -> None:
    told = released(ops)
    done = complete(ops.agent, told, claimed(ops, told), "failed", result="it is on fire")
    assert (done.status, done.json["status"]) == (200, "failed")
    assert done.json["error"]["code"] == "function_failed"
    assert done.json["result"]["body"] == "it is on fire"


def test_people_are_asked_first_and_a_wait_ends_with_the_release(ops: Service) -> None:
    told, item = ops.paused(ops.agent.execute("ops.restart", params={"service": "asked"}, reason="it hangs"))
    early = claim(ops.agent, told)
    assert (early.status, early.code) == (409, "not_released")
    assert early.json["execution"]["status"] == "paused"
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(ops.agent.get(f"/executions/{told['id']}?wait=30")))
    thread.start()
    link = ops.link(item["id"], ANA)
    page = ops.anyone.get(link).body.decode()
    assert "function of the agent" in page
    assert "ops.restart" in page
    assert "asked" in page
    assert ops.vote(link).status == 200
    thread.join(40)
    assert answers[0].json["status"] == "released"
    assert answers[0].seconds < 20
    now = answers[0].json
    assert now["digest"] == told["digest"]
    secret = claimed(ops, now)
    assert ops.vote(link).status == 409
    assert complete(ops.agent, now, secret).json["result"]["body"] is None


def test_prefer_wait_ends_with_the_release(ops: Service) -> None:
    begun = time.monotonic()
    answer = ops.agent.execute("ops.look", None, {"Prefer": "wait=20"}, params={"service": "web"})
    assert (answer.status, answer.json["status"]) == (202, "released")
    assert time.monotonic() - begun < 10


def test_a_denied_function_is_released_to_nobody(ops: Service) -> None:
    answer = ops.agent.execute("ops.look", params={"service": "forbidden"})
    assert (answer.status, answer.code) == (403, "policy_denied")
    answer = ops.agent.execute("ops.wipe")
    assert answer.status == 403
    told, item = ops.paused(ops.agent.execute("ops.restart", params={"service": "denied"}))
    assert ops.vote(ops.link(item["id"], ANA), "deny").status == 200
    refused = claim(ops.agent, told)
    assert (refused.status, refused.code) == (403, "approval_denied")
    assert refused.json["execution"]["status"] == "denied"


def test_the_digest_must_be_the_one_that_is_released(ops: Service) -> None:
    told = released(ops)
    other = released(ops, service="other")
    assert told["digest"] != other["digest"]
    for digest in (other["digest"], "sha256:" + "0" * 64, "x"):
        answer = ops.agent.post(f"/executions/{told['id']}/claim", {"digest": digest})
        assert (answer.status, answer.code) == (409, "digest_mismatch")
    assert claim(ops.agent, told).status == 200


def test_a_second_claim_is_refused(ops: Service) -> None:
    told = released(ops, "ops.short")
    secret = claimed(ops, told)
    for _ in range(2):
        answer = claim(ops.agent, told)
        assert (answer.status, answer.code) == (409, "already_claimed")
    assert complete(ops.agent, told, secret).status == 200
    answer = claim(ops.agent, told)
    assert (answer.status, answer.code) == (409, "already_claimed")


def test_of_many_claims_at_once_one_wins(ops: Service) -> None:
    told = released(ops)
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(claim(ops.agent, told))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    assert {answer.code for answer in answers if answer.status == 409} == {"already_claimed"}


def test_others_cannot_take_prolong_or_complete_it(ops: Service) -> None:
    told = released(ops, "ops.short")
    assert claim(ops.other, told).status == 404
    assert claim(Http(ops.url, ADMIN), told).status == 401
    assert claim(ops.anyone, told).status == 401
    secret = claimed(ops, told)
    mine = released(ops, "ops.short")
    own = claimed(ops, mine)
    for who, status in ((ops.other, 404), (Http(ops.url, ADMIN), 401), (ops.anyone, 401)):
        assert complete(who, told, secret).status == status
        assert who.post(f"/executions/{told['id']}/heartbeat", {"claim": secret}).status == status
    for wrong in (own, "x", secret[:-2] + ("AA" if not secret.endswith("AA") else "BB"), secret + "A", "é"):
        answer = complete(ops.agent, told, wrong)
        assert (answer.status, answer.code) == (403, "wrong_claim")
        answer = ops.agent.post(f"/executions/{told['id']}/heartbeat", {"claim": wrong})
        assert (answer.status, answer.code) == (403, "wrong_claim")
    assert ops.anyone.get(f"/approvals/{secret}").status == 404, "it is no link"
    assert complete(ops.agent, told, secret).status == 200


def test_what_is_not_claimed_cannot_be_completed(ops: Service) -> None:
    told = released(ops)
    answer = complete(ops.agent, told, "jat_clm_" + "A" * 43)
    assert (answer.status, answer.code) == (409, "not_claimed")
    answer = ops.agent.post(f"/executions/{told['id']}/heartbeat", {"claim": "jat_clm_x"})
    assert (answer.status, answer.code) == (409, "not_claimed")
    call = ops.agent.execute("echo.say", params={"text": "x"}).json
    answer = claim(ops.agent, call)
    assert answer.status == 409, "a call that we made is nobody's to claim"


def test_the_same_again_changes_nothing_and_another_outcome_is_refused(ops: Service) -> None:
    told = released(ops)
    secret = claimed(ops, told)
    done = complete(ops.agent, told, secret, result={"n": 1})
    again = complete(ops.agent, told, secret, result={"n": 1})
    assert (again.status, again.json) == (200, done.json)
    for outcome, result in (("failed", {"n": 1}), ("succeeded", {"n": 2}), ("succeeded", {"n": True})):
        answer = complete(ops.agent, told, secret, outcome, result=result)
        assert (answer.status, answer.code) == (409, "already_finished")
    answer = ops.agent.post(f"/executions/{told['id']}/heartbeat", {"claim": secret})
    assert (answer.status, answer.code) == (409, "already_finished")


@pytest.mark.parametrize(
    ("way", "body", "status"),
    [
        ("claim", {}, 422),
        ("claim", {"digest": 1}, 422),
        ("claim", {"digest": "x", "claim": "y"}, 400),
        ("heartbeat", {}, 422),
        ("heartbeat", {"claim": None}, 422),
        ("complete", {"claim": "x"}, 422),
        ("complete", {"claim": "x", "outcome": "unknown"}, 422),
        ("complete", {"claim": "x", "outcome": "succeeded", "note": "n"}, 400),
    ],
)
def test_bad_bodies_are_named(ops: Service, way: str, body: dict[str, Any], status: int) -> None:
    told = released(ops)
    answer = ops.agent.post(f"/executions/{told['id']}/{way}", body)
    assert answer.status == status
    if status == 422:
        assert answer.json["faults"][0]["pointer"].startswith("/")
    else:
        assert answer.code == "unknown_field"
    assert ops.agent.post(f"/executions/{told['id']}/{way}", b"{").code == "bad_json"
    assert ops.agent.post("/executions/exe_none/claim", {"digest": "x"}).status == 404


def test_results_have_a_bound(ops: Service) -> None:
    told = released(ops)
    secret = claimed(ops, told)
    assert complete(ops.agent, told, secret, result="x" * (1 << 20)).status == 413
    assert complete(ops.agent, told, secret, result="x" * 900_000).status == 200


def test_a_claim_that_runs_out_is_unknown_and_a_late_complete_settles_it(ops: Service) -> None:
    told = released(ops)
    secret = claimed(ops, told)
    until(lambda: ops.agent.get(f"/executions/{told['id']}").json["status"] == "unknown")
    now = ops.agent.get(f"/executions/{told['id']}").json
    assert now["error"]["code"] == "outcome_unknown"
    answer = ops.agent.post(f"/executions/{told['id']}/heartbeat", {"claim": secret})
    assert (answer.status, answer.code) == (409, "claim_expired")
    answer = claim(ops.agent, told)
    assert (answer.status, answer.code) == (409, "already_claimed")
    done = complete(ops.agent, told, secret, result="late")
    assert (done.status, done.json["status"], done.json["error"]) == (200, "succeeded", None)
    assert complete(ops.agent, told, secret, result="late").status == 200


def test_heartbeats_keep_a_claim(ops: Service) -> None:
    told = released(ops)
    secret = claimed(ops, told)
    for _ in range(8):
        time.sleep(0.3)
        answer = ops.agent.post(f"/executions/{told['id']}/heartbeat", {"claim": secret})
        assert (answer.status, answer.json["status"]) == (200, "executing")
        assert answer.json["claim_expires_at"].endswith("Z")
        assert "claim" not in answer.json
    assert complete(ops.agent, told, secret).status == 200


def test_an_operator_resolves_what_is_unknown(ops: Service) -> None:
    told = released(ops)
    secret = claimed(ops, told)
    until(lambda: ops.agent.get(f"/executions/{told['id']}").json["status"] == "unknown")
    body = {"outcome": "failed", "note": "nothing was restarted"}
    assert ops.admin.post(f"/executions/{told['id']}/resolve", body).status == 200
    answer = complete(ops.agent, told, secret)
    assert (answer.status, answer.code) == (409, "already_finished"), "a person's word is final"


def test_cancel(ops: Service) -> None:
    told = released(ops)
    answer = ops.agent.post(f"/executions/{told['id']}/cancel")
    assert (answer.status, answer.json["status"]) == (200, "cancelled")
    answer = claim(ops.agent, told)
    assert (answer.status, answer.code) == (409, "already_finished")
    told = released(ops)
    secret = claimed(ops, told)
    answer = ops.agent.post(f"/executions/{told['id']}/cancel")
    assert (answer.status, answer.code) == (409, "executing")
    assert complete(ops.agent, told, secret).status == 200


def test_a_key_answers_what_is_released(ops: Service) -> None:
    key = {"Idempotency-Key": "released-1"}
    one = ops.agent.execute("ops.look", None, key, params={"service": "key"})
    again = ops.agent.execute("ops.look", None, key, params={"service": "key"})
    assert (again.status, again.json) == (202, one.json)
    secret = claimed(ops, one.json)
    begun = time.monotonic()
    assert ops.agent.execute("ops.look", None, key, params={"service": "key"}).status == 202
    assert time.monotonic() - begun < 5, "who asks is who runs it: there is nothing to wait for"
    complete(ops.agent, one.json, secret)
    assert ops.agent.execute("ops.look", None, key, params={"service": "key"}).json["status"] == "succeeded"


def test_lists_and_the_catalogue_know_them(ops: Service) -> None:
    told = released(ops, service="listed")
    listed = ops.agent.get("/executions?status=released&limit=5").json["items"]
    assert told["id"] in [item["id"] for item in listed]
    assert {item["status"] for item in listed} == {"released"}
    assert ops.agent.get("/actions/ops.restart").json["run"] == "agent"
    assert ops.agent.get("/actions/echo.say").json["run"] == "engine"


def test_the_record_tells_release_claim_and_outcome(ops: Service) -> None:
    told = released(ops, "ops.short")
    secret = claimed(ops, told)
    ops.agent.post(f"/executions/{told['id']}/heartbeat", {"claim": secret})
    complete(ops.agent, told, secret, result="a word nobody else says")
    rows = ops.admin.get(f"/admin/audit?execution={told['id']}").json["items"]
    facts = [(row["actor"], fact["do"]) for row in reversed(rows) for fact in row["what"]]
    assert facts == [
        ("agent:mailbot", "request"), ("agent:mailbot", "decision"), ("agent:mailbot", "release"),
        ("agent:mailbot", "decision"), ("agent:mailbot", "claim"),
        ("agent:mailbot", "heartbeat"), ("agent:mailbot", "outcome"),
    ]  # fmt: skip
    everything = ops.admin.get("/admin/audit").body.decode()
    assert secret not in everything
    assert "a word nobody else says" not in everything
    assert ops.command("audit", "verify").returncode == 0


def test_an_approval_is_used_up_by_its_claim(ops: Service) -> None:
    told, item = ops.paused(ops.agent.execute("ops.restart", params={"service": "twice"}))
    assert ops.vote(ops.link(item["id"], ANA)).status == 200
    now = ops.agent.settled(told)
    assert now["status"] == "released"
    again = ops.agent.execute("ops.restart", params={"service": "twice"})
    assert again.json["status"] == "paused", "another call asks anew"
    assert again.json["id"] != told["id"]
    assert claim(ops.agent, now).status == 200
    assert claim(ops.agent, again.json).code == "not_released"

"""Who may administer what, and that administering is all they may do (THREAT_MODEL 35)."""

from __future__ import annotations

import pytest

from tests.integration.operators.conftest import ROLES, TOKENS, admin, facts
from tests.integration.service.kit import ADMIN, AGENT, OTHER, Kit

SEND = {"to": ["x@y.example"], "subject": "hi"}
TABLE = [
    ("agents/otherbot/suspend", {}, "operator"),
    ("revoke", {"agent": "otherbot"}, "operator"),
    ("revoke", {"connector": "nothing"}, "operator"),
    ("halt", {"reason": "x"}, "operator"),
    ("resume", {"reason": "x"}, "operator"),
    ("agents/otherbot/restore", {}, "security"),
    ("connectors/mailhub/restore", {}, "security"),
]


async def test_each_role_may_what_it_may(world: Kit) -> None:
    for path, body, needed in TABLE:
        for role in ROLES:
            came = await admin(world, path, body, role=role)
            if ROLES.index(role) < ROLES.index(needed):
                assert (came.status, came.json["code"]) == (403, "role_required"), (path, role)
                assert needed in came.json["detail"]
            else:
                assert came.status == (404 if "nothing" in str(body) else 200), (path, role)
    actors = {fact["actor"] for fact in await facts(world, "agent.suspended", "halted", "resumed", "agent.restored")}
    assert actors == {"admin:operator", "admin:security"}


async def test_an_operator_withdraws_any_agents_call(world: Kit) -> None:
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    link = await world.approval_link(paused)
    path = f"/executions/{paused}/cancel"
    assert (await world.call("POST", path, token=TOKENS["viewer"])).json["code"] == "role_required"
    assert (await world.call("POST", path, token=OTHER)).status == 404
    for role in ("operator", "security"):
        came = await world.call("POST", path, token=TOKENS[role])
        assert (came.status, came.json["status"], came.json["error"]["by"]) == (200, "cancelled", "admin"), came.json
    assert (await world.call("GET", f"/executions/{paused}")).json["error"]["code"] == "cancelled"
    assert (await world.decide(link)).status == 410
    assert [fact["actor"] for fact in await facts(world, "cancel")] == ["admin:operator"]
    done = (await world.execute("note", params={"text": "x"})).json["id"]
    over = await world.call("POST", f"/executions/{done}/cancel", token=TOKENS["operator"])
    assert (over.status, over.json["code"]) == (409, "already_finished")
    nothing = "/executions/exe_00000000000000000000000000/cancel"
    assert (await world.call("POST", nothing, token=TOKENS["operator"])).status == 404


async def test_a_viewer_resolves_nothing(world: Kit) -> None:
    body = {"outcome": "failed", "note": "seen in the provider's own list"}
    for role, status in (("viewer", 403), ("operator", 404), ("security", 404)):
        path = "/executions/exe_00000000000000000000000000/resolve"
        assert (await world.call("POST", path, body, token=TOKENS[role])).status == status


@pytest.mark.parametrize("token", [*TOKENS.values(), ADMIN])
async def test_an_admin_neither_executes_nor_decides(world: Kit, token: str) -> None:
    assert (await world.execute("note", token=token, params={"text": "x"})).status == 401
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    for path in ("", "/events"):
        assert (await world.call("GET", f"/executions/{paused}{path}", token=token)).status == 401
    ask = (await world.call("GET", f"/executions/{paused}")).json["waiting_for"][0]["id"]
    assert (await world.call("POST", f"/approvals/{ask}", {"decision": "approve"}, token=token)).status in (401, 404)
    assert world.mail.counts["POST"] == 0


async def test_no_agent_administers(world: Kit) -> None:
    for token in (AGENT, OTHER, "wrong"):
        for path, body, _ in TABLE:
            assert (await world.call("POST", f"/admin/{path}", body, token=token)).status == 401, path


async def test_admin_tokens_are_of_role_security(world: Kit) -> None:
    assert (await world.call("POST", "/admin/agents/otherbot/suspend", {}, token=ADMIN)).status == 200
    assert (await world.call("POST", "/admin/agents/otherbot/restore", {}, token=ADMIN)).status == 200
    told = await facts(world, "agent.suspended", "agent.restored")
    assert [fact["actor"] for fact in told] == ["admin:token-1", "admin:token-1"]


async def test_unknown_members_and_parameters_are_refused(world: Kit) -> None:
    for path, body, _ in TABLE:
        came = await admin(world, path, {**body, "nonsense": 1})
        assert (came.status, came.json["code"]) == (400, "unknown_field"), path
        assert (await admin(world, f"{path}?x=1", body)).status == 400, path
    for method in ("GET", "DELETE"):
        assert (await world.call(method, "/admin/halt", token=ADMIN)).status == 405

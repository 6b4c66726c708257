"""`policy explain` of what was really asked, and `policy check` against the connectors that a service has."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.acceptance import files
from tests.acceptance.kit import Service, World
from tests.acceptance.test_policy import CALLS, payer

SHADOW = """
[[rule]]
id = "euros-alone"
match = ["pay.transfer"]
when = "params.currency != 'EUR'"
effect = "deny"
mode = "shadow"
"""


def test_explain_a_file_and_what_was_asked(own: Callable[..., Service], world: World) -> None:
    config = files.CONFIG.replace('"keyed.*"', '"pay.*", "pay.erase", "keyed.*"', 1)
    config = config.replace('users = ["alice@example.com", "zed@example.com"]', 'users = ["*"]')
    service = payer(own, world, CALLS + SHADOW)
    service.write("config.toml", config)
    service.start()
    asked = service.agent.execute("pay.transfer", "cy@example.com", params={"amount": 1000.5, "currency": "USD"})
    assert asked.status == 202

    came = service.command("policy", "explain", asked.json["id"], "--json")
    assert came.returncode == 0, came.stdout + came.stderr
    found = json.loads(came.stdout)
    assert (found["user"], found["recorded"], found["decision"]["effect"]) == (
        "cy@example.com",
        found["decision"],
        "require_approval",
    )
    outcomes = {one["id"]: (one["outcome"], one["mode"]) for one in found["rules"]}
    assert outcomes == {
        "big": ("winner", "enforce"),
        "finance": ("when_false", "enforce"),
        "euros-alone": ("winner", "shadow"),
    }
    assert (found["with_shadow"]["effect"], found["with_shadow"]["rules"]) == ("deny", ["euros-alone"])

    body = {"action": "pay.transfer", "user": "bo@example.com", "params": {"amount": 1000.5, "currency": "EUR"}}
    service.write("call.json", json.dumps(body))
    came = service.command("policy", "explain", str(service.folder / "call.json"))
    assert came.returncode == 0, came.stdout + came.stderr
    assert "decision: allow, by finance" in came.stdout
    assert "loses: `unless` exempts the call" in came.stdout
    assert "user.id == 'bo@example.com'  =>  true" in came.stdout


def test_check_warns_and_strict_refuses(own: Callable[..., Service], world: World) -> None:
    service = payer(own, world, CALLS)
    path = str(service.folder / "policies.toml")
    plain, strict = service.command("policy", "check", path), service.command("policy", "check", "--strict", path)
    assert (plain.returncode, strict.returncode) == (0, 1)
    assert plain.stderr.startswith("warning: ")
    assert (
        "rule finance allows pay.transfer whatever amount, count, currency, flag, memo, party, to hold" in strict.stdout
    )

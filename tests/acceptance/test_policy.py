"""What rules mean: by `policy test`, and by calls."""

from __future__ import annotations

from collections.abc import Callable

from tests.acceptance import files
from tests.acceptance.kit import Service, World

CONNECTOR = """
id = "pay"
name = "Pay"
docs = "https://docs.pay.example"
base_url = "{url}/pay"
[provider]
kind = "none"
[actions.transfer]
title = "Transfer"
method = "POST"
path = "/transfers"
risk = "high"
effect = "create"
[actions.transfer.params]
amount = {{ type = "number", required = true }}
currency = {{ type = "string", enum = ["EUR", "USD"], required = true }}
to = {{ type = "array", items = {{ type = "string" }} }}
memo = {{ type = "string" }}
count = {{ type = "integer" }}
flag = {{ type = "boolean" }}
[actions.transfer.params.party]
type = "object"
properties = {{ name = {{ type = "string" }}, country = {{ type = "string" }} }}
required = ["country"]
[actions.read]
title = "Read"
method = "GET"
path = "/r"
risk = "low"
effect = "read"
[actions.read_high]
title = "Read a lot"
method = "GET"
path = "/r"
risk = "high"
effect = "read"
[actions.erase]
title = "Erase"
method = "DELETE"
path = "/r"
risk = "critical"
effect = "delete"
"""

BASE = '"params.amount" = 1.0, "params.currency" = "EUR"'

CONDITIONS: list[tuple[str, str, str]] = [
    # (condition of an allow rule, set, true | false | error)
    ("params.amount > 1000.0 || params.currency != 'EUR'", '"params.amount" = 1000.0', "false"),
    ("params.amount > 1000.0 || params.currency != 'EUR'", '"params.currency" = "USD"', "true"),
    ("params.amount > 1000", '"params.amount" = 1000.5', "true"),
    ("params.amount == 1", '"params.amount" = 1.0', "true"),
    ("params.count == 9007199254740991", '"params.count" = 9007199254740991', "true"),
    ("params.count + 1 == 3 && params.count * 2 - 1 == 3", '"params.count" = 2', "true"),
    ("params.memo == 'x'", "", "error"),
    ("has(params.memo)", "", "false"),
    ("has(params.memo) && params.memo == 'x'", "", "false"),
    ("!has(params.memo) || params.memo == 'x'", "", "true"),
    ("params.memo == 'x' || true", "", "true"),
    ("params.memo == 'x' && false", "", "false"),
    ("params.memo == 'x' || false", "", "error"),
    ("params.memo == 'x' ? true : true", "", "error"),
    ("true ? true : params.memo == 'x'", "", "true"),
    ("params.to.exists(t, t == 'a')", '"params.to" = ["b", "a"]', "true"),
    ("params.to.all(t, t.startsWith('a'))", '"params.to" = ["ab", "ac"]', "true"),
    ("params.to.exists_one(t, t == 'a')", '"params.to" = ["a", "a"]', "false"),
    ("params.to[0] == 'a'", '"params.to" = []', "error"),
    ("params.to[0] == 'a'", '"params.to" = ["a"]', "true"),
    ("'a' in params.to && size(params.to) == 1", '"params.to" = ["a"]', "true"),
    ("email_domain(params.to[0]) == 'ours.example'", '"params.to" = ["a@ours.example"]', "true"),
    ("email_domain(params.to[0]) == 'ours.example'", '"params.to" = ["a@ours.example, b@evil.example"]', "error"),
    ("email_domain(params.to[0]) == 'ours.example'", '"params.to" = ["Ann <a@ours.example>"]', "error"),
    (
        "params.to.all(t, email_domain(t) == 'ours.example')",
        '"params.to" = ["a@ours.example", "b@ours.example"]',
        "true",
    ),
    (
        "params.party.country == 'IT' && params.memo.contains('x') && params.memo.endsWith('y')",
        '"params.party" = { country = "IT" }, "params.memo" = "xy"',
        "true",
    ),
    ("has(params.party.name)", '"params.party" = { country = "IT" }', "false"),
    ("params.flag ? params.currency in ['EUR'] : false", '"params.flag" = true', "true"),
    (
        "action.name == 'pay.transfer' && action.connector == 'pay' && action.risk == 'high'",
        "",
        "true",
    ),
    ("now.hour == 9 && now.weekday == 'tue' && now.date == '2026-11-24'", 'now = "2026-11-24T08:30:00Z"', "true"),
    ("now.hour == 12 && now.date == '2026-01-05' && now.weekday == 'mon'", "", "true"),
    ("user.id == 'test@example.com' && size(user.groups) == 0 && user.verified", "", "true"),
    ("agent.id == 'test' && agent.depth == 0 && agent.chain == ['test']", "", "true"),
    ("'finance' in user.groups", '"user.groups" = ["finance"]', "true"),
    ("user.id == 'x@example.com'", '"user.verified" = false', "error"),
    ("'finance' in user.groups", '"user.verified" = false', "error"),
    ("!user.verified", '"user.verified" = false', "true"),
    ("account == null", "", "true"),
    ("params.memo.size() == 2", '"params.memo" = "\\u00e9\\u00e9"', "true"),
]


def conditions(effect: str) -> str:
    """One file: a rule per condition, told apart by the agent's id."""
    rules, tests = "", ""
    for number, (condition, given, comes) in enumerate(CONDITIONS):
        own = condition.replace("agent.id == 'test' && agent.depth == 0 && agent.chain == ['test']", "agent.depth == 0")
        rules += f"""
[[rule]]
id = "r{number}"
match = ["pay.transfer"]
when = "agent.id == 'a{number}' && ({own})"
effect = "{effect}"
"""
        if effect == "allow":
            expected = "allow" if comes == "true" else "deny"
        else:
            expected = "deny" if comes in ("true", "error") else "allow"
        sets = ", ".join(
            part
            for part in (
                BASE if "amount" not in given and "currency" not in given else patched(given),
                given,
                f'"agent.id" = "a{number}"',
            )
            if part
        )
        tests += f"""
[[test]]
name = "{number}: {comes}"
action = "pay.transfer"
set = {{ {sets} }}
expect = {{ effect = "{expected}" }}
"""
    open_rule = '[[rule]]\nid = "open"\nmatch = ["pay.transfer"]\neffect = "allow"\n' if effect == "deny" else ""
    zone = 'format = 1\n[defaults]\ntimezone = "Europe/Rome"\n[groups]\nfinance = ["ana@example.com"]\n'
    return zone + open_rule + rules + tests


def patched(given: str) -> str:
    return ", ".join(part for part in BASE.split(", ") if part.split(" ")[0] not in given)


def judged(service: Service, text: str) -> None:
    service.write("judged.toml", text)
    # Each rule is there for its one test; that it is seen both ways is not what is judged here.
    done = service.command("policy", "test", str(service.folder / "judged.toml"), "--min-coverage", "0")
    assert done.returncode == 0, done.stdout + done.stderr


def payer(own: Callable[..., Service], world: World, policies: str = "format = 1\n") -> Service:
    config = files.CONFIG.replace('"keyed.*"', '"pay.*", "pay.erase", "keyed.*"', 1)
    return own(
        {
            "connectors/pay/connector.toml": CONNECTOR.replace("{url}", world.upstream.url)
            .replace("{{", "{")
            .replace("}}", "}"),
            "config.toml": config,
            "policies.toml": policies,
        }
    )


def test_conditions_allow_only_where_they_are_true(own: Callable[..., Service], world: World) -> None:
    judged(payer(own, world), conditions("allow"))


def test_conditions_deny_where_they_are_true_or_in_error(own: Callable[..., Service], world: World) -> None:
    judged(payer(own, world), conditions("deny"))


SEMANTICS = """
format = 1
[defaults]
no_match = "allow"
[groups]
finance = ["ana@example.com"]

[[rule]]
id = "some"
match = ["pay.*"]
when = "agent.id == 'all-three'"
effect = "allow"
[[rule]]
id = "ask"
match = ["pay.transfer"]
when = "agent.id == 'all-three' || agent.id == 'two' || agent.id == 'exempt' || agent.id == 'unless-error'"
unless = "agent.id == 'exempt' || (agent.id == 'unless-error' && params.memo == 'x')"
effect = "require_approval"
approval = { from = ["user:ana@example.com"] }
[[rule]]
id = "ask-too"
match = ["pay.transf*"]
when = "agent.id == 'two'"
effect = "require_approval"
approval = { from = ["requester"], expires = "10m" }
[[rule]]
id = "no"
match = ["*.transfer"]
when = "agent.id == 'all-three' && params.amount > 5"
effect = "deny"
[[rule]]
id = "loose"
match = ["pay.transfer", "pay.read"]
when = "agent.id == 'loose'"
unless = "user.id == 'x'"
effect = "allow"

[[test]]
name = "deny is the strictest"
action = "pay.transfer"
set = { "agent.id" = "all-three", "params.amount" = 6.0, "params.currency" = "EUR" }
expect = { effect = "deny", rules = ["no"] }
[[test]]
name = "then approval"
action = "pay.transfer"
set = { "agent.id" = "all-three", "params.amount" = 1.0, "params.currency" = "EUR" }
expect = { effect = "require_approval", rules = ["ask"], need = { "user:ana@example.com" = 1 } }
[[test]]
name = "all approval rules must be met"
action = "pay.transfer"
set = { "agent.id" = "two", "params.amount" = 1.0, "params.currency" = "EUR" }
expect.effect = "require_approval"
expect.rules = ["ask", "ask-too"]
expect.need = { "user:ana@example.com" = 1, "requester" = 1 }
[[test]]
name = "unless exempts"
action = "pay.transfer"
set = { "agent.id" = "exempt", "params.amount" = 1.0, "params.currency" = "EUR" }
expect = { effect = "deny", rules = [] }
[[test]]
name = "an error in unless exempts nobody"
action = "pay.transfer"
set = { "agent.id" = "unless-error", "params.amount" = 1.0, "params.currency" = "EUR" }
expect = { effect = "require_approval", rules = ["ask"] }
[[test]]
name = "an error in unless skips an allow rule"
action = "pay.read"
set = { "agent.id" = "loose", "user.verified" = false }
expect = { effect = "deny", rules = [] }
[[test]]
name = "no_match allow: reads of risk low"
action = "pay.read"
expect = { effect = "allow", rules = [] }
[[test]]
name = "no_match allow: not reads of risk high"
action = "pay.read_high"
expect = { effect = "deny", rules = [] }
[[test]]
name = "no_match allow: no writes"
action = "pay.transfer"
set = { "params.amount" = 1.0, "params.currency" = "EUR" }
expect = { effect = "deny", rules = [] }
[[test]]
name = "a glob in an allow rule never covers risk critical"
action = "pay.erase"
set = { "agent.id" = "all-three" }
expect = { effect = "deny", rules = [] }
"""


def test_the_strictest_wins_and_errors_never_loosen(own: Callable[..., Service], world: World) -> None:
    judged(payer(own, world), SEMANTICS)


CALLS = """
format = 1
[groups]
finance = ["bo@example.com"]
[[rule]]
id = "finance"
match = ["pay.read", "pay.transfer"]
when = "'finance' in user.groups"
effect = "allow"
[[rule]]
id = "big"
match = ["pay.transfer"]
when = "params.amount > 1000"
unless = "user.id == 'bo@example.com'"
effect = "require_approval"
reason = "Large sums are looked at"
approval = { from = ["user:ana@example.com"] }
[[rule]]
id = "own-approval"
match = ["pay.read_high"]
effect = "require_approval"
approval = { from = ["user:olga@example.com"] }
[[rule]]
id = "erase"
match = ["pay.erase"]
effect = "allow"
"""


def test_decisions_of_calls(own: Callable[..., Service], world: World) -> None:
    config = files.CONFIG.replace('"keyed.*"', '"pay.*", "pay.erase", "keyed.*"', 1)
    config = config.replace('actions = ["mailhub.*", "echo.say"]', 'actions = ["pay.*"]').replace(
        'users = ["alice@example.com", "zed@example.com"]', 'users = ["*"]'
    )
    service = payer(own, world, CALLS)
    service.write("config.toml", config)
    service.start()
    small, big = {"amount": 5, "currency": "EUR"}, {"amount": 1000.5, "currency": "EUR"}
    agent, other = service.agent, service.other
    # Groups of [people] and of [groups] are united; a group's member by an alias is the same person.
    for user in ("ana@example.com", "bo@example.com", "ana.rossi@example.com"):
        assert agent.execute("pay.read", user).status == 200, user
    assert agent.execute("pay.read", "cy@example.com").status == 403
    assert agent.execute("pay.transfer", "bo@example.com", params=big).status == 200
    asked = agent.execute("pay.transfer", "cy@example.com", params=big)
    assert (asked.status, asked.json["decision"]["rules"]) == (202, ["big"])
    assert asked.json["decision"]["reasons"] == ["Large sums are looked at"]
    assert agent.execute("pay.transfer", "cy@example.com", params=small).status == 403
    # Named, it covers risk critical.
    assert agent.execute("pay.erase", "cy@example.com").status == 200
    # An unverified user's id and groups are no facts: nothing is loosened by them.
    assert other.execute("pay.read", "ana@example.com").status == 403
    unverified = other.execute("pay.transfer", "bo@example.com", params=big)
    assert (unverified.status, unverified.json["decision"]["rules"]) == (202, ["big"]), "the exemption is in error"
    # The agent's owner answers for it: she is a requester, and named by the rule.
    owned = other.execute("pay.read_high", "cy@example.com")
    assert owned.status in (202, 403), owned.body

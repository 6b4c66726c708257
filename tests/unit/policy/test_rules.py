"""Policy files: what they may hold, what is refused and where, and what rules come to together."""

from __future__ import annotations

import itertools
import json
import time

import msgspec
import pytest

from jit_auth.errors import Faults
from jit_auth.model import Decision, Param, Want
from jit_auth.policy.rules import load

from .world import ACTIONS, action, call, faults, policy, rule


def asking(id: str, match: str, *of: str, **keys: str) -> str:
    given = ", ".join(f"{key} = {value}" for key, value in keys.items())
    return (
        f'[[rule]]\nid = "{id}"\nmatch = ["{match}"]\neffect = "require_approval"\n'
        f"approval = {{ from = {json.dumps(list(of))}{', ' if given else ''}{given} }}\n"
    )


def decide(text: str, name: str = "pay.list", **facts: object) -> Decision:
    return policy(text).decide(call(name, **facts))  # type: ignore[arg-type]  # facts are those of Call


# What wins.


def test_the_strictest_rule_wins_in_whatever_order() -> None:
    allow, ask, deny = rule("a", "allow", "pay.list"), rule("b", "require_approval", "pay.*"), rule("c", "deny", "*")
    for texts in itertools.permutations([allow, ask, deny]):
        found = decide("".join(texts))
        assert (found.effect, found.rules) == ("deny", ("c",))
    assert decide(allow + ask).effect == "require_approval"
    assert decide(allow).effect == "allow"
    assert decide(ask, "demo.everything").effect == "deny"


def test_winners_are_all_of_the_strictest_effect_with_their_reasons() -> None:
    found = decide(rule("b", "deny", "pay.*", reason="No.") + rule("a", "deny", "*") + rule("c", "allow", "*"))
    assert found.rules == ("a", "b")
    assert found.reasons == ("Rule a denies this.", "No.")
    assert found.wants == ()
    assert found.errors == ()


def test_what_no_rule_matches_is_denied() -> None:
    for text in ("", "format = 1\n", rule("a", "allow", "mail.read"), rule("a", "allow", "pay.list", when="false")):
        found = decide(text)
        assert (found.effect, found.rules, found.reasons) == ("deny", (), ("No rule allows this call.",))
        assert found.policy.startswith("sha256:")


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        ("pay.list", "allow"),  # a read of risk low
        ("mail.read", "allow"),  # a read of risk medium
        ("pay.report", "deny"),  # a read of risk high
        ("pay.refund", "deny"),  # of risk medium, but no read
        ("pay.wipe", "deny"),
    ],
)
def test_no_match_allow_covers_reads_of_low_and_medium_risk_alone(name: str, effect: str) -> None:
    found = decide('[defaults]\nno_match = "allow"\n', name)
    assert (found.effect, found.rules) == (effect, ())


def test_an_unknown_action_is_denied() -> None:
    known = load([("p", '[defaults]\nno_match = "allow"\n')], {"pay.list": ACTIONS["pay.list"]}, [])
    assert known.decide(call("mail.read")).effect == "deny"
    assert known.shadow(call("mail.read")) == ()


# Errors never loosen.


def test_an_allow_rule_in_error_is_skipped() -> None:
    for key in ("when", "unless"):
        found = decide(rule("a", "allow", "pay.list", **{key: "params.limit == 1"}), params={})
        assert (found.effect, found.rules) == ("deny", ())
        assert found.errors == ("a: params.limit is absent",)
        assert found.reasons == ("No rule allows this call, and a rule that could have was in error.",)


@pytest.mark.parametrize("effect", ["deny", "require_approval"])
def test_any_other_rule_in_error_counts_as_matched(effect: str) -> None:
    for key in ("when", "unless"):
        found = decide(rule("x", effect, "pay.list", **{key: "params.limit == 1"}) + rule("a", "allow", "*"), params={})
        assert (found.effect, found.rules) == (effect, ("x",))
        assert found.errors == ("x: params.limit is absent",)


def test_an_error_in_when_is_not_absorbed_by_unless() -> None:
    broken = rule("x", "deny", "pay.list", when="params.limit == 1", unless="true")
    assert decide(broken + rule("a", "allow", "*"), params={}).effect == "deny"
    assert decide(broken + rule("a", "allow", "*"), params={"limit": 1}).effect == "allow"


def test_what_does_not_match_is_not_in_error() -> None:
    found = decide(rule("a", "deny", "pay.list", when="false", unless="params.limit == 1") + rule("b", "allow", "*"),
                   params={})  # fmt: skip
    assert (found.effect, found.errors) == ("allow", ())


def test_with_an_error_no_match_counts_as_deny() -> None:
    text = '[defaults]\nno_match = "allow"\n' + rule("a", "allow", "pay.list", when="params.limit > 100")
    assert decide(text, params={"limit": 1}).effect == "allow"
    found = decide(text, params={})
    assert (found.effect, found.rules) == ("deny", ())
    # another rule that allows is not taken back
    assert decide(text + rule("b", "allow", "*"), params={}).effect == "allow"


def test_unless_exempts() -> None:
    text = rule("x", "deny", "pay.list", when="params.limit > 5", unless="params.limit == 7") + rule("a", "allow", "*")
    assert [decide(text, params={"limit": n}).effect for n in (5, 6, 7)] == ["allow", "deny", "allow"]
    assert decide(rule("a", "allow", "pay.list", unless="params.limit == 7"), params={"limit": 7}).effect == "deny"


def test_the_limit_of_steps_is_one_for_all_rules_and_knows_no_order() -> None:
    loop = "params.ints.all(x, x >= 0)"
    given = {"ints": list(range(4_000))}
    rules = [rule(f"r{n}", "deny", when=f"!{loop}") for n in range(2)]
    passing = "".join(rules) + rule("z", "allow")
    assert decide(passing, "demo.everything", params=given).effect == "allow"  # 8,000 steps
    rules.append(rule("r2", "require_approval", when=f"!{loop}"))
    for texts in itertools.permutations([*rules, rule("z", "allow")]):
        found = decide("".join(texts), "demo.everything", params=given)
        assert (found.effect, found.rules) == ("deny", ("r0", "r1"))
        assert found.errors == tuple(f"r{n}: more than 10000 loop steps in one decision" for n in range(3))


# Approvals.


def test_approvals_of_one_from_merge_and_the_shortest_expires_holds() -> None:
    found = decide(
        asking("a", "pay.list", "requester", "user:Bo@Example.com", expires='"4h"')
        + asking("b", "pay.*", "user:bo@example.com", "requester", "requester", expires='"30m"')
        + asking("c", "*", "user:cy@example.com", expires='"90s"')
    )
    assert found.rules == ("a", "b", "c")
    assert found.wants == (
        Want(("requester", "user:bo@example.com"), 1, 90_000, ("a", "b")),
        Want(("user:cy@example.com",), 1, 90_000, ("c",)),
    )
    assert found.via == ("page",)


def test_an_approval_is_for_an_hour_by_one_person_by_whatever_channel() -> None:
    found = policy(asking("a", "pay.list", "requester"), vias=("slack", "page")).decide(call("pay.list"))
    assert found.wants == (Want(("requester",), 1, 3_600_000, ("a",)),)
    assert found.via == ("slack", "page")


def test_via_is_the_intersection() -> None:
    text = asking("a", "*", "requester", via='["page", "slack"]') + asking(
        "b", "*", "requester", via='["slack", "email"]'
    )
    assert policy(text, vias=("slack", "email", "page")).decide(call("pay.list")).via == ("slack",)
    nobody = asking("a", "*", "requester", via='["page"]') + asking("b", "*", "user:bo", via='["slack"]')
    assert policy(nobody, vias=("slack", "page")).decide(call("pay.list")).via == ()


@pytest.mark.parametrize(
    ("approval", "message"),
    [
        ("from = []", "from: is empty: nobody could approve"),
        ('from = ["group:finance"]', "from: unknown group 'finance' (there are none)"),
        ('from = ["requster"]', "from: unknown approver 'requster' (did you mean 'requester'?)"),
        ('from = ["user"]', "from: unknown approver 'user'"),
        ('from = ["user:"]', "from: 'user:': "),
        ('from = ["user:*"]', "from: 'user:*': "),
        ('from = ["user:requester"]', "from: 'user:requester': "),
        ('from = ["requester"], need = 0', "need: at least 1"),
        ('from = ["requester"], need = 2', "need: 2 people are needed, and `from` can name only 1"),
        ('from = ["user:bo", "user:BO"], need = 2', "need: 2 people are needed, and `from` can name only 1"),
        ('from = ["user:bo", "user:cy"], need = 3', "need: 3 people are needed, and `from` can name only 2"),
        ('from = ["requester"], expires = "999ms"', "expires: '999ms' is no duration such as \"4h\""),
        ('from = ["requester"], expires = "0s"', "expires: at least 1s"),
        ('from = ["requester"], expires = ""', "expires: '' is no duration"),
        ('from = ["requester"], expires = "-1h"', "expires: '-1h' is no duration"),
        ('from = ["requester"], expires = 60', "rule[0].approval.expires: expected a string, got an integer"),
        ('from = ["requester"], via = []', "via: is empty: nobody could be asked"),
        ('from = ["requester"], via = ["sms"]', "via: unknown 'sms' (there are: page)"),
        ('from = ["requester"], via = ["slack"]', "via: none of slack is configured (there are: page): nobody could"),
        ('form = ["requester"]', "unknown key 'form' in [rule[0].approval] (did you mean 'from'?)"),
        ('from = ["requester"], remind = "soon"', "remind: 'soon' is no duration"),
        ('from = ["requester"], for_max = "1ms"', "for_max: "),
        ('from = ["requester"], max_uses = 0', "max_uses: at least 1"),
        ('from = ["requester"], editable = ["nosuch"]', "editable: pay.list has no parameter 'nosuch'"),
        ('from = ["requester"], escalate = { after = "2h", to = ["user:bo"] }', "after: the approval has run out"),
        ('from = ["requester"], escalate = { after = "1s", to = [] }', "to: is empty"),
        ('from = ["requester"], escalate = { after = "1s", to = ["group:x"] }', "to: unknown group 'x'"),
    ],
)  # fmt: skip
def test_faulty_approvals(approval: str, message: str) -> None:
    text = f'[[rule]]\nid = "a"\nmatch = ["pay.list"]\neffect = "require_approval"\napproval = {{ {approval} }}\n'
    found = faults(text)
    assert any(one.startswith(f"policies.toml:5: {message}") for one in found), found


def test_the_shortest_approval_is_a_second() -> None:
    assert decide(asking("a", "pay.list", "requester", expires='"1s"')).wants[0].expires == 1_000
    assert decide(asking("a", "pay.list", "requester", expires='"1d2h3m4s"')).wants[0].expires == 93_784_000


def test_who_may_approve_is_asked_for_only_where_somebody_is_asked() -> None:
    assert faults(rule("a", "require_approval", "pay.list").replace('approval = { from = ["requester"] }\n', "")) == [
        "policies.toml:1: approval: missing: who must approve, as in approval = { from = [...] }"
    ]
    assert faults(rule("a", "deny", "pay.list") + 'approval = { from = ["requester"] }\n') == [
        "policies.toml:5: approval: a rule of effect 'deny' asks nobody"
    ]


# What a rule covers.


def test_match_is_of_the_whole_name_and_case_counts() -> None:
    for pattern in ("pay", "list", "pay.lis", "PAY.LIST", "pay.?ist", "pay.[l]ist", "", "ay.list", "pay.list.*"):
        found = faults(rule("a", "deny", pattern))
        assert found[0].startswith(f"policies.toml:3: match: {pattern!r} fits no known action"), found
    for pattern in ("pay.list", "pay.*", "*.list", "*", "p*.l*t", "**", "*pay.list*"):
        assert decide(rule("a", "deny", pattern) + rule("z", "allow", "*")).effect == "deny"


def test_a_glob_that_allows_never_covers_risk_critical() -> None:
    everything = rule("a", "allow", "*")
    assert decide(everything, "pay.wipe").effect == "deny"
    assert decide(everything, "pay.transfer", params={}).effect == "allow"
    assert decide(everything + rule("b", "allow", "pay.wipe"), "pay.wipe").rules == ("b",)
    assert decide(rule("a", "require_approval", "*"), "pay.wipe").effect == "require_approval"
    assert decide(everything + rule("b", "deny", "*"), "pay.wipe").effect == "deny"
    assert faults(rule("a", "allow", "pay.w*")) == [
        "policies.toml:3: match: 'pay.w*' fits actions of risk critical alone: an allow rule has to name them"
    ]


def test_every_pattern_of_a_match_has_to_fit() -> None:
    text = rule("a", "deny", "pay.list").replace('["pay.list"]', '["pay.list", "pay.lsit", "nix.*"]')
    assert faults(text) == [
        "policies.toml:3: match: 'pay.lsit' fits no known action (did you mean 'pay.list'?)",
        "policies.toml:3: match: 'nix.*' fits no known action",
    ]
    assert faults(rule("a", "deny", "pay.list").replace('["pay.list"]', "[]")) == ["policies.toml:3: match: is empty"]


# The rest of the file.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format = 2\n", "1: format: "),
        ("[defaults]\nno_match = 'alow'\n", "2: no_match: unknown 'alow' (did you mean 'allow'?)"),
        ("[defaults]\ntimezone = 'Europe/Roma'\n", "2: timezone: unknown 'Europe/Roma' (did you mean 'Europe/Rome'?)"),
        ("[defaults]\ntimezone = '../../etc/passwd'\n", "2: timezone: unknown '../../etc/passwd'"),
        ("[defaults]\ntimezone = '/etc/localtime'\n", "2: timezone: unknown '/etc/localtime'"),
        ("[defaults]\ntimezone = 'Europe'\n", "2: timezone: unknown 'Europe'"),
        ("[defaults]\ntimezone = ''\n", "2: timezone: unknown ''"),
        ("[defaults]\nunknown_to = ['group:x']\n", "2: unknown_to: unknown group 'x' (there are none)"),
        ("[[label]]\nid = 'x'\n", "1: missing key 'match' in [label[0]]"),
        ("[[rules]]\nid = 'x'\n", "1: unknown key 'rules' (did you mean 'rule'?)"),
        ("[groups]\nx = ['not an id']\n", "2: 'not an id': "),
        ("[groups]\nx = ['*']\n", "2: '*': "),
        ("[groups]\n'x y' = []\n", "2: 'x y' is no name of a group"),
        (rule("a", "alow", "pay.list"), "4: effect: unknown 'alow' (did you mean 'allow'?)"),
        (rule("a", "deny", "pay.list", mode="shadw"), "5: mode: unknown 'shadw' (did you mean 'shadow'?)"),
        (rule("a b", "deny", "pay.list"), "2: id: 'a b' is not 1 to 100 of A-Z a-z 0-9 . _ -"),
        (rule("a", "deny", "pay.list") * 2, "6: id: there is another rule 'a'"),
        (rule("a", "deny", "pay.list", wen="true"), "5: unknown key 'wen' in [rule[0]] (did you mean 'when'?)"),
        (rule("a", "deny", "pay.list").replace('id = "a"\n', ""), "1: missing key 'id' in [rule[0]]"),
        ("[[rule]]\nx = \n", "2:"),
    ],
)
def test_faulty_files(text: str, message: str) -> None:
    found = faults(text)
    assert found
    assert found[0].startswith(f"policies.toml:{message}"), found


def test_one_fault_hides_no_other() -> None:
    found = faults(
        "[defaults]\nno_math = 'deny'\n" + rule("a", "deny", "pay.nix")
        + rule("b", "deny", "pay.list", when="params.x == 1")
        + rule("c", "deny", "pay.list", whn="true") + "[[test]]\nname = 't'\naction = 'pay.nix'\nexpect = {}\n"
    )  # fmt: skip
    assert [int(one.split(":")[1]) for one in found] == [2, 5, 11, 16, 19, 20]


def test_groups_are_united_and_aliases_are_the_same_person() -> None:
    files = [
        ("a", "[groups]\nfinance = ['Ana@Example.com', 'ana.rossi@example.com']\n"),
        ("b", "[groups]\nfinance = ['bo']\nempty = []\n"),
    ]
    made = load(files, ACTIONS, ["ana@example.com"], groups={"finance": ["cy"], "it": ["bo"]},
                aliases={"ana.rossi@example.com": "ana@example.com"})  # fmt: skip
    assert made.groups_of("ana@example.com") == {"finance"}
    assert made.groups_of("bo") == {"finance", "it"}
    assert made.groups_of("cy") == {"finance"}
    assert made.groups_of("nobody") == frozenset()
    assert made.groups_of("ana.rossi@example.com") == frozenset()


def test_a_condition_names_groups_that_exist() -> None:
    text = rule("a", "deny", "pay.list", when="'finance' in user.groups")
    assert faults("[groups]\nfinances = []\n" + text) == [
        "policies.toml:7:9: unknown group 'finance' (did you mean 'finances'?)"
    ]
    assert faults("[groups]\nfinance = []\n" + text) == []
    assert faults(text, groups={"finance": ["bo"]}) == []


def test_a_channel_that_is_not_configured_is_a_doubt_and_left_out() -> None:
    text = asking("a", "pay.list", "requester", via='["slack", "email", "page"]')
    made = load([("policies.toml", text)], ACTIONS, [], vias=("email", "page"))
    assert [fault.message for fault in made.doubts] == [
        "via: 'slack' is not configured ([channels.slack]): nobody is asked by it"
    ]
    assert made.decide(call("pay.list")).via == ("email", "page")
    with pytest.raises(Faults, match="'slack' is not configured"):
        load([("policies.toml", text)], ACTIONS, [], vias=("email", "page"), strict=True)


@pytest.mark.parametrize("kind", ["rule", "label"])
def test_a_group_that_nobody_is_in_and_that_is_near_no_other_is_a_doubt(kind: str) -> None:
    text = rule("a", "allow", "pay.list", unless="'cfo' in user.groups")
    if kind == "label":
        text = "[[label]]\nid = 'l'\nmatch = ['*']\nadd = ['l']\nwhen = \"'cfo' in user.groups\"\n"
    text = "[groups]\ndirectors = []\n" + text
    (told,) = [str(doubt) for doubt in load([("policies.toml", text)], ACTIONS, []).doubts]
    assert "unknown group 'cfo' (there are: directors)" in told
    with pytest.raises(Faults, match="unknown group 'cfo'"):
        load([("policies.toml", text)], ACTIONS, [], strict=True)


def test_a_condition_names_a_person_by_the_one_id() -> None:
    aliases = {"ana.rossi@example.com": "ana@example.com"}
    text = rule("a", "deny", "pay.list", when="user.id == 'ana.rossi@example.com'")
    assert faults(text) == []
    assert faults(text, aliases=aliases) == [
        "policies.toml:5:20: user.id is never 'ana.rossi@example.com' (did you mean 'ana@example.com'?)"
    ]
    made = policy(asking("a", "pay.list", "user:Ana.Rossi@example.com"), aliases=aliases)
    assert made.decide(call("pay.list")).wants[0].of == ("user:ana@example.com",)


def test_each_file_has_its_timezone() -> None:
    night = "now.hour == 12 && now.date == '2026-01-05'"
    rome = ("rome", '[defaults]\ntimezone = "Europe/Rome"\n' + rule("rome", "deny", "pay.list", when=night))
    tokyo = ("tokyo", '[defaults]\ntimezone = "Asia/Tokyo"\n' + rule("tokyo", "deny", "pay.list", when=night))
    silent = ("silent", rule("silent", "deny", "pay.list", when=night))
    assert load([rome, tokyo], ACTIONS, []).decide(call("pay.list")).rules == ("rome",)
    both = load([silent, rome], ACTIONS, [])
    assert both.decide(call("pay.list")).rules == ("rome", "silent")
    assert both.timezone == "Europe/Rome"
    assert load([silent], ACTIONS, []).timezone == "UTC"
    with pytest.raises(Faults, match="silent:0: the other files have different timezones"):
        load([rome, tokyo, silent], ACTIONS, [])


def test_summer_time() -> None:
    text = (
        '[defaults]\ntimezone = "Europe/Rome"\n'
        + rule("a", "deny", "pay.list", when="now.hour == 3")
        + rule("z", "allow", "*")
    )
    assert decide(text, now=1_774_745_999_000).effect == "allow"  # 00:59:59Z is 01:59:59
    assert decide(text, now=1_774_746_000_000).effect == "deny"  # 01:00Z is 03:00


def test_no_match_is_one_for_all_files() -> None:
    allow, deny = ("a", "[defaults]\nno_match = 'allow'\n"), ("b", "[defaults]\nno_match = 'deny'\n")
    assert load([allow, ("c", "")], ACTIONS, []).decide(call("pay.list")).effect == "allow"
    with pytest.raises(Faults, match="b:2: no_match is 'allow' in another file"):
        load([allow, deny], ACTIONS, [])


def test_shadow_rules_are_recorded_and_not_enforced() -> None:
    text = (
        rule("a", "deny", "pay.list", mode="shadow")
        + rule("b", "require_approval", "pay.list", mode="shadow", when="params.limit == 1")
        + rule("c", "allow", "pay.list", mode="shadow", when="params.limit == 1")
        + rule("d", "deny", "pay.list", mode="shadow", when="false")
        + rule("e", "allow", "pay.list")
    )
    made = policy(text)
    assert made.decide(call("pay.list")) == made.decide(call("pay.list", {"limit": 1}))
    assert made.decide(call("pay.list")).rules == ("e",)
    assert made.decide(call("pay.list")).errors == ()
    assert made.shadow(call("pay.list", {"limit": 1})) == ("a", "b", "c")
    assert made.shadow(call("pay.list", {"limit": 2})) == ("a",)
    assert made.shadow(call("pay.list", {})) == (
        "a",
        "b",
    )  # in error: what would deny or ask counts, what allows does not
    assert made.shadow(call("mail.read")) == ()


def test_the_hash_is_of_the_content() -> None:
    def hash_of(*files: tuple[str, str]) -> str:
        return load(files, ACTIONS, []).hash

    a, b = rule("a", "deny", "pay.list", when="true"), rule("b", "allow", "*", reason="x")
    same = hash_of(("p", a + b))
    assert same == hash_of(("q", "# a comment\n" + b + a)) == hash_of(("p", b), ("q", a))
    assert same == hash_of(("p", a + b + "[[test]]\nname = 't'\naction = 'pay.list'\nexpect = { effect = 'deny' }\n"))
    others = [
        a, a + b.replace('"x"', '"y"'), a.replace("true", "false") + b, a + b + "[groups]\nx = ['bo']\n",
        "[defaults]\nno_match = 'allow'\n" + a + b, "[defaults]\ntimezone = 'Europe/Rome'\n" + a + b,
        a + b.replace('"*"', '"pay.*"'),
    ]  # fmt: skip
    assert len({same, *(hash_of(("p", text)) for text in others)}) == len(others) + 1


def test_what_the_rules_of_an_action_read() -> None:
    made = policy(rule("a", "deny", "pay.transfer", when="params.amount > 1.0 && user.verified", unless="now.hour < 5")
                  + rule("b", "allow", "pay.list"))  # fmt: skip
    assert made.reads("pay.transfer") == ("now.hour", "params.amount", "user.verified")
    assert made.reads("pay.list") == ()


def test_a_64_bit_integer_that_travels_as_a_string_is_an_int() -> None:
    made = action("big.one", Param(name="id", schema={"type": "string", "format": "int64"}, integer=True))
    text = rule("a", "deny", "big.one", when="params.id > 9007199254740992") + rule("z", "allow", "*")
    policies = load([("p", text)], {"big.one": made}, [])
    effects = {
        given: policies.decide(msgspec.structs.replace(call("pay.list"), action=made, params={"id": given})).effect
        for given in ("9007199254740993", "9007199254740992", "x")
    }
    assert effects == {"9007199254740993": "deny", "9007199254740992": "allow", "x": "deny"}


def test_a_thousand_rules_load_in_little_time() -> None:
    text = "".join(rule(f"r{n}", "deny", "*", when=f"now.hour == {n} && action.risk != 'low'") for n in range(1000))
    began = time.process_time()
    assert len(policy(text).rules) == 1000
    assert time.process_time() - began < 5


# Several people, several rules.

GROUPS = '[groups]\nfinance = ["ana", "bo", "cy"]\ndirectors = ["dee"]\n'


def test_rules_with_one_from_merge_and_the_strictest_of_each_term_holds() -> None:
    text = GROUPS
    text += asking("a", "pay.*", "group:finance", need="2", remind='"2h"', for_max='"2h"', max_uses="5", expires='"4h"')
    text += asking("b", "pay.list", "group:finance", remind='"1h"', for_max='"1h"', expires='"3h"')
    text += asking("c", "pay.list", "group:directors", for_max='"3h"')
    found = decide(text)
    assert [(want.of, want.need, want.rules) for want in found.wants] == [
        (("group:directors",), 1, ("c",)),
        (("group:finance",), 2, ("a", "b")),
    ]
    assert {want.expires for want in found.wants} == {3_600_000}
    assert (found.remind, found.for_max, found.max_uses) == (3_600_000, 3_600_000, 5)
    assert decide(text + asking("d", "pay.list", "requester")).for_max is None  # not every rule allows it


def test_an_escalation_counts_only_where_every_rule_of_that_from_says_so() -> None:
    counts = '{ after = "10m", to = ["group:directors"], counts = true }'
    one = GROUPS + asking("a", "pay.list", "group:finance", escalate=counts)
    (step,) = decide(one).wants[0].escalate
    assert (step.after, step.to, step.counts) == (600_000, ("group:directors",), True)
    (step,) = decide(one + asking("b", "pay.list", "group:finance")).wants[0].escalate
    assert not step.counts


def test_who_is_asked_of_unknown_outcomes_and_who_is_in_a_group() -> None:
    made = policy(GROUPS + '[defaults]\nunknown_to = ["group:finance", "user:dee"]\n' + rule("a", "allow", "pay.list"))
    assert made.unknown_to == ("group:finance", "user:dee")
    assert made.members("finance") == {"ana", "bo", "cy"}
    assert made.members("nosuch") == frozenset()


def test_the_hash_of_an_action_changes_with_what_can_decide_it_and_nothing_else() -> None:
    base = GROUPS + rule("a", "allow", "pay.list")
    same = policy(base + rule("b", "deny", "mail.read"))
    assert policy(base).hash_of("pay.list") == same.hash_of("pay.list")
    assert policy(base).hash != same.hash
    for other in (
        base + rule("b", "deny", "pay.*"),
        base.replace('"cy"', '"zoe"'),
        base + '[[label]]\nid = "x"\nmatch = ["pay.list"]\nadd = ["x"]\n',
        base + '[defaults]\nno_match = "allow"\n',
    ):
        assert policy(base).hash_of("pay.list") != policy(other).hash_of("pay.list")

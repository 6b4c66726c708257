"""[[test]] and [test_base]: the calls they make up, what they may hold, what they expect, what they cover."""

from __future__ import annotations

import pytest

from jit_auth.policy.cases import Report, run

from .world import faults, policy, rule

RULES = (
    "[groups]\nvip = []\n"
    + rule("big", "require_approval", "pay.transfer", when="params.amount > 1000.0", unless="'vip' in user.groups")
    + rule("open", "allow", "pay.*")
)


def case(action: str = "pay.transfer", set: str = "", expect: str = 'effect = "allow"') -> str:
    return f'[[test]]\nname = "a test"\naction = "{action}"\nset = {{ {set} }}\nexpect = {{ {expect} }}\n'


def report(text: str) -> Report:
    return run(policy(text))


def wrong(text: str) -> list[str]:
    (ran,) = report(text).ran
    return list(ran.wrong)


@pytest.mark.parametrize(
    ("set_", "expect"),
    [
        (
            '"params.amount" = 5000',
            'effect = "require_approval", rules = ["big"], need = { requester = 1 }, errors = []',
        ),
        ('"params.amount" = 5000.0', 'need = { " requester " = 1 }'),
        ("params = { amount = 5000 }", 'rules = ["big"]'),
        ("params.amount = 5000", 'rules = ["big"]'),
        ('"params.amount" = 999.5', 'effect = "allow", rules = ["open"], need = {}'),
        ('"params.amount" = 5000, "user.groups" = ["vip"]', 'effect = "allow"'),
        ('"params.amount" = 5000, user = { groups = ["vip"] }', 'effect = "allow"'),
        ('"params.amount" = 5000, "user.verified" = false', 'rules = ["big"], errors = ["big"]'),
        ("", 'rules = ["big"], errors = ["big: params.amount is absent"]'),
    ],
)
def test_what_is_met(set_: str, expect: str) -> None:
    assert wrong(RULES + case(set=set_, expect=expect)) == []


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        ('effect = "allow"', "effect: expected allow, got require_approval"),
        ('rules = ["open", "open"]', "rules: expected ['open'], got ['big']"),
        ("rules = []", "rules: expected [], got ['big']"),
        ("need = {}", "need: expected {}, got {'requester': 1}"),
        ("need = { requester = 2 }", "need: expected {'requester': 2}, got {'requester': 1}"),
        ('need = { "user:bo" = 1 }', "need: expected {'user:bo': 1}, got {'requester': 1}"),
        ('errors = ["open"]', "errors: expected ['open'], got []"),
    ],
)
def test_what_is_not_met(expect: str, sentence: str) -> None:
    assert wrong(RULES + case(set='"params.amount" = 5000', expect=expect)) == [sentence]


def test_several_of_from_are_written_with_commas() -> None:
    text = rule("a", "require_approval", "pay.list").replace('["requester"]', '["user:bo", "requester"]')
    assert wrong(text + case("pay.list", expect='need = { "requester, user:bo" = 1 }')) == []


def facts_of(condition: str, base: str = "", set_: str = "", action: str = "pay.list") -> bool:
    """Whether the call that a test makes up fulfils a condition."""
    text = rule("x", "deny", action, when=condition) + rule("y", "allow", action)
    return not wrong(text + base + case(action, set_, 'effect = "deny", errors = []'))


def test_defaults() -> None:
    assert facts_of("agent.id == 'test' && agent.depth == 0 && agent.chain == ['test'] && account == null")
    assert facts_of("user.id == 'test@example.com' && user.groups == [] && user.verified")
    assert facts_of("now.date == '2026-01-05' && now.hour == 12 && now.weekday == 'mon'")
    zone = '[defaults]\ntimezone = "Asia/Tokyo"\n'
    (ran,) = report(zone + rule("x", "deny", "pay.list", when="now.hour == 12") + case("pay.list")).ran
    assert ran.case.call.now == 1_767_582_000_000  # 12:00 in Tokyo
    assert ran.decision.effect == "deny"


def test_defaults_of_parameters_are_filled_in() -> None:
    assert facts_of("params.limit == 10")
    assert facts_of("params.limit == 5", set_="params.limit = 5")


def test_the_base_is_overridden() -> None:
    base = (
        '[test_base]\nagent = { id = "bot", chain = ["first", "bot"] }\nuser.id = "ALICE@Example.com"\n'
        'account = "acc-1"\nnow = "2026-11-24T23:30:00+01:00"\nparams.limit = 3\nparams.memo = "not of this action"\n'
    )
    assert facts_of(
        "agent.id == 'bot' && agent.depth == 1 && user.id == 'alice@example.com' && account == 'acc-1'", base
    )
    assert facts_of("now.hour == 22 && now.date == '2026-11-24' && now.weekday == 'tue' && params.limit == 3", base)
    assert facts_of("agent.id == 'other' && agent.depth == 0", base, '"agent.id" = "other", "agent.depth" = 0')
    assert facts_of("params.limit == 4 && account == null", base, '"params.limit" = 4, account = ""')
    assert facts_of("now.hour == 3 && now.date == '2026-11-24'", base, '"now.hour" = 3')
    assert facts_of("now.hour == 22 && now.date == '2026-12-25'", base, '"now.date" = "2026-12-25"')
    assert facts_of("now.weekday == 'sun' && now.date == '2026-11-29'", base, "now = { weekday = 'sun' }")
    assert facts_of("now.hour == 10", base, "now = 2026-11-24T10:00:00Z")
    assert facts_of("now.hour == 10", base, "now = 2026-11-24T10:00:00")


def test_parts_of_a_record() -> None:
    condition = "params.card.number == '1' && params.card.issuer.id == 7"
    set_ = 'params.card = { number = "0", issuer = { id = 7 } }, "params.card.number" = "1"'
    assert facts_of(condition, set_='"params.card.issuer.id" = 7, "params.card.number" = "1"', action="demo.everything")
    assert facts_of(condition, set_=set_, action="demo.everything")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[test_base]\nhistory = { same_action_1d = 0 }\n", "unknown fact 'history.same_action_1d' (did you mean"),
        (case(set="history = { first_seen = 0 }"), "history.first_seen: neither true nor false"),
        ("[test_base]\nhistory = 3\n", "unknown fact 'history' (there are: params.NAME, account"),
        ("[test_base]\nlabels = []\n", "labels: they follow from the [[label]]s"),
        ("[test_base]\ntask = { privat = true }\n", "unknown fact 'task.privat' (did you mean 'task.private'?)"),
        ("[test_base]\nusr = { id = 'x' }\n", "unknown fact 'usr'"),
        ("[test_base]\nuser = { ids = 'x' }\n", "unknown fact 'user.ids' (did you mean 'user.id'?)"),
        ("[test_base]\nparams.amout = 1\n", "no action has a parameter 'amout' (did you mean 'amount'?)"),
        ("[test_base]\naction = { name = 'pay.list' }\n", "action: what is known of an action follows from the test's"),
        (case(set='"action.risk" = "low"'), "action.risk: what is known of an action follows"),
        (case(set='"history.denied_24h" = 0.5'), "history.denied_24h: not an integer"),
        (case(set='"params.amout" = 1'), "pay.transfer has no parameter 'amout' (did you mean 'amount'?)"),
        (case(set='"params.amount" = "x"'), "params.amount: not a finite number"),
        (case(set='"params.amount" = nan'), "params.amount: not a finite number"),
        (case(set='"params.currency" = 1'), "params.currency: not a string"),
        (case(set='"params.to" = ["a", 1]'), "an element of params.to: not a string"),
        (case(set='"params.to" = "a"'), "params.to: not a list"),
        (case(set='"params.to.x" = "a"'), "params.to: not a list"),
        (case(set='"params.currency" = "a", "params.currency.x" = 1'), "params.currency.x: 'currency' is no table"),
        (case("demo.everything", '"params.card.number" = 1'), "params.card.number: not a string"),
        (case("demo.everything", '"params.card" = 1'), "params.card: not a table"),
        (case("demo.everything", '"params.any" = { a = [1979-05-27] }'), "params.any: datetime.date(1979, 5, 27)"),
        (case("demo.everything", '"params.any" = inf'), "params.any: inf is no JSON value"),
        (case(set='"user.id" = "*"'), "user.id: '*': "),
        (case(set='"user.verified" = "yes"'), "user.verified: neither true nor false"),
        (case(set='"user.groups" = "vip"'), "user.groups: not a list"),
        (case(set='"agent.depth" = 1.5'), "agent.depth: not an integer"),
        (case(set='now = "noon"'), "now: 'noon' is no time such as"),
        (case(set="now = 5"), "now: 5 is no time such as"),
        (case(set='"now.hour" = 24'), "now.hour: 0 to 23"),
        (case(set='"now.weekday" = "monday"'), "now.weekday: 'monday' is none of mon, tue"),
        (case(set='"now.date" = "2026-02-30"'), "now.date: '2026-02-30' is no date"),
        (case(set='"now.date" = "2026-01-05", "now.weekday" = "tue"'), "now.weekday: 2026-01-05 is no tue"),
        (case("pay.lst"), "unknown action 'pay.lst' (did you mean 'pay.list'?)"),
        (case(expect=""), "expect: is empty: nothing would be compared"),
        (case(expect='effect = "alow"'), "effect: unknown 'alow' (did you mean 'allow'?)"),
        (case(expect='rules = ["bgi"]'), "rules: no rule 'bgi' (did you mean 'big'?)"),
        (case(expect='errors = ["bgi"]'), "errors: no rule 'bgi' (did you mean 'big'?)"),
        (case(expect='need = { "group:finance" = 2 }'), "need: unknown group 'finance'"),
        (case(expect='labels = ["x"]'), "labels: no label adds 'x'"),
        (case().replace("action =", "acton ="), "unknown key 'acton' in [test[0]] (did you mean 'action'?)"),
    ],
)  # fmt: skip
def test_faulty_tests(text: str, message: str) -> None:
    found = [one.partition(": ")[2] for one in faults(RULES + text)]
    assert any(one.startswith(message) for one in found), found


def test_a_case_knows_its_place() -> None:
    (ran,) = report(RULES + case(set='"params.amount" = 1')).ran
    assert (ran.case.file, ran.case.line, ran.case.name) == ("policies.toml", 14, "a test")


def test_coverage_wants_each_rule_both_ways() -> None:
    high, low = case(set="params.amount = 5000", expect='rules = ["big"]'), case(set="params.amount = 5")
    elsewhere = case("pay.list")
    text = "[groups]\nvip = []\n" + rule("big", "require_approval", "pay.transfer", when="params.amount > 1000.0")
    text += rule("open", "allow", "pay.*")

    def covered(*tests: str) -> dict[str, tuple[bool, bool]]:
        return {one.rule: (one.matched, one.unmatched) for one in report(text + "".join(tests)).cover}

    assert covered() == {"big": (False, False), "open": (False, False)}
    assert covered(high) == {"big": (True, False), "open": (True, False)}
    assert covered(low) == {"big": (False, True), "open": (True, False)}
    # that its `match` does not fit tells nothing of a condition, and all there is of a rule without one
    assert covered(high, elsewhere) == {"big": (True, False), "open": (True, False)}
    assert covered(high, low, case("mail.read", expect="rules = []")) == {"big": (True, True), "open": (True, True)}
    found = report(text + high + low)
    assert (found.coverage, found.failed) == (50.0, 0)
    assert report(text + high + low + case("mail.read", expect="rules = []")).coverage == 100.0
    assert report("").coverage == 100.0


def test_a_rule_that_cannot_but_match_need_not_be_seen_otherwise() -> None:
    found = report(rule("all", "deny", "*") + case(expect='rules = ["all"]'))
    assert found.coverage == 100.0
    # a glob that allows leaves out what is critical: there it is seen not matching
    assert report(rule("all", "allow", "*") + case()).coverage == 0.0
    assert report(rule("all", "allow", "*") + case() + case("pay.wipe", expect="rules = []")).coverage == 100.0


def test_shadow_rules_and_rules_in_error_are_covered_too() -> None:
    text = rule("quiet", "deny", "pay.transfer", mode="shadow", when="params.amount > 5.0") + rule("open", "allow", "*")
    found = report(
        text + case(set="params.amount = 6") + case(set="params.amount = 5") + case(expect='rules = ["open"]')
    )
    assert {one.rule: (one.matched, one.unmatched) for one in found.cover}["quiet"] == (True, True)
    assert found.failed == 0


def test_the_clock_is_the_tests_own() -> None:
    text = rule("x", "deny", "pay.list", when="now.date == '2026-01-05'") + case("pay.list", expect='rules = ["x"]')
    assert report(text).failed == 0
    assert report(text) == report(text)

"""What is refused when a file is loaded: names, types, grammar, limits, each at its column."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.policy.types import schema_type

from .world import examples, faults, mistake, quoted, rule

MISTAKES = [
    ("params.amout > 1", "8: no field 'amout' (there are: "),
    ("params.strngs == []", "8: no field 'strngs' (did you mean 'strings'?)"),
    ("params.card.nmber == 'x'", "13: no field 'nmber' (did you mean 'number'?)"),
    ("params['card']['nmber'] == 'x'", "16: no field 'nmber' (did you mean 'number'?)"),
    ("params.items.exists(i, i.nam == 'x')", "26: no field 'nam' (did you mean 'name'?)"),
    ("parms.n > 1", "1: unknown name 'parms' (did you mean 'params'?)"),
    ("user.group == []", "6: no field 'group' (did you mean 'groups'?)"),
    ("usr.id == 'x'", "1: unknown name 'usr' (did you mean 'user'?)"),
    ("'vp' in user.groups", "1: unknown group 'vp' (did you mean 'vip'?)"),
    ("user == 'x'", "1: 'user' is no value: name one of its fields (user.id, user.groups, user.verified)"),
    ("params == 1", "1: 'params' is no value: name one of its fields (params.NAME)"),
    ("user.id == 'Alice@Example.com'", "12: user.id is never 'Alice@Example.com' (did you mean 'alice@example.com'?)"),
    ("'BO' != user.id", "1: user.id is never 'BO' (did you mean 'bo'?)"),
    ("user.id in ['bo', 'Cy']", "12: user.id is never 'Cy' (did you mean 'cy'?)"),
    ("action.risk == 'hgih'", "16: action.risk is never 'hgih' (did you mean 'high'?)"),
    ("!(action.effect in ['read', 'write'])", "20: action.effect is never 'write'"),
    ("now.weekday == 'Monday'", "16: now.weekday is never 'Monday' (there are: fri, mon, sat, sun, thu, tue, wed)"),
    ("history.same_action_1d > 20", "9: no field 'same_action_1d' (did you mean 'same_action_1h'?)"),
    ("history.first_seen > 0", "20: '>' does not compare a bool with an int"),
    ("has(history.denied_24h)", "1: has() asks for what may be absent; history.denied_24h is always there"),
    ("history", "1: 'history' is no value: name one of its fields (history.same_action_1h, "),
    ("history.same_action_1h > 10000", "26: history.same_action_1h is counted up to 10000 and no further"),
    ("20000.5 <= history.agent_writes_1h", "1: history.agent_writes_1h is counted up to 10000 and no further"),
    ("history.denied_24h == 10000", "23: history.denied_24h is counted up to 10000 and no further"),
    # names of later releases
    ("'elevated' in labels", "1: no label adds 'elevated' (there are: opaque)"),
    ("task.privat", "6: no field 'privat' (did you mean 'private'?)"),
    ("task", "1: 'task' is no value: name one of its fields (task.private, task.untrusted, task.external, task.count)"),
    ("task.count >= 10000", "15: task.count is counted up to 10000 and no further: compare it with less"),
    ("'extern' in action.exposes", "1: action.exposes never holds 'extern' (did you mean 'external'?)"),
    ("1 in action.exposes", "3: an int is never in a list of string"),
    # types
    ("params.n", "1: a condition is true or false: this is an int, not a bool"),
    ("'x'", "1: a condition is true or false: this is a string, not a bool"),
    ("params.any", "1: a condition is true or false: this is an untyped value, not a bool (an untyped value"),
    ("params.n == 'x'", "10: '==' does not compare an int with a string"),
    ("params.n != true", "10: '!=' does not compare an int with a bool"),
    ("params.s == null", "10: '==' does not compare a string with null (has() asks whether a field is there)"),
    ("params.s < 1", "10: '<' does not compare a string with an int"),
    ("true < false", "6: '<' does not compare a bool with a bool"),
    ("params.any < 1", "12: '<' does not compare an untyped value with an int (an untyped value can only"),
    ("params.other.size() == 1", "1: size() takes a string or a list: this is an untyped value"),
    ("params.card == 'x'", "13: '==' does not compare a record with a string"),
    ("null < 1", "1: null can only be compared by == and !="),
    ("params.n && true", "1: '&&' joins conditions: this is an int, not a bool"),
    ("true || params.s", "9: '||' joins conditions: this is a string, not a bool"),
    ("!params.s", "2: '!' negates a condition: this is a string, not a bool"),
    ("-params.s == 'x'", "1: '-' takes a number: this is a string"),
    ("params.n + params.d > 1.0", "10: '+' does not go with an int and a double (a double is written 2.0)"),
    ("params.s - 'x' == ''", "10: '-' does not go with a string and a string"),
    ("params.s * 2 == ''", "10: '*' does not go with a string and an int"),
    ("params.n ? true : false", "1: '?' follows a condition: this is an int, not a bool"),
    ("(true ? 1 : 'x') == 1", "7: '? :' has one type: not an int and a string"),
    ("[1, 'x'] == []", "5: a list has elements of one type: not an int and a string"),
    ("[1, 2.0] == []", "5: a list has elements of one type: not an int and a double"),
    ("1 in params.strings", "3: an int is never in a list of string"),
    ("'x' in params.s", "8: 'in' looks into a list: this is a string"),
    ("'number' in params.card", "13: 'in' looks into a list: this is a record (has() asks for a field)"),
    ("params.strings['x'] == 'x'", "1: only records have fields: this is a list of string, not a record"),
    ("params.strings.x == 'x'", "1: only records have fields: this is a list of string, not a record"),
    ("params.s[0] == 'x'", "1: only lists have elements: this is a string, not a list"),
    ("params.strings[true] == 'x'", "16: an index is an integer: this is a bool, not an int"),
    ("params.s.x == 1", "1: only records have fields: this is a string, not a record"),
    ("params.s.all(x, true)", "1: all() goes through a list: this is a string, not a list"),
    ("params.ints.all(x, x)", "20: all() takes a condition: this is an int, not a bool"),
    ("params.ints.all(x, y > 1)", "20: unknown name 'y'"),
    ("params.ints.all(user, true)", "17: 'user' is taken: choose another name for the variable"),
    ("params.ints.all(x, params.ints.all(x, true))", "36: 'x' is taken: choose another name for the variable"),
    ("params.ints.all(1, true)", "13: all() takes a variable and a condition, such as all(x, x > 0)"),
    ("params.ints.exists(x)", "13: exists() takes a variable and a condition, such as exists(x, x > 0)"),
    ("exists(params.ints, x)", "1: exists() is written list.exists(x, condition)"),
    ("has(params)", "1: has() takes one field, such as has(params.memo)"),
    ("has(params.n + 1)", "1: has() takes one field, such as has(params.memo)"),
    ("has(params.strings[0])", "1: has() takes one field, such as has(params.memo)"),
    ("has(user.id)", "1: has() asks for what may be absent; user.id is always there"),
    ("has(params.mmo)", "12: no field 'mmo'"),
    ("size(1) == 1", "6: size() takes a string or a list: this is an int"),
    ("size() == 1", "1: size() is written size(value)"),
    ("email_domain(params.n) == ''", "14: email_domain() takes a string: this is an int, not a string"),
    ("params.s.email_domain() == ''", "10: email_domain() is written email_domain(value)"),
    ("startsWith(params.s, 'x')", "1: startsWith() is written value.startsWith(part)"),
    ("params.s.startsWith(1)", "21: startsWith() takes a string: this is an int, not a string"),
    ("params.n.startsWith('x')", "1: startsWith() is asked of a string: this is an int, not a string"),
    ("params.s.startswith('x')", "10: unknown method 'startswith' (did you mean 'startsWith'?)"),
    ("params.s.matches('x')", "10: unknown method 'matches'"),
    ("lenght(params.s) == 1", "1: unknown function 'lenght'"),
    # grammar
    ("", "1: the condition is empty"),
    ("  ", "1: the condition is empty"),
    ("true &&", "8: the condition ends too early: expected a value"),
    ("(true", "6: the condition ends too early: expected ')' to close the bracket"),
    ("true)", "5: unexpected ')': expected an operator or the end"),
    ("true and false", "6: unexpected 'and' (did you mean &&?)"),
    ("not true", "1: unexpected 'not' (did you mean !?)"),
    ("params.n = 1", "10: unexpected '=' (did you mean ==?)"),
    ("true & false", "6: unexpected '&' (did you mean &&?)"),
    ("params.n / 2 == 1", "10: unexpected '/': this language has no division"),
    ("params.n % 2 == 1", "10: unexpected '%': this language has no remainders"),
    ("{'a': 1} == 1", "1: unexpected '{': this language has no maps"),
    ("params.s == “x”", "13: unexpected '“' (did you mean '?)"),
    ("params.s == £", "13: unexpected '\\xa3'"),
    ("1 < 2 < 3", "7: comparisons do not chain: join them by && or set brackets"),
    ("params.s == 'x", "13: this string has no closing '"),
    ("params.s == 'x\ny'", "13: this string has no closing '"),
    ("params.s == '''x'''", "13: strings stand between single quotation marks: '...' or \"...\""),
    ("params.s == r'x'", "13: strings have no prefix 'r' here"),
    ("params.s == '\\q'", "14: unknown escape \\q"),
    ("params.s == '\\ud800'", "14: \\ud800 is no character"),
    ("params.s == '\\U00110000'", "14: \\U00110000 is no character"),
    ("params.s == '\\x4'", "14: unknown escape \\x"),
    ("params.n == 9223372036854775808", "13: 9223372036854775808 is too large for an integer (64 bits)"),
    ("params.n == -9223372036854775809", "14: 9223372036854775809 is too large for an integer (64 bits)"),
    ("params.n == 1u", "14: there are no unsigned integers: leave out the 'u'"),
    ("params.n == 12abc", "13: '12abc' is no number"),
    ("params.d == 1e", "13: '1e' is no number"),
    ("params.d == 1e999", "13: 1e999 is too large for a double"),
    ("params.for == 1", "8: no field 'for'"),
    ("for == 1", "1: unexpected 'for': this word is reserved"),
    ("params.ints.exists(x, params.ints.exists(y, params.ints.exists(z, true)))",
     "57: at most 2 loops inside one another"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "message"), MISTAKES)
def test_mistakes(condition: str, message: str) -> None:
    found = mistake(condition)
    column, _, rest = found.partition(": ")
    # `when = "` comes before a condition that is written on one line.
    wanted = int(message.partition(": ")[0]) + (len('when = "') if "\n" not in condition else 0)
    escapes = condition[: int(message.partition(": ")[0]) - 1].count("\\")
    assert rest.startswith(message.partition(": ")[2])
    if "\n" not in condition:
        assert int(column) == wanted + escapes


def test_limits_are_exact() -> None:
    assert mistake("true" + " " * 4092) == ""
    assert "a condition has at most 4096 characters (this one: 4097)" in mistake("true" + " " * 4093)
    assert mistake("true" + " && true" * 199) == ""  # 200 values and 199 operators
    assert mistake("!true" + " && true" * 199) == ""  # 400 nodes
    assert "a condition has at most 400 nodes" in mistake("!true" + " && !true" + " && true" * 198)
    assert mistake("1" + " + 1" * 198 + " > 0") == ""
    assert mistake("(" * 50 + "true" + ")" * 50) == ""
    assert "nested deeper than 50 levels" in mistake("(" * 51 + "true" + ")" * 51)
    assert "nested deeper than 50 levels" in mistake("(" * 4000)
    assert "nested deeper than 50 levels" in mistake("!" * 300 + "true")
    assert "nested deeper than 50 levels" in mistake("[" * 300)
    assert "nested deeper than 50 levels" in mistake("-" * 300 + "params.n > 0")
    assert "nested deeper than 50 levels" in mistake("true ? true : " * 100)
    assert "nested deeper than 50 levels" in mistake("params" + ".card" * 300 + " == 1")


def test_loops_side_by_side_are_not_nested() -> None:
    one = "params.ints.exists(x, params.ints.exists(y, x == y))"
    assert mistake(" && ".join([one] * 5)) == ""


SCHEMAS: list[tuple[dict[str, Any], str]] = [
    ({"type": "string"}, "string"),
    ({"type": "integer"}, "int"),
    ({"type": "number"}, "double"),
    ({"type": "boolean"}, "bool"),
    ({"type": ["string", "null"]}, "string or null"),
    ({"type": ["string"]}, "string"),
    ({"type": ["string", "integer"]}, "untyped value"),
    ({"type": "array", "items": {"type": "number"}}, "list of double"),
    ({"type": "array", "items": {"type": ["number", "null"]}}, "list of double or null"),
    ({"type": "array"}, "list of untyped value"),
    ({"type": "array", "prefixItems": [{"type": "string"}]}, "list of untyped value"),
    ({"type": "object", "properties": {"a": {"type": "string"}}}, "record"),
    ({"type": "object"}, "untyped value"),
    ({"type": "object", "additionalProperties": {"type": "string"}}, "untyped value"),
    ({"enum": ["a", "b"]}, "string"),
    ({"enum": [1, 2]}, "int"),
    ({"enum": [1, 2.5]}, "double"),
    ({"enum": [True]}, "bool"),
    ({"enum": ["a", 1]}, "untyped value"),
    ({"enum": [[1]]}, "untyped value"),
    ({"enum": ["a", None]}, "string or null"),
    ({"type": "string", "enum": ["a"]}, "string"),
    ({"const": "a"}, "string"),
    ({"anyOf": [{"type": "string"}]}, "untyped value"),
    ({"oneOf": [{"type": "string"}]}, "untyped value"),
    ({"type": "string", "anyOf": [{"minLength": 1}]}, "untyped value"),
    ({"$ref": "#/x"}, "untyped value"),
    ({"type": "null"}, "untyped value"),
    ({}, "untyped value"),
]


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS)
def test_schemas_become_types(schema: dict[str, Any], expected: str) -> None:
    assert str(schema_type(schema)) == expected


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "items", "properties", "enum", "anyOf", "required", "const", "a"]), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
@examples(150)
def test_whatever_a_schema_holds_it_has_a_type(schema: Any) -> None:
    if isinstance(schema, dict):
        assert str(schema_type(schema))


TOKENS = [
    "params", ".", "n", "s", "strings", "card", "has", "size", "exists", "all", "(", ")", "[", "]", ",", "?", ":", "&&",
    "||", "!", "==", "!=", "<", ">=", "in", "+", "-", "*", "1", "2.5", "'x'", '"y"', "true", "null", "x", "user", "id",
    "\\", "'", " ", "\0", "é", "1e5", "0x", "email_domain", "now", "account", "r'", "/", "\n",
]  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(TOKENS), max_size=30).map("".join),
                 st.lists(st.sampled_from(TOKENS), max_size=30).map(" ".join)))  # fmt: skip
@examples(600)
def test_whatever_is_written_is_loaded_or_refused_with_faults(text: str) -> None:
    condition = text.encode("utf-8", "replace").decode()
    found = faults(
        '[[rule]]\nid = "x"\nmatch = ["demo.everything"]\neffect = "deny"\nwhen = ' + quoted(condition) + "\n"
    )
    assert all(re.match(r"policies\.toml:5:[1-9]", one) for one in found)


@given(st.text(max_size=200))
@examples(150)
def test_whatever_a_file_holds_it_is_loaded_or_refused_with_faults(text: str) -> None:
    assert all(one.startswith("policies.toml:") for one in faults(text.encode("utf-8", "replace").decode()))


def test_columns_in_every_kind_of_string() -> None:
    head = '[[rule]]\nid = "x"\nmatch = ["demo.everything"]\neffect = "deny"\n'
    assert faults(head + "when = 'params.x == 1'\n")[0].startswith("policies.toml:5:16: no field 'x'")
    assert faults(head + 'when = "params.s == \\"a\\" && params.x == 1"\n')[0].startswith(
        "policies.toml:5:37: no field"
    )
    assert faults(head + 'when = "params.s == \\u0022a\\u0022 && params.x == 1"\n')[0].startswith(
        "policies.toml:5:45: "
    )
    assert faults(head + 'when = """\nparams.b\n  && params.x == 1"""\n')[0].startswith("policies.toml:7:13: no field")
    assert faults(head + "when = '''params.b\n  && params.x == 1'''\n")[0].startswith("policies.toml:6:13: no field")
    assert faults(head + 'when = """params.s == \\"a\\" && params.x == 1"""\n')[0].startswith(
        "policies.toml:5:27: no field"
    )
    assert faults("rule = [{ id = 'x', match = ['demo.everything'], effect = 'deny', when = 'params.x == 1' }]\n") == [
        "policies.toml:1:82: no field 'x'" + faults(head + "when = 'params.x == 1'\n")[0].partition("'x'")[2]
    ]


def test_a_rule_over_several_actions_sees_what_all_of_them_have() -> None:
    both = "pay.*"
    assert faults(rule("x", "deny", "pay.transfer", when="params.amount > 1.0 && has(params.currency)")) == []
    found = faults('[[rule]]\nid = "x"\nmatch = ["pay.transfer", "pay.refund"]\neffect = "deny"\n'
                   'when = "params.currency == \'EUR\' && params.amount > 1.0"\n')  # fmt: skip
    assert found == [
        "policies.toml:5:44: no field 'amount': the actions that this rule matches have it with different types "
        "(double, int)"
    ]
    assert faults(rule("x", "deny", both, when="params.amount > 1.0")) == [
        "policies.toml:5:16: no field 'amount': not every action that this rule matches has it"
    ]

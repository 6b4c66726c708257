"""TOML with positions: every key knows its line, every fault is told, and Structs refuse what they do not know."""

from __future__ import annotations

import tomllib
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct, UnsetType, field

from jit_auth.core.toml import convert, did_you_mean, nearest, read, shown
from jit_auth.errors import Faults

TEXT = '''# first
[server]
url = "a"
list = [
  "a", # ]
  "b",
]

[[rule]]
id = "x"
[rule.approval]
from = ["a"]
[[rule]]
id = "y"
when = """
a
 && "]" in b
"""
approval = { from = [1], need = 2 }
a.b."c d" = 3
  [[rule.sub]] # indented
  k = \'\'\'
one
two\'\'\'
  [rule.sub.deep.er]
  z = 1
[last]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("server",), 2),
        (("server", "url"), 3),
        (("server", "list"), 4),
        (("server", "list", 1), 4),
        (("server", "nothing"), 2),
        (("nothing",), 1),
        (("rule",), 9),
        (("rule", 0), 9),
        (("rule", 0, "id"), 10),
        (("rule", 0, "approval"), 11),
        (("rule", 0, "approval", "from", 0), 12),
        (("rule", 1), 13),
        (("rule", 1, "when"), 15),
        (("rule", 1, "approval", "need"), 19),
        (("rule", 1, "a", "b", "c d"), 20),
        (("rule", 1, "sub", 0), 21),
        (("rule", 1, "sub", 0, "k"), 22),
        (("rule", 1, "sub", 0, "deep"), 25),
        (("rule", 1, "sub", 0, "deep", "er", "z"), 26),
        (("last",), 27),
    ],
)
def test_every_key_knows_its_line(path: tuple[str | int, ...], line: int) -> None:
    document = read("x.toml", TEXT)
    assert document.line(*path) == line
    assert str(document.fault(path, "wrong")) == f"x.toml:{line}: wrong"


def test_the_data_is_what_tomllib_reads() -> None:
    assert read("x.toml", TEXT).data == tomllib.loads(TEXT)
    assert read("x.toml", TEXT.replace("\n", "\r\n")).line("rule", 1, "sub", 0, "k") == 22


def test_the_source_of_a_statement_is_its_text() -> None:
    line, raw = read("x.toml", TEXT).source("rule", 1, "when")
    assert line == 15
    assert raw == 'when = """\na\n && "]" in b\n"""'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = ", "b.toml:1"),
        ("a = 1\na = 2", "b.toml:2"),
        ("[x]\n\n[x]", "b.toml:3"),
        ("a = [", "b.toml:1"),
        ('a = """', "b.toml:1"),
        ("\ufeffa = 1", "b.toml:1"),
        ("a = " + "[" * 100_000, "b.toml:0"),
    ],
)
def test_what_is_no_toml_is_a_fault_with_its_line(text: str, place: str) -> None:
    with pytest.raises(Faults) as wrong:
        read("b.toml", text)
    assert str(wrong.value).startswith(f"{place}: ")


KEY = st.text(alphabet="abc_-", min_size=1, max_size=3)
VALUE = st.sampled_from(
    [
        "1",
        '"x"',
        "[\n 1,\n 2 ]",
        '"""\n]\n"""',
        "{ p = 1, q = [2] }",
        "'''\n[t]\n'''",
        "[[1], [\n2]]",
        "2026-01-01",
        '[ "[", # [\n "]]", \'{\', "\\\\", "\\\\\\"[" ]',
        "[ { a = ']' },\n{ b = [\n1] } ]",
        "[ '''\n[''', 1,\n 2\n]",
    ]
)


@given(st.lists(st.tuples(KEY, VALUE), unique_by=lambda pair: pair[0], max_size=6), st.integers(0, 3))
def test_lines_are_where_the_keys_are_written(pairs: list[tuple[str, str]], blank: int) -> None:
    text = "\n" * blank + "# c\n[t]\n" + "".join(f"{key} = {value} # k = 1\n" for key, value in pairs)
    document = read("x.toml", text)
    lines = text.split("\n")
    for key, _ in pairs:
        assert lines[document.line("t", key) - 1].startswith(f"{key} = ")


def test_a_long_list_of_tables_is_read_in_linear_time() -> None:
    text = "a = [\n" + '  { b = "]", c = [1] },\n' * 5000 + "]\nd = 1\n"
    assert read("x.toml", text).line("d") == 5003


class Approval(Struct):
    people: list[str] = field(name="from")
    need: int = 1


class Rule(Struct):
    id: str
    when: str = ""
    approval: Approval | None = None
    mode: Literal["enforce", "shadow"] = "enforce"


class Secret(Struct):
    env: str

    def __post_init__(self) -> None:
        if not self.env:
            raise ValueError("env is empty")


class Server(Struct):
    url: str
    port: int = 1
    tokens: tuple[str | Secret, ...] = ()
    extra: str | Secret | UnsetType = UNSET


class Config(Struct):
    server: Server
    rule: list[Rule] = []
    named: dict[str, Rule] = {}


def faults(text: str, kind: type[Struct] = Config) -> list[str]:
    with pytest.raises(Faults) as wrong:
        convert(read("c.toml", text), kind)
    return [str(fault) for fault in wrong.value.faults]


def test_a_file_becomes_a_struct() -> None:
    text = """
[server]
url = "u"
tokens = ["a", { env = "B" }]
[[rule]]
id = "r"
approval = { from = ["x"] }
[named.n]
id = "n"
"""
    config = convert(read("c.toml", text), Config)
    assert config.server == Server("u", 1, ("a", Secret("B")))
    assert config.rule == [Rule("r", approval=Approval(["x"]))]
    assert config.named == {"n": Rule("n")}
    assert config.server.extra is UNSET


def test_all_faults_are_told_at_once_each_with_its_line() -> None:
    text = """[server]
ulr = "u"
port = "1"
tokens = ["a", { env = "" }, 3, { evn = "X" }]
[[rule]]
id = "r"
mode = "shadwo"
approval = { from = ["x", 1], ned = 2 }
[named.n]
[srever]
"""
    assert faults(text) == [
        "c.toml:1: missing key 'url' in [server]",
        "c.toml:2: unknown key 'ulr' in [server] (did you mean 'url'?)",
        "c.toml:3: server.port: expected an integer, got a string",
        "c.toml:4: server.tokens[1]: env is empty",
        "c.toml:4: server.tokens[2]: expected a string or a table, got an integer",
        "c.toml:4: unknown key 'evn' in [server.tokens[3]] (did you mean 'env'?)",
        "c.toml:4: missing key 'env' in [server.tokens[3]]",
        "c.toml:7: rule[0].mode: invalid enum value 'shadwo' (did you mean 'shadow'?)",
        "c.toml:8: unknown key 'ned' in [rule[0].approval] (did you mean 'need'?)",
        "c.toml:8: rule[0].approval.from[1]: expected a string, got an integer",
        "c.toml:9: missing key 'id' in [named.n]",
        "c.toml:10: unknown key 'srever' (did you mean 'server'?)",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("server = 1", "c.toml:1: server: expected a table"),
        ("[server]\nurl = true", "c.toml:2: server.url: expected a string, got true or false"),
        ("[server]\nurl = 'u'\nport = true", "c.toml:3: server.port: expected an integer, got true or false"),
        ("[server]\nurl = 'u'\nport = 1.0", "c.toml:3: server.port: expected an integer, got a number"),
        ("[server]\nurl = 'u'\n[rule]", "c.toml:3: rule: expected an array, got a table"),
        ("", "c.toml:1: missing key 'server'"),
    ],
)
def test_types_are_strict(text: str, told: str) -> None:
    assert faults(text) == [told]


def test_a_part_of_a_file_can_be_converted() -> None:
    document = read("c.toml", "[a]\n[a.b]\nid = 1")
    with pytest.raises(Faults, match=r"c\.toml:3: a\.b\.id: expected a string"):
        convert(document, Rule, at=("a", "b"), value=document.data["a"]["b"])


def test_names_near_and_far() -> None:
    names = ["amount", "currency"]
    assert nearest("amout", names) == "amount"
    assert nearest("zzz", names) is None
    assert did_you_mean("curency", names) == " (did you mean 'currency'?)"
    assert did_you_mean("zzz", names) == ""
    assert shown(("rule", 2, "approval", "from")) == "rule[2].approval.from"

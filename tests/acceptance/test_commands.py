"""The commands: what they print, what they write, how they exit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance import files
from tests.acceptance.kit import Http, Service, World, base_env, command, sha256

Own = Callable[..., Service]


def test_init_writes_what_works_and_never_overwrites(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    done = command("init", str(folder))
    assert done.returncode == 0, done.stderr
    config = tomllib.loads((folder / "config.toml").read_text())
    tomllib.loads((folder / "policies.toml").read_text())
    ((name, agent),) = config["agents"].items()
    assert len(config["people"]) == 1
    tokens = [word for word in done.stdout.split() if sha256(word) == agent["secret_sha256"]]
    assert len(tokens) == 1, "the token, once"
    assert all((path.stat().st_mode & 0o077) == 0 for path in folder.rglob("*") if path.is_file())
    assert tokens[0] not in "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = command("init", str(folder))
    assert again.returncode == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert command("check", cwd=folder).returncode == 0, "./config.toml is the default"
    assert command("check", env={"JIT_AUTH_CONFIG": str(folder / "config.toml")}).returncode == 0
    other = tmp_path / "other"
    other.mkdir()
    assert command("init", cwd=other).returncode == 0, "the present folder is the default"
    assert (other / "config.toml").exists()
    # It serves, and its agent is let in.
    service = Service(folder, {})
    text = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(text.replace(":8080", f":{service.port}"))
    try:
        service.start()
        user = next(iter(config["people"]))
        agent_http = Http(service.url, tokens[0])
        names = [item["name"] for item in agent_http.get("/actions").json["items"]]
        assert names
        assert agent_http.execute("no.such", user).status in (403, 404)
    finally:
        service.stop()
    assert name


def test_c_wins_over_the_environment(own: Own) -> None:
    service = own()
    done = command("check", "-c", str(service.folder / "config.toml"), env={"JIT_AUTH_CONFIG": "/nowhere/config.toml"})
    assert done.returncode == 0, done.stderr
    done = command("check", env={"JIT_AUTH_CONFIG": "/nowhere/config.toml"}, cwd=service.folder)
    assert done.returncode == 1, "the environment wins over the present folder"


def test_the_console_script(own: Own) -> None:
    """All other commands here run in forks of one process."""
    service = own()
    script = Path(sys.executable).with_name("jit-auth")
    for arguments, code in (
        (["check"], 0),
        (["policy", "check", "nothing.toml"], 1),
        (["halt"], 2),
        (["--version"], 0),
    ):
        done = subprocess.run(
            [script, *arguments], cwd=service.folder, env=base_env(), capture_output=True, timeout=30, check=False
        )
        assert done.returncode == code, (arguments, done.stderr)


def test_check_as_json(own: Own) -> None:
    good = own().command("check", "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout)["faults"] == []
    bad = own({"config.toml": files.CONFIG.replace("environment", "enviroment")}).command("check", "--json")
    assert bad.returncode == 1
    assert "enviroment" in str(json.loads(bad.stdout)["faults"])


def test_agent_new(own: Own) -> None:
    service = own()
    done = service.command("agent", "new", "newbot")
    assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.index("[agents.newbot]") :]
    parsed = tomllib.loads(table)["agents"]["newbot"]
    (token,) = [word for word in done.stdout.split() if sha256(word) == parsed["secret_sha256"]]
    again = service.command("agent", "new", "newbot").stdout
    assert token not in again, "another one each time"
    pasted = table.replace("actions = []", 'actions = ["echo.say"]').replace("users = []", 'users = ["*"]')
    service.write("config.toml", files.CONFIG + "\n" + pasted)
    service.start()
    answer = Http(service.url, token).execute("echo.say", "a@example.com", params={"text": "x"})
    assert (answer.status, answer.json["agent"]) == (200, "newbot")


@pytest.mark.parametrize("name", ["", "two words", "a/b", "-x", "a:b"])
def test_senseless_names_of_agents(own: Own, name: str) -> None:
    done = own().command("agent", "new", "--", name) if name.startswith("-") else own().command("agent", "new", name)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr


def test_connectors(own: Own, world: World) -> None:
    service = own()
    listed = service.command("connectors", "list")
    assert listed.returncode == 0, listed.stderr
    for name in ("mailhub", "MailHub", "echo", "gmail", "gcal", "github", "slack"):
        assert name in listed.stdout
    shown = service.command("connectors", "show", "mailhub")
    assert shown.returncode == 0
    for word in (f"{service.url}/oauth/callback/mailhub", "mailhub.send_message", "mail.send", "high", "127.0.0.1"):
        assert word in shown.stdout, word
    assert f"{service.url}/oauth/callback/corp" in service.command("connectors", "show", "shared").stdout
    assert world.provider.client_secret not in shown.stdout
    unknown = service.command("connectors", "show", "mailhup")
    assert unknown.returncode == 1
    assert "mailhub" in unknown.stdout + unknown.stderr
    for arguments in (("list",), ("show", "mailhub")):
        done = service.command("connectors", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        assert "mailhub" in str(json.loads(done.stdout))


def test_connectors_check(own: Own, world: World) -> None:
    service = own()
    folder = service.folder / "connectors"
    for path in (folder / "mailhub", folder / "mailhub" / "connector.toml", folder):
        done = service.command("connectors", "check", str(path))
        assert done.returncode == 0, (path, done.stdout, done.stderr)
    service.write("connectors/mailhub/connector.toml", files.mailhub(world).replace("risk =", "risc =", 1))
    done = service.command("connectors", "check", str(folder / "mailhub"))
    assert done.returncode == 1
    assert re.search(r"mailhub/connector\.toml:\d+: .*risc.*risk", done.stdout + done.stderr)
    assert service.command("connectors", "check", str(folder / "nothing")).returncode == 1


LATER = [
    "connectors import openapi x.yaml",
    "connectors accept x",
    "policy replay",
    "policy publish",
    "policy test --mutate",
    "db restored",
    "serve --publish",
    "audit verify --anchor x",
    "",
    "nonsense",
    "agent",
    "agent new",
    "approvals",
    "approvals show",
    "approvals link apr_x",
    "keys",
    "keys callback",
    "connectors",
    "policy",
    "audit",
    "check --nonsense",
    "agent revoke x",
    "revoke",
    "revoke agent",
    "revoke agents mailbot",
    "revoke user",
    "halt --because x",
    "resume",
    "connectors show",
]


@pytest.fixture(scope="module")
def ready(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("commands"), files.everything(world))
    yield made
    made.stop()


def test_later_and_wrong_commands_are_usage(ready: Service) -> None:
    ends = []
    for line in LATER:
        done = command(*line.split(), cwd=ready.folder)
        ends.append((line, done.returncode, done.stderr))
    assert [(line, code) for line, code, _ in ends if code != 2] == []
    assert [line for line, _, told in ends if "Traceback" in told or not told.strip()] == []


def test_db_migrate(own: Own) -> None:
    service = own()
    for _ in range(2):
        done = service.command("db", "migrate")
        assert done.returncode == 0, done.stdout + done.stderr
    service.start()
    assert service.agent.execute("echo.say", "a@example.com", params={"text": "x"}).status == 200


def test_access_says_what_was_used_and_what_never(own: Own) -> None:
    service = own()
    service.start()
    assert service.agent.execute("echo.say", "a@example.com", params={"text": "x"}).status == 200
    service.stop()
    config = tomllib.loads((service.folder / "config.toml").read_text())
    name = next(iter(config["agents"]))
    done = service.command("access", "agent", name, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [each["name"] for each in report["actions"] if each["last_use"]] == ["echo.say"]
    assert tomllib.loads(report["narrower"])["actions"] == ["echo.say"]
    assert [each["user"] for each in report["users"]["acted_for"]] == ["a@example.com"]
    done = service.command("access", "user", "A@Example.com")
    assert done.returncode == 0, done.stderr
    assert "echo.say" in done.stdout
    assert service.command("access", "user", "nobody@example.com").returncode == 1


EXPRESSIONS = [
    ("params.txet == 'shadow'", "text"),
    ("params.text == 7", ""),
    ("params.count + 1", "bool"),
    ("user.group == 'x'", "groups"),
    ("params.text.matches('x')", "matches"),
    ("params.text == ", ""),
    ("history.same_action_1d > 1", "same_action_1h"),
    ("'x' in lables", "labels"),
    ("'x' == labels", ""),
    ("task.cuont > 1", "count"),
    ("task.count > 10000", "10000"),
    ("'fynance' in user.groups", "finance"),
    ("'extrenal' in action.exposes", "external"),
    ("size(params.text, 2) > 1", "size"),
    ("now.weekday == 1", ""),
    ("nobody.text == 'x'", "nobody"),
    ("params.text == 'a", ""),
    ("params.text = 'a'", ""),
    ("params.count > 1 || 'x'", ""),
]
APPROVALS = [
    ('from = ["requestor"]', "requester"),
    ('from = ["group:finnance"]', "finance"),
    ('from = ["group:finance"], need = 3', "need"),
    ('from = ["requester"], need = 2', "need"),
    ("from = []", "from"),
    ("need = 1", "from"),
    ('from = ["requester"], via = ["slack"]', "slack"),
    ('from = ["requester"], expires = "0s"', "expires"),
    ('from = ["requester"], expires = "soon"', "expires"),
    ('from = ["requester"], remind = "soon"', "remind"),
    ('from = ["requester"], for_max = "0s"', "for_max"),
    ('from = ["requester"], editable = ["txet"]', "text"),
    ('from = ["requester"], max_uses = 0', "max_uses"),
    ('from = ["requester"], escalate = { after = "2h" }', "to"),
    ('from = ["requester"], escalate = { after = "soon", to = ["group:finance"] }', "after"),
    ('from = ["requester"], escalate = { after = "2h", to = ["group:finnance"] }', "finance"),
]
RULES = [
    ('match = ["echo.sya"]\neffect = "deny"', "echo.say"),
    ('match = ["nobody.*"]\neffect = "deny"', "nobody"),
    ('match = ["echo.say"]\neffect = "denie"', "deny"),
    ('match = ["echo.say"]\neffect = "deny"\nmode = "shaddow"', "shadow"),
    ('match = ["echo.say"]\neffect = "deny"\nmod = "shadow"', "mode"),
    ('effect = "deny"', "match"),
]
TOPS = [
    ("format = 1", "format = 2", "format"),
    ('no_match = "deny"', 'no_match = "perhaps"', "no_match"),
    ('timezone = "Europe/Rome"', 'timezone = "Europe/Romm"', "Europe/Rome"),
    ('timezone = "Europe/Rome"', 'unknown_to = ["group:finnance"]', "finance"),
    ("[groups]", "[[labels]]\n[groups]", "label"),
    ('id = "watched"', 'id = "never"', "never"),
]


def missing(service: Service, rules: list[tuple[str, str]], column: str) -> list[tuple[str, str]]:
    """Of those rules the ones of which `policy check` does not tell, at a line of theirs, by that word."""
    text, places = 'format = 1\n[groups]\nfinance = ["bo@example.com"]\n', []
    for number, (rule, _) in enumerate(rules):
        first = text.count("\n") + 1
        text += f'[[rule]]\nid = "r{number}"\n{rule}\n'
        places.append(range(first, text.count("\n") + 1))
    service.write("faulty.toml", text)
    done = service.command("policy", "check", str(service.folder / "faulty.toml"))
    told = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 1
    assert not [line for line in told if "Traceback" in line]
    found = [match for line in told if (match := re.match(rf"\S*faulty\.toml:(\d+){column}: (.*)", line))]
    return [
        rule
        for rule, place in zip(rules, places, strict=True)
        if not [match for match in found if int(match[1]) in place and rule[1] in match[match.re.groups]]
    ]


def test_policy_check_names_file_line_and_column(ready: Service) -> None:
    rules = [(f'match = ["echo.say"]\neffect = "deny"\nwhen = "{text}"', word) for text, word in EXPRESSIONS]
    assert missing(ready, rules, r":\d+") == []


def test_policy_check_of_approvals_and_rules(ready: Service) -> None:
    ask = 'match = ["echo.say"]\neffect = "require_approval"\napproval = { %s }'
    assert missing(ready, [(ask % text, word) for text, word in APPROVALS], r"(?::\d+)?") == []
    assert missing(ready, RULES, r"(?::\d+)?") == []


def test_policy_check_of_the_rest(ready: Service) -> None:
    for change, to, word in TOPS:
        first = files.POLICIES[: files.POLICIES.index(change)].count("\n") + 1
        ready.write("top.toml", files.POLICIES.replace(change, to, 1))
        done = ready.command("policy", "check", str(ready.folder / "top.toml"))
        told = (done.stdout + done.stderr).splitlines()
        assert done.returncode == 1, to
        near = "|".join(str(line) for line in (first - 1, first))
        assert [line for line in told if re.match(rf"\S*top\.toml:({near})(:\d+)?: .*{word}", line)], told


TESTS = """
[test_base]
agent = { id = "mailbot", depth = 0, chain = ["mailbot"] }
user = { id = "alice@example.com", groups = [], verified = true }
now = "2026-11-24T10:00:00+01:00"

[[test]]
name = "mail is asked"
action = "mailhub.send_message"
set = { "params.to" = ["x@example.com"], "params.subject" = "hi" }
expect = { effect = "require_approval", rules = ["sends"], need = { "user:ana@example.com" = 1 } }

[[test]]
name = "forbidden words"
action = "echo.say"
set = { "params.text" = "forbidden" }
expect = { effect = "deny", rules = ["never"] }

[[test]]
name = "reads are free"
action = "mailhub.list_messages"
expect = { effect = "allow", rules = ["reads"], errors = [] }
"""


def test_policy_test(ready: Service) -> None:
    ready.write("tests-good.toml", files.POLICIES + TESTS)
    some = ("--min-coverage", "10")  # not every rule is seen both ways: the default asks for all
    good = ready.command("policy", "test", str(ready.folder / "tests-good.toml"), *some)
    assert good.returncode == 0, good.stdout + good.stderr
    for name in ("mail is asked", "forbidden words", "reads are free"):
        assert name in good.stdout
    assert re.search(r"\d+ ?%", good.stdout), "coverage"
    below = ready.command("policy", "test", str(ready.folder / "tests-good.toml"))
    assert below.returncode == 1, "some rules were never seen matching and not"
    ready.write(
        "tests-bad.toml", files.POLICIES + TESTS.replace('effect = "deny", rules = ["never"]', 'effect = "allow"')
    )
    bad = ready.command("policy", "test", str(ready.folder / "tests-bad.toml"), *some)
    assert bad.returncode == 1
    assert "forbidden words" in bad.stdout + bad.stderr
    ready.write("policies.toml", files.POLICIES + TESTS)
    default = ready.command("policy", "test", *some)
    ready.write("policies.toml", files.POLICIES)
    assert default.returncode == 0, default.stdout + default.stderr
    assert "mail is asked" in default.stdout
    as_json = ready.command("policy", "test", str(ready.folder / "tests-good.toml"), *some, "--json")
    assert as_json.returncode == 0
    json.loads(as_json.stdout)


def test_faults_of_tests_are_faults(ready: Service) -> None:
    for number, (change, to) in enumerate(
        [
            ('action = "echo.say"', 'action = "echo.sya"'),
            ('"params.text"', '"params.txet"'),
            ("expect = {", "expects = {"),
            ('"params.text" = "forbidden"', '"params.text" = 7'),
            ("history", "history"),
            ('rules = ["never"]', 'rules = ["nevr"]'),
        ]
    ):
        if change == to:
            continue
        ready.write(f"t{number}.toml", files.POLICIES + TESTS.replace(change, to))
        done = ready.command("policy", "test", str(ready.folder / f"t{number}.toml"))
        assert done.returncode == 1, (to, done.stdout)
        assert "Traceback" not in done.stderr


def test_policy_check_of_what_is_fine(ready: Service) -> None:
    done = ready.command("policy", "check", str(ready.folder / "policies.toml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert ready.command("policy", "check", str(ready.folder / "nothing.toml")).returncode == 1

"""`jit-auth policy explain`, and doubtful rules: warnings on loopback, faults beyond it and under `--strict`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jit_auth.cli.main import main
from jit_auth.config.load import load
from jit_auth.errors import Faults
from jit_auth.loading import load_bundle
from tests.unit.catalog.kit import ACTION, HEAD, PROVIDER, write
from tests.unit.cli.test_approvals import Captured, Place, execution

PARAMS = 'params.to = { type = "string" }\nparams.body = { type = "string", sensitive = true }\n'
POLICIES = """
format = 1
[[label]]
id = "elevated"
match = ["mailhub.send"]
when = "params.to == 'x'"
add = ["elevated"]
[[rule]]
id = "sends"
match = ["mailhub.send"]
when = "params.to.startsWith('ca') && params.body != ''"
effect = "require_approval"
approval = { from = ["requester"] }
[[rule]]
id = "tried"
match = ["mailhub.*"]
when = "'elevated' in labels"
effect = "deny"
mode = "shadow"
"""
DOUBTFUL = '[[rule]]\nid = "loose"\nmatch = ["mailhub.send"]\nwhen = "params.to == \'x\'"\neffect = "allow"\n'
DOUBT = (
    "policies.toml:4:1: rule loose allows mailhub.send whatever body holds: read it in a condition, or accept that by "
    'ignores = ["body"]'
)


@pytest.fixture
def place(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> Place:
    assert main(["init", str(tmp_path / "it")]) == 0
    folder = tmp_path / "it"
    write(folder / "connectors", HEAD + PROVIDER + ACTION + PARAMS)
    (folder / "policies.toml").write_text(POLICIES)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("JIT_AUTH_CONFIG", raising=False)
    capsys.readouterr()
    return Place(folder)


# Explain.


def test_explain_of_a_file(place: Place, capsys: Captured) -> None:
    body = {"action": "mailhub.send", "params": {"to": "carl", "body": "the-secret-body"}, "user": "me@example.com"}
    (place.folder / "call.json").write_text(json.dumps({**body, "now": "2026-11-24T10:00:00Z"}))
    assert main(["policy", "explain", "call.json"]) == 0
    out = capsys.readouterr().out
    assert out == (
        "mailhub.send, for me@example.com, by test, at 2026-11-24T10:00:00+00:00\n"
        "decision: require_approval, by sends\n"
        "  Rule sends asks for approval.\n"
        "  needs 1 of requester within 3600 s, by page (sends)\n"
        "with shadow rules enforced: require_approval, by sends\n"
        "  Rule sends asks for approval.\n"
        "  needs 1 of requester within 3600 s, by page (sends)\n"
        "\n"
        "label elevated (elevated): not added\n"
        "  when\n"
        "    params.to == 'x'  =>  false\n"
        '      params.to  =>  "carl"\n'
        "\n"
        "rule sends (require_approval, policies.toml:8): winner: it decides\n"
        "  when\n"
        "    params.to.startsWith('ca') && params.body != ''  =>  true\n"
        "      params.to.startsWith('ca')  =>  true\n"
        '        params.to  =>  "carl"\n'
        "      params.body != ''  =>  true\n"
        '        params.body  =>  "(sensitive)"\n'
        "\n"
        "shadow rule tried (deny, policies.toml:14): would lose: `when` is false\n"
        "  when\n"
        "    'elevated' in labels  =>  false\n"
        "      labels  =>  []\n"
    )


def test_explain_takes_a_tool_name(place: Place, capsys: Captured) -> None:
    told = []
    for name in ("mailhub.send", "mailhub__send"):
        body = {"action": name, "params": {"to": "carl", "body": "x"}, "now": "2026-11-24T10:00:00Z"}
        (place.folder / "call.json").write_text(json.dumps(body))
        assert main(["policy", "explain", "call.json"]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    (place.folder / "call.json").write_text(json.dumps({"action": "mailhub__nix"}))
    assert main(["policy", "explain", "call.json"]) == 1
    (place.folder / "call.json").write_text("[]")
    assert main(["policy", "explain", "call.json"]) == 1


def test_explain_of_a_stored_execution(place: Place, capsys: Captured) -> None:
    stored = execution()
    place.put(stored)
    assert main(["policy", "explain", stored.id, "--json"]) == 0
    out = capsys.readouterr().out
    assert "the-secret-body" not in out
    found = json.loads(out)
    assert (found["action"], found["user"], found["now"]) == ("mailhub.send", stored.user, stored.created)
    assert (found["recorded"]["policy"], found["recorded"]["labels"]) == ("sha256:p", ["elevated"])
    assert (found["decision"]["effect"], found["decision"]["rules"]) == ("require_approval", ["sends"])
    # By the labels on record the shadow rule matches, though today's would not be added.
    assert (found["with_shadow"]["effect"], found["with_shadow"]["rules"]) == ("deny", ["tried"])
    assert found["labels"][0]["added"] is False
    assert [(one["id"], one["mode"], one["outcome"]) for one in found["rules"]] == [
        ("sends", "enforce", "winner"),
        ("tried", "shadow", "winner"),
    ]
    assert main(["policy", "explain", stored.id]) == 0
    out = capsys.readouterr().out
    assert "recorded: require_approval, by sends\n" in out
    assert "decided by other rules than today's" in out
    assert out.isascii(), "what an agent sent must not reach a terminal as it came"


def test_explain_of_what_is_not_there(place: Place, capsys: Captured) -> None:
    place.put(execution())
    assert main(["policy", "explain", "exe_00000000000000000000000000"]) == 1
    assert "There is no execution 'exe_00000000000000000000000000'" in capsys.readouterr().err
    assert main(["policy", "explain", "nix.json"]) == 1
    assert capsys.readouterr().out == "nix.json:0: cannot be read: No such file or directory\n"
    (place.folder / "bad.json").write_text('{"action": "mailhub.sned"}')
    assert main(["policy", "explain", "bad.json"]) == 1
    assert "action: unknown action 'mailhub.sned' (did you mean 'mailhub.send'?)" in capsys.readouterr().out
    (place.folder / "bad.json").write_text("[]")
    assert main(["policy", "explain", "bad.json", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


# Doubtful rules.


def test_doubts_are_warnings_and_faults_under_strict(place: Place, capsys: Captured) -> None:
    (place.folder / "policies.toml").write_text(DOUBTFUL)
    doubt = DOUBT
    assert main(["policy", "check", "policies.toml"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("ok: 1 rules, 0 tests\n", f"warning: {doubt}\n")
    assert main(["policy", "check", "--strict", "policies.toml"]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == (f"{doubt}\n", "")
    assert main(["policy", "check", "policies.toml", "--json"]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert (warning["line"], warning["column"]) == (4, 1)


def test_what_init_writes_is_not_doubted(place: Place, tmp_path: Path, capsys: Captured) -> None:
    assert main(["init", str(tmp_path / "other")]) == 0
    assert main(["policy", "check", "--strict", str(tmp_path / "other" / "policies.toml")]) == 0


def test_on_loopback_a_doubt_is_a_warning_of_check(place: Place, capsys: Captured) -> None:
    (place.folder / "policies.toml").write_text(DOUBTFUL)
    assert main(["check"]) == 0
    told = capsys.readouterr()
    assert f"warning: {DOUBT}\n" in told.err
    assert load_bundle(load(place.config)).policy.doubts


def test_beyond_loopback_a_doubt_is_a_fault_of_check_and_serve(place: Place, capsys: Captured) -> None:
    secret = place.folder / "app.secret"
    secret.write_text("s3cr3t" * 8)
    secret.chmod(0o600)
    text = place.config.read_text()
    text = text.replace('public_url = "http://127.0.0.1:8080"', 'public_url = "https://jit.example.com"')
    text = text.replace('admin_tokens = [{ file = "admin.token" }]\n', "")
    app = 'verify = "app"\napp_url = "https://app.example/confirm"\napp_secret = { file = "app.secret" }'
    place.config.write_text(text.replace('verify = "none"', app))
    settings = load(place.config)
    assert not settings.loopback
    (place.folder / "policies.toml").write_text(DOUBTFUL.replace("effect", 'ignores = ["body"]\neffect'))
    assert load_bundle(settings)
    (place.folder / "policies.toml").write_text(DOUBTFUL)
    with pytest.raises(Faults) as wrong:
        load_bundle(settings)
    assert [str(one) for one in wrong.value.faults] == [DOUBT]
    assert main(["check"]) == 1
    assert DOUBT in capsys.readouterr().out.splitlines()
    assert main(["serve"]) == 1
    told = capsys.readouterr()
    assert DOUBT in told.out + told.err

"""`jit-auth keys callback`: the secret that an agent checks its callbacks with, and nobody else's."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from jit_auth.cli.main import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path, capsys: Captured) -> Path:
    assert main(["init", str(tmp_path / "it")]) == 0
    capsys.readouterr()
    return tmp_path / "it" / "config.toml"


def test_the_derived_secret_is_alone_on_its_line(config: Path, capsys: Captured) -> None:
    assert main(["keys", "callback", "my-agent", "-c", str(config)]) == 0
    out, err = capsys.readouterr()
    word, _, secret = out.strip().partition("_")
    assert (word, len(base64.b64decode(secret, validate=True)), err) == ("whsec", 32, "")
    assert main(["keys", "callback", "my-agent", "-c", str(config)]) == 0
    assert capsys.readouterr().out == out


def test_the_secret_that_is_given_is_the_one_in_force(config: Path, capsys: Captured) -> None:
    secret = "whsec_" + base64.b64encode(bytes(range(24))).decode()
    config.write_text(
        config.read_text().replace("[agents.my-agent]", f'[agents.my-agent]\ncallback_secret = "{secret}"')
    )
    assert main(["keys", "callback", "my-agent", "-c", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"agent": "my-agent", "secret": secret, "derived": False}


def test_each_agent_has_its_own(config: Path, capsys: Captured) -> None:
    config.write_text(config.read_text() + f'\n[agents.other]\nsecret_sha256 = "{"0" * 64}"\n')
    told = []
    for agent in ("my-agent", "other", "my-agent"):
        assert main(["keys", "callback", agent, "-c", str(config), "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out)["secret"])
    assert told[0] == told[2] != told[1]


def test_an_unknown_agent_has_none(config: Path, capsys: Captured) -> None:
    assert main(["keys", "callback", "my-agnet", "-c", str(config)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "There is no agent 'my-agnet' (did you mean 'my-agent'?)." in err

"""The Slack app of examples/slack: the manifest is the one of docs/slack.md, the table one that loads."""

from __future__ import annotations

from pathlib import Path

from jit_auth.channels.slack import SLACK
from jit_auth.channels.slack.doors import PATH
from jit_auth.core.toml import convert, read

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "slack"


def test_the_document_and_the_example_have_one_manifest() -> None:
    manifest = (FOLDER / "manifest.yaml").read_text()
    body = manifest[manifest.index("display_information") :]
    assert body in (ROOT / "docs" / "slack.md").read_text()
    assert f"request_url: https://jit-auth.example.com{PATH}\n" in body


def test_the_table_to_add_is_one() -> None:
    document = read("config.toml", (FOLDER / "config.toml").read_text())
    assert SLACK.settings is not None
    convert(document, SLACK.settings, at=("channels", "slack"), value=document.data["channels"]["slack"])

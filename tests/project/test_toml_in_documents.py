"""The TOML blocks of the documents go through the real loaders, and every key there is stands in a document."""

from __future__ import annotations

import tomllib
from base64 import b64encode
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from jit_auth.catalog.load import Catalog
from jit_auth.catalog.load import load as load_catalog
from jit_auth.catalog.tables import ActionTable, ConnectorTable
from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.config.load import load
from jit_auth.config.provider import ClientTable, ProviderTable
from jit_auth.config.tables import File
from jit_auth.core.toml import convert, read
from jit_auth.credentials import KINDS
from jit_auth.loading import load_bundle
from jit_auth.policy.facts import FACTS
from jit_auth.policy.rules import load as load_policy
from tests.project.test_documents import TOML
from tests.project.tree import ROOT, shown

MAILHUB = ROOT / "examples" / "mailhub" / "connectors"
PEOPLE = ("ana@example.com", "bo@example.com", "alice@example.com", "me@example.com")
VAULT = '\n[vault]\nkeys = [{ id = "k", env = "K" }]\n'


def catalog(paths: list[Path], shipped: bool = False) -> Catalog:
    return load_catalog(
        paths, {}, public_url="http://127.0.0.1:8080", allow_private=["127.0.0.1"], shipped=shipped, kinds=KINDS
    )


@pytest.mark.parametrize(("path", "line", "text"), TOML, ids=[f"{shown(path)}:{line}" for path, line, _ in TOML])
def test_toml_block_loads(path: Path, line: int, text: str, tmp_path: Path) -> None:
    name = f"{shown(path)}:{line}"
    if "base_url" in text or 'run = "agent"' in text:
        write(tmp_path, text)
        assert catalog([tmp_path]).actions
    elif text.lstrip().startswith("format = 1"):
        for other, _, beside in TOML:
            if other == path and "base_url" in beside and tomllib.loads(beside)["id"] != "mailhub":
                write(tmp_path, beside)
        actions = {full: operation.action for full, operation in catalog([MAILHUB, tmp_path]).actions.items()}
        # Strict: what is shown must be good beyond loopback too.
        load_policy([(name, text)], actions, PEOPLE, vias=(*CHANNEL_TABLES, "page"), strict=True)
    else:
        document = read(name, text if "[vault]" in text else text + VAULT)
        for channel, table in convert(document, File).channels.items():
            assert channel in CHANNEL_TABLES
            convert(document, CHANNEL_TABLES[channel], at=("channels", channel), value=table)


def write(folder: Path, connector: str) -> None:
    """A connector's file in a folder of its name."""
    place = folder / str(tomllib.loads(connector)["id"])
    place.mkdir(exist_ok=True)
    (place / "connector.toml").write_text(connector)


def test_ones_own_api_in_ten_lines(tmp_path: Path) -> None:
    """What a stranger copies: connector, configuration and rules of one section are a whole deployment."""
    path = ROOT / "docs" / "connectors.md"
    section = path.read_text().partition("## Your own API in ten lines")[2].partition("\n## ")[0]
    connector, config, policies = [text for page, _, text in TOML if page == path and text in section]
    (tmp_path / "connectors").mkdir()
    write(tmp_path / "connectors", connector)
    (tmp_path / "policies.toml").write_text(policies)
    people = '\n[policies]\npaths = ["policies.toml"]\n[people."ana@example.com"]\n[people."bo@example.com"]\n'
    (tmp_path / "config.toml").write_text(config + VAULT + people)
    environ = {"BILLING_KEY": "a-key-of-theirs", "K": b64encode(b"k" * 32).decode()}
    bundle = load_bundle(load(tmp_path / "config.toml", channels=CHANNEL_TABLES, environ=environ))
    assert bundle.allowed["clerk"] == {"billing.refund"}
    assert bundle.catalog.providers["billing"].secret == "a-key-of-theirs"


def keys(struct: type[msgspec.Struct]) -> list[str]:
    """The keys of a table and of the tables in it."""
    found = []
    for field in msgspec.structs.fields(struct):
        found.append(field.encode_name)
        for inner in (field.type, *get_args(field.type)):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                found += keys(inner)
    return found


@pytest.mark.parametrize(
    ("page", "struct"),
    [("configuration.md", File), ("connectors.md", ConnectorTable), ("connectors.md", ActionTable),
     ("connectors.md", ProviderTable), ("configuration.md", ClientTable)],
)  # fmt: skip
def test_every_key_is_documented(page: str, struct: type[msgspec.Struct]) -> None:
    text = (ROOT / "docs" / page).read_text() + (ROOT / "docs" / "connectors.md").read_text()
    assert [name for name in keys(struct) if name not in text] == []


@pytest.mark.parametrize("channel", CHANNEL_TABLES)
def test_every_key_of_a_channel_is_in_its_table(channel: str) -> None:
    _, heading, rest = (ROOT / "docs" / "configuration.md").read_text().partition(f"### `[channels.{channel}]`")
    assert heading
    table = rest.partition("\n#")[0]
    names = [field.encode_name for field in msgspec.structs.fields(CHANNEL_TABLES[channel])]
    assert [name for name in names if f"| `{name}` |" not in table] == []


def test_every_fact_is_documented() -> None:
    text = (ROOT / "docs" / "policies.md").read_text()
    parts = {part for name in FACTS for part in (name.partition(".")[0], name.partition(".")[2]) if part}
    assert [part for part in sorted(parts) if part not in text] == []

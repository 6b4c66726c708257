"""`jit-auth audit` and `jit-auth db migrate`, as a person types them."""

from __future__ import annotations

import asyncio
import csv
import json
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from jit_auth.cli.main import main
from jit_auth.config.init import init
from jit_auth.config.load import load
from jit_auth.model import Audit, Insert, Raise, Unit, Who
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault
from tests.conformance.world import ALICE, execution


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration as `init` writes it."""
    init(tmp_path / "house")
    return tmp_path / "house" / "config.toml"


def in_store(config: Path, work: Callable[[Store], Awaitable[object]]) -> None:
    """Do something in the configuration's store."""
    settings = load(config)

    async def run() -> None:
        vault = Vault(settings.vault.keys)
        store = await Store.open(settings.storage.url, vault, clock=Clock(), base=settings.base, serve=False)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(run())


@pytest.fixture
def filled(config: Path) -> Path:
    """The same, with three rows on record."""

    async def fill(store: Store) -> None:
        row = execution(store)
        evil = Audit(
            actor=f"person:{ALICE}", execution=row.id, user=ALICE, agent="=2+5",
            what=({"do": "request", "who": Who(ALICE), "action": "a\u202eb\nc"},),
        )  # fmt: skip
        await store.apply(Unit(None, (Insert(row),), evil))
        await store.apply(Unit(None, (Raise(),), Audit(actor="operator", what=({"do": "stop"},))))

    in_store(config, fill)
    return config


def test_a_whole_record_is_exit_0_and_a_broken_one_exit_1(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", "-c", str(filled)]) == 0
    assert capsys.readouterr().out == "3 rows of 1 writers: whole\n"
    assert main(["audit", "verify", "--json", "-c", str(filled)]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "rows": 3,
        "writers": 1,
        "breaks": [],
        "passkeys": {"signed": 0, "unproven": []},
    }
    connection = sqlite3.connect(filled.parent / "jit-auth.db")
    with connection:
        connection.execute("UPDATE audit SET actor = 'engine' WHERE seq = 1")
    connection.close()
    assert main(["audit", "verify", "-c", str(filled)]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.endswith("-1: the row or its place in the chain was altered")
    assert last == "3 rows of 1 writers: broken in 1 places"
    assert main(["audit", "verify", "--json", "-c", str(filled)]) == 1
    assert json.loads(capsys.readouterr().out)["breaks"][0]["seq"] == 1


def test_an_export_names_people_and_holds_no_formula(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "export", "-c", str(filled)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["what"][0]["do"] for row in rows] == ["writer", "request", "stop"]
    assert rows[1]["actor"] == f"person:{ALICE}"
    assert rows[1]["user"] == rows[1]["what"][0]["who"] == ALICE
    assert rows[1]["at"].endswith("Z")
    out = filled.parent / "record.csv"
    assert main(["audit", "export", "--format", "csv", "-o", str(out), "-c", str(filled)]) == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with out.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 3
    assert table[1]["agent"] == "'=2+5"
    assert main(["audit", "export", "-o", str(out), "-c", str(filled)]) == 1  # never overwrites
    capsys.readouterr()
    assert main(["audit", "export", "--since", "2999-01-01T00:00:00Z", "-c", str(filled)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["audit", "export", "--execution", rows[1]["execution"], "-c", str(filled)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_tail_shows_what_others_wrote_visibly(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "tail", "-n", "2", "-c", str(filled)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "U+202E" in lines[0]
    assert "\u202e" not in lines[0]
    assert ALICE in lines[0]
    assert main(["audit", "tail", "--json", "-n", "1", "-c", str(filled)]) == 0
    assert json.loads(capsys.readouterr().out)["what"] == [{"do": "stop"}]


@pytest.mark.parametrize(
    "words",
    [["tail", "-n", "0"], ["tail", "-n", "x"], ["export", "--since", "yesterday"], ["export", "--since", "2026-01-01"]],
)
def test_words_that_make_no_sense_are_exit_2(
    config: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["audit", *words, "-c", str(config)])
    assert raised.value.code == 2
    assert capsys.readouterr().err


def test_a_record_that_is_not_there_is_not_made(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", "-c", str(config)]) == 1
    assert "no database" in capsys.readouterr().err
    assert not (config.parent / "jit-auth.db").exists()
    assert main(["db", "migrate", "-c", str(config)]) == 0
    assert capsys.readouterr().out == "the schema is 0008\n"
    assert stat.S_IMODE((config.parent / "jit-auth.db").stat().st_mode) == 0o600
    assert main(["db", "migrate", "--json", "-c", str(config)]) == 0
    assert main(["audit", "verify", "-c", str(config)]) == 0


def test_migrate_makes_the_schema_of_postgresql(
    config: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = config.read_text().replace('url = "sqlite:///jit-auth.db"', f'url = "{postgres_url}"')
    config.write_text(text)
    assert main(["db", "migrate", "-c", str(config)]) == 0
    assert main(["audit", "verify", "-c", str(config)]) == 0
    assert "0 rows" in capsys.readouterr().out

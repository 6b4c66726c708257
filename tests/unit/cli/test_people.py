"""`jit-auth people unlink`: what links a person goes, their sessions with it, on record; nobody else's."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from jit_auth.cli.main import main
from jit_auth.model import Insert, Linked, Session
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault
from tests.conformance import world as rows

Captured = pytest.CaptureFixture[str]
ANA, BO = "ana@example.com", "bo@example.com"


@pytest.fixture
def config(tmp_path: Path, capsys: Captured) -> Path:
    assert main(["init", str(tmp_path / "it")]) == 0
    path = tmp_path / "it" / "config.toml"
    with path.open("a") as file:
        file.write(f'\n[people."{ANA}"]\naliases = ["ana.rossi@example.com"]\n')
    capsys.readouterr()
    return path


def over(config: Path, *made: Any) -> tuple[tuple[Linked, ...], tuple[Session, ...], list[dict[str, Any]]]:
    """Insert these; then Ana's accounts and sessions, and the facts about unlinking on record."""
    key = base64.b64decode((config.parent / "vault.key").read_text())

    async def work() -> tuple[tuple[Linked, ...], tuple[Session, ...], list[dict[str, Any]]]:
        vault = Vault([("key-1", key)])
        store = await Store.open("sqlite:///jit-auth.db", vault, clock=Clock(), base=config.parent, serve=True)
        try:
            if made:
                await store.apply(rows.unit(*[Insert(row) for row in made]))
            facts = [fact async for entry in store.audit.rows() for fact in entry.what]
            told = [fact for fact in facts if fact["do"] == "identity.unlinked"]
            return await store.own.identities(ANA), await store.own.sessions(ANA), told
        finally:
            await store.close()

    return asyncio.run(work())


def account(person: str, issuer: str = "corp") -> Linked:
    return Linked(id=f"idn_{person}_{issuer}", person=person, issuer=issuer, at=1_700_000_000_000)


def session(person: str, number: int) -> Session:
    far = Clock()() + 3_600_000
    return Session(id=f"ses_{person}_{number}", person=person, how="oidc", issuer="corp", at=1, used=far, until=far)


def test_unlink_cuts_accounts_and_sessions_of_one_person(config: Path, capsys: Captured) -> None:
    over(config, account(ANA), account(ANA, "partner"), account(BO), session(ANA, 1), session(ANA, 2), session(BO, 1))
    assert main(["people", "unlink", ANA, "-c", str(config)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        f"unlinked {ANA} from their account at corp, linked 2023-11-14T22:13:20.000Z",
        f"unlinked {ANA} from their account at partner, linked 2023-11-14T22:13:20.000Z",
        f"ended 2 sessions; the next sign-in as {ANA} links anew",
    ]
    linked, sessions, facts = over(config)
    assert (linked, sessions) == ((), ())
    (fact,) = facts
    assert (fact["issuers"], fact["sessions"]) == (["corp", "partner"], 2)
    assert main(["people", "unlink", BO, "-c", str(config)]) == 0
    assert "ended 1 session;" in capsys.readouterr().out


def test_any_name_of_the_person_will_do_and_the_output_is_data(config: Path, capsys: Captured) -> None:
    over(config, account(ANA))
    assert main(["people", "unlink", "Ana.Rossi@EXAMPLE.com", "--json", "-c", str(config)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "person": ANA,
        "unlinked": [{"issuer": "corp", "linked_at": "2023-11-14T22:13:20.000Z"}],
        "sessions": 0,
    }


@pytest.mark.parametrize("name", [ANA, "nobody@example.com", "*", ""])
def test_where_nothing_is_linked_it_says_so(config: Path, capsys: Captured, name: str) -> None:
    over(config, account(BO))
    assert main(["people", "unlink", name, "-c", str(config)]) == 1
    assert capsys.readouterr().err
    assert over(config)[2] == []


def test_without_a_database_nothing_is_made(config: Path, capsys: Captured) -> None:
    assert main(["people", "unlink", ANA, "-c", str(config)]) == 1
    assert "There is no database" in capsys.readouterr().err
    assert not (config.parent / "jit-auth.db").exists()

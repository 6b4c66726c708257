"""`jit-auth approvals`: read from the store alone, links on loopback alone, sensitive values nowhere."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jit_auth.cli.main import main
from jit_auth.core.links import genuine
from jit_auth.model import Ask, Card, Decision, Escalate, Execution, Insert, Op, Pass, Vote, Want
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault
from tests.conformance import world as rows
from tests.unit.catalog.kit import ACTION, HEAD, PROVIDER, write

Captured = pytest.CaptureFixture[str]
ANA, BO = "ana@example.com", "bo@example.com"
PARAMS = """
summary = "Send to {to}"
params.to = { type = "string" }
params.body = { type = "string", sensitive = true }
"""


class Place:
    """A configuration with a database, filled by a store of its own as the service does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.key = base64.b64decode((folder / "vault.key").read_text())
        self.vault = Vault([("key-1", self.key)])

    def put(self, *made: Any) -> None:
        """Insert rows, all in one unit."""

        async def work() -> None:
            store = await Store.open("sqlite:///jit-auth.db", self.vault, clock=Clock(), base=self.folder, serve=True)
            ops: Sequence[Op] = [Insert(row) for row in made]
            try:
                await store.apply(rows.unit(*ops))
            finally:
                await store.close()

        asyncio.run(work())

    def tickets(self) -> bytes:
        """The key that links are made with."""

        async def work() -> bytes:
            store = await Store.open("sqlite:///jit-auth.db", self.vault, clock=Clock(), base=self.folder, serve=False)
            try:
                return store.derive("tickets")
            finally:
                await store.close()

        return asyncio.run(work())

    def run(self, *words: str) -> int:
        return main(["approvals", *words, "-c", str(self.config)])


@pytest.fixture
def place(tmp_path: Path, capsys: Captured) -> Place:
    assert main(["init", str(tmp_path / "it")]) == 0
    folder = tmp_path / "it"
    write(folder / "connectors", HEAD + PROVIDER + ACTION + PARAMS)
    with (folder / "config.toml").open("a") as config:
        config.write(f'\n[people."{ANA}"]\naliases = ["ana.rossi@example.com"]\ngroups = ["finance"]\n')
    capsys.readouterr()
    return Place(folder)


class Moment:
    """Stands for a store where rows are made: the time, and nothing else of it."""

    def now(self) -> int:
        return Clock().wall()


def execution(**fields: Any) -> Execution:
    values: dict[str, Any] = {
        "state": "paused", "action": "mailhub.send", "params": {"to": "carol\u202e", "body": "the-secret-body"},
        "decision": Decision("require_approval", ("sends",), labels=("elevated",), policy="sha256:p"),
        "reason": "Carol\nasked",
    }  # fmt: skip
    return rows.execution(MOMENT, **(values | fields))


MOMENT: Any = Moment()


def ask(of: Execution, **fields: Any) -> Ask:
    wants = (Want(("group:finance",), need=2, rules=("sends",)),)
    return rows.approval_ask(MOMENT, of, **({"wants": wants, "why": ""} | fields))


def card(of: Ask, **fields: Any) -> Card:
    return rows.card(MOMENT, of, **({"person": ANA} | fields))


def vote(of: Ask, **fields: Any) -> Vote:
    return rows.vote(MOMENT, of, **fields)


def standing(**fields: Any) -> Pass:
    now = MOMENT.now()
    values: dict[str, Any] = {
        "id": rows.make_id("pas", MOMENT), "digest": "sha256:1", "agent": "mailbot", "chain": ("mailbot",),
        "user": "alice@example.com", "action": "mailhub.send", "voters": (ANA,), "ask": "apr_1",
        "summary": "Send to carol", "uses": 7, "until": now + 3_600_000, "created": now,
    }  # fmt: skip
    return Pass(**(values | fields))


def test_list_shows_what_is_open(place: Place, capsys: Captured) -> None:
    call = execution()
    first = ask(call)
    unknown = execution(state="unknown")
    what = ask(unknown, id=rows.make_id("unk", MOMENT), kind="outcome", wants=(Want((f"user:{BO}",)),))
    done = execution(state="denied")
    over = ask(done, state="denied")
    needs = execution()
    place.put(call, first, unknown, what, done, over, needs, rows.consent_ask(MOMENT, needs), standing())
    assert place.run("list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {item["id"]: item["kind"] for item in told["items"]} == {first.id: "approval", what.id: "outcome"}
    assert not told["more"]
    (item,) = [item for item in told["items"] if item["id"] == first.id]
    assert item["execution"] == call.id
    assert item["requirements"] == [{"from": ["group:finance"], "need": 2, "rules": ["sends"]}]
    assert (item["action"], item["risk"], item["agent"]) == ("mailhub.send", "high", "mailbot")
    assert (item["state"], item["status"], item["user"]) == ("open", "paused", "alice@example.com")
    (one,) = told["passes"]
    assert (one["uses_left"], one["voters"], one["approval"], one["action"]) == (7, [ANA], "apr_1", "mailhub.send")
    assert place.run("list") == 0
    out = capsys.readouterr().out
    for text in (first.id, what.id, "2 of group:finance", "mailbot for alice@example.com", "approved for a while",
                 "by ana@example.com", "7 left until"):  # fmt: skip
        assert text in out
    assert over.id not in out


def test_nothing_is_open(place: Place, capsys: Captured) -> None:
    place.put(execution(state="denied"))
    assert place.run("list") == 0
    assert capsys.readouterr().out == "nothing is open\n"
    assert place.run("list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"items": [], "more": False, "passes": []}


def test_sensitive_and_hidden_text_is_not_printed(place: Place, capsys: Captured) -> None:
    call = execution()
    place.put(call, ask(call), standing(summary="x\u202ey"))
    for words in (("list",), ("list", "--json"), ("show", call.id), ("show", call.id, "--json")):
        assert place.run(*words) == 0
        out = capsys.readouterr().out
        assert "the-secret-body" not in out
        assert "\u202e" not in out or "--json" in words
    assert place.run("show", call.id) == 0
    out = capsys.readouterr().out
    assert "Carol\u27e8U+000A\u27e9asked" in out
    assert '  to = "carol\u27e8U+202E\u27e9"' in out


def test_all_parameters_of_an_action_that_is_gone_are_masked(place: Place, capsys: Captured) -> None:
    call = execution(action="mailhub.gone")
    place.put(call, ask(call))
    assert place.run("show", call.id, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["params"].values()) == {"\u27e8masked\u27e9"}
    assert (told["summary"], told["risk"]) == ("", None)


def test_faulty_connectors_hide_nothing_that_is_open(place: Place, capsys: Captured) -> None:
    call = execution()
    first = ask(call)
    place.put(call, first)
    write(place.folder / "connectors", "id = 1\n")
    assert place.run("list") == 0
    out, err = capsys.readouterr()
    assert first.id in out
    assert "the connectors are faulty" in err


def test_show_tells_who_was_asked_and_who_decided(place: Place, capsys: Captured) -> None:
    call = execution(edited_by=(BO,))
    old = ask(call, state="superseded")
    wants = (Want(("group:finance",), need=2), Want((f"user:{BO}",)))
    steps = (Escalate(1, ("group:directors",)),)
    new = ask(call, wants=wants, escalated=steps, why="Parameters were changed")
    place.put(call, old, new, vote(new, person=ANA, hold=3_600_000, feedback="Fine"))
    assert place.run("show", new.id, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["id"], told["why"], told["escalated"]) == (new.id, "Parameters were changed", ["group:directors"])
    (given,) = told["votes"]
    assert (given["person"], given["decision"], given["for_seconds"]) == (ANA, "approve", 3600)
    assert told["call"]["id"] == call.id
    assert told["call"]["edited_by"] == [BO]
    assert told["call"]["decision"]["labels"] == ["elevated"]
    assert place.run("show", call.id, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["id"] == call.id
    assert {one["id"]: one["state"] for one in told["approvals"]} == {old.id: "superseded", new.id: "open"}
    assert place.run("show", new.id) == 0
    out = capsys.readouterr().out
    for text in (f"execution: {call.id} is paused", "action: mailhub.send, risk high", "2 of group:finance",
                 f"1 of user:{BO}", "also asked: group:directors (their votes do not count)", "edited by: bo@",
                 "asked again: Parameters were changed", f"approve for 3600 s by {ANA}", "(link): Fine",
                 "labels: elevated"):  # fmt: skip
        assert text in out, text
    assert old.id not in out


@pytest.mark.parametrize("command", ["show", "link"])
@pytest.mark.parametrize("name", ["apr_nothing", "exe_nothing", "", "' OR 1=1 --", "crd_1"])
def test_an_unknown_id(place: Place, capsys: Captured, command: str, name: str) -> None:
    place.put(execution())
    assert place.run(command, name, *(["--as", ANA] if command == "link" else [])) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "There is no approval or execution" in err


def links(place: Place, capsys: Captured, *words: str) -> str:
    assert place.run("link", *words) == 0
    out = capsys.readouterr().out
    assert re.fullmatch(r"http://127\.0\.0\.1:8080/approvals/jat_[A-Za-z0-9_-]+\n", out)
    return out.strip().rpartition("/")[2]


def test_a_link_is_the_one_that_the_person_was_sent(place: Place, capsys: Captured) -> None:
    call = execution()
    first = ask(call)
    mine = card(first)
    place.put(call, first, mine, card(first, person=BO))
    for words in ((first.id, "--as", ANA), (call.id, "--as", ANA), (first.id, "--as", "ANA.Rossi@example.com")):
        mark = links(place, capsys, *words)
        assert genuine(place.tickets(), "approval", mine.id, ANA, mine.expires, mark)
    assert links(place, capsys, first.id, "--as", BO) != mark
    assert place.run("link", first.id, "--as", ANA, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"id": first.id, "person": ANA, "url": f"http://127.0.0.1:8080/approvals/{mark}"}


def test_a_link_to_say_what_became_of_a_call(place: Place, capsys: Captured) -> None:
    call = execution(state="unknown")
    what = ask(call, id=rows.make_id("unk", MOMENT), kind="outcome")
    mine = card(what, role="resolve")
    place.put(call, what, mine)
    mark = links(place, capsys, call.id, "--as", ANA)
    assert genuine(place.tickets(), "approval", mine.id, ANA, mine.expires, mark)


@pytest.mark.parametrize("extra", [{"person": BO}, {"role": "notice"}, {"person": "channel:slack"}])
def test_nobody_gets_a_link_that_is_not_theirs(place: Place, capsys: Captured, extra: dict[str, Any]) -> None:
    call = execution()
    first = ask(call)
    place.put(call, first, card(first, **extra))
    assert place.run("link", first.id, "--as", ANA) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{ANA} has no link of their own for {first.id}." in err


@pytest.mark.parametrize("person", ["channel:slack", "group:finance", "*", "requester", ""])
def test_a_link_is_a_persons(place: Place, capsys: Captured, person: str) -> None:
    call = execution()
    first = ask(call)
    place.put(call, first, card(first), card(first, person="channel:slack"))
    assert place.run("link", first.id, "--as", person) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "jat_" not in err


def test_what_is_over_has_no_link(place: Place, capsys: Captured) -> None:
    call = execution()
    old, new = ask(call, state="superseded"), ask(call)
    done = execution(state="succeeded")
    met = ask(done, state="met")
    needs = execution()
    consent = rows.consent_ask(MOMENT, needs)
    place.put(call, old, new, card(old), card(new), done, met, card(met), needs, consent)
    for name, said in (
        (old.id, f"{old.id} is superseded: the execution {call.id} is paused. {new.id} is asked instead."),
        (met.id, f"{met.id} is met: the execution {done.id} is succeeded."),
        (done.id, f"Nobody is asked: the execution {done.id} is succeeded."),
        (consent.id, f"{consent.id} is no approval: it asks the user for a consent."),
        (needs.id, f"Nobody is asked: the execution {needs.id} is paused."),
    ):
        assert place.run("link", name, "--as", ANA) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.strip().startswith(said)


def test_there_is_no_database_yet(place: Place, capsys: Captured) -> None:
    for words in (("list",), ("show", "apr_1"), ("link", "apr_1", "--as", ANA)):
        assert place.run(*words) == 1
        assert "There is no database at" in capsys.readouterr().err
    assert not (place.folder / "jit-auth.db").exists()


def test_reading_changes_nothing(place: Place, capsys: Captured) -> None:
    call = execution()
    first = ask(call)
    place.put(call, first, card(first))
    before = (place.folder / "jit-auth.db").read_bytes()
    for words in (("list",), ("show", call.id), ("link", first.id, "--as", ANA)):
        assert place.run(*words) == 0
    assert (place.folder / "jit-auth.db").read_bytes() == before

"""Starting, stopping, being killed; the audit trail; what is on the disk."""

from __future__ import annotations

import base64
import contextlib
import csv
import functools
import io
import json
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance import files
from tests.acceptance.kit import COMMAND, Answer, Service, World, base_env, until

Own = Callable[..., Service]
ANA = "ana@example.com"
OK = (200, {"Content-Type": "application/json"}, b'{"ok":true}')


def test_readyz_and_healthz(service: Service) -> None:
    for path in ("/readyz", "/healthz"):
        answer = service.anyone.get(path)
        assert answer.status == 200
        assert "ok" in answer.body.decode()
        assert len(answer.body) < 40, "a code only"


def test_a_second_serve_on_one_sqlite_file_is_refused(own: Own) -> None:
    service = own().start()
    text = (service.folder / "config.toml").read_text()
    service.write("second.toml", text.replace(str(service.port), "{port}").replace("{port}", str(service.port + 1)))
    done = subprocess.run(
        [*COMMAND, "serve", "-c", str(service.folder / "second.toml")],
        env=base_env(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert service.agent.execute("echo.say", "a@example.com", params={"text": "x"}).status == 200
    assert service.end() == 0
    assert service.start().agent.get("/executions").status == 200, "the lock goes with its holder"


def test_a_taken_port_is_told(own: Own) -> None:
    one, two = own(), own()
    one.start()
    text = (two.folder / "config.toml").read_text().replace(str(two.port), str(one.port))
    (two.folder / "config.toml").write_text(text)
    done = two.command("serve")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(one.port) in done.stdout + done.stderr


def test_sigterm_drains(own: Own, world: World, person: str) -> None:
    service = own().start()
    world.upstream.tell("/v1/risky", 0.8, OK)
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(service.agent.execute("echo.risky", person)))
    before = len(world.upstream.of("/v1/risky"))
    thread.start()
    until(lambda: len(world.upstream.of("/v1/risky")) > before)
    assert service.end(signal.SIGTERM) == 0
    thread.join(10)
    assert (answers[0].status, answers[0].json["status"]) == (200, "succeeded")
    service.start()
    assert service.agent.get(f"/executions/{answers[0].json['id']}").json == answers[0].json


def test_sigterm_does_not_wait_for_people(own: Own, person: str) -> None:
    service = own().start()
    answers: list[Answer] = []

    def call() -> None:
        with contextlib.suppress(OSError):
            answers.append(service.agent.execute("echo.ask", person, {"Prefer": "wait=60"}, params={"text": "x"}))

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: service.agent.get("/executions").json["items"])
    started = time.monotonic()
    assert service.end(signal.SIGTERM) == 0
    assert time.monotonic() - started < 10
    thread.join(10)
    assert [answer.status for answer in answers] in ([202], [])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_resumes_and_links_go_on_working(own: Own, world: World, person: str, how: signal.Signals) -> None:
    service = own().start()
    answer = service.agent.execute(
        "mailhub.send_message", person, {"Idempotency-Key": "k"}, params={"to": ["a@example.com"], "subject": "restart"}
    )
    items = {item["kind"]: item for item in answer.json["waiting_for"]}
    link = service.link(items["approval"]["id"], ANA)
    service.restart(how)
    assert service.agent.get(f"/executions/{answer.json['id']}").json == answer.json
    assert service.vote(link).status == 200
    service.restart(how)
    assert service.vote(link).status == 409
    world.consent(items["consent"]["url"], user=person.partition("@")[0])
    done = service.agent.settled(answer.json)
    assert done["status"] == "succeeded"
    service.restart(how)
    assert service.agent.get(f"/executions/{answer.json['id']}").json == done
    again = service.agent.execute(
        "mailhub.send_message", person, {"Idempotency-Key": "k"}, params={"to": ["a@example.com"], "subject": "restart"}
    )
    assert again.json == done
    assert [m for m in world.mail.messages if m["of"] == person.partition("@")[0]] == [
        {"of": person.partition("@")[0], "to": ["a@example.com"], "subject": "restart"}
    ]
    # The token is still good, and no new consent is asked.
    assert service.agent.execute("mailhub.read_by_write", person).status == 202
    assert service.command("audit", "verify").returncode == 0


def arrived(world: World, path: str, before: int) -> bool:
    return len(world.upstream.of(path)) > before


def test_kill_9_while_a_call_is_on_its_way(own: Own, world: World, person: str) -> None:
    service = own().start()
    calls = {}
    for path, action in (("/v1/risky", "echo.risky"), ("/v1/look", "echo.look")):
        world.upstream.tell(path, 0.9, OK)
        before = len(world.upstream.of(path))
        told = service.agent.execute(action, person, {"Prefer": "wait=0", "Idempotency-Key": action}).json
        until(functools.partial(arrived, world, path, before))
        calls[action] = (told["id"], path, before)
    service.restart(signal.SIGKILL)
    name, path, before = calls["echo.risky"]
    assert service.agent.settled(name)["status"] == "unknown"
    assert len(world.upstream.of(path)) == before + 1, "never twice"
    replay = service.agent.execute("echo.risky", person, {"Idempotency-Key": "echo.risky"})
    assert (replay.status, replay.json["id"], replay.json["status"]) == (200, name, "unknown")
    name, path, before = calls["echo.look"]
    assert service.agent.settled(name, 60)["status"] == "succeeded"
    assert len(world.upstream.of(path)) == before + 2, "a read is sent again"


def test_audit(own: Own, world: World, person: str) -> None:
    service = own().start()
    told = service.agent.execute(
        "echo.ask", person, params={"text": "a very private text"}, reason="a private reason"
    ).json
    service.vote(service.link(told["waiting_for"][0]["id"], ANA), "approve", feedback="private feedback")
    service.agent.settled(told)
    listed = service.agent.execute("mailhub.list_messages", person).json
    world.consent(listed["waiting_for"][0]["url"], user=person.partition("@")[0])
    service.agent.settled(listed)
    verified = service.command("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    export = service.command("audit", "export")
    assert export.returncode == 0
    rows = [json.loads(line) for line in export.stdout.splitlines()]
    text = export.stdout
    for hidden in ("a very private text", "a private reason", "private feedback"):
        assert hidden not in text
    mine = [row for row in rows if row.get("execution") == told["id"]]
    assert mine, rows[:3]
    done = " ".join(json.dumps(row) for row in mine)
    for word in (
        "request",
        "decision",
        "vote",
        "send",
        "outcome",
        "sends",
        told["decision"]["policy"],
        ANA,
        person,
        "mailbot",
    ):
        assert word in done, word
    for word in ("consent", "token", "bundle", "policy"):
        assert word in text, word
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    table = service.command("audit", "export", "--format", "csv")
    assert table.returncode == 0, table.stderr
    lines = list(csv.reader(io.StringIO(table.stdout)))
    assert len(lines) == len(rows) + 1
    tail = subprocess.run(
        [*COMMAND, "audit", "tail", "-c", str(service.folder / "config.toml")],
        env=base_env(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert tail.returncode == 0, tail.stderr
    assert tail.stdout.strip()
    service.end()
    assert service.command("audit", "verify").returncode == 0, "with the service down, too"


def tables(path: Path) -> dict[str, list[str]]:
    with sqlite3.connect(path) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        return {name: [column[1] for column in db.execute(f"PRAGMA table_info({name})")] for name in names}


@pytest.mark.parametrize("harm", ["delete", "change", "swap"])
def test_audit_verify_finds_what_was_done_to_it(own: Own, harm: str, person: str) -> None:
    service = own().start()
    for number in range(4):
        service.agent.execute("echo.say", person, params={"text": str(number)})
    service.end()
    path = service.folder / "jit-auth.db"
    audit = next(name for name in tables(path) if "audit" in name)
    columns = tables(path)[audit]
    text = next(name for name in columns if name in ("what", "body", "data", "facts", "row"))

    def sql(statement: str) -> str:
        return statement.replace("AUDIT", audit).replace("FACTS", text)

    with sqlite3.connect(path) as db:
        rows = db.execute(sql("SELECT rowid, FACTS FROM AUDIT ORDER BY rowid")).fetchall()
        middle, old = rows[len(rows) // 2]
        if harm == "delete":
            db.execute(sql("DELETE FROM AUDIT WHERE rowid = ?"), (middle,))
        elif harm == "change":
            new = old + " " if isinstance(old, str) else old[:-1] + bytes([old[-1] ^ 1])
            db.execute(sql("UPDATE AUDIT SET FACTS = ? WHERE rowid = ?"), (new, middle))
        else:
            for (row, _), (_, other) in zip(rows[1:3], reversed(rows[1:3]), strict=True):
                db.execute(sql("UPDATE AUDIT SET FACTS = ? WHERE rowid = ?"), (other, row))
    done = service.command("audit", "verify")
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr


def test_no_secret_and_no_text_lies_in_the_clear(own: Own, world: World, person: str) -> None:
    service = own().start()
    user = person.partition("@")[0]
    told = service.agent.execute("mailhub.list_messages", person, reason="needle-reason").json
    ticket = told["waiting_for"][0]["url"].rsplit("/", 1)[1]
    world.consent(told["waiting_for"][0]["url"], user=user)
    service.agent.settled(told)
    asked = service.agent.execute("echo.ask", person, params={"text": "needle-text", "secret": "needle-sensitive"}).json
    link = service.link(asked["waiting_for"][0]["id"], ANA)
    service.vote(link, "approve", feedback="needle-feedback")
    service.agent.settled(asked)
    world.upstream.tell("/v1/look", (200, {"Content-Type": "text/plain"}, b"needle-result"))
    service.agent.execute("echo.look", person, params={"q": "needle-query"})
    family = [family for family in world.provider.families if family.user == user][-1]
    needles = [
        family.access,
        family.refresh,
        *family.spent,
        ticket,
        link.rsplit("/", 1)[1],
        world.provider.client_secret,
        "needle-",
    ]
    service.end()
    (lock,) = [service.folder / "jit-auth.db"]
    assert lock.stat().st_mode & 0o077 == 0
    blobs = {path.name: path.read_bytes() for path in service.folder.glob("jit-auth.db*")}
    blobs["stderr"] = service.stderr.encode()
    blobs["stdout without links"] = "\n".join(
        line for line in service.lines if not line.startswith("approve ")
    ).encode()
    blobs["audit"] = service.command("audit", "export").stdout.encode()
    found = []
    for needle in filter(None, needles):
        raw = needle.encode()
        forms = {
            raw,
            quote(needle, safe="").encode(),
            base64.b64encode(raw).rstrip(b"="),
            base64.urlsafe_b64encode(raw).rstrip(b"="),
        }
        found += [(needle, where) for where, blob in blobs.items() for form in forms if len(form) > 5 and form in blob]
    assert found == []
    masked = json.dumps(service.command("audit", "export").stdout)
    assert "needle-sensitive" not in masked


def test_a_lost_key_and_another_key_do_not_open_it(own: Own, person: str) -> None:
    service = own().start()
    told = service.agent.execute("echo.ask", person, params={"text": "x"}).json
    service.end()
    other = {"JIT_AUTH_VAULT_KEY": base64.b64encode(b"o" * 32).decode()}
    service.env.update(other)
    assert "Traceback" not in service.command("check").stderr
    verify = service.command("audit", "verify")
    assert verify.returncode == 1
    assert "Traceback" not in verify.stderr
    del service.env["JIT_AUTH_VAULT_KEY"]
    # A new key first, the old one behind it: everything opens.
    service.env["NEW_KEY"] = other["JIT_AUTH_VAULT_KEY"]
    old = 'keys = [{ id = "2026-11", env = "JIT_AUTH_VAULT_KEY" }]'
    new = 'keys = [{ id = "2026-12", env = "NEW_KEY" }, { id = "2026-11", env = "JIT_AUTH_VAULT_KEY" }]'
    service.write("config.toml", files.CONFIG.replace(old, new))
    service.start()
    assert service.agent.get(f"/executions/{told['id']}").json == told
    assert service.agent.execute("echo.say", person, params={"text": "x"}).status == 200
    assert service.command("audit", "verify").returncode == 0


def test_stdout_holds_nothing_but_lines_for_people(service: Service, person: str) -> None:
    told = service.agent.execute("echo.ask", person, params={"text": "x"}).json
    approval = told["waiting_for"][0]["id"]
    service.link(approval, ANA)
    assert len([line for line in service.lines if line.startswith(f"approve {approval} ")]) == 1, (
        "one line per approver"
    )


def test_shadow_rules_are_recorded_and_not_enforced(service: Service, person: str) -> None:
    told: dict[str, Any] = service.agent.execute("echo.say", person, params={"text": "shadow"}).json
    assert (told["status"], told["decision"]["rules"]) == ("succeeded", ["reads"])
    export = service.command("audit", "export").stdout
    rows = [line for line in export.splitlines() if told["id"] in line]
    assert any("watched" in row for row in rows), rows


def test_every_load_is_recorded(own: Own) -> None:
    service = own().start()
    service.restart()
    service.end()
    service.write(
        "config.toml",
        files.CONFIG.replace('"15m"', '"5m"').replace('environment = "acceptance"', 'environment = "other"'),
    )
    service.start()
    rows = [json.loads(line) for line in service.command("audit", "export").stdout.splitlines()]
    loads = [
        fact
        for row in rows
        for fact in row["what"]
        if fact["do"] in ("bundle", "load", "config.loaded", "policy.loaded")
    ]
    assert len(loads) >= 3, rows

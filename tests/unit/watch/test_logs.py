"""Lines of the log: what they say, what never stands in them, and that nobody forges one."""

from __future__ import annotations

import io
import json
import logging
import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from jit_auth.send.shapes import remove
from jit_auth.watch.access import Access
from jit_auth.watch.here import HERE, Here
from jit_auth.watch.logs import configure

log = logging.getLogger("jit_auth.engine.somewhere")


class Written(io.StringIO):
    """A stream, and what was written to it."""

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def restored() -> Iterator[None]:
    """Logging as it was before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("aiohttp.access", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def machine(restored: None) -> Written:
    stream = Written()
    configure(stream, json=True, remove=remove)
    return stream


@pytest.fixture
def terminal(restored: None) -> Written:
    stream = Written()
    configure(stream, json=False, remove=remove)
    return stream


def test_a_line_says_when_what_where_and_about_what(machine: Written) -> None:
    token = HERE.set(Here("req_1", "exe_1", "mailbot", "f" * 32))
    log.warning("%s cannot go on yet: %s", "exe_1", "away")
    HERE.reset(token)
    logging.getLogger("asyncpg").info("a library")
    first, second = machine.lines
    assert datetime.fromisoformat(first.pop("time")).utcoffset() is not None
    assert first == {
        "event": "exe_1 cannot go on yet: away",
        "level": "warning",
        "logger": "jit_auth.engine.somewhere",
        "execution": "exe_1",
        "request": "req_1",
        "agent": "mailbot",
        "trace": "f" * 32,
    }
    assert set(second) == {"time", "event", "level", "logger"}


def test_debugging_is_off(machine: Written) -> None:
    log.debug("details")
    logging.getLogger("aiohttp.access").info("GET /approvals/jat_x")
    assert machine.getvalue() == ""


SECRETS = [
    "jat_agt_" + "a" * 43,
    "jat_adm_" + "Zz9-_" * 8,
    "jat_" + "e" * 80,
    "whsec_" + "b" * 40,
    "xoxb-123456789012-abcdefghijkl",
    "xapp-1-A0-123-deadbeefdeadbeef",
    "ya29." + "q" * 60,
    "ghp_" + "r" * 36,
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
    "ana.rossi+x@example.com",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "place",
    ["{}", "Bearer {}", "https://x.example/approvals/{}?a=1", '{{"token":"{}"}}', "a={}&b", "({})", "'{}'", "to:{}"],
)
def test_no_secret_and_nobody_is_in_it(machine: Written, secret: str, place: str) -> None:
    text = place.format(secret)
    log.warning(text)
    log.warning("%s", text)
    log.warning("x", extra={"ignored": text})
    log.warning("%s", {"deep": [text]})
    try:
        raise ValueError(text)
    except ValueError:
        log.exception("failed: %s", text)
    written = machine.getvalue()
    assert secret not in written
    assert len(machine.lines) == 5
    assert "[removed]" in written
    assert "ValueError" in machine.lines[-1]["exception"]


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("postgresql://jit_auth:hunter2@db.example/x", "hunter2"),
        ("Authorization: Bearer opaque-token-of-anybody", "opaque-token"),
        ("authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNz"),
        ("GET /oauth/callback/x?code=s3cr3t&state=abc", "s3cr3t"),
        ("GET /connect/whatever-is-here HTTP/1.1", "whatever-is-here"),
        ("GET /approvals/whatever-is-here HTTP/1.1", "whatever-is-here"),
    ],
)
def test_what_is_a_secret_by_its_place(machine: Written, text: str, gone: str) -> None:
    log.warning(text)
    assert gone not in machine.getvalue()


def test_what_is_none_stays(machine: Written) -> None:
    kept = "jit_auth listens on http://127.0.0.1:8080; exe_01jabc by mailbot at gmail.send: 3 tries, 50 % in 2.5 s"
    log.info(kept)
    assert machine.lines[0]["event"] == kept


def test_nobody_forges_a_line(machine: Written) -> None:
    log.warning('x\n{"level": "critical", "event": "halted"}\r\n\u2028\x1b[2J')
    assert len(machine.getvalue().splitlines()) == 1
    assert len(machine.lines) == 1


def test_nobody_drives_the_terminal(terminal: Written) -> None:
    log.warning("x\n2026-01-01 critical forged\r\x1b[2J\x9b31m\u202etxt")
    (line,) = terminal.getvalue().split("\n")[:-1]
    assert re.match(r"20\d\d-\d\d-\d\dT[\d:.]+Z warning x\\n2026", line)
    assert line.isprintable()
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        log.exception("failed")
    assert "\x1b" not in terminal.getvalue()
    assert "Traceback" in terminal.getvalue()


def test_text_has_the_ids_too(terminal: Written) -> None:
    token = HERE.set(Here("req_1", "exe_1", "mailbot"))
    log.error("no")
    HERE.reset(token)
    assert terminal.getvalue().endswith("error no execution=exe_1 request=req_1 agent=mailbot\n")


def test_a_hostile_text_costs_little(machine: Written) -> None:
    begun = time.process_time()
    for text in ("a" * 100_000, "a." * 50_000, "@" * 50_000, "jat_" * 25_000, "/approvals/" * 10_000):
        log.warning(text)
    assert time.process_time() - begun < 2


async def test_an_access_line_names_the_route_and_no_path() -> None:
    stream = Written()
    access = Access(stream, json=True)
    access.write("POST", "/approvals/{ticket}", 409, "superseded", 0.01234, Here("req_1", "exe_1", "mailbot"))
    access.write("GET", "/healthz", 200, "", 0.001, Here("req_2"))
    access.write("GET", "/readyz", 503, "", 0.001, Here("req_3"))
    assert stream.getvalue() == ""
    access.flush()
    first, second = stream.lines
    del first["time"]
    assert first == {
        "level": "info",
        "logger": "jit_auth.access",
        "event": "request",
        "method": "POST",
        "route": "/approvals/{ticket}",
        "status": 409,
        "ms": 12.3,
        "request": "req_1",
        "code": "superseded",
        "execution": "exe_1",
        "agent": "mailbot",
    }
    assert (second["route"], second["status"]) == ("/readyz", 503)


async def test_access_as_text_and_a_stream_that_is_gone() -> None:
    stream = Written()
    access = Access(stream, json=False)
    access.write("POST", "/execute", 200, "", 0.0031, Here("req_1", "exe_1"))
    access.flush()
    assert stream.getvalue().endswith("Z info POST /execute 200 3.1 ms exe_1\n")
    stream.close()
    access.write("POST", "/execute", 200, "", 0.0031, Here("req_1", "exe_1"))
    access.flush()

"""SIGHUP, as operators send it: the files anew, all or nothing, the process the same."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

from tests.acceptance import files
from tests.acceptance.kit import Service, until

CLOSED = files.POLICIES + '\n[[rule]]\nid = "closed"\nmatch = ["echo.say"]\neffect = "deny"\n'
FAULTY = files.POLICIES + '\n[[rule]]\nid = "closed"\nmatch = ["echo.say"]\nwhen = "params.txet"\neffect = "deny"\n'


def test_kill_hup_takes_good_files_and_leaves_faulty_ones(own: Callable[..., Service], person: str) -> None:
    service = own().start()
    assert service.pid is not None

    def say() -> int:
        return service.agent.execute("echo.say", person, params={"text": "x"}).status

    def hang_up(policies: str, times: int = 1) -> None:
        service.write("policies.toml", policies)
        assert service.pid is not None
        for _ in range(times):
            os.kill(service.pid, signal.SIGHUP)

    assert say() == 200
    hang_up(FAULTY)
    until(lambda: service.anyone.get("/readyz").body == b"reload_failed")
    assert service.anyone.get("/readyz").status == 200
    assert say() == 200, "what was in force stays in force"
    place = f"policies.toml:{FAULTY[: FAULTY.index('params.txet')].count(chr(10)) + 1}"
    assert place in service.stderr
    checked = service.command("check")
    assert checked.returncode == 1
    assert place in checked.stdout

    hang_up(CLOSED)
    until(lambda: say() == 403)
    assert service.anyone.get("/readyz").body == b"ok"
    hang_up(files.POLICIES, times=3)
    until(lambda: say() == 200)
    exported = service.command("audit", "export").stdout.splitlines()
    did = [fact["do"] for row in exported for fact in json.loads(row)["what"]]
    assert did.count("config.reload_failed") == 1
    assert did.count("config.loaded") >= 3
    assert service.end() == 0

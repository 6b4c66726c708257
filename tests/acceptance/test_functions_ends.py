"""Functions of agents' own when processes die and files change: nothing is forgotten, nothing is run twice."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from tests.acceptance.kit import Answer, Service, until
from tests.acceptance.test_functions import ANA, changed, claim, claimed, complete, released

Own = Callable[..., Service]


def test_kill_9_between_claim_and_outcome(own: Own) -> None:
    ops = own(changed()).start()
    lost, kept, turn = released(ops), released(ops, "ops.restart_free"), released(ops, "ops.look")
    claimed(ops, lost)
    secret = claimed(ops, kept)
    ops.restart(signal.SIGKILL)
    until(lambda: ops.agent.get(f"/executions/{lost['id']}").json["status"] == "unknown", 20)
    assert ops.agent.get(f"/executions/{kept['id']}").json["status"] == "executing", "its ten minutes are not over"
    assert claim(ops.agent, kept).code == "already_claimed"
    done = complete(ops.agent, kept, secret, result="after the crash")
    assert (done.status, done.json["status"]) == (200, "succeeded")
    assert claim(ops.agent, turn).status == 200
    assert ops.command("audit", "verify").returncode == 0


def test_kill_9_while_many_claim(own: Own) -> None:
    ops = own(changed()).start()
    turns = [released(ops, "ops.restart_free", service=f"s{number}") for number in range(20)]
    answers: dict[str, list[Answer]] = {told["id"]: [] for told in turns}

    def take(index: int) -> None:
        for told in turns[index:] + turns[:index]:
            try:
                answers[told["id"]].append(claim(ops.agent, told))
            except OSError:
                return

    threads = [threading.Thread(target=take, args=(index,)) for index in range(0, 20, 5)]
    for thread in threads:
        thread.start()
    time.sleep(0.15)
    ops.end(signal.SIGKILL)
    for thread in threads:
        thread.join(20)
    ops.start()
    for told in turns:
        given = [answer for answer in answers[told["id"]] if answer.status == 200]
        again = claim(ops.agent, told)
        assert len(given) + (again.status == 200) <= 1, "one claim is given, ever"
        if given:
            assert again.code == "already_claimed"
            assert complete(ops.agent, told, given[0].json["claim"]).status == 200
    assert ops.command("audit", "verify").returncode == 0


def test_approved_send_within_bounds_the_turn(own: Own) -> None:
    ops = own(changed(approved_send_within="1s")).start()
    told, item = ops.paused(ops.agent.execute("ops.restart", params={"service": "web"}))
    assert ops.vote(ops.link(item["id"], ANA)).status == 200
    now = ops.agent.settled(told)
    assert now["status"] == "released"
    until(lambda: ops.agent.get(f"/executions/{told['id']}").json["status"] == "paused")
    (asked,) = ops.agent.get(f"/executions/{told['id']}").json["waiting_for"]
    assert asked["id"] != item["id"]
    assert ops.anyone.get(ops.link(item["id"], ANA)).status == 409
    assert claim(ops.agent, told).code == "not_released"


def test_commands_show_them(own: Own) -> None:
    ops = own(changed()).start()
    shown = ops.command("connectors", "show", "ops")
    assert shown.returncode == 0
    assert "run by the agent" in shown.stdout
    assert ops.command("connectors", "check", str(ops.folder / "connectors")).returncode == 0
    told = released(ops)
    claimed(ops, told)
    assert ops.command("policy", "explain", told["id"]).returncode == 0
    assert "ops.short" in ops.command("access", "agent", "mailbot").stdout
    assert ops.command("policy", "check", str(ops.folder / "policies.toml")).returncode == 0

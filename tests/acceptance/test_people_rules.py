"""Contract, sections 4 and 6: who may decide, how many, for how long, and with which changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.kit import World, until
from tests.acceptance.office import ANA, BO, CY, DEE, POLICIES, Office, office


def items(told: dict[str, Any]) -> list[tuple[list[str], int, list[str]]]:
    return sorted((item["from"], item["need"], item["approved_by"]) for item in told["waiting_for"])


def test_need_two(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.quorum", person, word)
    assert items(told) == [(["group:finance"], 2, [])]
    assert office.service.vote(office.service.link(approval, BO)).status == 200
    assert items(office.now(told)) == [(["group:finance"], 2, [BO])]
    second = office.service.vote(office.service.link(approval, BO))
    assert second.status == 409
    assert BO in second.body.decode()
    assert office.now(told)["status"] == "paused"
    assert office.service.vote(office.service.link(approval, CY)).status == 200
    assert office.service.agent.settled(told)["status"] == "succeeded"
    late = office.service.vote(office.service.link(approval, ANA))
    assert late.status == 409
    for who in (BO, CY):
        assert who in late.body.decode()


def test_one_denial_ends_it(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.quorum", person, word)
    office.service.vote(office.service.link(approval, BO))
    assert office.service.vote(office.service.link(approval, CY), "deny", feedback="No").status == 200
    done = office.service.agent.settled(told)
    assert (done["status"], done["error"]["code"], done["error"]["by"]) == ("denied", "approval_denied", CY)
    assert done["error"]["feedback"] == "No"


def test_several_groups_are_matched(office: Office, word: str, person: str) -> None:
    """Ana is in both and counts in one; whichever order they vote in."""
    told, approval = office.ask_both(person, word)
    assert {tuple(item["from"]) for item in told["waiting_for"]} == {("group:finance",), ("group:directors",)}
    assert {item["id"] for item in told["waiting_for"]} == {approval}, "one id for all"
    assert office.service.vote(office.service.link(approval, ANA)).status == 200
    assert office.now(told)["status"] == "paused"
    assert office.service.vote(office.service.link(approval, DEE)).status == 200
    assert office.service.agent.settled(told)["status"] == "succeeded"
    told, approval = office.ask_both(person, word + "b")
    office.service.vote(office.service.link(approval, ANA))
    office.service.vote(office.service.link(approval, BO))
    assert office.service.agent.settled(told)["status"] == "succeeded"
    assert len([line for line in office.service.lines if f"{approval} {ANA} " in line]) == 1, "one link per person"


def test_equal_from_merges_to_the_highest_need(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.merge", person, word)
    assert items(told) == [(["group:finance"], 2, [])]
    assert set(told["decision"]["rules"]) == {"merge-one", "merge-two"}
    assert not office.inbox(BO, word), "via is the intersection"
    left = json.loads(office.service.command("approvals", "show", approval, "--json").stdout)
    assert left["requirements"] == [{"from": ["group:finance"], "need": 2, "rules": ["merge-one", "merge-two"]}]
    assert told["waiting_for"][0]["expires_at"] < _later(told["created_at"], hours=2, seconds=5), "the shortest expires"


def _later(when: str, **by: int) -> str:
    from datetime import datetime, timedelta

    return (datetime.fromisoformat(when) + timedelta(**by)).isoformat().replace("+00:00", "Z")


def test_nobody_is_left(office: Office, word: str) -> None:
    """Bo asks; of finance only Ana and Cy are left, which is enough."""
    _, approval = office.ask("desk.quorum", BO, word)
    assert set(until(lambda: office.service.approvals(approval))) == {ANA, CY}
    answer = office.service.agent.execute("desk.own", "group:finance", params={"text": word})
    assert (answer.status, answer.code) == (400, "bad_user")


def test_too_few_people(world: World, tmp_path: Path, word: str) -> None:
    def change(files: dict[str, str]) -> None:
        files["config.toml"] = files["config.toml"].replace('groups = ["finance"]\n', "")
        files["policies.toml"] = POLICIES.replace(
            'from = ["group:dialled"], via = ["slack", "page"], for_max', 'from = ["group:dialled"], via = [], for_max'
        )

    with office(world, tmp_path / "few", change) as made:
        came = made.service.command("check")
        if came.returncode == 0:
            made.service.start()
            answer = made.service.agent.execute("desk.chat", "zoe@example.com", params={"text": word})
            assert (answer.status, answer.json["execution"]["error"]["code"]) == (403, "no_approver")
        else:
            assert "policies.toml:" in came.stdout + came.stderr
        made.service.write("policies.toml", POLICIES)
        made.service.start() if came.returncode else None
        answer = made.service.agent.execute("desk.quorum", BO, params={"text": word})
        assert answer.status == 403
        assert answer.json["execution"]["error"]["code"] == "no_approver"
        assert answer.json["execution"]["status"] == "denied"


def test_edited_parameters(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.edit", person, word, params={"memo": "old words"})
    link = office.service.link(approval, BO)
    assert office.service.vote(link, params={"text": "another"}).status in (400, 403, 409, 422)
    assert office.now(told)["waiting_for"][0]["id"] == approval
    answer = office.service.vote(link, params={"memo": "new words"})
    assert answer.status == 200
    now = office.now(told)
    assert (now["status"], now["params"]["memo"], now["edited_by"]) == ("paused", "new words", BO)
    (item,) = now["waiting_for"]
    assert item["id"] != approval, "a new round"
    assert item["approved_by"] == []
    assert now["digest"] != told["digest"]
    old = office.service.vote(office.service.link(approval, CY))
    assert (old.status, old.code) == (409, "superseded")
    assert BO not in until(lambda: office.service.approvals(item["id"]))
    page = office.service.anyone.get(office.service.link(item["id"], CY), Accept="text/html").body.decode()
    assert "old words" in page
    assert "new words" in page
    assert office.service.vote(office.service.link(item["id"], CY)).status == 200
    done = office.service.agent.settled(told)
    assert done["status"] == "succeeded"
    (sent,) = [seen for seen in office.world.upstream.of("/desk/edit") if word in seen.body.decode()]
    assert json.loads(sent.body)["memo"] == "new words"


def test_for_is_bound_and_bounded(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.chat", person, word)
    link = office.service.link(approval, ANA)
    wrongs: list[Any] = ["3h", "0s", "x", 5]
    for wrong in wrongs:
        assert office.service.vote(link, **{"for": wrong}).status in (400, 403, 409, 422), wrong
    assert office.now(told)["status"] == "paused"
    assert office.service.vote(link, **{"for": "1h"}).status == 200
    assert office.service.agent.settled(told)["status"] == "succeeded"
    assert office.service.agent.execute("desk.chat", person, params={"text": word}).json["status"] == "succeeded"
    assert office.service.agent.execute("desk.chat", "q@example.com", params={"text": word}).status == 202
    # None where the rule has none, and never at risk critical.
    for action, who in (("desk.edit", BO), ("desk.burn", ANA)):
        _, approval = office.ask(action, person, word)
        assert office.service.vote(office.service.link(approval, who), **{"for": "1h"}).status in (400, 403, 409, 422)


def test_labels(office: Office, word: str, person: str) -> None:
    done = office.service.agent.execute("desk.free", person, params={"text": word, "count": 5}).json
    assert (done["status"], done["labels"]) == ("succeeded", [])
    answer = office.service.agent.execute("desk.free", person, params={"text": word, "count": 500})
    assert answer.status == 403
    denied = answer.json["execution"]
    assert denied["labels"] == ["bulk"]
    assert denied["decision"]["rules"] == ["bulk-denied"]
    assert denied["decision"]["reasons"] == ["No bulk"]
    told, _ = office.ask("desk.quorum", person, word, params={"count": 101})
    assert told["labels"] == ["bulk"]
    big = office.service.agent.execute("desk.quorum", person, params={"text": word, "memo": "m" * 5000})
    assert big.json["labels"] == ["opaque"]


def test_who_decides_is_a_role_to_agents_that_do_not_see_people(office: Office, word: str, person: str) -> None:
    told, item = office.service.paused(office.service.other.execute("desk.quorum", person, params={"text": word}))
    office.service.vote(office.service.link(item["id"], BO))
    seen = office.service.other.get(f"/executions/{told['id']}")
    assert BO not in seen.body.decode()
    assert seen.json["waiting_for"][0]["approved_by"] == 1
    office.service.vote(office.service.link(item["id"], CY), "deny", feedback="No")
    done = office.service.other.settled(told)
    assert (done["error"]["by"], done["error"]["feedback"]) == ("approver", "No")
    assert CY not in json.dumps(done)


def test_who_is_named_by_the_rule_alone(office: Office, word: str) -> None:
    """`requester` is the user."""
    _, approval = office.ask("desk.own", "zoe@example.com", word)
    assert set(until(lambda: office.service.approvals(approval))) == {"zoe@example.com"}


@pytest.fixture(name="own")
def office_of_its_own(world: World, tmp_path: Path) -> Iterator[Office]:
    with office(world, tmp_path / "own") as made:
        yield made


def test_votes_are_recounted(own: Office, word: str, person: str) -> None:
    """Bo approves the first half and leaves finance: his vote is void, and it is asked again under a new id."""
    own.service.start()
    told, approval = own.ask("desk.quorum", person, word)
    assert own.service.vote(own.service.link(approval, BO)).status == 200
    own.service.end()
    link = own.service.link(approval, CY)
    own.service.write("policies.toml", POLICIES.replace('finance = ["bo@', 'finance = ["eve@'))
    own.service.start()
    old = own.service.vote(link)
    now = own.now(told)
    assert now["status"] == "paused"
    (item,) = now["waiting_for"]
    assert BO not in item["approved_by"]
    if item["id"] != approval:
        assert old.status in (409, 404)
        own.service.vote(own.service.link(item["id"], CY))
    assert own.now(told)["status"] == "paused"
    own.service.vote(own.service.link(own.now(told)["waiting_for"][0]["id"], ANA))
    assert own.service.agent.settled(told)["status"] == "succeeded"


def test_faults_of_a_policy(own: Office) -> None:
    for wrong, word in (
        ('from = ["group:nobody"]', "nobody"),
        ('from = ["group:finance"], need = 9', "need"),
        ('from = ["group:finance"], via = ["pager"]', "pager"),
        ('from = ["group:finance"], editable = ["nothing"]', "nothing"),
        ('from = ["group:finance"], expires = "0s"', "expires"),
        ('from = ["people"]', "people"),
    ):
        text = POLICIES.replace('from = ["group:finance"], need = 2, via = ["page"] }', wrong + " }")
        assert text != POLICIES
        own.service.write("policies.toml", text)
        came = own.service.command("check")
        assert came.returncode == 1, wrong
        said = came.stdout + came.stderr
        assert "policies.toml:" in said, said
        assert word in said, said
    own.service.write("policies.toml", POLICIES.replace("params.count > 100", "'x' in labels"))
    came = own.service.command("check")
    assert came.returncode == 1
    assert "labels" in came.stdout + came.stderr


def test_policy_test_knows_labels_and_groups(own: Office) -> None:
    own.service.write(
        "policies.toml",
        POLICIES
        + """
[[rule]]
id = "cfo"
match = ["desk.free"]
when = "'finance' in user.groups"
effect = "deny"

[[test]]
name = "bulk"
action = "desk.free"
set = { "params.text" = "x", "params.count" = 500 }
expect = { effect = "deny", rules = ["bulk-denied"], labels = ["bulk"] }

[[test]]
name = "two of finance"
action = "desk.quorum"
set = { "params.text" = "x" }
expect = { effect = "require_approval", rules = ["quorum"], need = { "group:finance" = 2 }, labels = [] }

[[test]]
name = "groups"
action = "desk.free"
set = { "params.text" = "x", "user.groups" = ["finance"] }
expect = { effect = "deny", rules = ["cfo"] }
""",
    )
    came = own.service.command("policy", "test", "--min-coverage", "0")
    assert came.returncode == 0, came.stdout + came.stderr
    text = (own.service.folder / "policies.toml").read_text()
    own.service.write("policies.toml", text.replace('"group:finance" = 2 }, l', '"group:finance" = 1 }, l'))
    came = own.service.command("policy", "test", "--min-coverage", "0")
    assert came.returncode == 1
    assert "two of finance" in came.stdout + came.stderr

"""Tasks of calls, metadata, and rules over what a task has touched: the whole service on both databases."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.connections.conftest import allow
from tests.integration.operators.conftest import ADMINS, TOKENS, command, facts
from tests.integration.operators.rotation import sql
from tests.integration.service.kit import AGENT, OTHER, Answer, Kit, kit

TASK = {"id": "refund-7", "title": "Refund of order 7"}
SEND = {"to": ["x@y.example"], "subject": "hi"}

POLICIES = """
format = 1

[[rule]]
id = "open"
match = ["mailhub.*"]
effect = "allow"

[[rule]]
id = "trifecta"
match = ["mailhub.send_message", "mailhub.send_again"]
when = "'external' in action.exposes && task.private && task.untrusted"
effect = "require_approval"
reason = "This task has read private data and text that others wrote"
approval = { from = ["user:ana@example.com"] }

[[rule]]
id = "few"
match = ["mailhub.note_again"]
when = "task.count >= 3"
effect = "deny"
"""


@pytest.fixture(params=["sqlite", "postgresql"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """Alice has connected her account for mailbot, on either database."""
    url = "sqlite:///jit-auth.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with kit(tmp_path, policies=POLICIES, config=ADMINS, storage=url) as found, found.running():
        await found.connected()
        found.mail.counts.clear()
        yield found


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Kit]:
    """The same, on SQLite alone."""
    async with kit(tmp_path, policies=POLICIES, config=ADMINS) as found, found.running():
        await found.connected()
        yield found


async def send(world: Kit, subject: str = "hi", **more: Any) -> Answer:
    return await world.execute("send_message", params=SEND | {"subject": subject}, **({"task": TASK} | more))


async def read(world: Kit, **more: Any) -> Answer:
    return await world.execute("list_messages", **({"task": TASK} | more))


def becomes(answer: Answer) -> tuple[str, list[str]]:
    document = answer.json.get("execution", answer.json)
    return document["status"], document["decision"]["rules"]


async def test_a_task_that_has_read_private_and_untrusted_things_asks_before_it_acts_outside(world: Kit) -> None:
    assert becomes(await send(world, "before")) == ("succeeded", ["open"])
    assert becomes(await read(world)) == ("succeeded", ["open"])
    asked = await send(world, "after")
    assert becomes(asked) == ("paused", ["trifecta"])
    assert asked.json["decision"]["reasons"] == ["This task has read private data and text that others wrote"]
    assert becomes(await send(world, "another task", task={"id": "refund-8"})) == ("succeeded", ["open"])
    assert becomes(await read(world)) == ("succeeded", ["open"]), "reading on is not asked"
    assert (await world.decide(await world.approval_link(asked.json["id"]))).status == 200
    assert (await world.ended(asked.json["id"]))["status"] == "succeeded"


async def test_a_call_that_names_no_task_is_asked_as_if_it_had_touched_all(one: Kit) -> None:
    left_out = await send(one, task=None)
    assert becomes(left_out) == ("paused", ["trifecta"])
    (fact,) = [fact for fact in await facts(one, "decision") if fact.get("errors")]
    (error,) = fact["errors"]
    assert error.endswith("the call names no task")
    assert becomes(await one.execute("note_again", params={"text": "x"})) == ("denied", ["few"])


async def test_what_an_agent_read_for_one_user_counts_when_it_acts_for_another(one: Kit) -> None:
    waits = await one.execute("note", params={"text": "x"}, user="bob@example.com")
    await one.connect(waits, user="bob")
    await one.ended(waits.json["id"])
    assert becomes(await read(one)) == ("succeeded", ["open"])
    assert becomes(await send(one, user="bob@example.com")) == ("paused", ["trifecta"])


async def test_a_read_that_waited_for_its_consent_has_touched_nothing_before(one: Kit) -> None:
    reading = await read(one, user="bob@example.com")
    assert reading.status == 202
    assert becomes(await send(one)) == ("succeeded", ["open"])
    await one.connect(reading, user="bob")
    assert (await one.ended(reading.json["id"]))["status"] == "succeeded"
    assert becomes(await send(one, "now")) == ("paused", ["trifecta"])


async def test_what_was_let_wait_is_decided_by_what_its_task_has_read_meanwhile(one: Kit) -> None:
    """A send that names a draft sends what the draft holds by then."""
    waiting = await send(one, user="bob@example.com")
    assert becomes(waiting) == ("paused", ["open"])
    assert becomes(await read(one)) == ("succeeded", ["open"])
    await one.connect(waiting, user="bob")
    now = await one.ended(waiting.json["id"])
    assert (now["status"], now["decision"]["rules"]) == ("paused", ["trifecta"])


async def test_of_twenty_at_once_three_get_through(world: Kit) -> None:
    calls = [world.execute("note_again", params={"text": str(turn)}, task=TASK) for turn in range(20)]
    others = [world.execute("note_again", params={"text": str(turn)}, task={"id": "other"}) for turn in range(2)]
    answers = await asyncio.gather(*calls, *others)
    assert Counter(becomes(answer)[0] for answer in answers[:20]) == {"succeeded": 3, "denied": 17}
    assert [becomes(answer)[0] for answer in answers[20:]] == ["succeeded"] * 2
    assert world.mail.counts["POST"] == 5


async def test_no_send_slips_by_a_read_that_came_before_it(world: Kit) -> None:
    """Reads and sends of one task at once: whatever was sent unasked has its intent on record before any read's."""
    calls = [(read if turn % 2 else send)(world, **({} if turn % 2 else {"subject": str(turn)})) for turn in range(20)]
    answers = await asyncio.gather(*calls)
    assert {becomes(answer)[0] for answer in answers[1::2]} == {"succeeded"}
    assert {becomes(answer)[0] for answer in answers[::2]} <= {"succeeded", "paused"}
    assert becomes(await send(world, "late")) == ("paused", ["trifecta"])
    assert world.service is not None
    rows = [row async for row in world.service.store.audit.rows()]
    sent = [(row.execution, row.at) for row in rows if any(fact["do"] == "send" for fact in row.what)]
    times = dict(sent)
    first = min(times[answer.json["id"]] for answer in answers[1::2])
    free = [answer.json["id"] for answer in answers[::2] if becomes(answer)[0] == "succeeded"]
    assert all(times[name] <= first + 1 for name in free), "no intent after the first read's commit"


async def test_task_and_metadata_are_told_again(one: Kit) -> None:
    data = {"thread": "t-1", "n": 1.5, "list": [None, True, {"a": "é"}]}
    for answer in (
        await one.execute("note", params={"text": "x"}, task=TASK, metadata=data),
        await send(one, task=TASK | {"title": None}, metadata=data, user="bob@example.com"),
        await one.execute("note_again", params={"text": "x"}, metadata=data),
    ):
        document = answer.json.get("execution", answer.json)
        again = (await one.call("GET", f"/executions/{document['id']}")).json
        assert document["metadata"] == again["metadata"] == data
        assert document["task"] == again["task"]
    plain = (await one.execute("note", params={"text": "y"})).json
    assert (plain["task"], plain["metadata"]) == (None, {})
    bare = (await one.execute("note", params={"text": "y"}, task={"id": "t"}, metadata={})).json
    assert (bare["task"], bare["metadata"]) == ({"id": "t", "title": None}, {})


async def test_a_list_of_one_task(one: Kit) -> None:
    mine = [(await one.execute("note", params={"text": str(turn)}, task=TASK)).json["id"] for turn in range(3)]
    await one.execute("note", params={"text": "x"}, task={"id": "other"})
    await one.execute("note", params={"text": "y"})
    page = (await one.call("GET", "/executions?task=refund-7&limit=2")).json
    rest = (await one.call("GET", f"/executions?task=refund-7&limit=2&cursor={page['next']}")).json
    assert [item["id"] for item in (*page["items"], *rest["items"])] == mine[::-1]
    assert (await one.call("GET", "/executions?task=nothing")).json["items"] == []
    for wrong in ("task=", "task=%00", "task=" + "x" * 129):
        answer = await one.call("GET", f"/executions?{wrong}")
        assert (answer.status, answer.json["code"]) == (400, "bad_query")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"task": "refund"}, "/task"),
        ({"task": []}, "/task"),
        ({"task": {}}, "/task/id"),
        ({"task": {"title": "T"}}, "/task/id"),
        ({"task": {"id": 7}}, "/task/id"),
        ({"task": {"id": ""}}, "/task/id"),
        ({"task": {"id": " x"}}, "/task/id"),
        ({"task": {"id": "x" * 129}}, "/task/id"),
        ({"task": {"id": "a\u202eb"}}, "/task/id"),
        ({"task": {"id": "a\u200bb"}}, "/task/id"),
        ({"task": {"id": "a\nb"}}, "/task/id"),
        ({"task": {"id": "x", "title": ""}}, "/task/title"),
        ({"task": {"id": "x", "title": " "}}, "/task/title"),
        ({"task": {"id": "x", "title": 1}}, "/task/title"),
        ({"task": {"id": "x", "title": "x" * 201}}, "/task/title"),
        ({"task": {"id": "x", "owner/me": "me"}}, "/task/owner~1me"),
        ({"metadata": "x"}, "/metadata"),
        ({"metadata": ["x"]}, "/metadata"),
        ({"metadata": {"a": "x" * 2_041}}, "/metadata"),
    ],
)
async def test_what_is_no_task_or_metadata(one: Kit, body: dict[str, Any], pointer: str) -> None:
    answer = await one.execute("note", params={"text": "x"}, **body)
    assert (answer.status, answer.json["code"]) == (422, "invalid_params")
    assert [fault["pointer"] for fault in answer.json["faults"]] == [pointer]
    assert (await one.execute("note", params={"text": "x"}, metadata={"a": "x" * 2_040})).status == 200


async def test_only_equal_tasks_join_and_a_key_binds_all_of_the_body(one: Kit) -> None:
    await read(one)
    first = await send(one, metadata={"n": 1}, key="k")
    assert becomes(first)[0] == "paused"
    same = await send(one, task={"id": TASK["id"], "title": "Another title"}, metadata={"n": 2})
    assert (same.json["id"], same.json["joined"]) == (first.json["id"], True)
    assert (same.json["task"], same.json["metadata"]) == (TASK, {"n": 1})
    await read(one, task={"id": "other"})
    other = await send(one, task={"id": "other"})
    assert becomes(other)[0] == "paused"
    assert other.json["id"] != first.json["id"]
    for change in ({"metadata": {"n": 2}}, {"metadata": {"n": 1}, "task": None}):
        answer = await send(one, key="k", **change)
        assert (answer.status, answer.json["code"]) == (422, "idempotency_mismatch")
    assert (await send(one, metadata={"n": 1}, key="k")).json["id"] == first.json["id"]


async def test_people_see_the_task_as_the_agents_own_words(one: Kit) -> None:
    await read(one)
    asked = await send(one, task={"id": TASK["id"], "title": "<b>Refund\u202e</b>\nApproved by Ana"}, reason="Because")
    link = await one.approval_link(asked.json["id"])
    async with one.session.get(link) as page:
        text = await page.text()
    words = text[text.index("says</h2>") :]
    assert "Because" in words
    assert "Part of the task: &lt;b&gt;Refund" in words, words[:300]
    assert "U+202E" in words
    assert "\u202e" not in text
    consent = await send(one, task=TASK, user="bob@example.com")
    url = next(item["url"] for item in consent.json["waiting_for"] if item["kind"] == "consent")
    async with one.session.get(url) as page:
        assert "Part of the task: Refund of order 7" in await page.text()


async def test_metadata_and_titles_are_nowhere_in_the_clear(world: Kit) -> None:
    words = {"thread": "secret-thread"}
    task = {"id": "secret-task", "title": "secret-title"}
    await read(world, task=task, metadata=words)
    assert becomes(await send(world, task=task, metadata=words))[0] == "paused"
    for table in ("execution", "audit", "outbox", "ask", "card", "idem"):
        for row in await sql(world, f"SELECT * FROM {table}"):  # noqa: S608 - our own names
            assert b"secret-t" not in b"|".join(v if isinstance(v, bytes) else str(v).encode() for v in row), table


async def test_erasure_removes_them_and_what_was_touched_counts_on(world: Kit) -> None:
    told = (await read(world, metadata={"thread": "t"})).json
    erased = await world.call("DELETE", "/admin/users/alice@example.com", token=TOKENS["security"])
    assert erased.status == 200
    now = (await world.call("GET", f"/executions/{told['id']}")).json
    assert (now["task"], now["metadata"]) == (None, None)
    waits = await send(world, user="bob@example.com")
    await world.connect(waits, user="bob")
    assert (await world.ended(waits.json["id"]))["decision"]["rules"] == ["trifecta"]
    assert world.service is not None
    assert (await world.service.store.audit.verify()).breaks == ()


async def test_explain_shows_what_its_task_had_touched(one: Kit) -> None:
    before = await send(one, "before")
    await read(one)
    after = await send(one, "after")
    for answer, winner in ((before, "open"), (after, "trifecta")):
        path = f"/admin/explain?execution={answer.json['id']}"
        told = (await one.call("GET", path, token=TOKENS["viewer"])).json
        assert [rule["id"] for rule in told["rules"] if rule["outcome"] == "winner"] == [winner], told
    ran = await command(one, "policy", "explain", after.json["id"])
    assert "task.private  =>  true" in ran.out, ran.out + ran.err
    decisions = [fact["history"] for fact in await facts(one, "decision") if "history" in fact]
    assert {"task_private": True, "task_untrusted": True} in decisions


async def test_an_action_tells_what_it_exposes(one: Kit) -> None:
    assert (await one.call("GET", "/actions/mailhub.list_messages")).json["exposes"] == ["private", "untrusted"]
    assert (await one.call("GET", "/actions/mailhub.note")).json["exposes"] == []
    ran = await command(one, "connectors", "show", "mailhub")
    assert "exposes private, untrusted" in ran.out
    ran = await command(one, "connectors", "show", "mailhub", "--json")
    assert {"private", "untrusted"} in [set(each["exposes"]) for each in json.loads(ran.out)["actions"]]


async def test_a_plain_call_is_not_counted_for(one: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no rule for the action reads a task, neither decision nor intent asks for one."""
    assert one.service is not None

    async def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing had to be counted")

    monkeypatch.setattr(one.service.store, "history", never)
    assert becomes(await read(one))[0] == "succeeded"
    assert becomes(await one.execute("note", params={"text": "x"}, task=TASK))[0] == "succeeded"


async def test_another_agents_task_of_the_same_name_is_another_task(one: Kit) -> None:
    """Otherwise one agent would poison another's tasks, or learn that there are any."""
    read_by_other = (await one.execute("list_messages", token=OTHER, task=TASK)).json
    await allow(read_by_other["waiting_for"][0]["url"])
    assert (await one.ended(read_by_other["id"], token=OTHER))["status"] == "succeeded"
    assert becomes(await send(one))[0] == "succeeded"
    for token, action in ((AGENT, "mailhub.send_message"), (OTHER, "mailhub.list_messages")):
        items = (await one.call("GET", f"/executions?task={TASK['id']}", token=token)).json["items"]
        assert [item["action"] for item in items] == [action]

"""Two things at once: votes, cancels, expiry, consents, keys (THREAT_MODEL 7, 17, 23)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from jit_auth.engine.memory import Memory
from jit_auth.model import Audit, Change, Unit
from tests.fakes.browser import Browser
from tests.integration.attacks.meddler import Meddler
from tests.integration.service.kit import OTHER, POLICIES, Answer, Kit

SEND = {"to": ["x@y.example"], "subject": "hi"}
MINUTE = 60_000
TWO = """
[[rule]]
id = "also"
match = ["mailhub.send_message"]
effect = "require_approval"
approval = { from = ["user:bo@example.com"] }
"""


async def asked(world: Kit) -> tuple[str, str]:
    answer = await world.execute("send_message", params=SEND)
    return answer.json["id"], await world.approval_link(answer.json["id"])


async def cancel(world: Kit, execution_id: str) -> Answer:
    return await world.call("POST", f"/executions/{execution_id}/cancel")


@pytest.mark.parametrize("turn", range(3))
async def test_vote_against_cancel_against_expiry(ready: Kit, turn: int) -> None:
    execution_id, link = await asked(ready)
    assert ready.service is not None
    works = [ready.decide(link), cancel(ready, execution_id), ready.decide(link, "deny"), ready.service.worker.turn()]
    works = works[turn:] + works[:turn]
    await asyncio.gather(*works)
    done = await ready.ended(execution_id)
    assert done["status"] in ("succeeded", "cancelled", "denied")
    assert ready.mail.counts["POST"] == (1 if done["status"] == "succeeded" else 0)


async def test_a_cancel_between_recount_and_intent_wins(ready: Kit, meddler: Meddler) -> None:
    execution_id, link = await asked(ready)
    cancelled: list[Answer] = []

    async def now() -> None:
        cancelled.append(await cancel(ready, execution_id))

    meddler.do("before", "send", now)
    assert (await ready.decide(link)).status == 200
    done = await ready.ended(execution_id)
    assert (done["status"], cancelled[0].status) == ("cancelled", 200)
    assert ready.mail.counts["POST"] == 0


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_a_decision_whose_time_runs_out_before_its_commit_is_none(
    ready: Kit, meddler: Meddler, decision: str
) -> None:
    """It was judged in time, and then waited for the database: lateness is judged again in its transaction."""
    execution_id, link = await asked(ready)

    async def later() -> None:
        ready.clock.offset += 61 * MINUTE

    meddler.do("before", "vote", later)
    late = await ready.decide(link, decision)
    assert (late.status, late.json["code"]) == (410, "expired")
    assert meddler.seen["vote"] == 1
    done = await ready.ended(execution_id)
    assert (done["status"], ready.mail.counts["POST"]) == ("expired", 0)


async def test_an_approval_that_runs_out_before_the_intent_commits_sends_nothing(ready: Kit, meddler: Meddler) -> None:
    execution_id, link = await asked(ready)

    async def later() -> None:
        ready.clock.offset += 61 * MINUTE

    meddler.do("before", "send", later)
    assert (await ready.decide(link)).status == 200
    ended = await ready.call("GET", f"/executions/{execution_id}?wait=2")
    assert ready.mail.counts["POST"] == 0
    assert ended.json["status"] == "paused", "asked again under a new id"


async def test_a_cancel_after_the_intent_is_told_so(ready: Kit, meddler: Meddler) -> None:
    execution_id, link = await asked(ready)
    cancelled: list[Answer] = []

    async def now() -> None:
        cancelled.append(await cancel(ready, execution_id))

    meddler.do("after", "send", now)
    await ready.decide(link)
    assert (await ready.ended(execution_id))["status"] == "succeeded"
    assert (cancelled[0].status, cancelled[0].json["code"]) == (409, "executing")
    assert ready.mail.counts["POST"] == 1


async def test_of_many_clicks_one_decides_and_the_others_are_told_who(ready: Kit) -> None:
    execution_id, link = await asked(ready)
    answers = await asyncio.gather(*(ready.decide(link, "approve" if n % 2 else "deny") for n in range(12)))
    first = [each for each in answers if each.status == 200]
    assert len(first) == 1
    assert {(each.status, each.json["code"]) for each in answers if each.status != 200} == {(409, "already_decided")}
    done = await ready.ended(execution_id)
    assert done["status"] == ("succeeded" if first[0].json["decision"] == "approve" else "denied")
    assert ready.mail.counts["POST"] == (done["status"] == "succeeded")


async def test_two_people_at_once_both_count_and_a_no_wins(resting: Kit) -> None:
    resting.policies = POLICIES + TWO
    resting.write()
    async with resting.running() as world:
        await world.connected()
        for second, end in (("approve", "succeeded"), ("deny", "denied")):
            world.mail.counts.clear()
            world.printed.clear()
            answer = await world.execute("send_message", params=SEND)
            ask = answer.json["waiting_for"][0]["id"]
            links: list[str] = []
            for _ in range(300):
                links = [line.split()[3] for line in world.printed if line.split()[1] == ask]
                if len(links) == 2:
                    break
                await asyncio.sleep(0.01)
            found = await asyncio.gather(world.decide(links[0]), world.decide(links[1], second))
            assert [each.status for each in found] in ([200, 200], [200, 409], [409, 200])
            done = await world.ended(answer.json["id"])
            assert done["status"] == end
            assert world.mail.counts["POST"] == (end == "succeeded")


async def test_a_key_races_with_itself_and_with_a_denial(ready: Kit) -> None:
    answers = await asyncio.gather(
        *(ready.execute("delete_message", params={"id": "1"}, key="k") for _ in range(8)),
        *(ready.execute("note", params={"text": "x"}, key="k") for _ in range(8)),
    )
    ids = {(each.json.get("execution") or each.json)["id"] for each in answers if each.status in (200, 202, 403)}
    assert len(ids) == 1
    assert {each.json["code"] for each in answers if each.status == 422} == {"idempotency_mismatch"}
    assert ready.mail.counts["POST"] <= 1


async def test_keys_are_nobody_elses(ready: Kit) -> None:
    mine = await ready.execute("list_messages", key="k")
    others = await ready.execute("list_messages", key="k", token=OTHER)
    bobs = await ready.execute("list_messages", key="k", user="bob@example.com")
    assert len({each.json["id"] for each in (mine, others, bobs)}) == 3
    assert (await ready.execute("list_messages", key="k", token=OTHER, user="bob@example.com")).status == 403


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    """Browsers that are closed at the end."""
    async with AsyncExitStack() as stack:
        yield stack


async def flow(opened: AsyncExitStack, url: str, user: str = "alice") -> tuple[Browser, str]:
    """A browser that has consented at the provider, stopped just before our callback, and its address."""
    browser = await opened.enter_async_context(Browser())
    await browser.get(url)
    await browser.submit()
    form = browser.page.form()
    assert browser._session is not None
    values = [(name, value) for name, value in form.fields if name != "username"] + [("username", user), ("allow", "1")]
    async with browser._session.post(form.action, data=values, allow_redirects=False) as reply:
        return browser, reply.headers["Location"]


async def test_one_callback_twice_at_once_spends_one_code(world: Kit, opened: AsyncExitStack) -> None:
    answer = await world.execute("list_messages")
    browser, callback = await flow(opened, answer.json["waiting_for"][0]["url"])
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies(callback).items())

    async def call() -> int:
        async with world.session.get(callback, headers={"Cookie": cookies}) as reply:
            await reply.text()
            return reply.status

    statuses = await asyncio.gather(*(call() for _ in range(6)))
    assert sorted(statuses) == [200, 409, 409, 409, 409, 409]
    assert world.provider.counts["authorization_code"] == 1
    assert (await world.ended(answer.json["id"]))["status"] == "succeeded"


async def test_twelve_consents_at_once_for_one_account(world: Kit, opened: AsyncExitStack) -> None:
    answers = [await world.execute("note", params={"text": str(n)}) for n in range(12)]
    flows = [await flow(opened, answer.json["waiting_for"][0]["url"]) for answer in answers]
    pages = await asyncio.gather(*(browser.get(callback) for browser, callback in flows))
    assert {page.status for page in pages} == {200}, [page.text[-300:] for page in pages if page.status != 200]
    for answer in answers:
        assert (await world.ended(answer.json["id"]))["status"] == "succeeded"
    assert world.mail.counts["POST"] == 12
    assert world.service is not None
    grants, consents = await world.service.store.grants("alice@example.com", "mailhub")
    assert (len(grants), len(consents)) == (1, 1)


async def test_two_accounts_at_once_for_one_call_use_one_of_them_once(world: Kit, opened: AsyncExitStack) -> None:
    answer = await world.execute("note", params={"text": "x"})
    url = answer.json["waiting_for"][0]["url"]
    flows = [await flow(opened, url, "alice"), await flow(opened, url, "bob")]
    pages = await asyncio.gather(*(browser.get(callback) for browser, callback in flows))
    assert {page.status for page in pages} == {200}
    done = await world.ended(answer.json["id"])
    assert done["status"] == "succeeded"
    assert world.mail.counts["POST"] == 1
    assert done["account"] == f"{world.mail.messages[0]['of']}@example.com"


@pytest.mark.parametrize("end", ["cancel", "expire", "refuse"])
async def test_a_consent_that_comes_after_the_end_revives_nothing(world: Kit, opened: AsyncExitStack, end: str) -> None:
    answer = await world.execute("note", params={"text": "x"}, expires_in=60)
    url = answer.json["waiting_for"][0]["url"]
    browser, callback = await flow(opened, url)
    if end == "cancel":
        assert (await cancel(world, answer.json["id"])).status == 200
    elif end == "expire":
        world.clock.offset += 2 * MINUTE
        assert world.service is not None
        await world.service.worker.turn()
    else:
        async with Browser() as other:
            await other.get(url)
            await other.submit("Do not")
    before = await world.ended(answer.json["id"])
    await browser.get(callback)
    after = await world.ended(answer.json["id"])
    assert after["status"] == before["status"] != "succeeded"
    assert world.mail.counts["POST"] == 0


async def test_an_approved_call_goes_to_the_account_that_was_shown(ready: Kit) -> None:
    """Between approval and send a second account appears, and the first is connected anew."""
    execution_id, link = await asked(ready)
    shown = (await ready.call("GET", f"/executions/{execution_id}")).json["account"]
    other = await ready.execute("list_messages", token=OTHER)
    async with Browser() as browser:
        await browser.get(other.json["waiting_for"][0]["url"])
        await browser.submit()
    await ready.ended(other.json["id"], token=OTHER)
    ready.mail.faults = ["403"]
    more = await ready.execute("note", params={"text": "x"})
    await ready.connect(more, user="bob")
    assert (await ready.call("GET", f"/executions/{more.json['id']}")).json["status"] == "paused"
    ready.mail.messages.clear()
    await ready.decide(link)
    # The 403 took the scope away: the same account is asked for it.
    for _ in range(200):
        paused = await ready.call("GET", f"/executions/{execution_id}")
        if [item["kind"] for item in paused.json["waiting_for"]] == ["consent"]:
            break
        await asyncio.sleep(0.01)
    assert paused.json["waiting_for"], paused.json
    await ready.connect(paused)
    done = await ready.ended(execution_id)
    assert (done["status"], done["account"]) == ("succeeded", shown)
    (message,) = [each for each in ready.mail.messages if each.get("subject") == "hi"]
    assert f"{message['of']}@example.com" == shown


async def test_many_wake_ups_of_one_call_send_once(ready: Kit) -> None:
    execution_id, link = await asked(ready)
    assert ready.service is not None
    dispatcher = ready.service.engine.dispatcher
    await asyncio.gather(
        ready.decide(link), *(dispatcher.advance(execution_id) for _ in range(10)),
        *(ready.service.worker.turn() for _ in range(3)),
    )  # fmt: skip
    await asyncio.gather(*(dispatcher.advance(execution_id, orphan=True) for _ in range(10)))
    assert (await ready.ended(execution_id))["status"] == "succeeded"
    assert ready.mail.counts["POST"] == 1


async def test_a_reading_that_a_change_overtook_is_not_remembered(ready: Kit) -> None:
    """Else the process would go on with a token, or an only account, that is none any more."""
    assert ready.service is not None
    store = ready.service.store
    memory = Memory(store)
    real, reached, gate = store.grants, asyncio.Event(), asyncio.Event()

    async def slow(user: str, provider: str) -> Any:
        found = await real(user, provider)
        reached.set()
        await gate.wait()
        return found

    store.grants = slow  # type: ignore[method-assign]  # a slow reading
    reading = asyncio.create_task(memory.holding("alice@example.com", "mailhub"))
    await reached.wait()
    memory.forget("alice@example.com", "mailhub")
    gate.set()
    await reading
    assert memory.belief.known == {}


async def test_a_refused_token_races_with_other_refreshes(ready: Kit) -> None:
    """Ten calls get a 401 for one token: one refresh, each is sent again once, none a third time."""
    ready.mail.faults = ["401"] * 10
    answers = await asyncio.gather(*(ready.execute("note", params={"text": str(n)}) for n in range(10)))
    assert {each.json["status"] for each in answers} <= {"succeeded", "failed"}
    assert ready.provider.counts["refresh_token"] >= 1
    assert all(family.live for family in ready.provider.families if family.access)
    assert ready.mail.counts["POST"] <= 20
    texts = [each.get("text") for each in ready.mail.messages]
    assert len([text for text in texts if text is not None and text != "x"]) == len(
        {text for text in texts if text is not None and text != "x"}
    )


@pytest.mark.parametrize("action", ["note", "note_again"])
async def test_an_outcome_is_put_down_where_the_intent_closed_a_question(world: Kit, action: str) -> None:
    """Two calls wait for one consent: the second's own question is closed by its intent, and its answer counts."""
    answers = [await world.execute(action, params={"text": str(n)}) for n in range(2)]
    await world.connect(answers[0])
    for answer in answers:
        done = await world.ended(answer.json["id"])
        assert (done["status"], done["result"]["status"]) == ("succeeded", 201)
    assert world.mail.counts["POST"] == 2


@pytest.mark.parametrize("action", ["note", "note_again"])
async def test_an_outcome_is_put_down_whatever_moved_the_row_meanwhile(
    ready: Kit, meddler: Meddler, action: str
) -> None:
    async def moved() -> None:
        (found,) = (await ready.call("GET", "/executions?status=executing")).json["items"]
        row = await meddler.store.execution(found["id"])
        assert row is not None
        fact = ({"do": "moved"},)
        await meddler.store.apply(Unit(None, (Change(row, {"updated": row.updated + 1}),), Audit(actor="x", what=fact)))

    meddler.do("before", "outcome", *[moved] * 8)
    answer = await ready.execute(action, params={"text": "y"})
    assert (answer.json["status"], answer.json["result"]["status"]) == ("succeeded", 201)
    assert ready.mail.counts["POST"] == 1

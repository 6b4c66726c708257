"""Consents and approvals as people meet them: partial and refused consent, accounts, votes, expiry, void approvals."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.browser import Browser
from tests.integration.service.kit import OTHER, POLICIES, Kit

SEND = {"to": ["x@y.example"], "subject": "hi", "body": "hello"}
MINUTE = 60_000


async def test_a_partial_consent_says_what_is_missing_and_stays_open(world: Kit) -> None:
    answer = await world.execute("note", params={"text": "x"})
    browser = await world.connect(answer, untick=["mail.send"])
    assert "Send e-mail as you" in browser.page.text
    still = (await world.call("GET", f"/executions/{answer.json['id']}")).json
    assert still["status"] == "paused"
    (item,) = still["waiting_for"]
    assert item["missing_scopes"] == ["mail.send"]
    assert item["url"] != answer.json["waiting_for"][0]["url"]
    async with Browser() as again:
        await again.get(answer.json["waiting_for"][0]["url"])
        assert again.page.status == 409
        await again.connect(item["url"])
    assert (await world.ended(answer.json["id"]))["status"] == "succeeded"


async def test_a_refused_consent_denies_the_call(world: Kit) -> None:
    answer = await world.execute("list_messages")
    await world.connect(answer, deny=True)
    done = await world.ended(answer.json["id"])
    assert (done["status"], done["error"]["code"]) == ("denied", "consent_refused")
    ours = await world.execute("list_messages")
    async with Browser() as browser:
        await browser.get(ours.json["waiting_for"][0]["url"])
        await browser.submit("Do not")
    done = await world.ended(ours.json["id"])
    assert (done["status"], done["error"]["code"]) == ("denied", "consent_refused")


async def test_another_account_is_a_second_account_and_then_one_must_be_named(world: Kit) -> None:
    await world.connected(user="alice")
    named = await world.execute("delete_message", params={"id": "1"}, account="nobody")
    assert (named.status, named.json["code"]) == (422, "unknown_account")
    (first,) = named.json["accounts"]
    # The agent of another call asks for more; the user connects another account at the provider.
    world.policies = POLICIES.replace('effect = "deny"', 'effect = "allow"')
    world.write()
    more = await world.execute("list_messages", token=OTHER)
    async with Browser() as browser:
        await browser.get(more.json["waiting_for"][0]["url"])
        await browser.submit()
    assert (await world.ended(more.json["id"], token=OTHER))["status"] == "succeeded"
    world.mail.faults = ["403"]
    answer = await world.execute("note", params={"text": "x"})
    assert answer.json["account"] == first
    await world.connect(answer, user="bob")
    still = (await world.call("GET", f"/executions/{answer.json['id']}")).json
    assert still["status"] == "paused", "the other account does not serve this call"
    several = await world.execute("note", params={"text": "y"})
    assert (several.status, several.json["code"]) == (422, "ambiguous_account")
    assert len(several.json["accounts"]) == 2
    other = next(name for name in several.json["accounts"] if name != first)
    sent = await world.execute("note", params={"text": "y"}, account=other)
    assert (sent.json["status"], sent.json["account"]) == ("succeeded", other)


async def test_calls_for_many_people_at_once_leave_each_with_its_own_token(both: Kit) -> None:
    """What is read, written and sent together (one batch, one connection kept open) mixes nobody's credentials."""
    people = [f"p{number}" for number in range(6)]
    for person in people:
        answer = await both.execute("note", user=f"{person}@example.com", params={"text": "x"})
        await both.connect(answer, user=person)
        assert (await both.ended(answer.json["id"]))["status"] == "succeeded"
    calls = [(person, f"{person}'s number {number}") for number in range(5) for person in people]
    both.mail.messages.clear()
    answers = await asyncio.gather(
        *(both.execute("note", user=f"{person}@example.com", params={"text": text}) for person, text in calls)
    )
    assert {answer.json["status"] for answer in answers} == {"succeeded"}
    owners = {message["text"]: message["of"] for message in both.mail.messages}
    assert len(owners) == len(calls)
    assert all(owners[text].partition("@")[0] == person for person, text in calls), owners


async def test_a_provider_that_repeats_no_refresh_token_at_a_second_consent_loses_nothing(world: Kit) -> None:
    """Google gives one at the first consent alone."""
    await world.connect(await world.execute("list_messages"))
    world.provider.odd.give_refresh_token = world.provider.odd.rotate = False
    more = await world.execute("note", params={"text": "x"})
    await world.connect(more)
    assert (await world.ended(more.json["id"]))["status"] == "succeeded"
    world.clock.offset += 3_600_001
    assert (await world.execute("list_messages")).json["status"] == "succeeded"
    assert world.provider.counts["refresh_token"] == 1
    assert world.provider.forms[-1]["refresh_token"] == world.provider.families[0].refresh


async def test_scopes_that_a_reply_leaves_out_or_adds_are_missed_where_an_action_needs_them(resting: Kit) -> None:
    """Microsoft echoes no offline_access, and lists what was granted before."""
    file = resting.folder / "connectors" / "mailhub" / "connector.toml"
    file.write_text(file.read_text().replace('hosts = ["127', 'base_scopes = ["offline_access"]\nhosts = ["127'))
    async with resting.running() as world:
        answer = await world.execute("list_messages")
        world.provider.odd.add_scopes = ("User.Read", "mail.send")
        browser = await world.connect(answer, untick=["offline_access"])
        assert any("offline_access" in address for address in browser.trail)
        assert (await world.ended(answer.json["id"]))["status"] == "succeeded"
        assert (await world.execute("list_messages")).json["status"] == "succeeded"
        # Granted is not consented: the agent asks for what it was not named with, and no trip is needed.
        (item,) = (await world.execute("note", params={"text": "x"})).json["waiting_for"]
        assert (item["missing_scopes"], item["new_agent"]) == ([], True)


async def test_an_approval_is_good_for_one_call(world: Kit) -> None:
    await world.connected()
    first = await world.execute("send_message", params=SEND)
    link = await world.approval_link(first.json["id"])
    await world.decide(link)
    assert (await world.ended(first.json["id"]))["status"] == "succeeded"
    sent = world.mail.counts["POST"]
    second = await world.execute("send_message", params=SEND)
    assert (second.status, second.json["digest"]) == (202, first.json["digest"])
    assert [item["kind"] for item in second.json["waiting_for"]] == ["approval"]
    assert (await world.decide(link)).json["code"] == "already_decided"
    assert world.mail.counts["POST"] == sent


async def test_consent_for_one_agent_releases_no_other_agents_call(world: Kit) -> None:
    parked = await world.execute("list_messages", token=OTHER)
    mine = await world.execute("list_messages")
    await world.connect(mine)
    assert (await world.ended(mine.json["id"]))["status"] == "succeeded"
    still = (await world.call("GET", f"/executions/{parked.json['id']}", token=OTHER)).json
    assert still["status"] == "paused"
    assert (await world.call("GET", f"/executions/{parked.json['id']}")).status == 404


async def test_the_callback_refuses_foreign_browsers_and_second_runs(world: Kit) -> None:
    answer = await world.execute("list_messages")
    async with Browser() as alice, Browser() as mallory:
        await alice.get(answer.json["waiting_for"][0]["url"])
        await alice.submit()
        await alice.consent()
        callback = next(url for url in alice.trail if "/oauth/callback/" in url)
        refused = await mallory.get(callback)
        assert refused.status >= 400
        second = await alice.get(callback)
        assert second.status == 409 or "already" in second.text.lower() or "before" in second.text.lower()
    assert world.provider.counts["authorization_code"] == 1


async def test_silence_expires_and_says_so(world: Kit) -> None:
    await world.connected()
    answer = await world.execute("send_message", params=SEND)
    link = await world.approval_link(answer.json["id"])
    world.clock.offset += 61 * MINUTE
    assert world.service is not None
    world.service.worker.wake()
    done = await world.ended(answer.json["id"])
    assert (done["status"], done["error"]["code"]) == ("expired", "expired")
    late = await world.decide(link)
    assert (late.status, late.json["code"]) == (410, "expired")


async def test_cancel(world: Kit) -> None:
    await world.connected()
    answer = await world.execute("send_message", params=SEND)
    link = await world.approval_link(answer.json["id"])
    path = f"/executions/{answer.json['id']}/cancel"
    assert (await world.call("POST", path, token=OTHER)).status == 404
    assert (await world.call("POST", path)).json["status"] == "cancelled"
    assert (await world.call("POST", path)).status == 200
    late = await world.decide(link)
    assert (late.status, late.json["code"]) == (410, "cancelled")
    note = await world.execute("note", params={"text": "x"})
    finished = await world.call("POST", f"/executions/{note.json['id']}/cancel")
    assert (finished.status, finished.json["code"]) == (409, "already_finished")


async def test_nothing_an_agent_gets_can_decide(world: Kit) -> None:
    await world.connected()
    answer = await world.execute("send_message", params=SEND)
    assert "/approvals/" not in str(answer.json)
    (item,) = answer.json["waiting_for"]
    assert (await world.decide(f"{world.url}/approvals/{item['id']}")).status == 401
    link = await world.approval_link(answer.json["id"])
    async with world.session.get(link) as page:
        assert page.status == 200
        text = await page.text()
    assert "x@y.example" in text
    assert "hello" in text
    assert (await world.call("GET", f"/executions/{answer.json['id']}")).json["status"] == "paused"


async def test_an_approval_of_a_voter_who_is_no_longer_named_is_asked_again(resting: Kit) -> None:
    async with resting.running() as world:
        answer = await world.execute("send_message", params=SEND)
        old = await world.approval_link(answer.json["id"])
        assert (await world.decide(old)).status == 200
    resting.policies = POLICIES.replace("user:ana@example.com", "user:bo@example.com")
    resting.write()
    async with resting.running() as world:
        again = (await world.call("GET", f"/executions/{answer.json['id']}")).json
        (consent,) = again["waiting_for"]
        await world.connect(answer)
        again = (await world.call("GET", f"/executions/{answer.json['id']}?wait=1")).json
        assert [item["from"] for item in again["waiting_for"]] == [["user:bo@example.com"]], (consent, again)
        late = await world.decide(old)
        assert (late.status, late.json["code"]) == (409, "superseded")
        assert (await world.decide(await world.approval_link(answer.json["id"]))).status == 200
        assert (await world.ended(answer.json["id"]))["status"] == "succeeded"
        assert world.mail.counts["POST"] == 1


async def test_a_rule_that_changes_but_asks_for_the_same_voids_nothing(resting: Kit) -> None:
    async with resting.running() as world:
        answer = await world.execute("send_message", params=SEND)
        assert (await world.decide(await world.approval_link(answer.json["id"]))).status == 200
    resting.policies = POLICIES.replace("Mails leave the house", "Still").replace('id = "send"', 'id = "send2"')
    resting.write()
    async with resting.running() as world:
        await world.connect(answer)
        assert (await world.ended(answer.json["id"]))["status"] == "succeeded"


async def test_a_met_approval_that_ran_out_is_asked_again_when_all_else_is_met(world: Kit) -> None:
    answer = await world.execute("send_message", params=SEND, expires_in=86400)
    old = await world.approval_link(answer.json["id"])
    assert (await world.decide(old)).status == 200
    world.clock.offset += 61 * MINUTE
    gone = await world.decide(old)
    assert (gone.status, gone.json["code"]) == (410, "expired")
    await world.connect(answer)
    again = (await world.call("GET", f"/executions/{answer.json['id']}?wait=1")).json
    (item,) = again["waiting_for"]
    assert item["kind"] == "approval"
    late = await world.decide(old)
    assert (late.status, late.json["code"]) == (409, "superseded")
    assert (await world.decide(await world.approval_link(answer.json["id"]))).status == 200
    assert (await world.ended(answer.json["id"]))["status"] == "succeeded"


@pytest.mark.parametrize("forged", ["jat_" + "A" * 80, "jat_x", "apr_x", "%00", "jat_" + "é" * 60])
async def test_forged_links_are_nothing(world: Kit, forged: str) -> None:
    for path in (f"/approvals/{forged}", f"/connect/{forged}"):
        async with world.session.get(world.url + path) as reply:
            assert reply.status == 404

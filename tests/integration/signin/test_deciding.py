"""Decisions in the whole service: what a link may do, what takes a sign-in, what nobody is told (THREAT_MODEL 3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.browser import Browser, Page
from tests.integration.signin.service import ALICE, ANA, BO, EVE, POLICIES, Corp, corp, digest, form_token

NOWHERE = "apr_01kb00000000000000000000zz"


@pytest.fixture
async def ready(world: Corp) -> Corp:
    """Alice has connected her account, for reading and for sending."""
    await world.consented()
    await world.consented(action="note_again", text="x")
    world.mail.counts.clear()
    return world


@pytest.fixture
async def open_links(tmp_path: Path) -> AsyncIterator[Corp]:
    """The same with verify = "none"."""
    async with corp(tmp_path, users='[users]\nverify = "none"\n') as found, found.running():
        await found.consented()
        await found.consented(action="note_again", text="x")
        yield found


async def test_a_person_signs_in_and_decides_what_waits_for_them(ready: Corp) -> None:
    asked = await ready.asked()
    async with Browser() as ana:
        page = await ready.sign_in(ana, to=f"/approvals/{asked.ask}")
        assert (page.status, page.url) == (200, f"{ready.url}/approvals/{asked.ask}")
        assert "the-sensitive-body" in page.text
        assert "You are signed in as" in page.text
        assert ANA in page.text
        done = await ana.submit("Approve")
        assert done.status == 200
        assert done.url == f"{ready.url}/approvals/{asked.ask}"
    assert (await ready.ended(asked.execution))["status"] == "succeeded"
    assert await ready.votes(asked.execution) == [(ANA, "approve", "oidc")]
    assert ready.mail.counts["POST"] == 1
    (vote,) = [fact for fact in await ready.facts("vote") if fact["ask"] == asked.ask]
    assert vote["how"] == "oidc"


async def test_it_is_two_clicks_from_the_address_after_the_first_sign_in(ready: Corp) -> None:
    asked = await ready.asked()
    async with Browser() as ana:
        await ready.sign_in(ana)
        ana.trail.clear()
        await ana.get(f"{ready.url}/approvals/{asked.ask}")
        await ana.submit("Deny")
        assert len(ana.trail) == 2
    assert await ready.votes(asked.execution) == [(ANA, "deny", "oidc")]


@pytest.mark.parametrize("exists", [True, False])
async def test_without_a_sign_in_every_id_leads_to_the_sign_in(ready: Corp, exists: bool) -> None:
    ask = (await ready.asked()).ask if exists else NOWHERE
    async with ready.session.get(f"{ready.url}/approvals/{ask}", allow_redirects=False) as reply:
        assert (reply.status, reply.headers["Location"]) == (303, f"/signin?to=/approvals/{ask}")
        assert await reply.text() == ""
    json = {"Accept": "application/json"}
    async with ready.session.get(f"{ready.url}/approvals/{ask}", headers=json, allow_redirects=False) as reply:
        told = await reply.json(content_type=None)
        assert (reply.status, told["code"]) == (401, "unauthenticated")
        assert "mailhub" not in str(told)


async def test_the_list_of_all_that_waits_is_for_who_is_signed_in(ready: Corp) -> None:
    async with ready.session.get(f"{ready.url}/approvals", allow_redirects=False) as reply:
        assert (reply.status, reply.headers["Location"]) == (303, "/signin?to=/me")


async def test_a_strangers_answer_is_the_same_whether_it_exists_or_not(ready: Corp) -> None:
    asked = await ready.asked()
    async with Browser() as eve:
        await ready.sign_in(eve, EVE)
        theirs = await eve.get(f"{ready.url}/approvals/{asked.ask}")
        never = await eve.get(f"{ready.url}/approvals/{NOWHERE}")
        odd = await eve.get(f"{ready.url}/approvals/unk_01kb00000000000000000000zz")
    assert theirs.status == never.status == odd.status == 404
    assert theirs.html.replace(asked.ask, NOWHERE) == never.html == odd.html
    assert asked.ask not in theirs.html
    assert f"There is nothing here for {EVE}" in " ".join(theirs.text.split())
    assert "ask an operator to list" in " ".join(theirs.text.split())
    same = {name for name in theirs.headers if name not in ("Date",)}
    assert {name: theirs.headers[name] for name in same} == {name: never.headers[name] for name in same}


@pytest.mark.parametrize("exists", [True, False])
async def test_a_strangers_post_is_answered_the_same_way(ready: Corp, exists: bool) -> None:
    asked = await ready.asked()
    own = await ready.asked("send_message", to=["e@example.com"], subject="s")
    async with Browser() as eve, Browser() as ana:
        await ready.sign_in(eve, EVE)
        page = await ready.sign_in(ana, to=f"/approvals/{own.ask}")
        # A form token of Eve's own session is what she lacks: no page of hers has a form. Ana's is another session's.
        told = await ready.post(
            f"{ready.url}/approvals/{asked.ask if exists else NOWHERE}",
            {"decision": "approve", "form_token": form_token(page)},
            browser=eve,
            Origin=ready.url,
        )
    assert (told.status, told.json["code"]) == (403, "bad_form_token")
    assert await ready.votes(asked.execution) == []


async def test_the_user_may_not_decide_though_she_is_signed_in(ready: Corp) -> None:
    """Alice is the requester: she is asked nothing, so that there is nothing here for her."""
    asked = await ready.asked()
    async with Browser() as alice:
        page = await ready.sign_in(alice, ALICE, to=f"/approvals/{asked.ask}")
        assert page.status == 404


async def test_a_second_vote_and_one_on_what_is_decided(ready: Corp) -> None:
    asked = await ready.asked()
    async with Browser() as ana, Browser() as bo:
        await ready.sign_in(ana, to=f"/approvals/{asked.ask}")
        page = await ready.sign_in(bo, BO, to=f"/approvals/{asked.ask}")
        late = form_token(page), digest(page)
        await ana.submit("Deny")
        told = await ready.post(
            f"{ready.url}/approvals/{asked.ask}",
            {"decision": "approve", "form_token": late[0], "digest": late[1]},
            browser=bo,
            Origin=ready.url,
        )
        assert (told.status, told.json["code"]) == (409, "already_decided")
        again = await bo.get(f"{ready.url}/approvals/{asked.ask}")
        assert again.status == 200
        assert "denied" in again.text
        assert all("decision" not in dict(form.fields) and not form.buttons for form in again.forms)


# A link alone


@pytest.mark.parametrize("action", ["send_message", "wipe"])
@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_a_link_alone_decides_nothing_that_is_risky(ready: Corp, action: str, decision: str) -> None:
    asked = await ready.asked(action)
    url = await ready.link(asked.ask)
    async with Browser() as ana:
        page = await ana.get(url)
        assert page.status == 200
        assert "Sign in to decide" in page.text
        assert ("Sign in and decide", f"{ready.url}/signin?to=/approvals/{asked.ask}") in page.links
        assert not any(text == "Approve" for form in page.forms for text, _, _ in form.buttons)
    told = await ready.decide(url, decision)
    assert (told.status, told.json["code"]) == (403, "sign_in_required")
    assert await ready.votes(asked.execution) == []
    assert await ready.status(asked.execution) == "paused"
    assert ready.mail.counts == {}


async def test_a_link_alone_decides_at_medium_risk(ready: Corp) -> None:
    asked = await ready.asked("note")
    url = await ready.link(asked.ask)
    async with Browser() as ana:
        await ana.get(url)
        await ana.submit("Approve")
        assert ana.page.status == 200
    assert (await ready.ended(asked.execution))["status"] == "succeeded"
    assert await ready.votes(asked.execution) == [(ANA, "approve", "link")]


async def test_with_the_sign_in_of_its_person_a_link_counts_as_one(ready: Corp) -> None:
    asked = await ready.asked()
    url = await ready.link(asked.ask)
    async with Browser() as ana:
        await ready.sign_in(ana)
        page = await ana.get(url)
        assert "You are signed in as" in page.text
        await ana.submit("Approve")
    assert (await ready.ended(asked.execution))["status"] == "succeeded"
    assert await ready.votes(asked.execution) == [(ANA, "approve", "oidc")]


async def test_a_sign_in_alone_approves_nothing_critical(ready: Corp) -> None:
    asked = await ready.asked("wipe")
    async with Browser() as ana:
        page = await ready.sign_in(ana, to=f"/approvals/{asked.ask}")
        assert page.status == 200
        assert not any(text == "Approve" for form in page.forms for text, _, _ in form.buttons)
        other = await ana.get(f"{ready.url}/approvals/{(await ready.asked()).ask}")
        body = {"decision": "approve", "form_token": form_token(other)}
        told = await ready.post(f"{ready.url}/approvals/{asked.ask}", body, browser=ana, Origin=ready.url)
        assert (told.status, told.json["code"]) == (403, "passkey_required")
        assert await ready.votes(asked.execution) == []
        body["decision"] = "deny"
        told = await ready.post(f"{ready.url}/approvals/{asked.ask}", body, browser=ana, Origin=ready.url)
        assert told.status == 200, told.json
    assert await ready.votes(asked.execution) == [(ANA, "deny", "oidc")]


@pytest.mark.parametrize("action", ["note", "send_message"])
async def test_somebody_elses_link_is_refused_to_who_is_signed_in(ready: Corp, action: str) -> None:
    asked = await ready.asked(action)
    url = await ready.link(asked.ask, BO)
    async with Browser() as ana:
        own = await ready.sign_in(ana, to=f"/approvals/{asked.ask}")
        page = await ana.get(url)
        assert page.status == 403
        assert "other_person" in page.text
        assert "the-sensitive-body" not in page.text
        body = {"decision": "approve", "form_token": form_token(own), "digest": digest(own)}
        told = await ready.post(url, body, browser=ana, Origin=ready.url)
        assert (told.status, told.json["code"]) == (403, "other_person")
    assert await ready.votes(asked.execution) == []


async def test_without_the_forms_token_a_sign_in_adds_nothing_to_a_link(ready: Corp) -> None:
    """Another site may make a browser post to a link; what the cookie says then counts for nothing."""
    asked = await ready.asked()
    url = await ready.link(asked.ask)
    async with Browser() as ana:
        await ready.sign_in(ana)
        told = await ready.post(url, {"decision": "approve"}, browser=ana, Origin=ready.url)
        assert (told.status, told.json["code"]) == (403, "sign_in_required")
    assert await ready.votes(asked.execution) == []


@pytest.mark.parametrize("action", ["note", "send_message", "wipe"])
async def test_under_verify_none_links_decide_at_every_risk(open_links: Corp, action: str) -> None:
    asked = await open_links.asked(action)
    told = await open_links.decide(await open_links.link(asked.ask))
    assert told.status == 200, told.json
    assert (await open_links.ended(asked.execution))["status"] == "succeeded"
    assert await open_links.votes(asked.execution) == [(ANA, "approve", "link")]


# The form that rests on a session (THREAT_MODEL 38)


Send = dict[str, str]
_BAD: dict[str, tuple[Send, str]] = {
    "no token": ({"token": ""}, "bad_form_token"),
    "a token that is none": ({"token": "x" * 64}, "bad_form_token"),
    "a token of letters beyond ASCII": ({"token": "\u00e9" * 64}, "bad_form_token"),
    "another session's token": ({"token": "other"}, "bad_form_token"),
    "no Origin": ({"Origin": ""}, "bad_form_token"),
    "a foreign Origin": ({"Origin": "https://evil.example"}, "foreign_origin"),
    "a null Origin": ({"Origin": "null"}, "foreign_origin"),
    "our host at another port": ({"Origin": "http://127.0.0.1:1"}, "foreign_origin"),
    "our Origin from another site": ({"Sec-Fetch-Site": "cross-site"}, "foreign_origin"),
    "our Origin from a sister site": ({"Sec-Fetch-Site": "same-site"}, "foreign_origin"),
    "no cookie": ({"cookie": ""}, "bad_form_token"),
}


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "form"])
@pytest.mark.parametrize("case", _BAD)
async def test_a_post_that_is_not_of_this_sessions_page_decides_nothing(ready: Corp, case: str, as_json: bool) -> None:
    changes, code = _BAD[case]
    asked = await ready.asked()
    url = f"{ready.url}/approvals/{asked.ask}"
    async with Browser() as ana, Browser() as twin:
        page = await ready.sign_in(ana, to=f"/approvals/{asked.ask}")
        other = await ready.sign_in(twin, to=f"/approvals/{asked.ask}")
        told, headers = posted(page, changes, form_token(other), ready.url)
        body: Any = told if as_json else list(told.items())
        answer = await ready.post(url, body, browser=None if changes.get("cookie") == "" else ana, **headers)
        assert (answer.status, answer.json["code"]) == (403, code)
        assert await ready.votes(asked.execution) == []
        told, headers = posted(page, {}, "", ready.url)
        answer = await ready.post(url, told if as_json else list(told.items()), browser=ana, **headers)
        assert answer.status == 200, answer.json
    assert await ready.votes(asked.execution) == [(ANA, "approve", "oidc")]


def posted(page: Page, changes: Send, other: str, own: str) -> tuple[dict[str, str], dict[str, str]]:
    """Body and headers of an approval, as the page would send it but for the changes."""
    token = changes.get("token", form_token(page))
    body = {"decision": "approve", "digest": digest(page), "form_token": other if token == "other" else token}
    headers = {"Origin": own} | {name: text for name, text in changes.items() if name in ("Origin", "Sec-Fetch-Site")}
    return {k: v for k, v in body.items() if v}, {k.replace("-", "_"): v for k, v in headers.items() if v}


async def test_a_form_without_the_digest_it_showed_decides_nothing(ready: Corp) -> None:
    asked = await ready.asked()
    async with Browser() as ana:
        page = await ready.sign_in(ana, to=f"/approvals/{asked.ask}")
        for shown in ("", "sha256:" + "0" * 64):
            body = [("decision", "approve"), ("form_token", form_token(page))] + ([("digest", shown)] if shown else [])
            told = await ready.post(f"{ready.url}/approvals/{asked.ask}", body, browser=ana, Origin=ready.url)
            assert (told.status, told.json["code"]) == (409, "digest_mismatch")
    assert await ready.votes(asked.execution) == []


async def test_agents_routes_read_no_cookie_and_peoples_no_bearer(ready: Corp) -> None:
    asked = await ready.asked()
    async with Browser() as ana:
        await ready.sign_in(ana)
        told = await ready.post(f"{ready.url}/execute", {"action": "mailhub.note"}, browser=ana, Origin=ready.url)
        assert told.status == 401
    answer = await ready.call("POST", f"/approvals/{asked.ask}", {"decision": "approve"}, Accept="application/json")
    assert (answer.status, answer.json["code"]) == (403, "bad_form_token")


# Several together, and calls of unknown outcome


async def test_several_together_take_the_same_proof(ready: Corp) -> None:
    risky, plain = await ready.asked(), await ready.asked("note")
    url = await ready.link(risky.ask)
    async with Browser() as ana:
        page = await ana.get(f"{url}/all")
        assert "Sign in to decide" in page.text
        assert [name for form in page.forms for name, _ in form.boxes] == [plain.ask]
        assert page.text.count("it takes a sign-in") == 1
        assert "There is more to read than a list can show" not in page.text
    batch = {"decisions": [await item(ready, risky.ask), await item(ready, plain.ask)]}
    told = await ready.post(f"{url}/all", batch)
    assert (told.status, told.json["code"]) == (409, "stale")
    assert [each["code"] for each in told.json["stale"]] == ["sign_in_required"]
    assert await ready.votes(risky.execution) == await ready.votes(plain.execution) == []
    async with Browser() as ana:
        await ready.sign_in(ana)
        page = await ana.get(f"{url}/all")
        assert sorted(name for form in page.forms for name, _ in form.boxes) == sorted((risky.ask, plain.ask))
        form = page.form("Approve")
        await ana.submit("Approve", tick=[value for _, value in form.boxes])
        assert ana.page.status == 200, ana.page.text
    assert await ready.votes(risky.execution) == [(ANA, "approve", "oidc")]
    assert await ready.votes(plain.execution) == [(ANA, "approve", "oidc")]


async def test_one_of_several_takes_the_same_proof(ready: Corp) -> None:
    asked = await ready.asked()
    url = await ready.link(asked.ask)
    told = await ready.post(f"{url}/all/{asked.ask}", await item(ready, asked.ask, alone=True))
    assert (told.status, told.json["code"]) == (409, "sign_in_required")
    assert await ready.votes(asked.execution) == []
    async with Browser() as ana:
        await ready.sign_in(ana)
        await ana.get(f"{url}/all/{asked.ask}")
        await ana.submit("Approve")
    assert await ready.votes(asked.execution) == [(ANA, "approve", "oidc")]


async def test_a_batch_does_not_tell_what_is_there_and_not_theirs(resting: Corp) -> None:
    """Who may decide something else tries ids: Bo is asked about notes alone."""
    rules = POLICIES.replace('"mailhub.note", ', "").replace(', "user:bo@example.com"', "")
    resting.policies = rules + NOTES
    resting.write()
    async with resting.running() as _:
        await resting.consented()
        await resting.consented(action="note_again", text="x")
        theirs, own = await resting.asked("wipe"), await resting.asked("note")
        url = await resting.link(own.ask, BO)
        told = []
        for ask in (theirs.ask, NOWHERE):
            body = {"decisions": [{"id": ask, "decision": "approve", "digest": "sha256:" + "0" * 64}]}
            answer = await resting.post(f"{url}/all", body)
            assert (answer.status, answer.json["code"]) == (409, "stale")
            told.append(str(answer.json).replace(ask, "ID"))
        assert told[0] == told[1]


NOTES = """
[[rule]]
id = "notes"
match = ["mailhub.note"]
effect = "require_approval"
approval = { from = ["user:bo@example.com"] }
"""


async def test_all_that_waits_for_somebody_else_is_refused(ready: Corp) -> None:
    asked = await ready.asked()
    url = await ready.link(asked.ask, BO)
    async with Browser() as ana:
        await ready.sign_in(ana)
        for path in (f"{url}/all", f"{url}/all/{asked.ask}"):
            page = await ana.get(path)
            assert page.status == 403
            assert "other_person" in page.text


async def item(world: Corp, ask: str, *, alone: bool = False) -> dict[str, str]:
    assert world.service is not None
    row = await world.service.store.ask(ask)
    assert row is not None
    return {"decision": "approve", "digest": row.digest or ""} | ({} if alone else {"id": ask})


async def lost(world: Corp) -> tuple[str, str]:
    """An execution of unknown outcome, and the question that Ana is asked about it."""
    asked = await world.asked()
    world.mail.faults = ["hang-up"]
    async with Browser() as ana:
        await world.sign_in(ana, to=f"/approvals/{asked.ask}")
        await ana.submit("Approve")
    assert (await world.ended(asked.execution))["status"] == "unknown"
    assert world.service is not None
    opened = await world.service.store.opened(asked.execution)
    assert opened is not None
    return asked.execution, next(ask.id for ask in opened.asks if ask.kind == "outcome")


async def test_what_became_of_a_call_is_said_after_a_sign_in(ready: Corp) -> None:
    execution, ask = await lost(ready)
    link = await ready.link(ask)
    async with Browser() as ana:
        page = await ana.get(link)
        assert page.status == 200
        assert "Sign in to decide" in page.text
        assert not page.forms
    told = await ready.post(link, {"outcome": "failed", "note": "I looked."})
    assert (told.status, told.json["code"]) == (403, "sign_in_required")
    assert await ready.status(execution) == "unknown"
    async with Browser() as ana:
        await ready.sign_in(ana, to=f"/approvals/{ask}")
        await ana.submit("It happened", {"note": "It is in the outbox."})
        assert ana.page.status == 200
    assert await ready.status(execution) == "succeeded"
    (fact,) = await ready.facts("resolve")
    assert fact["how"] == "oidc"


async def test_the_link_of_a_lost_call_counts_with_the_sign_in_of_its_person(ready: Corp) -> None:
    execution, ask = await lost(ready)
    async with Browser() as ana:
        await ready.sign_in(ana)
        await ana.get(await ready.link(ask))
        await ana.submit("It did not happen", {"note": "Nothing there."})
    assert await ready.status(execution) == "failed"


async def test_a_lost_call_of_others_is_nothing_to_a_stranger(ready: Corp) -> None:
    _, ask = await lost(ready)
    async with Browser() as eve, Browser() as nobody:
        page = await ready.sign_in(eve, EVE, to=f"/approvals/{ask}")
        assert page.status == 404
        assert EVE in page.text
        never = await eve.get(f"{ready.url}/approvals/{NOWHERE}")
        assert never.html == page.html
        await nobody.get(f"{ready.url}/signin?issuer=none")  # no session
    told = await ready.post(f"{ready.url}/approvals/{ask}", {"outcome": "failed", "note": "x"}, Origin=ready.url)
    assert (told.status, told.json["code"]) == (403, "bad_form_token")


# Consent links


async def test_a_consent_takes_the_sign_in_of_its_user(world: Corp) -> None:
    answer = await world.execute("list_messages")
    (consent,) = answer.json["waiting_for"]
    url = consent["url"]
    async with Browser() as agent:
        page = await agent.get(url)
        assert page.status == 200
        assert "First show that it is you" in page.text
        assert not page.forms
    for body in ({}, {"decision": "allow"}, {"decision": "refuse"}):
        told = await world.post(url, body)
        assert (told.status, told.json["code"]) == (403, "sign_in_required")
    assert await world.status(answer.json["id"]) == "paused"
    async with Browser() as eve:
        await world.sign_in(eve, EVE)
        page = await eve.get(url)
        assert (page.status, "other_person" in page.text) == (403, True)
    async with Browser() as alice:
        await alice.get(url)
        (go,) = [to for text, to in alice.page.links if text == "Sign in and go on"]
        world.issuer.claims = {"email": ALICE, "sub": "s-alice"}
        page = await alice.get(go)
        assert page.url == url
        await alice.submit()
        await alice.consent()
    assert (await world.ended(answer.json["id"]))["status"] == "succeeded"


async def test_a_consents_form_of_another_session_connects_nothing(world: Corp) -> None:
    answer = await world.execute("list_messages")
    (consent,) = answer.json["waiting_for"]
    async with Browser() as alice, Browser() as twin:
        await world.sign_in(alice, ALICE)
        await world.sign_in(twin, ALICE)
        page = await twin.get(consent["url"])
        for body in ({"form_token": form_token(page)}, {}):
            told = await world.post(consent["url"], body, browser=alice, Origin=world.url)
            assert (told.status, told.json["code"]) == (403, "sign_in_required")
    assert await world.status(answer.json["id"]) == "paused"

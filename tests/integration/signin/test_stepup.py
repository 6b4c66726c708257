"""Passkeys through the whole service: enrolled after a fresh sign-in, they alone decide what is critical, and the
record proves it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jit_auth.cli.receipts import unproven
from jit_auth.model import Vote
from tests.fakes.authenticator import Authenticator
from tests.fakes.browser import Browser, Page
from tests.integration.operators.rotation import sql
from tests.integration.signin.service import ANA, BO, EVE, Asked, Corp, corp, digest, form_token

DAY = 86_400_000
OPTIONS = re.compile(r'<script type="application/json" id="options">(.*?)</script>', re.DOTALL)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Corp]:
    async with corp(tmp_path) as made:
        made.public_url = f"http://localhost:{made.port}"  # browsers have no passkeys under an IP address
        made.write()
        path = tmp_path / "config.toml"
        path.write_text(path.read_text().replace("[server]\n", '[server]\nhosts = ["127.0.0.1"]\n', 1))
        async with made.running():
            await made.consented()
            await made.consented(action="note_again", text="x")
            yield made


def options(page: Page, name: str) -> dict[str, Any]:
    """What the page asks a passkey for."""
    found = OPTIONS.search(page.html)
    assert found is not None, page.text
    wanted: dict[str, Any] = json.loads(found[1])[name]
    return wanted


def device(world: Corp, number: int = 1) -> Authenticator:
    return Authenticator(world.at, credential_id=f"credential-{number}".encode())


async def enrol(world: Corp, browser: Browser, made: Authenticator, agreeing: Authenticator | None = None) -> Page:
    """Add a passkey on the person's page; an existing one agrees first, where there is one."""
    await browser.get(f"{world.at}/me/passkeys")
    page = await browser.submit("Add a passkey", {"name": "my phone"})
    if agreeing is not None:
        answer = json.dumps(agreeing.get(options(page, "step")))
        page = await browser.submit("Use my passkey", {"passkey": answer})
    return await browser.submit("Make the passkey", {"passkey": json.dumps(made.create(options(page, "step")))})


async def signed(world: Corp, browser: Browser, person: str = ANA, *, old: bool = True) -> Authenticator:
    """Somebody who is signed in and has a passkey (of yesterday, where `old`)."""
    await world.sign_in(browser, person, to="/me/passkeys")
    made = device(world, len(person))
    page = await enrol(world, browser, made)
    assert "my phone" in page.text
    if old:
        world.clock.offset += DAY + 1000
        await world.sign_in(browser, person, to="/me/passkeys")
    return made


async def confirming(world: Corp, browser: Browser, asked: Asked) -> Page:
    """The page that asks for the passkey, for an approval of this round."""
    page = await browser.get(f"{world.at}/approvals/{asked.ask}")
    assert "takes your passkey" in page.text
    return await browser.submit("Approve with a passkey")


async def test_what_is_critical_is_decided_with_a_passkey_and_the_record_proves_it(world: Corp) -> None:
    async with Browser() as browser:
        phone = await signed(world, browser)
        asked = await world.asked("wipe")
        page = await confirming(world, browser, asked)
        assert "script-src 'sha256-" in page.headers["Content-Security-Policy"]
        page = await browser.submit("Approve", {"passkey": json.dumps(phone.get(options(page, "confirm")))})
        assert "You approved this" in page.text
        await world.ended(asked.execution)
        assert await world.votes(asked.execution) == [(ANA, "approve", "passkey")]
        assert world.service is not None
        assert await unproven(world.service.store, world.at) == (1, [])
        assert await unproven(world.service.store, "https://elsewhere.example") == (
            1, [(asked.ask, "its signature is not one of this service's pages")],
        )  # fmt: skip


@pytest.mark.parametrize("how", ["session", "link", "slackless json"])
async def test_nothing_weaker_decides_what_is_critical(world: Corp, how: str) -> None:
    async with Browser() as browser:
        await signed(world, browser)
        asked = await world.asked("wipe")
        page = await browser.get(f"{world.at}/approvals/{asked.ask}")
        body: Any = [("decision", "approve"), ("digest", digest(page)), ("form_token", form_token(page))]
        url = f"{world.at}/approvals/{asked.ask}"
        if how == "link":
            url, body = await world.link(asked.ask), {"decision": "approve"}
        elif how == "slackless json":
            body = {"decision": "approve", "form_token": form_token(page)}
        answer = await world.post(url, body, browser=None if how == "link" else browser, Origin=world.at)
        assert (answer.status, answer.json["code"]) in ((403, "passkey_required"), (403, "sign_in_required"))
        assert await world.status(asked.execution) == "paused"


async def test_to_deny_takes_a_sign_in_and_no_passkey(world: Corp) -> None:
    async with Browser() as browser:
        await world.sign_in(browser)
        asked = await world.asked("wipe")
        await browser.get(f"{world.at}/approvals/{asked.ask}")
        page = await browser.submit("Deny")
        assert "You denied this" in page.text
        assert await world.status(asked.execution) == "denied"


async def test_a_young_passkey_does_not_count_yet(world: Corp) -> None:
    async with Browser() as browser:
        phone = await signed(world, browser, old=False)
        asked = await world.asked("wipe")
        page = await confirming(world, browser, asked)
        page = await browser.submit("Approve", {"passkey": json.dumps(phone.get(options(page, "confirm")))})
        assert "passkey_too_young" in page.text
        assert await world.status(asked.execution) == "paused"


async def test_without_a_passkey_the_page_says_how_to_get_one(world: Corp) -> None:
    async with Browser() as browser:
        await world.sign_in(browser)
        asked = await world.asked("wipe")
        await browser.get(f"{world.at}/approvals/{asked.ask}")
        page = await browser.submit("Approve with a passkey")
        assert (page.status, "no_passkey" in page.text) == (403, True)


async def test_an_answer_counts_once_and_for_its_own_round(world: Corp) -> None:
    async with Browser() as browser:
        phone = await signed(world, browser)
        first, second = await world.asked("wipe"), await world.asked("wipe", text="another")
        page = await confirming(world, browser, first)
        asked = options(page, "confirm")
        answer = json.dumps(phone.get(asked))
        form = page.form("Approve")
        named = dict(form.fields)["challenge"]
        page = await browser.get(f"{world.at}/approvals/{second.ask}")
        stolen: Any = [
            ("decision", "approve"), ("digest", digest(page)), ("form_token", form_token(page)),
            ("challenge", named), ("passkey", answer),
        ]  # fmt: skip
        refused = await world.post(f"{world.at}/approvals/{second.ask}", stolen, browser=browser, Origin=world.at)
        assert (refused.status, refused.json["code"]) == (403, "passkey_replayed")
        page = await browser.submit("Approve", {"passkey": answer}, form=form)
        assert "You approved this" in page.text
        again = await browser.submit("Approve", {"passkey": answer}, form=form)
        assert again.status in (403, 409)
        assert await world.status(second.execution) == "paused"


@pytest.mark.parametrize(
    "twist", ["counter", "other key", "no user verification", "other origin", "for another decision"]
)
async def test_a_false_answer_decides_nothing(world: Corp, twist: str) -> None:
    async with Browser() as browser:
        phone = await signed(world, browser)
        asked = await world.asked("wipe")
        page = await confirming(world, browser, asked)
        twists: dict[str, Any] = {
            "counter": {"counter": 0}, "other key": {"key": device(world).key}, "no user verification": {"flags": 1},
            "other origin": {"origin": "http://evil.example"}, "for another decision": {"challenge": "A" * 43},
        }[twist]  # fmt: skip
        answer = json.dumps(phone.get(options(page, "confirm"), **twists))
        page = await browser.submit("Approve", {"passkey": answer})
        assert page.status == 403
        assert await world.status(asked.execution) == "paused"


async def test_another_persons_passkey_and_challenge_are_nothing(world: Corp) -> None:
    async with Browser() as ana, Browser() as bo:
        phone = await signed(world, ana)
        await world.sign_in(bo, BO, to="/me/passkeys")
        await enrol(world, bo, device(world, 77))
        world.clock.offset += DAY + 1000
        await world.sign_in(bo, BO, to="/me/passkeys")
        await world.sign_in(ana, ANA, to="/me/passkeys")
        asked = await world.asked("wipe")
        page = await confirming(world, bo, asked)
        answer = json.dumps(phone.get(options(page, "confirm")))
        page = await bo.submit("Approve", {"passkey": answer})
        assert (page.status, "passkey_unknown" in page.text) == (403, True)
        theirs = await confirming(world, ana, asked)
        named = dict(theirs.form("Approve").fields)["challenge"]
        page = await confirming(world, bo, asked)
        mine = json.dumps(device(world, 77).get(options(page, "confirm")))
        page = await bo.submit("Approve", {"passkey": mine, "challenge": named})
        assert (page.status, "passkey_expired" in page.text) == (403, True)
        assert await world.status(asked.execution) == "paused"


async def test_a_first_passkey_takes_a_sign_in_of_just_now_and_a_further_one_an_existing_one(world: Corp) -> None:
    async with Browser() as browser:
        await world.sign_in(browser, ANA, to="/me/passkeys")
        world.clock.offset += 360_000
        page = await browser.get(f"{world.at}/me/passkeys")
        assert "Sign in once more" in page.text
        token = ("form_token", form_token(page)) if page.forms else ("form_token", "x")
        refused = await world.post(
            f"{world.at}/me/passkeys/add", [token, ("name", "x")], browser=browser, Origin=world.at
        )
        assert refused.status == 403
        await world.sign_in(browser, ANA, to="/me/passkeys")
        phone, tablet = device(world, 1), device(world, 2)
        await enrol(world, browser, phone)
        await browser.get(f"{world.at}/me/passkeys")
        page = await browser.submit("Add a passkey", {"name": "tablet"})
        wanted = options(page, "step")
        assert "rp" not in wanted
        page = await browser.submit("Use my passkey", {"passkey": json.dumps(tablet.get(wanted))})
        assert page.status == 403
        page = await enrol(world, browser, tablet, agreeing=phone)
        assert page.text.count("my phone") >= 2
        assert [fact["passkey"] for fact in await world.facts("passkey.enrolled")] != []


async def test_nobody_enrols_for_another_and_no_credential_twice(world: Corp) -> None:
    async with Browser() as ana, Browser() as eve:
        phone = await signed(world, ana, old=False)
        await world.sign_in(eve, EVE, to="/me/passkeys")
        page = await eve.get(f"{world.at}/me/passkeys")
        page = await eve.submit("Add a passkey", {"name": "mine"})
        page = await eve.submit("Make the passkey", {"passkey": json.dumps(phone.create(options(page, "step")))})
        assert (page.status, "passkey_replayed" in page.text) == (403, True)
        remove: Any = [("form_token", form_token(await eve.get(f"{world.at}/me/passkeys")))]
        page = await ana.get(f"{world.at}/me/passkeys")
        key = dict(page.form("Remove").fields)["passkey"]
        refused = await world.post(
            f"{world.at}/me/passkeys/remove", [*remove, ("passkey", key)], browser=eve, Origin=world.at
        )
        assert (refused.status, refused.json["code"]) == (403, "passkey_unknown")
        page = await ana.submit("Remove")
        assert "You have none yet" in page.text


async def test_a_vote_that_its_receipt_does_not_prove_is_found(world: Corp, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Browser() as browser:
        phone = await signed(world, browser)
        asked = await world.asked("wipe")
        page = await confirming(world, browser, asked)
        await browser.submit("Approve", {"passkey": json.dumps(phone.get(options(page, "confirm")))})
        await world.ended(asked.execution)
    assert world.service is not None
    store = world.service.store
    (vote,) = await store.own.signed_votes()
    receipt = vote.receipt or {}
    other = base64.urlsafe_b64encode(device(world, 9).cose()).decode().rstrip("=")
    another = "the passkey signed another decision than the vote"
    for changed, why in (
        ({"verdict": "deny"}, another),
        ({"digest": "sha256:" + "0" * 64}, another),
        ({"hold": 60_000}, another),
        ({"person": BO}, another),
        ({"receipt": {**receipt, "signature": receipt["signature"][::-1]}}, "its signature is not one of"),
        ({"receipt": {**receipt, "public_key": other}}, "its signature is not one of"),
        ({"receipt": {**receipt, "credential_id": "AAAA"}}, "its key is not the one that was enrolled"),
        ({"receipt": {**receipt, "statement": "{}"}}, "its receipt cannot be read"),
        ({"receipt": None}, "its receipt cannot be read"),
    ):
        forged = msgspec.structs.replace(vote, **changed)

        async def votes(forged: Vote = forged) -> tuple[Vote, ...]:
            return (forged,)

        monkeypatch.setattr(store.own, "signed_votes", votes)
        _, faults = await unproven(store, world.at)
        assert faults[0][1].startswith(why), (changed, faults)

    async def none() -> tuple[Vote, ...]:
        return ()

    monkeypatch.setattr(store.own, "signed_votes", none)
    assert (await unproven(store, world.at))[1] == [
        (asked.ask, "the record names a passkey, and the vote has no receipt")
    ]


async def test_receipts_prove_votes_after_the_record_was_cut(world: Corp, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Browser() as browser:
        phone = await signed(world, browser)
        asked = await world.asked("wipe")
        page = await confirming(world, browser, asked)
        await browser.submit("Approve", {"passkey": json.dumps(phone.get(options(page, "confirm")))})
        await world.ended(asked.execution)
    assert world.service is not None
    store = world.service.store
    world.clock.offset += 10 * DAY
    cut = store.now() - DAY
    assert (await store.shorten.now(cut, "operator", {})).rows > 5
    assert await world.facts("passkey.enrolled") == [], "the row that named the key is gone"
    assert (await store.audit.verify()).breaks == ()
    assert await unproven(store, world.at) == (1, []), "the passkey that is held speaks for it"
    (vote,) = await store.own.signed_votes()
    receipt = vote.receipt or {}

    async def claimed(forged: Vote) -> list[str]:
        """What is said of this vote in place of the one that was cast."""

        async def votes() -> tuple[Vote, ...]:
            return (forged,)

        with monkeypatch.context() as patch:
            patch.setattr(store.own, "signed_votes", votes)
            return [why for _, why in (await unproven(store, world.at))[1]]

    assert await claimed(msgspec.structs.replace(vote, verdict="deny")) != []
    forged = {**receipt, "signature": receipt["signature"][::-1]}
    assert await claimed(msgspec.structs.replace(vote, receipt=forged)) != []
    await sql(world, "DELETE FROM passkey")
    assert await unproven(store, world.at) == (1, []), "nobody can say any more; its rows are gone as well"
    later = msgspec.structs.replace(vote, at=cut + 1)
    assert await claimed(later) == ["its key is not the one that was enrolled"]


async def test_where_browsers_have_no_passkeys_the_page_says_so(tmp_path: Path) -> None:
    async with corp(tmp_path) as made, made.running(), Browser() as browser:
        page = await made.sign_in(browser, ANA, to="/me/passkeys")
        assert "no passkeys under this address" in page.text

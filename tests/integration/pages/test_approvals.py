"""The approval page: shows everything, decides nothing by itself, takes one vote."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from jit_auth.errors import Conflict, StorageError
from jit_auth.model import Request, Want
from tests.integration.pages.conftest import Site, words
from tests.integration.pages.standin import APPROVAL_TICKET, BODY, DIGEST, STRANGE_TICKET, gone

OPEN, CLOSE = "\u27e8", "\u27e9"


async def test_the_page_shows_all_that_will_be_sent(site: Site) -> None:
    answer = await site.get(site.approval)
    assert answer.status == 200
    text = words(answer.text)
    for said in (
        "Environment dev",
        "High risk",
        "It cannot be taken back from here",
        "Send to x@y.example and bo@example.com: Quarterly numbers",
        "POST",
        "api.mailhub.example",
        "alice@mailhub.example (id u-17)",
        "Dear both, the numbers are attached. Alice",
        "44 characters",
        "alice@example.com (verified)",
        "Mail that leaves the house needs a second look.",
        "1 approval of ana@example.com",
        "Nobody yet",
        "25 Nov 2025, 11:00:00 UTC",
        "that does not count as a denial",
        "POST https://api.mailhub.example/v1/messages Content-Type: application/json",
        "authorization: [the credential is added here]",
        f"Body: {len(BODY)} bytes",
        DIGEST,
    ):
        assert said in text, said
    assert BODY.decode() in text
    # Method, host and account come before the parameters, the agent's own words after every fact.
    order = ["Where it goes", "What will be sent", "Who asks", "byte for byte", "mailbot says", "Your decision"]
    assert sorted(order, key=text.index) == order


async def test_looking_decides_nothing_however_often(site: Site) -> None:
    for method in ("GET", "HEAD", "GET", "GET"):
        answer = await site.ask(method, site.approval)
        assert answer.status == 200
    assert site.doors.votes == ()
    assert site.doors.round.state == "open"


async def test_a_prefetch_and_a_robot_see_the_page_and_nothing_happens(site: Site) -> None:
    answer = await site.get(site.approval, **{"Sec-Purpose": "prefetch;prerender", "User-Agent": "Scanner"})
    assert answer.status == 200
    assert site.doors.votes == ()


@pytest.mark.parametrize(
    ("decision", "state", "says"), [("approve", "met", "You approved"), ("deny", "denied", "You denied")]
)
async def test_a_form_votes_once(site: Site, decision: str, state: str, says: str) -> None:
    answer = await site.vote(decision, feedback=" Fine.\r\nBut hurry. ")
    assert answer.status == 200
    assert says in words(answer.text)
    assert site.doors.round.state == state
    (vote,) = site.doors.votes
    assert (vote.verdict, vote.feedback, vote.how) == (decision, "Fine.\nBut hurry.", "link")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", vote.seen)
    second = await site.vote("approve")
    assert second.status == 409
    assert "ana@example.com" in words(second.text)
    assert "2025-11-25T10:00:00.000Z" in second.text
    assert len(site.doors.votes) == 1


async def test_json_may_rely_on_the_ticket_alone(site: Site) -> None:
    answer = await site.json(site.approval, {"decision": "approve"})
    assert (answer.status, answer.json["status"], answer.json["decision"]) == (200, "executing", "approve")
    second = await site.json(site.approval, {"decision": "deny", "feedback": "no"})
    assert second.status == 409
    assert second.headers["Content-Type"].startswith("application/problem+json")
    assert second.json["code"] == "already_decided"
    assert second.json["decided"] == [
        {"by": "ana@example.com", "decision": "approve", "at": "2025-11-25T10:00:00.000Z"}
    ]


async def test_a_wrong_or_missing_digest_decides_nothing(site: Site) -> None:
    for answer in (
        await site.form(site.approval, {"decision": "approve"}),
        await site.form(site.approval, {"decision": "approve", "digest": ""}),
        await site.vote("approve", digest="sha256:" + "00" * 32),
        await site.json(site.approval, {"decision": "approve", "digest": "sha256:" + "00" * 32}),
    ):
        assert answer.status == 409
        assert "digest_mismatch" in answer.text
    assert site.doors.votes == ()


async def test_the_form_carries_the_digest_that_it_showed(site: Site) -> None:
    answer = await site.get(site.approval)
    assert f'<input type="hidden" name="digest" value="{DIGEST}">' in answer.text
    assert re.search(r'<button[^>]* name="decision" value="approve">Approve</button>', answer.text)
    assert re.search(r'<button[^>]* name="decision" value="deny">Deny</button>', answer.text)
    assert answer.text.index("<form") > answer.text.index("byte for byte")


async def test_what_was_seen_is_the_same_for_a_form_and_json_and_changes_with_the_facts(site: Site) -> None:
    await site.vote("approve")
    site.doors.round = replace(site.doors.round, state="open")
    await site.json(site.approval, {"decision": "approve"})
    site.doors.round = replace(site.doors.round, state="open")
    site.doors.execution = replace(site.doors.execution, reason="Another reason.")
    await site.json(site.approval, {"decision": "approve"})
    first, second, third = site.doors.seen
    assert first == second != third


@pytest.mark.parametrize("body", [{"fro": "1h"}, {"param": {"to": []}}, {"decison": "approve"}, {"FOR": 1}])
async def test_unknown_members_are_refused_by_name(site: Site, body: dict[str, object]) -> None:
    answer = await site.json(site.approval, {"decision": "approve"} | body)
    assert (answer.status, answer.json["code"]) == (400, "unknown_field")
    assert next(iter(body)) in answer.json["detail"]
    assert answer.json["hint"]
    form = await site.vote("approve", fro="1h")
    assert form.status == 400
    assert site.doors.votes == ()


async def test_the_nearest_name_is_in_the_hint(site: Site) -> None:
    answer = await site.json(site.approval, {"decison": "approve"})
    assert "`decision`" in answer.json["hint"]


@pytest.mark.parametrize("decision", ["", "Approve", "yes", None, 1, ["approve"], {"approve": 1}])
async def test_a_decision_is_one_of_two_words(site: Site, decision: object) -> None:
    answer = await site.json(site.approval, {"decision": decision})
    assert answer.status == 400
    assert (await site.json(site.approval, {})).status == 400
    assert site.doors.votes == ()


async def test_feedback_has_a_limit(site: Site) -> None:
    assert (await site.json(site.approval, {"decision": "deny", "feedback": "x" * 2001})).status == 422
    assert (await site.json(site.approval, {"decision": "deny", "feedback": 7})).status == 422
    assert (await site.json(site.approval, {"decision": "deny", "digest": 7})).status == 400
    assert (await site.json(site.approval, {"decision": "deny", "feedback": "x" * 300_000})).status == 413
    assert site.doors.votes == ()


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "text/plain"}, b'{"decision":"approve"}', 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x--", 400),
        ({}, b'{"decision":"approve"}', 400),
        ({"Content-Type": "application/json"}, b'{"decision":"approve","decision":"deny"}', 400),
        ({"Content-Type": "application/json"}, b'["approve"]', 400),
        ({"Content-Type": "application/json"}, b'{"decision":"approve"', 400),
        ({"Content-Type": "application/json"}, b'{"decision":"approve","feedback":"\\u0000"}', 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"decision=approve&decision=deny", 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"decision=approve&digest=%ff", 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"decision=deny&feedback=%00", 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"decision", 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "decision=\u00e9".encode(), 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"a=1&" * 600, 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"", 400),
    ],
)
async def test_a_body_that_can_be_read_in_two_ways_is_refused(
    site: Site, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = await site.ask("POST", site.approval, data=body, headers=headers)
    assert answer.status == status
    assert site.doors.votes == ()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://localhost:1"},
        {"Origin": "file://"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Referer": "https://evil.example/page"},
    ],
)
async def test_a_post_from_another_site_is_refused(site: Site, headers: dict[str, str]) -> None:
    form = await site.form(site.approval, {"decision": "approve", "digest": DIGEST}, **headers)
    assert form.status == 403
    assert "foreign_origin" in form.text
    answer = await site.ask("POST", site.approval, json={"decision": "approve"}, headers=headers)
    assert (answer.status, answer.json["code"]) == (403, "foreign_origin")
    assert (await site.form(site.consent, {}, **headers)).status == 403
    assert (site.doors.votes, site.doors.began) == ((), 0)


async def test_our_origin_with_a_foreign_fetch_site_is_refused_too(site: Site) -> None:
    headers = {"Origin": site.origin, "Sec-Fetch-Site": "cross-site"}
    assert (await site.form(site.approval, {"decision": "approve", "digest": DIGEST}, **headers)).status == 403


@pytest.mark.parametrize("referer", [None, "own"])
async def test_a_client_that_is_no_browser_may_post_a_form(site: Site, referer: str | None) -> None:
    headers = {"Referer": site.origin + site.approval} if referer else {"User-Agent": "curl"}
    assert (await site.form(site.approval, {"decision": "approve", "digest": DIGEST}, **headers)).status == 200


async def test_no_preflight_is_ever_answered(site: Site) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = await site.ask("OPTIONS", site.approval, headers=headers)
    assert answer.status == 405
    for each in (answer, await site.get(site.approval, Origin="https://evil.example")):
        assert not [name for name in each.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["apr_unknown", "apr_", "APR_1", "jat_x", STRANGE_TICKET, "x" * 300, "%00", "..%2f"])
async def test_what_is_no_ticket_is_not_found(site: Site, path: str) -> None:
    for answer in (
        await site.get(f"/approvals/{path}"),
        await site.json(f"/approvals/{path}", {"decision": "approve"}),
        await site.get(f"/connect/{path}"),
    ):
        assert answer.status == 404
    assert path not in (await site.get(f"/approvals/{path}")).text


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (gone("expired"), 410, "Too late"),
        (gone("cancelled"), 410, "Withdrawn"),
        (Conflict("Asked again.", code="superseded", hint="Look for the new one."), 409, "This was asked again"),
    ],
)
async def test_rounds_that_are_over_say_so(site: Site, error: Conflict, status: int, says: str) -> None:
    site.doors.gone = error
    page = await site.get(site.approval)
    assert page.status == status
    assert says in words(page.text)
    assert "<form" not in page.text
    answer = await site.json(site.approval, {"decision": "approve"})
    assert (answer.status, answer.json["code"]) == (status, error.code)
    assert site.doors.votes == ()


async def test_a_decided_round_shows_who_decided_and_offers_nothing(site: Site) -> None:
    await site.vote("deny", feedback="Not <b>now</b>\u202e")
    answer = await site.get(site.approval)
    assert answer.status == 200
    text = words(answer.text)
    assert "This question is answered" in text
    assert "ana@example.com denied on 25 Nov 2025, 10:00:00 UTC" in text
    assert "ana@example.com denied it." in text
    assert f"{OPEN}U+202E{CLOSE}" in text
    assert "<form" not in answer.text
    assert "<b>now" not in answer.text


async def test_who_has_voted_in_an_open_round_is_not_asked_again(site: Site) -> None:
    await site.vote("approve")
    site.doors.round = replace(site.doors.round, state="open", wants=(Want(("user:ana@example.com",), need=2),))
    answer = await site.get(site.approval)
    assert "others have not yet" in answer.text
    assert "<form" not in answer.text


async def test_a_body_that_is_no_text_is_shown_in_hexadecimal(site: Site) -> None:
    site.doors.request = Request("POST", "https://api.mailhub.example/", (), b"\xff\x00\x10")
    text = words((await site.get(site.approval)).text)
    assert "ff 00 10" in text
    assert "3 bytes, no text, in hexadecimal" in text


async def test_a_claimed_user_and_an_unknown_account_are_named_so(site: Site) -> None:
    site.doors.execution = replace(
        site.doors.execution, verified=False, account=None, account_name=None, chain=("planner", "mailbot")
    )
    text = words((await site.get(site.approval)).text)
    assert "alice@example.com (claimed by mailbot)" in text
    assert "The account that alice@example.com connects. None is connected yet." in text
    assert "Through mailbot" in text


async def test_the_database_being_away_is_a_page_too(site: Site) -> None:
    async def away(ticket: str, signed: object = None) -> None:
        raise StorageError("The database does not answer.", hint="Try again in a moment.")

    site.doors.approval_page = away  # type: ignore[method-assign, assignment]  # an outage, from outside
    answer = await site.get(site.approval)
    assert answer.status == 503
    assert "storage_unavailable" in answer.text


async def test_the_ticket_never_stands_in_a_page_or_an_error(site: Site) -> None:
    for answer in (
        await site.get(site.approval),
        await site.vote("approve"),
        await site.vote("approve"),
        await site.get(site.consent),
    ):
        assert APPROVAL_TICKET not in answer.text
        assert "jat_" not in answer.text

"""What became of a call whose answer was lost, and the address that everybody may see."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.integration.pages.conftest import Site, words
from tests.integration.pages.standin import BODY, DIGEST, OUTCOME_TICKET, ROUND, UNKNOWN, gone


@pytest.fixture(autouse=True)
def lost(site: Site) -> None:
    site.doors.execution = replace(site.doors.execution, state="unknown")


async def test_the_page_shows_what_was_sent_and_what_an_answer_leads_to(site: Site) -> None:
    answer = await site.get(site.unknown)
    assert answer.status == 200
    text = words(answer.text)
    for said in (
        "Did this happen?",
        "The answer was lost",
        "It is not sent again by itself",
        "api.mailhub.example",
        "Dear both, the numbers are attached. Alice",
        "alice@example.com (verified)",
        "it may ask for the same again",
        "How do you know?",
        "It happened It did not happen",
    ):
        assert said in text, said
    assert BODY.decode() in text
    assert OUTCOME_TICKET not in answer.text
    assert site.doors.resolved == []


@pytest.mark.parametrize(
    ("outcome", "says"), [("succeeded", "Recorded: it happened"), ("failed", "Recorded: it did not happen")]
)
async def test_an_answer_is_recorded_once(site: Site, outcome: str, says: str) -> None:
    form = {"outcome": outcome, "note": " I looked.\r\nIt is there. ", "digest": DIGEST}
    answer = await site.form(site.unknown, form)
    assert answer.status == 200
    assert says in words(answer.text)
    assert site.doors.resolved == [(outcome, "I looked.\nIt is there.")]
    second = await site.form(site.unknown, form)
    assert second.status == 409
    assert len(site.doors.resolved) == 1
    page = await site.get(site.unknown)
    assert "This is answered" in words(page.text)
    assert "<form" not in page.text


async def test_json_says_it_too(site: Site) -> None:
    answer = await site.json(site.unknown, {"outcome": "failed", "note": "Not in the folder."})
    assert (answer.status, answer.json) == (
        200,
        {"status": "failed", "outcome": "failed", "id": UNKNOWN.id, "execution": UNKNOWN.execution},
    )


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"outcome": "succeeded", "digest": DIGEST}, 422),
        ({"outcome": "succeeded", "digest": DIGEST, "note": "  \r\n"}, 422),
        ({"outcome": "succeeded", "digest": DIGEST, "note": "x" * 2001}, 422),
        ({"outcome": "unknown", "digest": DIGEST, "note": "x"}, 400),
        ({"digest": DIGEST, "note": "x"}, 400),
        ({"outcome": "failed", "note": "x"}, 409),
        ({"outcome": "failed", "note": "x", "digest": "sha256:" + "0" * 64}, 409),
        ({"decision": "approve", "digest": DIGEST}, 400),
    ],
)
async def test_an_answer_without_a_word_on_how_it_is_known_is_none(
    site: Site, form: dict[str, str], status: int
) -> None:
    assert (await site.form(site.unknown, form)).status == status
    assert (await site.json(site.unknown, form | {"note": 7})).status in (400, 422)
    assert site.doors.resolved == []


async def test_another_site_cannot_answer(site: Site) -> None:
    form = {"outcome": "failed", "note": "x", "digest": DIGEST}
    assert (await site.form(site.unknown, form, Origin="https://evil.example")).status == 403
    assert site.doors.resolved == []


async def test_a_link_to_a_round_does_not_answer_and_one_to_a_lost_call_does_not_vote(site: Site) -> None:
    answer = await site.form(site.approval, {"outcome": "failed", "note": "x", "digest": DIGEST})
    assert answer.status == 400
    assert (await site.json(site.unknown, {"decision": "approve"})).status == 400
    assert (site.doors.votes, site.doors.resolved) == ((), [])


async def test_a_question_that_ran_out_says_so(site: Site) -> None:
    site.doors.gone = gone("expired")
    assert (await site.get(site.unknown)).status == 410


@pytest.mark.parametrize("ask", [ROUND.id, UNKNOWN.id])
async def test_a_shared_address_tells_environment_action_and_risk_and_no_more(site: Site, ask: str) -> None:
    site.doors.votes = ()
    answer = await site.get(f"/approvals/{ask}")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("PersonalLink")
    text = words(answer.text)
    for said in ("Environment dev", "Send an e-mail", "mailhub.send_message", "High risk", "link of your own"):
        assert said in text, said
    for hidden in (
        "Quarterly",
        "x@y.example",
        "alice",
        "ana@",
        "mailbot",
        "api.mailhub",
        DIGEST,
        "Alice asked",
        "jat_",
    ):
        assert hidden not in text, hidden
    assert "<form" not in answer.text


async def test_a_shared_address_is_a_problem_for_programs_and_takes_no_vote(site: Site) -> None:
    path = f"/approvals/{ROUND.id}"
    for answer in (
        await site.get(path, Accept="application/json"),
        await site.json(path, {"decision": "approve", "digest": DIGEST}),
    ):
        assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
        assert answer.json["environment"] == "dev"
        assert (answer.json["action"], answer.json["risk"]) == ("mailhub.send_message", "high")
        assert answer.headers["WWW-Authenticate"].startswith("PersonalLink")
        assert "approvals link" in answer.json["hint"]
    assert (await site.form(path, {"decision": "approve", "digest": DIGEST})).status == 401
    assert site.doors.votes == ()


async def test_the_address_of_the_whole_list_tells_nothing(site: Site) -> None:
    page = await site.get("/approvals")
    assert (page.status, "link of your own" in page.text) == (401, True)
    assert "mailhub" not in page.text
    problem = await site.get("/approvals", Accept="application/json")
    assert (problem.status, problem.json["code"]) == (401, "unauthenticated")


async def test_who_may_not_answer_is_offered_nothing(site: Site) -> None:
    site.doors.more = {"eligible": ("bo@example.com",)}
    assert "<form" not in (await site.get(site.unknown)).text


async def test_an_id_that_is_none_is_not_found(site: Site) -> None:
    for path in ("apr_nobody", "unk_nobody", "cns_nobody", "apr_", "exe_1"):
        assert (await site.get(f"/approvals/{path}")).status == 404

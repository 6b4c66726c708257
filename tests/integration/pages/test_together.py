"""Several requests decided at once: listed whole, each by its own digest, all or none."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from jit_auth.model import Vote
from jit_auth.web.together import MOST_LISTED
from tests.integration.pages.conftest import Site, words
from tests.integration.pages.standin import (
    APPROVAL_TICKET,
    CONSENT_TICKET,
    DIGEST,
    GATHER_TICKET,
    PARAMS,
    ROUND,
    STRANGE_TICKET,
    gone,
)


def digest(number: int) -> str:
    return "sha256:" + f"{number:064x}"


def three(site: Site) -> None:
    doors = site.doors
    doors.others = (
        doors.another(1, action=replace(doors.action, risk="low")),
        doors.another(2, action=replace(doors.action, risk="critical")),
    )


def boxes(page: str) -> list[tuple[str, str]]:
    return re.findall(r'<input type="checkbox"[^>]* name="(\w+)" value="([^"]+)"', page)


async def test_the_list_shows_all_of_each_riskiest_first_and_each_with_its_digest(site: Site) -> None:
    three(site)
    answer = await site.get(site.all)
    assert answer.status == 200
    assert boxes(answer.text) == [("apr_other2", digest(2)), (ROUND.id, DIGEST), ("apr_other1", digest(1))]
    text = words(answer.text)
    for said in (
        "3 requests wait for you",
        "Number 1",
        "Number 2",
        "Dear both",
        "api.mailhub.example",
        "Critical risk",
    ):
        assert said in text, said
    # What can do harm stands open.
    assert answer.text.count("<details open>") == 2
    assert "checked" not in answer.text.split("</style>")[1].replace("unchecked", "")


async def test_what_is_ticked_is_decided_and_nothing_else(site: Site) -> None:
    three(site)
    form = {"decision": "approve", "feedback": " Fine. ", ROUND.id: DIGEST, "apr_other2": digest(2)}
    answer = await site.form(site.all, form)
    assert answer.status == 200
    assert "You approved 2 requests" in words(answer.text)
    (choices,) = site.doors.together
    assert {name: (c.verdict, c.digest, c.feedback) for name, c in choices.items()} == {
        ROUND.id: ("approve", DIGEST, "Fine."),
        "apr_other2": ("approve", digest(2), "Fine."),
    }
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", choice.seen) for choice in choices.values())
    assert len({choice.seen for choice in choices.values()}) == 2


async def test_one_stale_item_refuses_the_batch_and_is_named(site: Site) -> None:
    three(site)
    for form, name, code in (
        ({ROUND.id: DIGEST, "apr_other1": digest(9)}, "apr_other1", "digest_mismatch"),
        ({ROUND.id: DIGEST, "apr_closed": digest(9)}, "apr_closed", "already_decided"),
    ):
        answer = await site.form(site.all, {"decision": "approve"} | form)
        assert answer.status == 409
        assert "Nothing was decided" in words(answer.text)
        assert name in answer.text
        decisions = [{"id": each, "decision": "approve", "digest": value} for each, value in form.items()]
        problem = await site.json(site.all, {"decisions": decisions})
        assert (problem.status, problem.json["code"]) == (409, "stale")
        assert [(each["id"], each["code"]) for each in problem.json["stale"]] == [(name, code)]
    assert site.doors.together == []


async def test_an_item_added_after_the_page_was_drawn_is_not_decided(site: Site) -> None:
    three(site)
    ticked = dict(boxes((await site.get(site.all)).text))
    site.doors.others += (site.doors.another(3),)
    assert (await site.form(site.all, {"decision": "approve"} | ticked)).status == 200
    assert "apr_other3" not in site.doors.together[0]
    assert [page.ask.id for page in site.doors.others] == ["apr_other3"]


async def test_json_decides_each_as_it_says(site: Site) -> None:
    three(site)
    decisions = [
        {"id": ROUND.id, "decision": "approve", "digest": DIGEST, "for": "1h"},
        {"id": "apr_other1", "decision": "deny", "digest": digest(1), "feedback": "no"},
    ]
    answer = await site.json(site.all, {"decisions": decisions})
    assert answer.status == 200
    assert [(each["id"], each["decision"]) for each in answer.json["decided"]] == [
        (ROUND.id, "approve"),
        ("apr_other1", "deny"),
    ]
    choices = site.doors.together[0]
    assert (choices[ROUND.id].hold, choices["apr_other1"].feedback) == (3_600_000, "no")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "bad_decision"),
        ({"decisions": {}}, 400, "bad_decision"),
        ({"decisions": ["apr_1"]}, 400, "bad_decision"),
        ({"decisions": []}, 422, "invalid_params"),
        ({"decisions": [{"id": "exe_1", "decision": "approve", "digest": DIGEST}]}, 400, "bad_decision"),
        ({"decisions": [{"decision": "approve", "digest": DIGEST}]}, 400, "bad_decision"),
        ({"decisions": [{"id": ROUND.id, "decision": "approve"}]}, 409, "digest_mismatch"),
        ({"decisions": [{"id": ROUND.id, "decision": "yes", "digest": DIGEST}]}, 400, "bad_decision"),
        ({"decisions": [{"id": ROUND.id, "decision": "approve", "digest": DIGEST}] * 2}, 400, "bad_decision"),
        (
            {"decisions": [{"id": ROUND.id, "decision": "approve", "digest": DIGEST, "params": {}}]},
            400,
            "unknown_field",
        ),
        ({"decision": "approve"}, 400, "unknown_field"),
    ],
)
async def test_a_batch_that_can_be_read_in_two_ways_is_refused(
    site: Site, body: dict[str, Any], status: int, code: str
) -> None:
    three(site)
    answer = await site.json(site.all, body)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert site.doors.together == []


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"decision": "approve"}, 422),
        ({ROUND.id: DIGEST}, 400),
        ({"decision": "approve", ROUND.id: "on"}, 409),
        ({"decision": "approve", ROUND.id: ""}, 409),
        ({"decision": "approve", ROUND.id: DIGEST, "for": "1h"}, 400),
        ({"decision": "edit", ROUND.id: DIGEST}, 400),
        ({"decision": "approve", ROUND.id: DIGEST, "exe_1": DIGEST}, 400),
    ],
)
async def test_a_form_that_says_less_than_it_showed_decides_nothing(
    site: Site, form: dict[str, str], status: int
) -> None:
    answer = await site.form(site.all, form)
    assert answer.status == status
    assert site.doors.together == []


async def test_a_batch_from_another_site_is_refused(site: Site) -> None:
    form = {"decision": "approve", ROUND.id: DIGEST}
    for path in (site.all, f"{site.all}/{ROUND.id}", site.gathered):
        assert (await site.form(path, form, Origin="https://evil.example")).status == 403
    assert site.doors.together == []


async def test_what_is_too_long_for_a_list_is_decided_on_its_own_page(site: Site) -> None:
    long = replace(site.doors.another(1).execution, params=PARAMS | {"subject": "s" * 3000})
    site.doors.others = (site.doors.another(1, execution=long),)
    answer = await site.get(site.all)
    assert [name for name, _ in boxes(answer.text)] == [ROUND.id]
    assert "it is decided on its own page" in answer.text
    own = f"{site.all}/apr_other1"
    assert 'href="all/apr_other1"' in answer.text
    page = await site.get(own)
    assert "s" * 3000 in page.text
    voted = await site.form(own, {"decision": "deny", "digest": digest(1), "feedback": "No."})
    assert voted.status == 200
    assert "You denied this" in words(voted.text)
    assert list(site.doors.together[0]) == ["apr_other1"]
    assert (await site.get(own)).status == 404


async def test_what_people_cannot_read_is_not_ticked(site: Site) -> None:
    other = site.doors.another(1)
    decision = replace(other.execution.decision, labels=("opaque",))
    site.doors.others = (replace(other, execution=replace(other.execution, decision=decision)),)
    assert [name for name, _ in boxes((await site.get(site.all)).text)] == [ROUND.id]


async def test_only_what_this_person_may_still_decide_can_be_ticked(site: Site) -> None:
    mine = Vote(ask="x", person="ana@example.com", verdict="approve", digest=digest(1), seen="", how="link", at=1)
    site.doors.others = (
        site.doors.another(1, votes=(mine,)),
        site.doors.another(2, eligible=("bo@example.com",)),
    )
    answer = await site.get(site.all)
    assert [name for name, _ in boxes(answer.text)] == [ROUND.id]
    assert "You have decided this" in words(answer.text)


async def test_one_of_the_list_takes_json_and_its_own_digest_but_no_changes(site: Site) -> None:
    three(site)
    own = f"{site.all}/apr_other1"
    for body, status in (
        ({"decision": "approve", "params": {"subject": "x"}}, 400),
        ({"decision": "approve", "digest": digest(2)}, 409),
        ({"decision": "approve", "digest": digest(1)}, 200),
    ):
        assert (await site.json(own, body)).status == status
    assert len(site.doors.together) == 1
    refused = await site.json(f"{site.all}/{ROUND.id}", {"decision": "approve", "digest": digest(2)})
    assert refused.json["code"] == "digest_mismatch"
    assert "Change it before it is sent" not in (await site.get(f"{site.all}/{ROUND.id}")).text


async def test_a_gathered_link_leads_to_the_list(site: Site) -> None:
    three(site)
    answer = await site.get(site.gathered)
    assert (answer.status, answer.headers["Location"]) == (303, f"{GATHER_TICKET}/all")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    page = await site.get(f"{site.gathered}/all")
    assert len(boxes(page.text)) == 3
    form = {"decision": "deny", ROUND.id: DIGEST}
    assert (await site.form(site.gathered, form)).status == 200
    assert len(site.doors.together) == 1


async def test_a_page_of_one_request_leads_to_the_others_without_naming_its_ticket(site: Site) -> None:
    site.doors.more = {"waiting": 2}
    page = (await site.get(site.approval)).text
    assert "2 other requests wait for you" in words(page)
    assert '<a href="?all">' in page
    answer = await site.get(site.approval + "?all")
    assert (answer.status, answer.headers["Location"]) == (303, f"{APPROVAL_TICKET}/all")
    for each in (page, (await site.get(site.all)).text):
        assert "jat_" not in each


async def test_nothing_waits_is_said_and_looking_decides_nothing(site: Site) -> None:
    site.doors.round = replace(ROUND, state="met")
    for method in ("GET", "HEAD", "GET"):
        assert (await site.ask(method, site.all)).status == 200
    page = await site.get(site.all)
    assert "Nothing waits for you" in words(page.text)
    assert "<form" not in page.text
    assert site.doors.together == []


@pytest.mark.parametrize("ticket", [STRANGE_TICKET, CONSENT_TICKET, "jat_x", ROUND.id])
async def test_a_list_belongs_to_the_person_of_its_link(site: Site, ticket: str) -> None:
    three(site)
    for path in (f"/approvals/{ticket}/all", f"/approvals/{ticket}/all/{ROUND.id}"):
        assert (await site.get(path)).status == 404
        assert (await site.json(path, {"decision": "approve", "digest": DIGEST})).status in (400, 404)
    assert site.doors.together == []


async def test_a_list_whose_link_has_run_out_says_so(site: Site) -> None:
    site.doors.gone = gone("expired")
    assert (await site.get(site.all)).status == 410


async def test_a_long_list_is_shown_in_parts(site: Site) -> None:
    site.doors.others = tuple(site.doors.another(number) for number in range(1, 80))
    page = (await site.get(site.all)).text
    assert "80 requests wait for you" in words(page)
    assert f"{80 - MOST_LISTED} more wait" in words(page)
    assert page.count('class="pick"') == MOST_LISTED

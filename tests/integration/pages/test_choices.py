"""Approve for a while, and changed parameters: what a form and JSON may say, and what reaches the engine."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from jit_auth.model import Decision, Param, Vote
from tests.integration.pages.conftest import Site, words
from tests.integration.pages.standin import DIGEST, PARAMS, ROUND

HOUR = 3_600_000
EVERY = (
    Param(name="to", schema={"type": "array", "items": {"type": "string"}}),
    Param(name="subject", schema={"type": "string"}),
    Param(name="count", schema={"type": "integer"}),
    Param(name="rate", schema={"type": "number"}),
    Param(name="urgent", schema={"type": "boolean"}),
    Param(name="size", schema={"type": "string", "enum": ["s", "m", "l"]}),
    Param(name="truth", schema={"type": "string", "enum": ["true", "false"]}),
    Param(name="filter", schema={"type": "object"}),
    Param(name="memo", schema={"type": ["string", "null"]}),
    Param(name="body", schema={"type": "string"}, sensitive=True),
)
VALUES: dict[str, Any] = PARAMS | {
    "count": 3,
    "rate": 1.5,
    "urgent": True,
    "size": "m",
    "truth": "true",
    "filter": {"a": [1]},
    "subject": "One\r\ntwo",
}


def allow(site: Site, *, editable: tuple[str, ...] = (), for_max: int | None = None) -> None:
    doors = site.doors
    doors.action = replace(doors.action, params=EVERY)
    decision = Decision("require_approval", ("r",), editable=editable, for_max=for_max)
    doors.execution = replace(doors.execution, params=VALUES, decision=decision)


async def edit(site: Site, **changes: str) -> Any:
    values = {f"edit.{name}": value for name, value in changes.items()}
    return await site.form(site.approval, {"decision": "edit", "digest": DIGEST} | values)


async def test_approving_for_a_while_is_offered_only_where_the_rules_allow_it(site: Site) -> None:
    assert "for a while" not in (await site.get(site.approval)).text
    allow(site, for_max=HOUR)
    page = (await site.get(site.approval)).text
    assert re.findall(r'name="for" value="(\w+)">([^<]+)<', page) == [
        ("15m", "Approve for 15 minutes"),
        ("1h", "Approve for 1 hour"),
    ]
    # The plain one comes first, and is another form.
    assert page.index(">Approve<") < page.index("Approve for 15 minutes")
    assert page.count("<form") == 2


async def test_it_is_not_offered_at_risk_critical_nor_after_a_plain_approval(site: Site) -> None:
    allow(site, for_max=HOUR)
    site.doors.action = replace(site.doors.action, risk="critical")
    assert "for a while" not in (await site.get(site.approval)).text
    site.doors.action = replace(site.doors.action, risk="high")
    plain = Vote(ask=ROUND.id, person="bo@example.com", verdict="approve", digest=DIGEST, seen="", how="link", at=1)
    site.doors.votes = (plain,)
    assert "for a while" not in (await site.get(site.approval)).text
    site.doors.votes = (replace(plain, hold=HOUR),)
    assert "for a while" in (await site.get(site.approval)).text


async def test_the_duration_reaches_the_engine_from_a_form_and_from_json(site: Site) -> None:
    allow(site, for_max=HOUR)
    assert (await site.vote("approve", **{"for": "15m"})).status == 200
    site.doors.round = ROUND
    assert (await site.json(site.approval, {"decision": "approve", "for": "1h"})).status == 200
    site.doors.round = ROUND
    assert (await site.vote("approve", **{"for": ""})).status == 200
    assert [choice.hold for choice in site.doors.chosen] == [900_000, HOUR, None]


@pytest.mark.parametrize("hold", ["1", "1 h", "-1h", "1h1h", "x", 3600, True, ["1h"], "0s", "9" * 100 + "h"])
async def test_what_is_no_duration_decides_nothing(site: Site, hold: object) -> None:
    answer = await site.json(site.approval, {"decision": "approve", "for": hold})
    assert (answer.status, answer.json["code"]) == (400, "bad_decision")
    assert (await site.json(site.approval, {"decision": "deny", "for": "1h"})).status == 400
    assert site.doors.votes == ()


async def test_nothing_can_be_changed_where_no_rule_says_so(site: Site) -> None:
    assert "Change it before it is sent" not in (await site.get(site.approval)).text
    assert (await edit(site, subject="Mine")).status == 400
    form = await site.vote("approve", **{"edit.subject": "Mine"})
    assert form.status == 400
    answer = await site.json(site.approval, {"decision": "approve", "params": {"subject": "Mine"}})
    assert (answer.status, answer.json["faults"][0]["pointer"]) == (422, "/params/subject")
    assert site.doors.votes == ()


async def test_each_kind_of_parameter_stands_in_the_form_as_it_is(site: Site) -> None:
    allow(site, editable=tuple(param.name for param in EVERY))
    page = (await site.get(site.approval)).text
    for piece in (
        'name="edit.to" dir="auto">\nx@y.example\nbo@example.com</textarea>',
        'name="edit.count" value="3" dir="auto" inputmode="decimal">',
        'name="edit.rate" value="1.5" dir="auto" inputmode="decimal">',
        '<option value="true" selected>true</option>',
        '<option value="m" selected>m</option>',
        'name="edit.filter" dir="auto">\n{&#34;a&#34;:[1]}</textarea>',
        'name="edit.memo" value="" dir="auto">',
    ):
        assert piece in page, piece
    assert "This value holds characters that a form does not show" in words(page)


async def test_only_what_was_changed_is_sent_and_keeps_its_type(site: Site) -> None:
    allow(site, editable=tuple(param.name for param in EVERY))
    # A browser sends every field, and CR LF for each line end.
    untouched = {
        "to": "x@y.example\r\nbo@example.com",
        "subject": "One\r\ntwo",
        "count": "3",
        "rate": "1.5",
        "urgent": "true",
        "size": "m",
        "truth": "true",
        "filter": '{"a":[1]}',
        "memo": "",
        "body": PARAMS["body"].replace("\n", "\r\n"),
    }
    answer = await edit(site, **untouched)
    assert (answer.status, "Nothing was changed" in answer.text) == (422, True)
    changed = {
        "to": "z@y.example\r\n",
        "subject": "Mine\r\nnow",
        "count": "4",
        "rate": "2",
        "urgent": "false",
        "size": "l",
        "truth": "false",
        "filter": '{"a": []}',
        "memo": "new",
    }
    answer = await edit(site, **untouched | changed)
    assert answer.status == 200
    assert "You changed this, and it is asked anew" in words(answer.text)
    (choice,) = site.doors.chosen
    assert choice.params == {
        "to": ["z@y.example"],
        "subject": "Mine\nnow",
        "count": 4,
        "rate": 2,
        "urgent": False,
        "size": "l",
        "truth": "false",
        "filter": {"a": []},
        "memo": "new",
    }
    assert site.doors.votes == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("count", "many"),
        ("count", "true"),
        ("count", '"3"'),
        ("count", ""),
        ("count", '4,"x":5'),
        ("count", "4}"),
        ("rate", "NaN"),
        ("rate", "1e999"),
        ("filter", '{"a":1,"a":2}'),
        ("filter", "{"),
        ("size", "xl"),
        ("urgent", "yes"),
    ],
)
async def test_a_value_that_does_not_fit_is_named(site: Site, name: str, text: str) -> None:
    allow(site, editable=(name,))
    answer = await edit(site, **{name: text})
    assert answer.status == 422
    assert f"/params/{name}" in answer.text
    assert site.doors.chosen == []


async def test_a_change_never_comes_with_a_vote(site: Site) -> None:
    allow(site, editable=("subject",), for_max=HOUR)
    for body in (
        {"decision": "deny", "params": {"subject": "x"}},
        {"decision": "approve", "params": {"subject": "x"}, "for": "1h"},
    ):
        answer = await site.json(site.approval, body)
        assert (answer.status, answer.json["code"]) == (400, "bad_decision")
    wrong: tuple[object, ...] = ({}, [], "x", 1)
    for params in wrong:
        assert (await site.json(site.approval, {"decision": "approve", "params": params})).status == 422
    form = {"decision": "edit", "digest": DIGEST, "edit.subject": "x", "for": "1h"}
    assert (await site.form(site.approval, form)).status == 400
    # Neither is a value quietly dropped that came with an approval.
    assert (await site.vote("approve", **{"edit.subject": "x"})).status == 400
    assert (await site.json(site.approval, {"decision": "edit", "edit.subject": "x"})).status == 400
    assert site.doors.chosen == []
    answer = await site.json(site.approval, {"decision": "approve", "params": {"subject": "x"}})
    assert (answer.status, answer.json["edited"]) == (200, True)
    assert site.doors.votes == ()


async def test_a_form_that_changes_carries_what_it_showed_and_ignores_a_foreign_origin(site: Site) -> None:
    allow(site, editable=("subject",))
    stale = await site.form(site.approval, {"decision": "edit", "digest": "sha256:" + "0" * 64, "edit.subject": "x"})
    assert stale.status == 409
    missing = await site.form(site.approval, {"decision": "edit", "edit.subject": "x"})
    assert missing.status == 409
    foreign = {"decision": "edit", "digest": DIGEST, "edit.subject": "x"}
    assert (await site.form(site.approval, foreign, Origin="https://evil.example")).status == 403
    assert site.doors.chosen == []


async def test_the_largest_parameters_can_be_changed_by_a_form(site: Site) -> None:
    allow(site, editable=("body",))
    assert (await edit(site, body="\u00e9" * 30_000)).status == 200
    assert site.doors.chosen[0].params == {"body": "\u00e9" * 30_000}
    assert (await edit(site, body="x" * 300_000)).status == 413


async def test_what_was_changed_is_shown_as_a_difference(site: Site) -> None:
    allow(site)
    before = VALUES | {"subject": "Was\u202e", "memo": "gone"}
    site.doors.execution = replace(site.doors.execution, before=before, edited_by=("cy@example.com",))
    page = (await site.get(site.approval)).text
    text = words(page)
    assert "Changed by a person This is not what the agent asked for." in text
    assert "subject Asked for Was\u27e8U+202E\u27e9 Now One\u27e8U+000D\u27e9 two" in text
    assert "memo Asked for gone Now \u27e8none\u27e9" in text
    assert "\u202e" not in page

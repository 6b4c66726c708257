"""Copies of a card for every role, and what each of the details lets out of the house."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from jit_auth.channels.card import Card, Details, build, build_consent, build_gathered, exactly
from jit_auth.channels.cut import detailed, masked
from jit_auth.channels.words import offered, short
from jit_auth.engine.pages import ConsentPage, Wanted
from jit_auth.model import Ask, Decision, Escalate, State, Trouble, Want
from jit_auth.model import Card as Row
from tests.unit.card.test_card import ACTION, EXECUTION, NOW, ROUND, ROW, card, page, vote

HOUR = 3_600_000
BEFORE = {"pin": "7770", "amount": 4.0, "memo": "secret words"}


def loud(**more: Any) -> Card:
    """A card in which every free text is a marker of its own."""
    execution = replace(
        EXECUTION,
        params={"pin": "1234", "amount": 5.0, "memo": "PARAM"},
        reason="REASON",
        account_name="ACCOUNT",
        before=BEFORE | {"memo": "BEFORE"},
        edited_by=("cy@example.com",),
        error=Trouble("x", "TROUBLE"),
        decision=Decision("require_approval", ("r",), ("RULE",), labels=("LABEL",)),
        **more,
    )
    earlier = replace(EXECUTION, id="exe_0", state="succeeded", params={"amount": "RECENT", "pin": "9999"})
    votes = (vote("bo@example.com", "approve", "FEEDBACK"),)
    ask = replace(ROUND, why="AGAIN")
    return card(execution=execution, votes=votes, ask=ask, recent=(earlier,), eligible=("dee@example.com",), asked=1)


def said(made: Card) -> str:
    return json.dumps(to_builtins(made), ensure_ascii=False)


@pytest.mark.parametrize(
    ("details", "kept", "gone"),
    [
        ("full", "PARAM REASON ACCOUNT BEFORE RULE LABEL RECENT FEEDBACK AGAIN dee@example.com", "1234 7770 9999"),
        ("summary", "ACCOUNT RULE LABEL FEEDBACK AGAIN dee@example.com Pay", "1234 7770 9999 PARAM REASON BEFORE"),
        (
            "none",
            "dev bank.pay high bo@example.com",
            "PARAM REASON ACCOUNT BEFORE RULE LABEL RECENT FEEDBACK AGAIN TROUBLE dee@ alice@ mailbot planner xn--"
            " 1234",
        ),
    ],
)
def test_details_keep_content_in_the_house(details: Details, kept: str, gone: str) -> None:
    text = said(detailed(loud(), details))
    assert [word for word in kept.split() if word not in text] == []
    assert [word for word in gone.split() if word in text] == []


@pytest.mark.parametrize("details", ["full", "summary", "none"])
def test_whatever_is_left_out_takes_the_buttons_at_high_risk(details: Details) -> None:
    safe = detailed(loud(), details)
    assert safe.cut
    assert not safe.decidable
    assert detailed(card(action=replace(ACTION, risk="medium")), details).decidable
    assert (safe.id, safe.ask, safe.open, safe.expires) == ("crd_1", "apr_1", True, ROUND.expires)


@pytest.mark.parametrize("state", ["paused", "executing", "succeeded", "failed", "denied", "expired", "unknown"])
def test_an_outcome_without_details_holds_no_word_of_others(state: State) -> None:
    bare = detailed(loud(state=state), "none").outcome
    assert bare
    assert "Bank" not in bare
    assert "{" not in bare
    assert "  " not in bare


def test_what_people_cannot_read_is_decided_on_the_page_alone_at_any_risk() -> None:
    opaque = replace(EXECUTION, decision=Decision("require_approval", labels=("opaque",)))
    for risk in ("low", "medium", "high", "critical"):
        made = card(execution=opaque, action=replace(ACTION, risk=risk, params=ACTION.params[:1]))
        assert made.decidable
        assert not masked(made).decidable
        assert "encoded or very long" in " ".join(made.unusual)


def test_a_person_without_a_row_gets_the_same_words() -> None:
    own, other = card(), build(page(person="bo@example.com"))
    assert (other.id, other.role, other.person, other.url) == ("", "decide", "bo@example.com", "")
    assert own.seen == other.seen


def test_the_copy_for_a_group_is_shared() -> None:
    made = card(replace(ROW, person="channel:slack"), eligible=("ana@example.com", "bo@example.com"))
    assert made.shared
    assert made.others == ("ana@example.com", "bo@example.com")
    assert made.seen == card().seen


def test_others_are_those_who_may_decide_and_have_not() -> None:
    made = card(
        eligible=("ana@example.com", "bo@example.com", "cy@example.com"), votes=(vote("bo@example.com", "approve"),)
    )
    assert made.others == ("cy@example.com",)


def test_a_round_for_groups_says_whose_votes_count() -> None:
    step = Escalate(HOUR, ("group:directors",), counts=True)
    told = Escalate(2 * HOUR, ("user:dee@example.com",))
    want = Want(("group:finance",), need=2, escalate=(step, told))
    assert card(ask=replace(ROUND, wants=(want,))).wants == ("2 approvals of the group finance",)
    made = card(ask=replace(ROUND, wants=(want,), escalated=(step, told)))
    assert made.wants == ("2 approvals of the group finance or the group directors",)
    assert made.unusual[-2:] == (
        "After 1 hour without a decision, more people were asked: the group directors. They may decide too.",
        "After 2 hours without a decision, more people were asked: dee@example.com. "
        "They were told; they do not decide.",
    )


def test_counts_and_first_times_are_said() -> None:
    assert card(asked=3, denied=2).unusual == (
        "Exactly this was asked 3 times before, and denied twice.",
        "No earlier call of this kind by planner is on record.",
    )
    assert card(asked=1, recent=(EXECUTION,)).unusual == ("Exactly this was asked once before.",)
    doubtful = replace(EXECUTION, decision=Decision("require_approval", labels=("a", "b?")))
    assert "taken as the worse: b." in card(execution=doubtful).unusual[-1]


def test_what_passes_is_no_part_of_what_was_seen() -> None:
    seen = card().seen
    for given in (
        {"asked": 5, "denied": 1, "waiting": 9, "recent": (EXECUTION,), "eligible": ("x@example.com",)},
        {"ask": replace(ROUND, reminded=2, warned=True, state="denied")},
        {"ask": replace(ROUND, expires=NOW + 99), "now": NOW + 5, "rounds": 4},
        {"execution": replace(EXECUTION, state="succeeded")},
    ):
        assert card(**given).seen == seen, given
    edited = replace(EXECUTION, before=BEFORE)
    assert card(execution=edited).seen != seen
    assert masked(card()).seen != seen


def test_a_change_is_shown_and_masked_where_it_is_sensitive() -> None:
    made = card(execution=replace(EXECUTION, before=EXECUTION.params | {"pin": "7770", "memo": "x\u202e"}))
    assert [(each.name, each.before, each.after, each.sensitive) for each in made.changed] == [
        ("pin", "7770", "1234", True),
        ("memo", "x\u27e8U+202E\u27e9", "\u27e8none\u27e9", False),
    ]
    assert "7770" not in said(masked(made))
    assert card().changed == ()


def test_approving_for_a_while_is_offered_as_far_as_every_vote_allows() -> None:
    allowed = replace(EXECUTION, decision=Decision("require_approval", for_max=4 * HOUR))
    assert card(execution=allowed).hold_for == (900_000, HOUR, 4 * HOUR)
    plain = vote("bo@example.com", "approve")
    assert card(execution=allowed, votes=(plain,)).hold_for == ()
    assert card(execution=allowed, votes=(replace(plain, hold=HOUR),)).hold_for != ()
    assert card(execution=allowed, action=replace(ACTION, risk="critical")).hold_for == ()
    assert card(replace(ROW, role="notice"), execution=allowed).hold_for == ()
    assert card().hold_for == ()


@pytest.mark.parametrize(
    ("duration", "words", "written"),
    [(HOUR, "1 hour", "1h"), (90 * 60_000, "90 minutes", "90m"), (86_400_000, "1 day", "1d"), (1000, "1 second", "1s")],
)
def test_a_duration_that_is_given_is_never_rounded(duration: int, words: str, written: str) -> None:
    assert (exactly(duration), short(duration)) == (words, written)
    assert offered(duration)[-1] == duration


def test_a_notice_says_what_it_is_about_and_asks_nothing() -> None:
    edited = replace(EXECUTION, before=EXECUTION.params | {"amount": 4.0}, edited_by=("cy@example.com",))
    made = card(replace(ROW, role="notice"), execution=edited)
    assert made.note == "cy@example.com changed amount. It is asked again with the change."
    assert not made.decidable
    assert card().note == ""


def test_a_lost_call_is_asked_of_named_people() -> None:
    lost = replace(ROUND, id="unk_1", kind="outcome", wants=(Want(("group:finance",)),))
    made = card(replace(ROW, role="resolve", ask="unk_1"), ask=lost, execution=replace(EXECUTION, state="unknown"))
    assert (made.role, made.wants) == ("resolve", ("The word of the group finance",))
    assert "Nothing is sent again" in made.silence
    assert made.decidable
    assert build(page(ask=lost)).role == "resolve"


def test_a_consent_names_the_provider_and_what_is_asked_for() -> None:
    ask = Ask(
        id="cns_1", execution="exe_1", kind="consent", agent="planner", user="alice@example.com", created=1, expires=9
    )
    asked = ConsentPage(
        environment="dev",
        ask=ask,
        execution=EXECUTION,
        wants=(Wanted(ACTION, "Bank"),),
        provider_id="bank",
        provider_name="Bank\u202e",
        provider_host="auth.b\u00e4nk.example",
        scope_titles={"pay": "Pay in your name"},
        new=("pay", "read"),
        now=NOW,
    )
    row = replace(ROW, role="consent", ask="cns_1", person="alice@example.com")
    made = build_consent(asked, row, "http://127.0.0.1/connect/jat_secret")
    assert (made.role, made.person, made.provider) == ("consent", "alice@example.com", "Bank\u27e8U+202E\u27e9")
    assert made.scopes == ("Pay in your name (pay)", "read")
    assert made.host == "auth.xn--bnk-qla.example"
    assert not made.decidable
    assert "1234" not in said(made)
    assert "jat_secret" not in repr(made)
    assert detailed(made, "none").scopes == ()


def test_a_gathered_message_lists_the_riskiest_first_with_a_link_each() -> None:
    row = replace(ROW, id="gth_1", role="gather", ask="", execution="")
    low = page(ask=replace(ROUND, id="apr_0", expires=NOW + 50), action=replace(ACTION, risk="low"))
    made = build_gathered("dev", row, (low, page()), "http://h/approvals/jat_x")
    assert made.line == "2 requests wait for you"
    assert [(each.ask, each.risk, each.url) for each in made.gathered] == [
        ("apr_1", "high", "http://h/approvals/jat_x/all/apr_1"),
        ("apr_0", "low", "http://h/approvals/jat_x/all/apr_0"),
    ]
    assert made.gathered[0].line == "Pay 5 with \u27e8masked\u27e9"
    assert (made.risk, made.open, made.expires) == ("high", True, NOW + 1)
    assert not made.decidable
    bare = detailed(made, "none")
    assert [each.line for each in bare.gathered] == ["Pay", "Pay"]
    assert bare.line == made.line
    over = build_gathered("dev", row, (), "")
    assert (over.open, over.line) == (False, "Nothing waits for you any more")
    assert build_gathered("dev", row, (low,), "").line == "1 request waits for you"


def test_a_gathered_message_that_many_see_holds_addresses_that_decide_nothing() -> None:
    row = replace(ROW, id="gth_1", role="gather", ask="", execution="", person="channel:slack")
    made = build_gathered("dev", row, (page(),), "http://h/approvals")
    assert (made.shared, made.gathered[0].url) == (True, "http://h/approvals/apr_1")


def test_rows_for_a_gathered_message_need_no_execution() -> None:
    row = Row(id="gth_1", role="gather", ask="", execution="", person="ana@example.com", via="email", expires=NOW)
    assert build_gathered("dev", row, (), "").ask == ""

"""The model of a card, and the terminal that prints its line."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from jit_auth.channels.card import Card, build, moment
from jit_auth.channels.cut import masked
from jit_auth.channels.email.letter import letter
from jit_auth.channels.slack.message import message
from jit_auth.channels.terminal import Terminal
from jit_auth.core.endings import UNREPORTED
from jit_auth.engine.pages import ApprovalPage
from jit_auth.model import (
    Action,
    Ask,
    Decision,
    Execution,
    Param,
    Request,
    Result,
    State,
    Trouble,
    Verdict,
    Vote,
    Want,
)
from jit_auth.model import Card as Row

NOW = 1_764_064_800_000
URL = "http://127.0.0.1:8080/approvals/jat_secret"
ACTION = Action(
    name="bank.pay",
    connector="bank",
    provider="bank",
    title="Pay",
    summary="Pay {amount} with {pin}",
    show=("amount",),
    method="POST",
    path="/pay",
    risk="high",
    effect="create",
    retry="never",
    params=(Param(name="amount", schema={}), Param(name="pin", schema={}, sensitive=True)),
)
EXECUTION = Execution(
    id="exe_1",
    state="paused",
    agent="mailbot",
    chain=("planner", "mailbot"),
    user="alice@example.com",
    verified=False,
    action="bank.pay",
    params={"pin": "1234", "amount": 5.0},
    reason="Please\u202e",
    account="a-1",
    account_name="Alice",
    digest="sha256:x",
    decision=Decision("require_approval", ("r",), ("Pay by two.",)),
    created=NOW,
    updated=NOW,
    expires=NOW + 1,
)
ROUND = Ask(
    id="apr_1",
    execution="exe_1",
    kind="approval",
    agent="planner",
    user="alice@example.com",
    digest="sha256:x",
    wants=(Want(("requester", "user:ana@example.com"), need=2),),
    created=NOW,
    expires=NOW + 1,
)
ROW = Row(id="crd_1", ask="apr_1", execution="exe_1", person="ana@example.com", via="terminal", expires=NOW + 1)


def page(**given: Any) -> ApprovalPage:
    values: dict[str, Any] = {
        "environment": "dev",
        "person": "ana@example.com",
        "card": ROW,
        "ask": ROUND,
        "execution": EXECUTION,
        "action": ACTION,
        "connector_name": "Bank",
        "provider_name": "Bank",
        "request": Request("POST", "https://b\u00e4nk.example/pay"),
        "now": NOW,
    }
    return ApprovalPage(**values | given)


def card(row: Row | None = ROW, url: str = URL, **given: Any) -> Card:
    return build(page(**given), card=row, url=url)


def vote(person: str, verdict: Verdict, feedback: str | None = None) -> Vote:
    return Vote(
        ask="apr_1", person=person, verdict=verdict, digest="sha256:x", seen="", how="link", feedback=feedback, at=NOW
    )


def test_a_card_says_what_a_person_needs_to_decide() -> None:
    made = card()
    assert made.line == "Pay 5 with \u27e8masked\u27e9"
    assert (made.method, made.host, made.account) == ("POST", "xn--bnk-qla.example", "Alice (id a-1)")
    assert (made.chain, made.user) == (("planner", "mailbot"), "alice@example.com (claimed by mailbot)")
    assert made.wants == ("2 approvals of alice@example.com (for whom it is done) or ana@example.com",)
    assert made.reasons == ("Pay by two.",)
    assert made.says == "Please\u27e8U+202E\u27e9"
    assert [field.name for field in made.fields] == ["amount", "pin"]
    assert "cannot be taken back" in made.consequence
    assert made.open
    assert not made.cut
    assert moment(made.expires) == "25 Nov 2025, 10:00:00 UTC"


def test_a_verified_user_and_no_account_read_differently() -> None:
    verified = replace(EXECUTION, verified=True, account=None)
    assert card(execution=verified).user == "alice@example.com (verified)"
    assert "None is connected yet" in card(execution=verified).account
    assert "no accounts of users" in card(execution=verified, connects=False).account
    assert card(execution=replace(EXECUTION, user=None)).user == "nobody in particular"
    assert card(execution=replace(EXECUTION, account_name=None)).account == "a-1"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("paused", "goes on by itself"),
        ("executing", "on its way to Bank"),
        ("succeeded", "Bank answered 201"),
        ("failed", "It broke."),
        ("denied", "It broke."),
        ("expired", "Time ran out"),
        ("cancelled", "Withdrawn"),
        ("unknown", "nobody knows yet"),
    ],
)
def test_the_outcome_is_told_for_every_state(state: State, words: str) -> None:
    ended = replace(EXECUTION, state=state, result=Result(201, {}, None), error=Trouble("x", "It broke."))
    assert words in card(execution=ended).outcome


def test_who_decided_is_told() -> None:
    made = card(votes=(vote("ana@example.com", "deny", "No\u200b"),), ask=replace(ROUND, state="denied"))
    assert not made.open
    assert [(d.who, d.verdict, d.feedback) for d in made.decided] == [
        ("ana@example.com", "deny", "No\u27e8U+200B\u27e9")
    ]


def test_masking_counts_as_cut_and_takes_the_buttons_at_high_risk() -> None:
    whole, safe = card(), masked(card())
    assert whole.decidable
    assert safe.cut
    assert not safe.decidable
    assert masked(card(action=replace(ACTION, risk="medium"))).decidable
    assert "1234" not in repr([field.value_text for field in safe.fields])
    assert [field.cut for field in safe.fields] == [False, True]
    plain = replace(ACTION, params=(ACTION.params[0],))
    assert not masked(card(action=plain)).cut


def test_the_link_is_not_in_a_card_that_is_logged() -> None:
    assert "jat_secret" not in repr(card()) + str(card())


def test_what_was_seen_changes_with_the_facts_alone() -> None:
    seen = card().seen
    assert seen == card(votes=(vote("bo@example.com", "approve"),)).seen == card(url="").seen
    assert seen != card(request=Request("POST", "https://other.example/pay")).seen
    assert seen != card(execution=replace(EXECUTION, params={"pin": "1235", "amount": 5.0})).seen
    assert seen != card(environment="prod").seen
    assert seen != card(action=replace(ACTION, risk="low")).seen


async def test_the_terminal_prints_one_line_once() -> None:
    lines: list[str] = []
    port = Terminal(lines.append)
    ref = await port.show(card(), None)
    assert await port.show(card(), ref) == ref
    await port.show(card(ask=replace(ROUND, state="met")), None)
    await port.show(card(replace(ROW, role="notice")), None)
    assert lines == [f"approve apr_1 ana@example.com {URL}\n"]


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError("I/O operation on closed file"), OSError(28, "full")])
async def test_a_closed_standard_output_stops_nothing(error: Exception) -> None:
    def write(text: str) -> None:
        raise error

    assert await Terminal(write).show(card(), None) == "lost"


async def test_standard_output_is_written_and_flushed(capsys: pytest.CaptureFixture[str]) -> None:
    await Terminal().show(card(), None)
    assert capsys.readouterr().out == f"approve apr_1 ana@example.com {URL}\n"


FUNCTION = replace(ACTION, run="agent", method="", path="", name="ops.restart", connector="ops", provider="ops")


def test_a_function_of_the_agents_own_goes_nowhere_from_here() -> None:
    card = build(page(action=FUNCTION, request=None, connects=False, places=()))
    assert (card.method, card.host, card.account) == ("", "", "")
    assert card.runs == "The agent itself: it is a function of the agent's own. Nothing is sent from here."


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"state": "released"}, "Nothing is done yet. It is the agent's turn to run it."),
        ({"state": "executing", "intent": True, "process": "claim"}, "The agent has begun to run it, and has not said"),
        ({"state": "succeeded", "result": Result(None, {}, "x")}, "Done, says the agent."),
        ({"state": "failed", "result": Result(None, {}, None)}, "It failed, says the agent."),
        ({"state": "unknown", "error": UNREPORTED}, "The agent began to run it and said no more"),
    ],
)
def test_what_became_of_it_is_the_agents_word(changes: dict[str, Any], says: str) -> None:
    given = replace(EXECUTION, **changes)
    assert build(page(action=FUNCTION, request=None, execution=given)).outcome.startswith(says)


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ("alice@example.com", "its time of keeping is over. The call ended on 25 Nov 2025"),
        ("erased:psn_1", "the person for whom the agent acted was erased here"),
    ],
)
def test_what_is_removed_is_said_to_be(user: str, why: str) -> None:
    gone = replace(EXECUTION, user=user, params={}, reason=None, state="denied", gone=("params", "result"))
    told = card(execution=gone, request=None, ask=replace(ROUND, state="denied"))
    assert why in told.removed
    assert (told.fields, told.method, told.runs, told.says) == ((), "", "", "")
    assert told.line == "Pay (what was asked for is removed)"
    assert told.outcome == "Denied. Nothing was sent."
    assert "psn_" not in told.user
    resolving = replace(told, role="resolve", open=True)
    assert told.removed in str(letter(resolving, "ask", URL).groups)
    assert told.removed in str(message(resolving, URL))
    assert "what was asked for is removed" in str(message(told, URL))


def test_an_answer_that_is_removed_is_not_one_that_was_lost() -> None:
    gone = replace(EXECUTION, state="succeeded", gone=("result",))
    assert card(execution=gone).outcome == "It happened. What Bank answered is removed."

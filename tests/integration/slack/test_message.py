"""Cards as Slack messages: whatever is in a card, Slack takes the message, and nobody reads in it what is not so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from jit_auth.channels.card import Card, Change, Decided, Details, Recent, Waiting
from jit_auth.channels.cut import detailed
from jit_auth.channels.slack.message import Message, bare, message, notice
from jit_auth.channels.slack.parts import units
from jit_auth.core.fields import Field, Line
from jit_auth.core.text import Part, visible
from tests.fakes.slack_blocks import elements, faults_of_blocks, shown

NOW = 1_764_064_800_000
ASK = "apr_0123456789"
ADDRESS = f"http://127.0.0.1:8080/approvals/{ASK}"
OWN = "http://127.0.0.1:8080/approvals/jat_personal"
SECRET = "S3CRET"
CONTENT = "C0NTENT"
DETAILS: tuple[Details, ...] = ("full", "summary", "none")
LABELS = ("Action", "For", "To", "Account", "Agent", "Through", "So", "The rules say", "It takes", "May decide too")
OURS = (
    *(f"{label}: " for label in LABELS),
    *("Approved by ", "Denied by ", "Open until ", "Labels: ", "Changed by an approver", "It would be able to"),
    *("mailbot says", "Last calls", "\u26a0", "Time ran out", "Withdrawn by"),
)
FORGED = "F0RGED"
EVIL = (
    *("<!channel> <@U0ANA> <https://evil.example|Approve>", "*bold* _it_ ~no~ `code` ```pre```", "&amp; &lt; > <"),
    *("\u202eevorppA", "\u05d0\u05d1\u05d2 \u0645\u0631\u062d\u0628\u0627", "\U0001f600" * 40, ":white_check_mark:"),
    *("a" * 3100, "\U0001f600" * 1600, "https://evil.example/approve", "   ", "\n\n\n\n\n", "\u27e8cut here\u27e9"),
    *(f"{label}{FORGED}" for label in OURS),
    *(f"first\n{label}{FORGED}" for label in OURS),
)

# Made visible once: a large text costs much, and is drawn often.
_TEXTS = [visible(text) for text in EVIL]
_WORDS = [visible(text, one_line=True) for text in EVIL]
texts = st.sampled_from(_TEXTS) | st.text(max_size=20).map(visible)
words = st.sampled_from(_WORDS) | st.text(max_size=20).map(lambda text: visible(text, one_line=True))
named = words.map(lambda text: text or "name")
people = st.sampled_from(("ana@example.com", "bo@example.com")) | words.filter(bool)


@st.composite
def some_fields(draw: st.DrawFn) -> Field:
    value = draw(texts) * draw(st.sampled_from((1, 1, 7)))
    if draw(st.integers(0, 5)) == 0:
        items = draw(st.lists(words, min_size=1, max_size=3)) * draw(st.sampled_from((1, 20)))
        lines = tuple(Line(str(n), text, "text") for n, text in enumerate(items, 1))
        text = "\n".join(f"{line.path}: {line.text}" for line in lines)
        return Field("items", text, len(lines), False, "text", kind="list", lines=lines)
    sensitive = draw(st.integers(0, 6)) == 0
    name = draw(st.sampled_from(("to", "subject", "amount")))
    return Field(name, SECRET + value if sensitive else value, len(value), sensitive, "text")


def tuples(of: st.SearchStrategy[Any], *, many: int = 1) -> st.SearchStrategy[tuple[Any, ...]]:
    """None, a few, or `many` times as many."""
    return st.builds(lambda found, times: tuple(found * times), st.lists(of, max_size=3), st.sampled_from((1, many)))


votes = st.builds(Decided, people, st.sampled_from(("approve", "deny")), st.just(NOW), texts)
changes = st.builds(Change, st.just("to"), texts, texts) | st.just(Change("pin", SECRET, SECRET, True))
cards = st.builds(
    Card,
    id=st.just("crd_1"),
    role=st.sampled_from(("decide", "decide", "resolve", "consent", "notice", "gather")),
    shared=st.booleans(),
    ask=st.just(ASK),
    person=people,
    environment=st.sampled_from(("test", "production", "p" * 200)),
    summary=tuples(st.builds(Part, words, st.booleans())).map(lambda parts: (Part("Send"), *parts)),
    action=st.just("mailhub.send"),
    title=st.just("Send an e-mail"),
    connector=st.just("MailHub"),
    risk=st.sampled_from(("low", "medium", "high", "critical")),
    effect=st.just("create"),
    consequence=st.just("Creates something new."),
    method=st.just("POST"),
    host=words,
    account=words,
    fields=tuples(some_fields(), many=70),
    agent=st.just("mailbot"),
    chain=tuples(named),
    user=words,
    reasons=tuples(texts),
    again=texts,
    says=texts,
    wants=tuples(words),
    decided=tuples(votes),
    open=st.booleans(),
    expires=st.just(NOW + 3_600_000),
    silence=st.just("If nobody decides, nothing is sent."),
    outcome=texts.map(lambda text: f"The call failed. {text}"),
    state=st.sampled_from(("paused", "succeeded", "failed", "denied", "expired", "cancelled", "unknown")),
    scopes=tuples(words, many=15),
    labels=tuples(words),
    unusual=tuples(texts),
    recent=tuples(st.builds(Recent, st.just(NOW), words, st.just("succeeded"))),
    others=tuples(people, many=20),
    changed=tuples(changes, many=20),
    editable=tuples(words),
    hold_for=st.sampled_from(((), (900_000, 3_600_000), (90_000,))),
    reminded=st.integers(0, 3),
    superseded=st.booleans(),
    gathered=tuples(st.builds(Waiting, st.just(ASK), words, st.just("high"), st.just(ADDRESS), words), many=20),
    note=words.map(lambda text: f"bo changed {text}. It is asked again."),
    cut=st.booleans(),
    url=st.just(OWN),
    waiting=st.integers(0, 200),
    page_only=st.booleans(),
)
quick = settings(
    max_examples=25, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)  # large cards on purpose; shrinking them takes minutes


def buttons(made: Message) -> list[dict[str, Any]]:
    return [element for _, element in elements(list(made.blocks)) if element["type"] == "button"]


def names(made: Message) -> list[str]:
    return [each["text"]["text"] for each in buttons(made)]


def lines(made: Message) -> Iterator[str]:
    for text in shown(list(made.blocks)):
        yield from text.split("\n")


def plain_card(**given: Any) -> Card:
    """A card in which all is short and harmless."""
    values: dict[str, Any] = {
        "id": "crd_1",
        "ask": ASK,
        "person": "ana@example.com",
        "environment": "test",
        "action": "mailhub.send",
        "summary": (Part("Send to x"),),
        "title": "Send an e-mail",
        "connector": "MailHub",
        "risk": "high",
        "effect": "create",
        "consequence": "Creates something new.",
        "method": "POST",
        "host": "api.example",
        "account": "1",
        "fields": (),
        "agent": "mailbot",
        "chain": ("mailbot",),
        "user": "alice",
        "reasons": (),
        "wants": (),
        "decided": (),
        "open": True,
        "expires": NOW,
        "silence": "Silence.",
        "outcome": "",
        "url": OWN,
    }
    return Card(**values | given)


@given(card=cards, details=st.sampled_from(DETAILS))
@quick
def test_slack_takes_it(card: Card, details: Details) -> None:
    for made in (message(detailed(card, details), ADDRESS), bare(detailed(card, details), ADDRESS)):
        assert faults_of_blocks(list(made.blocks)) == []
        assert len(made.blocks) <= 50
        assert sum(map(units, shown(list(made.blocks)))) <= 13_000
        assert 0 < units(unescape(made.text)) <= 4000


@given(card=cards, details=st.sampled_from(DETAILS))
@quick
def test_nothing_in_it_is_parsed(card: Card, details: Details) -> None:
    for made in (message(detailed(card, details), ADDRESS), bare(detailed(card, details), ADDRESS)):
        assert "mrkdwn" not in json.dumps([{**each, "block_id": ""} for each in made.blocks]).replace(CONTENT, "")
        for text in _texts(list(made.blocks)):
            assert (text["type"], text["emoji"]) == ("plain_text", False)
        assert "<" not in made.text
        assert ">" not in made.text


def _texts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)


@given(card=cards, details=st.sampled_from(DETAILS))
@quick
def test_no_foreign_line_poses_as_one_of_ours(card: Card, details: Details) -> None:
    made = message(detailed(card, details), ADDRESS)
    for line in lines(made):
        assert not any(line.strip().startswith(f"{label}{FORGED}") for label in OURS), line


@given(card=cards.filter(lambda card: card.role in ("decide", "resolve")))
@quick
def test_what_offers_to_approve_shows_all_of_it(card: Card) -> None:
    made = message(detailed(card, "full"), ADDRESS)
    if card.risk not in ("high", "critical") or not made.actions:
        return
    text = "\n".join(lines(made))
    for each in card.fields:
        assert not each.sensitive
        for line in [one.text for one in each.lines] or each.value_text.split("\n"):
            assert line in text
    said = (card.line, card.says, card.host, card.account, card.user, *card.reasons, *card.wants, *card.chain[:1])
    for foreign_text in said:
        for line in foreign_text.split("\n"):
            assert line in text
    assert not card.cut
    assert not card.page_only
    assert "cut here: open the page" not in text


@given(card=cards.filter(lambda card: card.role in ("decide", "resolve")), details=st.sampled_from(DETAILS))
@quick
def test_a_cut_card_of_high_risk_has_open_alone(card: Card, details: Details) -> None:
    cut = replace(card, risk="critical", open=True, cut=True, decided=())
    made = message(detailed(cut, details), ADDRESS)
    (only,) = buttons(made)
    assert (only["text"]["text"], only["url"]) == ("Open", ADDRESS)
    assert made.actions == frozenset()


@given(card=cards, details=st.sampled_from(DETAILS))
@quick
def test_the_first_button_that_approves_is_the_plain_one(card: Card, details: Details) -> None:
    made = message(detailed(card, details), ADDRESS)
    approving = [each for each in buttons(made) if "approve" in each["text"]["text"].lower()]
    if approving:
        assert approving[0]["action_id"] == "approve"
        assert approving[0]["value"] == ASK
        assert all(each["value"] == ASK for each in approving)
        assert "Deny" in names(made)


@given(card=cards.filter(lambda card: card.role in ("decide", "resolve")), details=st.sampled_from(DETAILS))
@quick
def test_the_text_is_all_that_a_phone_shows(card: Card, details: Details) -> None:
    copy = detailed(card, details)
    text = unescape(message(copy, ADDRESS).text)
    begins = f"[{card.environment}] {card.risk.upper()} RISK: {copy.line}"
    assert text.startswith(begins[:1000].partition("\u27e8")[0])
    assert "cut here" in text or text.startswith(begins)
    assert text.count("\n") == 0


@given(card=cards, details=st.sampled_from(DETAILS))
@quick
def test_sensitive_values_stay_here(card: Card, details: Details) -> None:
    copy = detailed(card, details)
    for made in (message(copy, ADDRESS), bare(copy, ADDRESS)):
        assert SECRET not in json.dumps(made.blocks) + made.text
    assert SECRET not in notice(copy, "still waits: ")


@given(card=cards.filter(lambda card: card.role == "decide" and card.decided))
@quick
def test_a_decided_card_names_who_decided_and_has_no_buttons(card: Card) -> None:
    for details in DETAILS:
        made = message(detailed(replace(card, open=False, superseded=False), details), ADDRESS)
        assert buttons(made) == []
        said = "\n".join(shown(list(made.blocks)))
        assert all(vote.who[:300] in said for vote in card.decided[:1])


@pytest.mark.parametrize("role", ["decide", "resolve", "consent", "notice", "gather"])
@pytest.mark.parametrize("is_open", [True, False])
def test_without_details_no_content_leaves(role: Any, is_open: bool) -> None:
    card = plain_card(
        role=role,
        open=is_open,
        summary=(Part("Send to "), Part(CONTENT, True)),
        fields=(Field("to", CONTENT, 7, False, "text"),),
        **dict.fromkeys(("consequence", "host", "account", "agent", "user", "again", "says", "note"), CONTENT),
        **dict.fromkeys(("chain", "reasons", "wants", "scopes", "labels", "unusual", "others", "editable"), (CONTENT,)),
        outcome=f"The call failed. {CONTENT}",
        state="failed",
        decided=(Decided("bo@example.com", "approve", NOW, CONTENT),),
        changed=(Change(CONTENT, CONTENT, CONTENT),),
        recent=(Recent(NOW, CONTENT, "succeeded"),),
        gathered=(Waiting(ASK, CONTENT, "high", ADDRESS, "Send an e-mail"),),
    )
    if role == "gather":
        card = replace(card, summary=(Part("1 request waits for you"),), outcome="All of it is over.")
    for made in (message(detailed(card, "none"), ADDRESS), bare(detailed(card, "none"), ADDRESS)):
        assert CONTENT not in json.dumps(made.blocks) + made.text
        assert "test" in made.text


def test_what_does_not_fit_is_told() -> None:
    fields = tuple(Field(f"f{n}", "x" * 2900, 2900, False, "text") for n in range(9))
    made = message(plain_card(risk="low", fields=fields, says="please"), ADDRESS)
    assert "More is on the page" in "\n".join(lines(made))
    assert names(made) == ["Approve", "Deny", "Open"]
    assert names(message(plain_card(risk="high", fields=fields), ADDRESS)) == ["Open"]


def test_a_shared_copy_carries_nobodys_link() -> None:
    for card in (plain_card(shared=True, url=ADDRESS), plain_card(shared=True, url=ADDRESS, cut=True)):
        assert [each["url"] for each in buttons(message(card, ADDRESS)) if "url" in each] == [ADDRESS]


def test_many_requests_in_one_message_are_listed_each_with_its_address() -> None:
    waiting = tuple(Waiting(f"apr_{n}", "x" * 3000, "high", f"{ADDRESS}{n}") for n in range(60))
    made = message(plain_card(role="gather", ask="", summary=(Part("60 requests wait"),), gathered=waiting), ADDRESS)
    assert sum(map(units, shown(list(made.blocks)))) <= 13_000
    assert [each["url"] for each in buttons(made)][:2] == [f"{ADDRESS}0", f"{ADDRESS}1"]
    assert "40 more, on the page." in "\n".join(lines(made))
    assert names(made)[-1] == "Open all of them"

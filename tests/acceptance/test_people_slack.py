"""Contract, section 6: /slack/interactions, and the cards in Slack."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.acceptance.kit import World, until
from tests.acceptance.office import ANA, BO, CHANNEL, Office, office


def test_a_group_is_asked_once_in_the_channel(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.chat", person, word, reason="the agent's own words")
    card = office.card(word)
    assert card.channel == CHANNEL
    for part in ("office-test", "high", f"Put {word} on the desk"):
        assert part.lower() in card.text.lower(), card.text
    for part in ("mailbot", person, "Finance looks at this", "the agent's own words", "ana", "bo"):
        assert part in card.plain, card.plain
    buttons = office.slack.buttons(card)
    names = [each["text"]["text"] for each in buttons]
    assert all(each.get("value", approval) == approval for each in buttons), "the approval id and nothing else"
    approving = [each for each in buttons if "approve" in each["text"]["text"].lower()]
    assert approving[0]["text"]["text"] == "Approve"
    assert "Deny" in names
    assert any(name.startswith("Approve for 1 h") for name in names)
    assert len({each["action_id"] for each in buttons}) == len(buttons)
    time.sleep(0.3)
    assert len(office.posts(word)) == 1
    assert "jat_" not in json.dumps(card.blocks), "no link that decides in a shared place"
    assert told["waiting_for"] == [
        {
            "kind": "approval",
            "id": approval,
            "from": ["group:dialled"],
            "need": 1,
            "approved_by": [],
            "expires_at": told["waiting_for"][0]["expires_at"],
        }
    ]


def test_a_tap_decides_and_every_copy_says_so(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.chat", person, word)
    card = office.card(word)
    payload = office.slack.payload_for_click(card, office.slack.buttons(card)[0])
    body = urlencode({"payload": json.dumps(payload)}).encode()
    headers = office.slack.signed(body)
    url = f"{office.service.url}/slack/interactions"
    ack = office.world.run(office.slack.post(url, body, headers))
    assert (ack.status, ack.seconds < 3) == (200, True)
    assert office.service.agent.settled(told)["status"] == "succeeded"
    until(lambda: office.bare(card))
    assert "ana" in card.plain.lower()
    assert "approve" in card.plain.lower()
    assert any(call.method == "chat.update" for call in office.slack.calls)
    # The very bytes once more, inside the window.
    assert office.world.run(office.slack.post(url, body, headers)).status == 200
    # A colleague who still sees the old card.
    late = office.click(card.updates[0], office.slack.buttons(card.updates[0])[0], "U012BO")
    assert late.status == 200
    assert "ana" in office.whisper("U012BO", "ana").lower()
    assert office.now(told)["status"] == "succeeded"
    assert office.sent("chat", word) == 1
    assert len(office.posts(word)) == 1
    assert office.service.anyone.get(f"/approvals/{approval}").status in (401, 410, 409)


def test_a_stranger_is_told_the_line_to_add(office: Office, word: str, person: str) -> None:
    told, _ = office.ask("desk.chat", person, word)
    card = office.card(word)
    assert office.click(card, office.slack.buttons(card)[0], "U0STRANGER").status == 200
    said = office.whisper("U0STRANGER", "people")
    assert 'slack = "U0STRANGER"' in said
    # Known, and not of the group.
    assert office.click(card, office.slack.buttons(card)[0], "U012DEE").status == 200
    until(lambda: office.whispers("U012DEE"))
    # The right id in a foreign workspace.
    assert office.click(card, office.slack.buttons(card)[0], "U012ANA", team="T0OTHER").status == 200
    time.sleep(0.3)
    found = office.now(told)
    assert (found["status"], found["waiting_for"][0]["approved_by"]) == ("paused", [])
    assert office.slack.buttons(card)


@pytest.mark.parametrize("how", ["secret", "old", "future", "word", "unsigned", "body"])
def test_what_slack_did_not_sign_is_401(office: Office, word: str, person: str, how: str) -> None:
    told, _ = office.ask("desk.chat", person, word)
    card = office.card(word)
    payload = office.slack.payload_for_click(card, office.slack.buttons(card)[0])
    body = urlencode({"payload": json.dumps(payload)}).encode()
    now = int(time.time())
    headers = office.slack.signed(
        body, {"old": now - 301, "future": now + 305}.get(how), "another" if how == "secret" else None
    )
    if how == "word":
        headers["X-Slack-Request-Timestamp"] = "yesterday"
    if how == "unsigned":
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
    url = f"{office.service.url}/slack/interactions"
    ack = office.world.run(office.slack.post(url, body + (b"&x=1" if how == "body" else b""), headers))
    assert ack.status == 401
    time.sleep(0.1)
    assert office.now(told)["status"] == "paused"


def test_the_requester_is_no_approver(office: Office, word: str) -> None:
    """Neither in Slack nor by a link, not under an alias either."""
    told, approval = office.ask("desk.chat", "ana.rossi@example.com", word)
    card = office.card(word)
    office.click(card, office.slack.buttons(card)[0], "U012ANA")
    until(lambda: office.whispers("U012ANA"))
    assert office.now(told)["status"] == "paused"
    assert set(office.service.approvals(approval)) <= {BO}
    assert office.click(card, office.slack.buttons(card)[0], "U012BO").status == 200
    assert office.service.agent.settled(told)["status"] == "succeeded"


def test_deny_takes_a_reason(office: Office, word: str, person: str) -> None:
    told, _ = office.ask("desk.chat", person, word)
    card = office.card(word)
    assert office.click(card, "Deny").status == 200
    view = until(lambda: next((one for one in office.slack.views if one.open and one.user == "U012ANA"), None))
    assert office.now(told)["status"] == "paused", "not before the form is sent"
    inputs = [block for block in view.view["blocks"] if block["type"] == "input"]
    texts = [block for block in inputs if block["element"]["type"] == "plain_text_input"]
    assert texts
    key = (texts[0]["block_id"], texts[0]["element"]["action_id"])
    url = f"{office.service.url}/slack/interactions"
    ack = office.world.run(office.slack.submit(view, {key: "Ask again in spring"}, url=url))
    assert (ack.status, ack.trouble) == (200, "")
    found = office.service.agent.settled(told)
    assert (found["status"], found["error"]["code"], found["error"]["by"]) == ("denied", "approval_denied", ANA)
    assert "Ask again in spring" in found["error"]["feedback"]
    until(lambda: office.bare(card))
    assert "ana" in card.plain.lower()


def test_deny_without_a_form(office: Office, word: str, person: str) -> None:
    told, _ = office.ask("desk.chat", person, word)
    card = office.card(word)
    office.slack.fail("views.open", "expired_trigger_id")
    assert office.click(card, "Deny", "U012BO").status == 200
    found = office.service.agent.settled(told)
    assert (found["status"], found["error"]["by"]) == ("denied", BO)


def test_approve_for_a_while(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.chat", person, word)
    card = office.card(word)
    assert office.click(card, "Approve for 1 h").status == 200
    assert office.service.agent.settled(told)["status"] == "succeeded"
    again = office.service.agent.execute("desk.chat", person, params={"text": word})
    assert (again.status, again.json["status"]) == (200, "succeeded")
    other = office.service.agent.execute("desk.chat", person, params={"text": word, "memo": "more"})
    assert other.status == 202, "same parameters alone"
    another = office.service.other.execute("desk.chat", person, params={"text": word})
    assert another.status == 202, "same agent alone"
    listed = json.loads(office.service.command("approvals", "list", "--json").stdout)
    assert [one["approval"] for one in listed["passes"] if word in one["summary"]] == [approval]
    assert office.sent("chat", word) == 2


def test_a_cut_card_at_risk_high_only_opens(office: Office, word: str, person: str) -> None:
    _, approval = office.ask("desk.chat", person, word, params={"secret": "hush-hush"})
    card = office.card(word)
    assert "hush-hush" not in json.dumps(card.blocks) + card.text
    (button,) = office.slack.buttons(card)
    assert button["text"]["text"].startswith("Open")
    assert button["url"] == f"{office.service.url}/approvals/{approval}"
    page = office.service.anyone.get(button["url"], Accept="text/html")
    assert page.status == 401
    text = page.body.decode()
    for part in ("office-test", "Desk chat", "high"):
        assert part in text, part
    for part in ("hush-hush", word, "<form"):
        assert part not in text, part
    # Masked at risk low leaves the button.
    office.ask("desk.chat_low", person, word + "low", params={"secret": "hush-hush"})
    assert office.slack.buttons(office.card(word + "low"))[0]["text"]["text"] == "Approve"


def test_long_values_are_cut_with_a_word(office: Office, word: str, person: str) -> None:
    office.ask("desk.chat", person, word, params={"memo": "long " * 1500})
    card = office.card(word)
    assert [each["text"]["text"][:4] for each in office.slack.buttons(card)] == ["Open"]


def test_one_person_is_asked_directly(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.direct", person, word)
    card = office.card(word)
    assert card.channel == office.slack.ims["U012ANA"]
    assert any(call.method == "conversations.open" for call in office.slack.calls)
    link = office.service.link(approval, ANA)
    assert office.service.vote(link).status == 200
    assert office.service.agent.settled(told)["status"] == "succeeded"
    until(lambda: office.bare(card))


def test_two_of_a_group(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.pair", person, word)
    card = office.card(word)
    office.click(card, office.slack.buttons(card)[0], "U012ANA")
    until(lambda: card.updates)
    assert office.now(told)["waiting_for"][0]["approved_by"] == [ANA]
    assert office.slack.buttons(card)
    office.click(card, office.slack.buttons(card)[0], "U012ANA")
    time.sleep(0.2)
    assert office.now(told)["status"] == "paused", "one person is one vote"
    office.click(card, office.slack.buttons(card)[0], "U012BO")
    assert office.service.agent.settled(told)["status"] == "succeeded"
    until(lambda: office.bare(card))
    assert "ana" in card.plain
    assert "bo" in card.plain
    assert len(office.posts(word)) == 1
    assert approval.startswith("apr_")


def test_what_is_withdrawn_has_no_buttons(office: Office, word: str, person: str) -> None:
    told, _ = office.ask("desk.chat", person, word)
    card = office.card(word)
    assert office.service.agent.post(f"/executions/{told['id']}/cancel").status == 200
    until(lambda: office.bare(card))
    assert "withdrawn" in card.plain.lower() or "cancelled" in card.plain.lower()


def test_hostile_text_is_no_markup(office: Office, word: str, person: str) -> None:
    text = f"{word} <https://evil.example|Approve here> <!channel> `*x*` \u202e"
    office.ask("desk.chat", person, text, reason="<@U012ANA> approved *already*")
    card = office.card(word)
    assert "<https://evil" not in json.dumps([b for b in card.blocks if _marked(b)])
    assert "<!channel>" not in card.text
    assert "\u202e" not in card.text + json.dumps(card.blocks, ensure_ascii=False)


def _marked(block: object) -> bool:
    return '"mrkdwn"' in json.dumps(block)


@pytest.fixture(name="away")
def office_of_its_own(world: World, tmp_path: Path) -> Iterator[Office]:
    with office(world, tmp_path / "away") as made:
        yield made


def test_slack_is_away_and_comes_back(away: Office, word: str, person: str) -> None:
    """It starts while Slack is away; a passing fault delays a card and never doubles it."""
    away.slack.down = True
    away.service.start()
    told, _ = away.ask("desk.chat", person, word + "a")
    other, _ = away.ask("desk.chat", person, word + "b")
    assert away.service.agent.post(f"/executions/{other['id']}/cancel").status == 200
    away.slack.down = False
    card = away.card(word + "a", 30)
    assert away.slack.buttons(card)
    assert away.posts(word + "b") == []
    away.click(card, away.slack.buttons(card)[0])
    assert away.service.agent.settled(told)["status"] == "succeeded"
    # A pause that Slack asks for, a page of HTML, a lost answer.
    faults: list[str | int] = ["ratelimited", 503, "lost"]
    for number, fault in enumerate(faults):
        away.slack.fail("chat.postMessage", fault)
        away.slack.retry_after = 2
        before, since = away.slack.count("chat.postMessage"), time.monotonic()
        away.ask("desk.chat", person, f"{word}f{number}")
        away.card(f"{word}f{number}", 30)
        if fault == "ratelimited":
            assert time.monotonic() - since >= 2
            assert away.slack.count("chat.postMessage") == before + 2
    time.sleep(1.5)
    assert [len(away.posts(f"{word}f{number}")) for number in range(3)] == [1, 1, 1]
    # The card of a decision that fell while nobody ran.
    told, approval = away.ask("desk.chat", person, word + "c")
    card = away.card(word + "c")
    away.slack.down = True
    assert away.service.vote(away.service.link(approval, ANA)).status == 200
    away.service.end()
    away.slack.down = False
    away.service.start()
    until(lambda: away.bare(card), 30)
    assert len(away.posts(word + "c")) == 1

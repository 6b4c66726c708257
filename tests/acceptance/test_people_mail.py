"""Contract, section 6: mails to approvers and users."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.kit import World, until
from tests.acceptance.office import BO, CY, DEE, Office, links, office
from tests.fakes.slack_api import Message
from tests.fakes.smtp import Mail


def test_one_mail_for_each_member_with_a_link_of_their_own(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.post", person, word, reason="the agent's own words")
    ana = office.mail("ana@example.com", word)
    bo, cy = office.mail(BO, word), office.mail(CY, word)
    for mail in (ana, bo, cy):
        assert mail.sender == "approvals@example.com"
        assert str(mail.message["From"]).endswith("approvals@example.com>") or "approvals@" in str(mail.message["From"])
        subject = str(mail.message["Subject"])
        for part in ("office-test", "medium", f"Put {word} on the desk"):
            assert part.lower() in subject.lower(), subject
        for part in ("mailbot", person, "Finance reads this mail", "the agent's own words"):
            assert part in mail.text, part
        assert [part.get_content_type() for part in mail.message.walk()][:3] == [
            "multipart/alternative",
            "text/plain",
            "text/html",
        ]
        (link,) = set(links(mail.text))
        assert link in mail.html
        assert any(line.strip() == link or f" {link}" in f" {line}" for line in mail.text.splitlines())
        assert "<script" not in mail.html
        assert "<form" not in mail.html
    assert len({links(mail.text)[0] for mail in (ana, bo, cy)}) == 3
    assert set(office.service.approvals(approval)) == {"ana@example.com", BO, CY}
    printed = office.service.command("approvals", "link", approval, "--as", BO)
    assert printed.stdout.splitlines() == [links(bo.text)[0]], "the link that was sent"
    assert office.service.anyone.get(links(bo.text)[0], Accept="text/html").status == 200
    assert office.now(told)["status"] == "paused"
    assert office.service.vote(links(bo.text)[0]).status == 200
    done = office.service.agent.settled(told)
    assert done["status"] == "succeeded"
    # The outcome, in the same thread.
    after = until(lambda: [mail for mail in office.inbox("ana@example.com", word) if mail is not ana])
    assert "bo" in after[-1].text
    assert _thread(after[-1]) & _thread(ana)
    late = office.service.vote(links(cy.text)[0])
    assert late.status == 409
    assert "bo@example.com" in late.body.decode()


def _thread(mail: Mail) -> set[str]:
    said = [str(mail.message[name] or "") for name in ("Message-ID", "References", "In-Reply-To")]
    return set(re.findall(r"<[^<>\s]+>", " ".join(said)))


def test_the_whole_link_stands_unbroken_in_the_raw_text_part(office: Office, word: str, person: str) -> None:
    office.ask("desk.post", person, word + " é " + "long " * 40)
    mail = office.mail(BO, word)
    raw = mail.raw.replace(b"\r\n", b"\n")
    (link,) = set(links(mail.text))
    encodings = [part["Content-Transfer-Encoding"] for part in mail.message.walk() if not part.is_multipart()]
    if encodings[0] in ("7bit", "8bit", None):
        assert link.encode() in raw
    assert link in mail.text


def test_text_of_others_is_no_markup_and_no_header(office: Office, word: str, person: str) -> None:
    office.ask("desk.post", person, f"{word}\r\nBcc: evil@example.com <b>now</b> \u202e http://evil.example/x")
    mail = office.mail(BO, word)
    assert mail.message["Bcc"] is None
    assert "<b>now" not in mail.html
    assert 'href="http://evil' not in mail.html
    assert "\u202e" not in mail.text + mail.html + str(mail.message["Subject"])


def test_sensitive_values_stay_at_home(office: Office, word: str, person: str) -> None:
    office.ask("desk.post", person, word, params={"secret": "hush-hush"})
    mail = office.mail(BO, word)
    assert "hush-hush" not in mail.text + mail.html
    assert "hush-hush" in office.service.anyone.get(links(mail.text)[0]).body.decode()


def test_a_bounce_goes_on_to_the_next_channel(office: Office, word: str, person: str) -> None:
    """The group's channel has its card; the member whose mailbox is gone gets a message of his own."""
    office.smtp.for_address[BO] = "550 5.1.1 No such user"
    told, approval = office.ask("desk.bounce", person, word)

    def direct() -> list[Message]:
        return [one for one in office.posts(word) if one.channel == office.slack.ims.get("U012BO")]

    (card,) = until(direct)
    assert len(office.posts(word)) == 2
    del office.smtp.for_address[BO]
    office.click(card, office.slack.buttons(card)[0], "U012BO")
    assert office.service.agent.settled(told)["status"] == "succeeded"
    said = [line for line in office.service.stderr.splitlines() if approval in line]
    assert any("550 5.1.1 No such user" in line and "slack" in line for line in said), "operators are told"


def test_a_mail_put_off_is_tried_again(office: Office, word: str, person: str) -> None:
    office.smtp.for_address[BO] = "450 4.2.0 Greylisted"
    office.ask("desk.post", person, word)
    office.mail(CY, word)
    del office.smtp.for_address[BO]
    office.mail(BO, word, 20)
    time.sleep(0.2)
    assert len(office.inbox(BO, word)) == 1
    assert len(office.inbox(CY, word)) == 1


def test_remind_escalate_warn_expire(office: Office, word: str, person: str) -> None:
    """remind = "1s", expires = "4s", escalate = { after = "1s", to = ["group:directors"] } without `counts`."""
    told, approval = office.ask("desk.hurry", person, word)
    first = office.mail(CY, word)
    asked = office.mail(DEE, word, 4)
    again = until(lambda: next(iter(office.inbox(CY, word)[1:]), None), 4)
    assert _thread(again) & _thread(first)
    assert links(again.text)[0] == links(first.text)[0], "one link per person"
    # Who is asked by escalation does not count.
    assert office.service.vote(links(asked.text)[0]).status in (403, 404)
    assert office.now(told)["status"] == "paused"
    assert office.event(told["id"], "approval.expiring").json["data"]["approval"] == approval
    done = office.service.agent.settled(told)
    assert (done["status"], done["error"]["code"]) == ("expired", "expired")
    assert office.event(told["id"], "approval.expired")
    assert office.service.vote(links(first.text)[0]).status == 410
    assert office.service.anyone.get(links(first.text)[0], Accept="text/html").status in (200, 410)


def test_a_consent_that_is_needed_reaches_the_user_once(office: Office, person: str) -> None:
    first = office.service.agent.execute("mailhub.list_messages", person)
    told, item = office.service.paused(first, "consent")
    mail = until(lambda: next(iter(office.smtp.inbox(person)), None))
    assert item["url"] in links(mail.text), "a link that works"
    for part in ("mailbot", "MailHub"):
        assert part in mail.text
    assert "Read your e-mail" in mail.text
    time.sleep(0.5)
    office.service.agent.get(f"/executions/{told['id']}")
    assert len(office.smtp.inbox(person)) == 1
    office.world.consent(links(mail.text)[0])
    assert office.service.agent.settled(told)["status"] == "succeeded"


@pytest.fixture(name="away")
def office_of_its_own(world: World, tmp_path: Path) -> Iterator[Office]:
    with office(world, tmp_path / "away") as made:
        yield made


def test_the_mail_server_is_away_and_comes_back(away: Office, word: str, person: str) -> None:
    away.world.run(away.smtp.stop())
    away.service.start()
    told, approval = away.ask("desk.post", person, word)
    time.sleep(0.3)
    away.service.restart()
    away.world.run(away.smtp.start())
    mail = away.mail(BO, word, 40)
    time.sleep(0.3)
    assert len(away.inbox(BO, word)) == 1
    assert away.service.vote(links(mail.text)[0]).status == 200
    assert away.service.agent.settled(told)["status"] == "succeeded"
    shown = json.loads(away.service.command("approvals", "show", approval, "--json").stdout)
    assert BO in json.dumps(shown["votes"])

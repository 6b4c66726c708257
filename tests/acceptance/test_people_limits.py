"""Contract, sections 2 and 5: nobody is worn down; and `unknown` is asked of people."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.acceptance.kit import Answer, World, until
from tests.acceptance.office import ANA, BO, CY, DEE, Office, links, office
from tests.fakes.browser import Browser


def test_equal_calls_join(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.chat", person, word, headers={"Idempotency-Key": word + "-1"})
    assert "joined" not in told or told["joined"] is False
    for number in range(2, 12):
        again = office.service.agent.execute(
            "desk.chat", person, params={"text": word}, headers={"Idempotency-Key": f"{word}-{number}"}, expires_in=60
        )
        assert again.status == 202
        assert (again.json["id"], again.json["joined"]) == (told["id"], True)
        assert again.json["expires_at"] == told["expires_at"]
    other = office.service.agent.execute("desk.chat", person, params={"text": word, "memo": "x"})
    assert other.json["id"] != told["id"]
    office.card(word)
    assert len([one for one in office.posts(word) if approval in json.dumps(one.blocks)]) == 1
    assert office.service.vote(office.service.link(approval, ANA)).status == 200
    assert office.service.agent.settled(told)["status"] == "succeeded"
    kept = office.service.agent.execute(
        "desk.chat", person, params={"text": word}, headers={"Idempotency-Key": f"{word}-7"}, expires_in=60
    )
    assert (kept.status, kept.json["id"], kept.json["status"]) == (200, told["id"], "succeeded")
    fresh = office.service.agent.execute("desk.chat", person, params={"text": word})
    assert fresh.json["id"] != told["id"]
    assert office.sent("chat", word) == 1


def test_equal_calls_at_once_join(office: Office, word: str, person: str) -> None:
    answers: list[Answer] = []

    def ask() -> None:
        answers.append(office.service.agent.execute("desk.chat", person, params={"text": word}))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer.json["id"] for answer in answers}) == 1
    assert len(office.service.agent.get(f"/executions?user={person}").json["items"]) == 1


def test_the_same_after_a_denial(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.quorum", person, word)
    office.service.vote(office.service.link(approval, BO), "deny")
    assert office.service.agent.settled(told)["status"] == "denied"
    for _ in range(3):
        again = office.service.agent.execute("desk.quorum", person, params={"text": word})
        assert again.status == 403
        assert again.json["execution"]["error"]["code"] == "recently_denied"
        assert again.json["execution"]["status"] == "denied"
    assert office.service.agent.execute("desk.quorum", person, params={"text": word, "memo": "x"}).status == 202
    assert office.service.agent.execute("desk.quorum", "q@example.com", params={"text": word}).status == 202
    # The next card says so.
    _, approval = office.ask("desk.quorum", person, word + "z")
    page = office.service.anyone.get(office.service.link(approval, BO), Accept="text/html").body.decode()
    assert re.search("denied", page)


def test_a_lost_answer_is_asked_of_people(office: Office, word: str, person: str) -> None:
    office.world.upstream.tell("/desk/lost", "hang-up")
    answer = office.service.agent.execute("desk.lost", person, params={"text": word})
    told = answer.json
    assert told["status"] == "unknown"
    assert office.event(told["id"], "execution.unknown")
    mail = office.mail(DEE, word)
    assert word in mail.text
    link = links(mail.text)[0]
    page = office.service.anyone.get(link, Accept="text/html")
    assert page.status == 200
    assert word in page.body.decode()
    listed = json.loads(office.service.command("approvals", "list", "--json").stdout)["items"]
    assert [item["kind"] for item in listed if item["execution"] == told["id"]] == ["outcome"]
    card = until(lambda: next((one for one in office.posts(word) if office.slack.buttons(one)), None))
    assert not [each for each in office.slack.buttons(card) if "approve" in each["text"]["text"].lower()]

    async def play(browser: Browser) -> int:
        opened = await browser.get(link)
        buttons = [text for form in opened.forms for text, _, _ in form.buttons]
        happened = next(text for text in buttons if "not" not in text.lower())
        (field,) = [name for name, _ in opened.form(happened).fields if name in ("note", "how", "feedback")]
        return (await browser.submit(happened, {field: "It lies on the desk"})).status

    assert office.world.browse(play) == 200
    done = office.now(told)
    assert done["status"] == "succeeded"
    again = office.service.anyone.post(link, {"outcome": "failed", "note": "no"})
    assert again.status in (409, 410)
    resolved = office.service.admin.post(f"/executions/{told['id']}/resolve", {"outcome": "failed", "note": "no"})
    assert resolved.status == 409
    until(lambda: office.bare(card))


def test_who_asked_does_not_say_what_became_of_it(office: Office, word: str) -> None:
    office.world.upstream.tell("/desk/lost", "hang-up")
    told = office.service.agent.execute("desk.lost", DEE, params={"text": word}).json
    assert told["status"] == "unknown"
    office.mail(ANA, word)
    assert not office.inbox(DEE, word)


@pytest.fixture(name="small")
def office_with_small_limits(world: World, tmp_path: Path) -> Iterator[Office]:
    def change(files: dict[str, str]) -> None:
        files["config.toml"] = files["config.toml"].replace(
            "asks_per_person_hour = 1000", 'asks_per_person_hour = 2\nopen_per_agent = 6\ndeny_cooldown = "2s"'
        )

    with office(world, tmp_path / "small", change) as made:
        made.service.start()
        yield made


def test_limits(small: Office, word: str, person: str) -> None:
    """The third and later requests come in one message; the seventh open one is 429; the cooldown ends."""
    asked = [small.ask("desk.post", person, f"{word}n{number}") for number in range(6)]
    full = small.service.agent.execute("desk.post", person, params={"text": word + "n6"})
    assert (full.status, full.code) == (429, "too_many_open")
    assert int(full.headers["retry-after"]) > 0
    assert small.service.other.execute("desk.quorum", person, params={"text": word + "-by-page"}).status == 202
    until(lambda: len(small.smtp.inbox(BO)) >= 3, 20)
    mails = small.smtp.inbox(BO)
    assert len(mails) == 3, [str(mail.message["Subject"]) for mail in mails]
    gathered = mails[2]
    (link,) = set(links(gathered.text))
    assert word + "n5" in gathered.text
    assert word + "-by-page" not in gathered.text + gathered.html, "a rule kept it off this channel"
    everything = small.service.anyone.get(link, Accept="text/html")
    if everything.status in (302, 303, 307):
        everything = small.service.anyone.get(urljoin(link, everything.headers["location"]), Accept="text/html")
    text = everything.body.decode()
    for number in range(2, 6):
        assert f"{word}n{number}" in text, "all of it on one page"

    async def play(browser: Browser, stale: str | None) -> tuple[int, str]:
        page = await browser.get(link)
        form = page.form("Approve")
        assert len(form.boxes) >= 4
        tick = [value for name, value in form.boxes if name in {each for _, each in asked[2:4]}]
        assert len(tick) == 2, form.boxes
        if stale is not None:
            assert small.service.agent.post(f"/executions/{stale}/cancel").status == 200
        done = await browser.submit("Approve", tick=tick, form=form)
        return done.status, done.text

    status, said = small.world.browse(lambda browser: play(browser, asked[2][0]["id"]))
    assert status == 409
    assert f"{word}n2" in said or asked[2][1] in said, "which one was stale"
    assert small.now(asked[3][0])["status"] == "paused", "all or nothing"
    # JSON: each with its digest.
    decisions = [{"id": approval, "decision": "approve", "digest": told["digest"]} for told, approval in asked[3:5]]
    wrong = [decisions[0], {**decisions[1], "digest": "sha256:" + "0" * 64}]
    assert small.service.anyone.post(link + "/all", {"decisions": wrong}).status == 409
    assert small.now(asked[3][0])["status"] == "paused"
    missing = [{"id": decisions[0]["id"], "decision": "approve"}]
    assert small.service.anyone.post(link + "/all", {"decisions": missing}).status in (400, 409, 422)
    assert small.service.anyone.post(link + "/all", {"decisions": decisions}).status == 200
    for told, _ in asked[3:5]:
        assert small.service.agent.settled(told)["status"] == "succeeded"
    # A place is free again.
    told, approval = small.ask("desk.quorum", person, word)
    small.service.vote(small.service.link(approval, CY), "deny")
    assert small.service.agent.execute("desk.quorum", person, params={"text": word}).status == 403

    def open_again() -> bool:
        return small.service.agent.execute("desk.quorum", person, params={"text": word}).status == 202

    until(open_again, 6)

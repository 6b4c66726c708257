"""Contract, sections 4 to 6: rounds, passes, links and channels, the less usual sentences."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.kit import World, until
from tests.acceptance.office import ANA, BO, CY, DEE, POLICIES, Office, links, office
from tests.fakes.browser import Browser

MORE = """
[[rule]]
id = "short"
match = ["mailhub.delete_everything"]
effect = "require_approval"
approval = { from = ["user:cy@example.com"], via = ["page"], expires = "2s" }
"""


@pytest.fixture(name="busy", scope="module")
def an_office_with_other_rules(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    def change(files: dict[str, str]) -> None:
        policies = POLICIES + MORE
        for old, new in (
            ('need = 2, via = ["slack', 'need = 2, for_max = "1d", max_uses = 2, via = ["slack'),
            ('["user:ana@example.com"], via = ["slack"]', '["user:cy@example.com"], via = ["slack"]'),
            ('to = ["group:directors"] }', 'to = ["group:directors"], counts = true }'),
            ('expires = "4s"', 'expires = "1m"'),
        ):
            assert old in policies, old
            policies = policies.replace(old, new)
        files["policies.toml"] = policies
        lines = files["config.toml"].splitlines()
        text = "\n".join(line for line in lines if not line.startswith("channel ="))
        text = text.replace('"desk.burn"', '"desk.burn", "mailhub.delete_everything"')
        files["config.toml"] = text.replace('notify = ["email"]', 'notify = ["slack", "email"]')

    with office(world, tmp_path_factory.mktemp("busy"), change) as made:
        made.service.start()
        yield made


def test_nobody_can_be_reached(busy: Office, word: str, person: str) -> None:
    answer = busy.service.agent.execute("desk.direct", person, params={"text": word})
    assert answer.status == 403
    assert answer.json["execution"]["error"]["code"] == "no_approver"


def test_without_a_channel_each_member_gets_a_message(busy: Office, word: str, person: str) -> None:
    told, _ = busy.ask("desk.pair", person, word)
    until(lambda: len(busy.posts(word)) == 2)
    assert {one.channel for one in busy.posts(word)} == {busy.slack.ims["U012ANA"], busy.slack.ims["U012BO"]}
    for user in ("U012ANA", "U012BO"):
        (card,) = [one for one in busy.posts(word) if one.channel == busy.slack.ims[user]]
        assert busy.click(card, busy.slack.buttons(card)[0], user).status == 200
        until(lambda: len(busy.posts(word)) == sum(bool(one.updates) for one in busy.posts(word)))
    assert busy.service.agent.settled(told)["status"] == "succeeded"
    until(lambda: all(busy.bare(one) for one in busy.posts(word)))
    for one in busy.posts(word):
        assert "ana" in one.plain
        assert "bo" in one.plain


def test_a_pass_needs_every_vote_and_has_so_many_uses(busy: Office, word: str, person: str) -> None:
    told, approval = busy.ask("desk.pair", person, word)
    assert busy.service.vote(busy.service.link(approval, ANA), **{"for": "1h"}).status == 200
    assert busy.service.vote(busy.service.link(approval, BO)).status == 200
    busy.service.agent.settled(told)
    assert busy.service.agent.execute("desk.pair", person, params={"text": word}).status == 202, "not by every vote"
    told, approval = busy.ask("desk.pair", person, word + "b")
    assert busy.service.vote(busy.service.link(approval, ANA), **{"for": "1h"}).status == 200
    assert busy.service.vote(busy.service.link(approval, BO), **{"for": "2h"}).status == 200
    busy.service.agent.settled(told)
    statuses = [busy.service.agent.execute("desk.pair", person, params={"text": word + "b"}).status for _ in range(3)]
    assert statuses == [200, 200, 202]
    # A denial of the same ends what is left of one.
    told, approval = busy.ask("desk.pair", person, word + "c")
    for who in (ANA, BO):
        busy.service.vote(busy.service.link(approval, who), **{"for": "1h"})
    busy.service.agent.settled(told)
    listed = json.loads(busy.service.command("approvals", "list", "--json").stdout)["passes"]
    (held,) = [one for one in listed if word in one["summary"]]
    assert held["uses_left"] == 2
    assert sorted(held["voters"]) == [ANA, BO]


def test_escalation_that_counts(busy: Office, word: str, person: str) -> None:
    told, _ = busy.ask("desk.hurry", person, word)
    mail = busy.mail(DEE, word)
    assert busy.service.vote(links(mail.text)[0]).status == 200
    done = busy.service.agent.settled(told)
    assert done["status"] == "succeeded"


def test_met_and_run_out_before_the_consent(busy: Office, person: str) -> None:
    """The approval is met, runs out while consent is missing, and is asked again under a new id when that is given."""
    answer = busy.service.agent.execute("mailhub.delete_everything", person, params={"id": "7"})
    assert answer.status == 202
    told = answer.json
    (consent,) = [item for item in told["waiting_for"] if item["kind"] == "consent"]
    (asked,) = [item for item in told["waiting_for"] if item["kind"] == "approval"]
    link = busy.service.link(asked["id"], CY)
    assert busy.service.vote(link).status == 200
    time.sleep(2.2)
    assert busy.now(told)["status"] == "paused"
    assert busy.service.vote(link).status in (409, 410)
    busy.world.consent(consent["url"])

    def again() -> str | None:
        items = busy.now(told)["waiting_for"]
        return next((item["id"] for item in items if item["kind"] == "approval" and item["id"] != asked["id"]), None)

    fresh = until(again)
    late = busy.service.vote(link)
    assert (late.status, late.code) == (409, "superseded")
    assert busy.service.vote(busy.service.link(fresh, CY)).status == 200
    busy.service.agent.settled(told)
    assert busy.now(told)["status"] in ("succeeded", "failed")


def test_a_consent_by_slack(busy: Office, word: str) -> None:
    told, item = busy.service.paused(busy.service.agent.execute("mailhub.list_messages", DEE), "consent")
    message = until(
        lambda: next((one for one in busy.slack.messages if one.channel == busy.slack.ims.get("U012DEE")), None)
    )
    assert item["url"] in json.dumps(message.blocks)
    assert "MailHub" in message.text, "on a locked phone too"
    busy.world.consent(item["url"])
    assert busy.service.agent.settled(told)["status"] == "succeeded"
    until(lambda: busy.bare(message))
    assert told["waiting_for"][0]["new_agent"] is False


def test_what_became_of_it_by_slack(busy: Office, word: str, person: str) -> None:
    busy.world.upstream.tell("/desk/lost", "hang-up")
    told = busy.service.agent.execute("desk.lost", person, params={"text": word}).json
    assert told["status"] == "unknown"
    card = until(lambda: next((one for one in busy.posts(word) if one.channel == busy.slack.ims.get("U012DEE")), None))
    buttons = [each for each in busy.slack.buttons(card) if "url" not in each]
    assert len(buttons) == 2
    no = next(each for each in buttons if "not" in each["text"]["text"].lower())
    assert busy.click(card, no, "U012DEE").status == 200
    view = until(lambda: next((one for one in busy.slack.views if one.open and one.user == "U012DEE"), None))
    inputs = [block for block in view.view["blocks"] if block["type"] == "input"]
    values = {(block["block_id"], block["element"]["action_id"]): "Nothing there" for block in inputs}
    ack = busy.world.run(busy.slack.submit(view, values, url=f"{busy.service.url}/slack/interactions"))
    assert (ack.status, ack.trouble) == (200, "")
    assert until(lambda: busy.now(told)["status"] == "failed")


def test_an_edit_leaves_the_old_card_powerless(busy: Office, word: str, person: str) -> None:
    told, approval = busy.ask("desk.edit", person, word, params={"memo": "old"})
    busy.service.vote(busy.service.link(approval, BO), params={"memo": "new"})
    now = busy.now(told)
    answer = busy.service.vote(busy.service.link(approval, CY), digest=told["digest"])
    assert (answer.status, answer.code) == (409, "superseded")
    fresh = now["waiting_for"][0]["id"]
    wrong = busy.service.vote(busy.service.link(fresh, CY), digest=told["digest"])
    assert (wrong.status, wrong.code) == (409, "digest_mismatch")
    assert busy.now(told)["status"] == "paused"
    form = busy.service.anyone.form(
        busy.service.link(fresh, CY), {"decision": "approve"}, Origin=busy.service.url, Sec_Fetch_Site="same-origin"
    )
    assert form.status in (400, 409), "a form carries the digest"
    assert busy.now(told)["status"] == "paused"
    for origin in ("null", "https://evil.example", "http://localhost:1"):
        assert (
            busy.service.anyone.post(busy.service.link(fresh, CY), {"decision": "approve"}, Origin=origin).status == 403
        )
    assert busy.service.vote(busy.service.link(fresh, CY), digest=now["digest"]).status == 200
    assert busy.service.agent.settled(told)["status"] == "succeeded"


def test_the_page_edits(busy: Office, word: str, person: str) -> None:
    told, approval = busy.ask("desk.edit", person, word, params={"memo": "old"})
    link = busy.service.link(approval, CY)

    async def play(browser: Browser) -> int:
        page = await browser.get(link)
        (form,) = [form for form in page.forms if any("memo" in name for name, _ in form.fields)]
        (name,) = [name for name, _ in form.fields if "memo" in name]
        ((label, _, _),) = form.buttons
        return (await browser.submit(label, {name: "typed"}, form=form)).status

    assert busy.world.browse(play) == 200
    assert until(lambda: busy.now(told)["params"]["memo"] == "typed")
    assert busy.now(told)["edited_by"] == CY


def test_what_later_stages_bring_is_refused(busy: Office, word: str, person: str) -> None:
    for path in (
        "/mcp",
        "/me",
        "/signin",
        "/console",
    ):
        assert busy.service.agent.get(path).status == 404, path
    found = busy.service.agent.execute("desk.free", person, params={"text": word}).json
    assert "released" not in found


def test_streams_refuse_what_they_do_not_know(busy: Office, word: str, person: str) -> None:
    told, _ = busy.ask("desk.quorum", person, word)
    answer = busy.service.agent.get(f"/executions/{told['id']}/events?wait=1")
    assert (answer.status, answer.code) == (400, "unknown_field")
    assert busy.service.agent.get("/executions/exe_nonsense/events").status == 404

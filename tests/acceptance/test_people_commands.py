"""Contract, sections 1 and 2: `jit-auth approvals`, `check` of channels, what is refused; `details`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.acceptance.kit import World, until
from tests.acceptance.office import ANA, BO, CHANNEL, CONFIG, CY, Office, links, office
from tests.fakes.serving import serving


def test_approvals_list_show_link(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.quorum", person, word, params={"secret": "hush-hush"}, reason="because")
    office.service.vote(office.service.link(approval, BO))
    came = office.service.command("approvals", "list")
    assert came.returncode == 0
    (line,) = [line for line in came.stdout.splitlines() if approval in line]
    for part in ("desk.quorum", "mailbot", person, word, "group:finance"):
        assert part in line
    (item,) = [
        one
        for one in json.loads(office.service.command("approvals", "list", "--json").stdout)["items"]
        if one["id"] == approval
    ]
    assert (item["execution"], item["risk"], item["action"]) == (told["id"], "high", "desk.quorum")
    for name in (approval, told["id"]):
        came = office.service.command("approvals", "show", name)
        assert came.returncode == 0
        for part in (approval, told["id"], word, BO):
            assert part in came.stdout, part
        assert "hush-hush" not in came.stdout
        assert "jat_" not in came.stdout
    for name in (approval, told["id"]):
        came = office.service.command("approvals", "link", name, "--as", CY)
        assert came.returncode == 0
        (link,) = came.stdout.splitlines()
        assert links(link) == [link]
    assert office.service.command("approvals", "link", approval, "--as", "ana.rossi@example.com").returncode == 0
    assert office.service.command("approvals", "link", approval, "--as", "zoe@example.com").returncode == 1
    assert office.service.command("approvals", "show", "apr_00000000000000000000000000").returncode == 1
    assert office.service.command("approvals", "link", approval).returncode == 2
    assert office.service.command("approvals").returncode == 2
    assert office.service.vote(link).status == 200
    assert office.service.agent.settled(told)["status"] == "succeeded"
    assert approval not in office.service.command("approvals", "list").stdout
    assert office.service.command("approvals", "link", approval, "--as", ANA).returncode == 1


def test_dead_links_say_what_to_do(office: Office, word: str, person: str) -> None:
    told, approval = office.ask("desk.quorum", person, word)
    link = office.service.link(approval, BO)
    for wrong in (link[:-1] + ("A" if link[-1] != "A" else "B"), office.service.url + "/approvals/jat_nonsense"):
        page = office.service.anyone.get(wrong, Accept="text/html")
        assert page.status == 404
        assert office.service.vote(wrong).status == 404
    assert office.service.vote(link, Origin="x") is not None
    foreign = office.service.anyone.post(link, {"decision": "approve"}, Origin="https://evil.example")
    assert foreign.status == 403
    for body in ({}, {"decision": "maybe"}, {"decision": "approve", "for": []}, {"decision": "approve", "params": 1}):
        assert office.service.anyone.post(link, body).status in (400, 409, 422), body
    office.service.agent.post(f"/executions/{told['id']}/cancel")
    for _ in range(2):
        assert office.service.vote(link).status == 410
    page = office.service.anyone.get(link, Accept="text/html")
    assert page.status in (200, 410)
    assert "Approve</button>" not in page.body.decode()


LATER = [
    ("asks_per", "asks_by", "asks_by_person_hour"),
    ('groups = ["finance"]\n', 'groups = ["finance"]\nphone = "1"\n', "phone"),
]


def test_unknown_and_later_keys_are_refused(own: Office) -> None:
    text = own.fill(CONFIG)
    for old, new, _ in LATER:
        assert old in text, old
        text = text.replace(old, new, 1)
    own.service.write("config.toml", text)
    came = own.service.command("check")
    assert came.returncode == 1
    for _, _, named in LATER:
        (fault,) = [line for line in came.stdout.splitlines() if f"'{named}'" in line]
        assert fault.split("/")[-1].startswith("config.toml:"), fault


WRONG = [
    ('channel = "C0', 'chanel = "C0', "chanel"),
    ('signing_secret = "signing-secret"\n', "", "signing_secret"),
    ('bot_token = "xoxb-bot"\n', "", "bot_token"),
    ('bot_token = "xoxb-bot"', 'bot_token = "xoxb-other"', "invalid_auth"),
    (f'channel = "{CHANNEL}"', 'channel = "C0NOWHERE"', "channel_not_found"),
    (f'channel = "{CHANNEL}"', f'channel = "{CHANNEL}"\nteam = "T0OTHER"', "T0OTHER"),
    (f'channel = "{CHANNEL}"', f'channel = "{CHANNEL}"\ndetails = "some"', "details"),
    ('slack = "U012BO"', 'slack = "U012ANA"', "U012ANA"),
    ('email = "bo@example.com"', 'email = "ana@example.com"', "ana@example.com"),
    ("smtp://127.0.0.1", "http://127.0.0.1", "smtp"),
    ('from = "approvals@example.com"', "", "from"),
    ('notify = ["email"]', 'notify = ["pigeon"]', "pigeon"),
    ('secret = "whsec_', 'secret = "', "whsec_"),
    ('secret = "whsec_d2', 'secret = "whsec_AA==" #', "24"),
    ("/hooks/", "/hooks", "callback_urls"),
]


@pytest.mark.parametrize(("old", "new", "named"), WRONG)
def test_check_names_what_is_wrong_with_a_channel(own: Office, old: str, new: str, named: str) -> None:
    own.service.write("config.toml", own.fill(CONFIG.replace(old, new, 1)))
    came = own.service.command("check")
    assert came.returncode == 1, came.stdout
    assert "config.toml:" in came.stdout
    assert named in came.stdout


def test_check_is_content(own: Office) -> None:
    came = own.service.command("check")
    assert (came.returncode, came.stdout.splitlines()[-1]) == (0, "ok"), came.stdout
    for wrong in (own.slack.messages, own.smtp.mails):
        assert wrong == [], "nothing is sent by it"


def test_check_while_nobody_answers(own: Office) -> None:
    own.slack.down = True
    own.world.run(own.smtp.stop())
    came = own.service.command("check")
    assert (came.returncode, came.stdout) == (0, "ok\n"), "`serve` starts while they are away"
    assert "slack" in came.stderr
    assert "email" in came.stderr or "smtp" in came.stderr


@pytest.fixture(name="own", scope="module")
def office_whose_files_are_rewritten(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Not running; tests leave its fakes as they were, but for the last."""
    with office(world, tmp_path_factory.mktemp("own")) as made:
        yield made


@pytest.fixture(autouse=True)
def rewritten(request: pytest.FixtureRequest) -> None:
    if "own" in request.fixturenames:
        made: Office = request.getfixturevalue("own")
        made.service.write("config.toml", made.fill(CONFIG))


@pytest.mark.parametrize("details", ["summary", "none"])
def test_details(world: World, tmp_path: Path, word: str, person: str, details: str) -> None:
    def change(files: dict[str, str]) -> None:
        text = files["config.toml"].replace("bot_token", f'details = "{details}"\nbot_token')
        files["config.toml"] = text.replace("smtp_url", f'details = "{details}"\nsmtp_url')

    with office(world, tmp_path / details, change) as made:
        made.service.start()
        _, approval = made.ask("desk.chat", person, word, params={"memo": "private-memo"}, reason="private-reason")
        made.ask("desk.post", person, word + "m", params={"memo": "private-memo"}, reason="private-reason")
        card = until(lambda: next(iter(made.slack.messages), None))
        mail = until(lambda: next(iter(made.smtp.inbox(BO)), None))
        for said in (
            card.text + json.dumps(card.blocks),
            mail.text + mail.html + str(mail.message["Subject"]),
        ):
            assert "private-memo" not in said
            assert "private-reason" not in said
            assert (word in said) == (details == "summary")
            assert "office-test" in said
        assert "high" in card.text.lower()
        (button,) = made.slack.buttons(card)
        assert button["url"].endswith(approval)
        assert "Desk chat" in card.plain


@pytest.fixture(name="plain")
def a_plain_slack(world: World) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """A server that says yes to everything, knows no history and tells no more than it must."""
    calls: list[tuple[str, dict[str, Any]]] = []

    async def answer(request: web.Request) -> web.Response:
        if request.content_type == "application/json":
            told = await request.json()
        else:
            told = {**request.query, **await request.post()}
        method = request.match_info["method"]
        calls.append((method, told))
        more: dict[str, Any] = {}
        if method == "auth.test":
            more = {"team_id": "T012", "user_id": "U0BOT"}
        elif method == "chat.postMessage":
            more = {"channel": told["channel"], "ts": f"{len(calls)}.000100"}
        elif method == "conversations.open":
            more = {"channel": {"id": "D" + told["users"][1:]}}
        elif method not in ("chat.update", "chat.postEphemeral", "views.open"):
            return web.json_response({"ok": False, "error": "unknown_method"})
        return web.json_response({"ok": True, **more})

    app = web.Application()
    app.router.add_post("/api/{method}", answer)
    app.router.add_get("/api/{method}", answer)
    context = serving(app)
    url = world.run(context.__aenter__())
    yield url, calls
    world.run(context.__aexit__(None, None, None))


def test_a_slack_that_tells_little(world: World, tmp_path: Path, word: str, person: str, plain: Any) -> None:
    """Not more of Slack is needed than posting, updating, opening and whispering."""
    url, calls = plain

    def change(files: dict[str, str]) -> None:
        lines = files["config.toml"].splitlines()
        files["config.toml"] = "\n".join(f'api_url = "{url}/api"' if "api_url" in line else line for line in lines)

    with office(world, tmp_path / "plain", change) as made:
        assert made.service.command("check").returncode in (0, 1)
        made.service.start()
        told, _ = made.ask("desk.chat", person, word)
        told2, _ = made.ask("desk.direct", person, word)
        posts = until(lambda: [one for name, one in calls if name == "chat.postMessage"][1:])
        posts = [one for name, one in calls if name == "chat.postMessage"]
        assert {one["channel"] for one in posts} == {CHANNEL, "D012ANA"}
        for found, name in ((told, CHANNEL), (told2, "D012ANA")):
            (shown,) = [one for one in posts if one["channel"] == name]
            blocks = shown["blocks"] if isinstance(shown["blocks"], list) else json.loads(shown["blocks"])
            button = next(
                element
                for block in blocks
                if block["type"] == "actions"
                for element in block["elements"]
                if "approve" in element["text"]["text"].lower()
            )
            payload = {
                "type": "block_actions",
                "user": {"id": "U012ANA", "team_id": "T012"},
                "team": {"id": "T012"},
                "channel": {"id": name},
                "container": {"type": "message", "message_ts": "1.000100", "channel_id": name},
                "message": {"ts": "1.000100"},
                "trigger_id": "1.2.3",
                "response_url": f"{url}/respond",
                "actions": [{"type": "button", "action_id": button["action_id"], "value": button["value"]}],
            }
            assert made.world.run(made.slack.deliver(payload, f"{made.service.url}/slack/interactions")).status == 200
            assert made.service.agent.settled(found)["status"] == "succeeded"
        until(lambda: [one for name, one in calls if name == "chat.update" and "actions" not in str(one["blocks"])][1:])
        assert len([name for name, _ in calls if name == "chat.postMessage"]) == 2

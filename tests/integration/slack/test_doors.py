"""The door for presses: what is not Slack's is refused before it is read, and what is, is never an error of ours."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.integration.slack.service import ANA, BO, Office

STAMP, SIGNATURE = "X-Slack-Request-Timestamp", "X-Slack-Signature"


async def body_of(office: Office) -> bytes:
    """A press of Approve by somebody who may."""
    (message,) = await office.posted("hello")
    payload = office.slack.payload_for_click(message, "approve", BO)
    return urlencode({"payload": json.dumps(payload)}).encode()


async def test_what_slack_did_not_sign_is_refused_and_decides_nothing(office: Office) -> None:
    asked = await office.ask()
    body = await body_of(office)
    now = int(office.slack.clock())
    good = office.slack.signed(body)
    mac = good[SIGNATURE]
    bad: dict[str, tuple[bytes, dict[str, str | None]]] = {
        "no signature": (body, {SIGNATURE: None}),
        "no time": (body, {STAMP: None}),
        "neither": (body, {SIGNATURE: None, STAMP: None}),
        "empty": (body, {SIGNATURE: "", STAMP: ""}),
        "wrong": (body, {SIGNATURE: "v0=" + "0" * 64}),
        "another secret": (body, dict(office.slack.signed(body, secret="other"))),
        "an empty secret": (body, dict(office.slack.signed(body, secret=""))),
        "old by 302 s": (body, dict(office.slack.signed(body, at=now - 302))),
        "early by 302 s": (body, dict(office.slack.signed(body, at=now + 302))),
        "another time than was signed": (body, {STAMP: str(now - 1)}),
        "no number": (body, {STAMP: "soon"}),
        "unicode digits": (body, {STAMP: "".join(chr(0x0660 + int(digit)) for digit in str(now))}),
        "huge": (body, dict(office.slack.signed(body, at=10**400))),
        "infinite": (body, {STAMP: "inf"}),
        "signed plus": (body, {STAMP: f"+{now}"}),
        "negative": (body, dict(office.slack.signed(body, at=-now))),
        "blanks inside": (body, {STAMP: f"{now} 1"}),
        "underscores": (body, {STAMP: f"{str(now)[:4]}_{str(now)[4:]}"}),
        "a fraction": (body, {STAMP: f"{now}.0"}),
        "altered": (body + b"&", {}),
        "altered inside": (body.replace(b"approve", b"approvE", 1), {}),
        "empty body": (b"", {}),
        "uppercase": (body, {SIGNATURE: mac.upper()}),
        "uppercase hex": (body, {SIGNATURE: "v0=" + mac[3:].upper()}),
        "another version": (body, {SIGNATURE: "v1" + mac[2:]}),
        "cut": (body, {SIGNATURE: mac[:-1]}),
        "long": (body, {SIGNATURE: mac + "0"}),
        "not ASCII": (body, {SIGNATURE: "v0=" + "\u00e9" * 64}),
        "two": (body, {SIGNATURE: f"{mac},{mac}"}),
    }
    for name, (sent, changed) in bad.items():
        headers = {key: value for key, value in (good | changed).items() if value is not None}
        answer = await office.slack.post(office.url, sent, headers)
        assert answer.status == 401, (name, answer)
        assert answer.json["code"] == "unauthenticated", name
        assert "hello" not in answer.body, name
    assert await office.undecided(asked)
    # The same press, as Slack signs it, at the edge of what is taken.
    assert (await office.slack.post(office.url, body, office.slack.signed(body, at=now - 290))).status == 200
    assert (await office.kit.ended(asked))["status"] == "succeeded"


async def test_nothing_but_a_post_is_taken(office: Office) -> None:
    for method in ("GET", "PUT", "DELETE"):
        async with office.kit.session.request(method, office.url) as reply:
            assert reply.status in (404, 405)


def form(text: str) -> bytes:
    return b"payload=" + quote(text).encode()


ODD: dict[str, bytes] = {
    "nothing": b"",
    "no form": b"{}",
    "no payload": b"a=b",
    "two payloads": form('{"type":"x","user":{"id":"U0BO"}}') * 2,
    "two payloads, joined": form('{"type":"x","user":{"id":"U0BO"}}') + b"&" + form('{"type":"x"}'),
    "too many fields": b"a=b&" * 20 + form('{"type":"x","user":{"id":"U0BO"}}'),
    "broken JSON": form('{"type":'),
    "deep": form("[" * 100_000 + "]" * 100_000),
    "deep inside": form('{"type":"x","user":{"id":"U0BO"},"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "a list": form("[]"),
    "null": form("null"),
    "a number": form("1e999"),
    "no type": form('{"user":{"id":"U0BO"}}'),
    "no user": form('{"type":"block_actions"}'),
    "a user that is text": form('{"type":"block_actions","user":"U0BO"}'),
    "an id that is a number": form('{"type":"block_actions","user":{"id":1}}'),
    "actions that are an object": form('{"type":"block_actions","user":{"id":"U0BO"},"actions":{}}'),
    "an action that is null": form('{"type":"block_actions","user":{"id":"U0BO"},"actions":[null]}'),
    "a value that is a list": form('{"type":"block_actions","user":{"id":"U0BO"},"actions":[{"value":[]}]}'),
    "a view that is text": form('{"type":"view_submission","user":{"id":"U0BO"},"view":"x"}'),
    "state that is a list": form('{"type":"view_submission","user":{"id":"U0BO"},"view":{"state":{"values":[]}}}'),
    "a channel that is text": form('{"type":"block_actions","user":{"id":"U0BO"},"channel":"C1"}'),
    "half a character": form('{"type":"x","user":{"id":"\\ud800"}}'),
    "not UTF-8": b"payload=%ff%fe",
    "not ASCII": "payload=\u00e9".encode(),
    "NUL": b"payload=%00",
    "broken escapes": b"payload=%zz%",
}


async def test_what_slack_signed_but_is_none_of_ours_is_refused(office: Office) -> None:
    for name, body in ODD.items():
        answer = await office.slack.post(office.url, body, office.slack.signed(body))
        assert answer.status == 400, (name, answer)
        assert answer.json["code"] == "bad_request", name
        assert answer.json["hint"], name


UNKNOWN: tuple[dict[str, Any], ...] = (
    {"type": "shortcut"},
    {"type": "block_actions"},
    {"type": "block_actions", "actions": [{"action_id": "approve"}]},
    {"type": "block_actions", "actions": [{"action_id": "approve", "value": "apr_../../x"}]},
    {"type": "block_actions", "actions": [{"action_id": "approve", "value": "apr_" + "0" * 5000}]},
    {"type": "block_actions", "actions": [{"action_id": "open", "value": "apr_1"}]},
    {"type": "block_actions", "actions": [{"action_id": "approve", "value": "apr_1"}], "channel": None, "team": None},
    {"type": "view_submission"},
    {"type": "view_submission", "view": {"private_metadata": "{", "callback_id": "deny"}},
    {"type": "view_submission", "view": {"private_metadata": "[" * 100_000, "callback_id": "deny"}},
    {"type": "view_submission", "view": {"private_metadata": '{"ask":"exe_1"}', "callback_id": "deny"}},
    {"type": "view_submission", "view": {"private_metadata": '{"ask":"apr_1"}', "callback_id": "other"}},
    {"type": "view_submission", "view": {"private_metadata": '{"ask":"apr_1"}', "callback_id": "deny", "state": {}}},
    {"type": "view_closed", "view": {}},
)


async def test_what_means_nothing_to_us_is_acknowledged_and_does_nothing(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    for payload in UNKNOWN:
        whole = {"user": {"id": ANA, "team_id": "T012"}, "team": {"id": "T012"}} | payload
        answer = await office.slack.deliver(whole, office.url)
        assert (answer.status, answer.body) == (200, ""), payload
    await office.click(message, "approve", BO)
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    assert "could not be worked off" not in caplog.text


async def test_it_is_acknowledged_before_anything_slow(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    office.slack.fail("auth.test", "hang")
    office.slack.fail("chat.update", "hang")
    answer = await office.click(message, "approve", BO)
    assert answer.seconds < 1
    assert answer.body == ""
    office.slack.release()
    assert (await office.kit.ended(asked))["status"] == "succeeded"


async def test_many_presses_at_once_are_all_acknowledged_soon(office: Office) -> None:
    asked = [await office.ask(text=f"number {number}.") for number in range(30)]
    messages = [(await office.posted(f"number {number}."))[0] for number in range(30)]
    answers = await asyncio.gather(*(office.click(message, "approve", BO) for message in messages))
    assert max(answer.seconds for answer in answers) < 2  # tests share their cores; benchmarks/clicks.py measures
    ended = [(await office.kit.ended(each))["status"] for each in asked]
    assert ended == ["succeeded"] * 30


async def test_presses_that_were_taken_are_worked_off_before_the_service_ends(resting: Office) -> None:
    async with resting.running():
        asked = await resting.ask()
        (message,) = await resting.posted("hello")
        await resting.click(message, "approve", BO)
    async with resting.running():
        assert (await resting.kit.ended(asked))["status"] == "succeeded"

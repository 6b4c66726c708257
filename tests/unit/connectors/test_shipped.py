"""The shipped connectors: sound, sourced, readable, and with the risk that their effect has."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec.structs import replace

from jit_auth.catalog.check import unreadable
from jit_auth.catalog.files import shipped_path
from jit_auth.catalog.load import Catalog, load
from jit_auth.catalog.validate import compiled, composed
from jit_auth.core.scopes import expand
from jit_auth.credentials import KINDS
from jit_auth.errors import Away, Broken
from jit_auth.model import Action, Reply, Token
from jit_auth.oauth.protocol import authorize_url
from jit_auth.oauth.replies import read_token

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "connectors"
CATALOG: Catalog = load([], {}, public_url="http://127.0.0.1:8080", allow_private=(), kinds=KINDS)
ACTIONS = [operation.action for operation in CATALOG.actions.values()]
SOURCE = re.compile(r"^# source: https://(docs\.github\.com|docs\.slack\.dev|developers\.google\.com)/\S+$")


def test_these_are_shipped() -> None:
    assert shipped_path() == FOLDER
    assert set(CATALOG.connectors) == {"gmail", "gcal", "github", "slack"}
    assert set(CATALOG.providers) == {"google", "github", "slack"}
    assert all(6 <= len(connector.actions) <= 12 for connector in CATALOG.connectors.values())


def test_what_is_shipped_is_made_for_the_provider_that_it_has_here() -> None:
    """Nothing of one deployment, its secret least of all, is left for the next load."""
    settings: list[dict[str, Any]] = [
        {},
        {"client_id": "one", "client_secret": "s1"},
        {"client_id": "one", "token_auth": "none"},
        {"client_id": "two", "client_secret": "s2"},
        {"client_id": "one", "client_secret": "s3"},
        {"scope_param": "user_scope"},
        {},
    ]
    for given in settings:
        catalog = load([], {"github": given}, public_url="http://a", allow_private=(), kinds=KINDS)
        provider = catalog.providers["github"]
        assert catalog.connectors["github"].provider == provider
        assert all(each.provider == provider for each in catalog.actions.values() if each.connector.id == "github")
        assert (provider.client_id, provider.client_secret) == (given.get("client_id"), given.get("client_secret"))
        assert provider.scope_param == given.get("scope_param", CATALOG.providers["github"].scope_param)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/*.toml")), ids=lambda path: path.parent.name)
def test_every_scope_list_carries_its_source(path: Path) -> None:
    lines = path.read_text().split("\n")
    for number, line in enumerate(lines):
        if re.match(r"(any_|base_)?scopes = |implies = |\[implies\]", line):
            assert SOURCE.match(lines[number - 1]), f"{path}:{number + 1}"


@pytest.mark.parametrize("folder", sorted(path for path in FOLDER.iterdir()), ids=lambda path: path.name)
def test_every_folder_explains_itself(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert "client_id" in text or "provider `google`" in text
    if (folder / "connector.toml").is_file():
        for action in CATALOG.connectors[folder.name].actions:
            assert action.name.partition(".")[2] in text, f"{action.name} is not in its README"


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_an_action_is_what_it_says(action: Action) -> None:
    assert action.effect == "read" or action.risk != "low" or action.retry != "never" or action.effect == "create"
    assert (action.method in ("GET", "HEAD")) <= (action.effect == "read")
    assert action.effect != "delete" or action.risk in ("high", "critical")
    assert action.effect != "read" or action.retry == "safe"
    assert action.effect not in ("create", "delete") or action.retry == "never" or action.name == "gmail.trash_message"
    assert len(action.name.replace(".", "__")) <= 64
    assert action.title[0].isupper()
    for param in action.params:
        for schema in _strings(param.schema):
            assert "maxLength" in schema or "pattern" in schema or "format" in schema, f"{param.name} has no bound"


def _strings(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for inner in schema for found in _strings(inner)]
    if not isinstance(schema, dict):
        return []
    found = [inner for value in schema.values() for inner in _strings(value)]
    return [*found, schema] if schema.get("type") == "string" else found


def test_approvers_can_read_every_write() -> None:
    assert [str(fault) for name in CATALOG.connectors for fault in unreadable(CATALOG, name)] == []


def test_every_schema_is_closed() -> None:
    for operation in CATALOG.actions.values():
        check = compiled(composed(operation.action.params))
        assert not check.is_valid({"nobody_knows_this": 1})


def test_every_scope_has_a_title_for_people() -> None:
    for connector in CATALOG.connectors.values():
        for action in connector.actions:
            for scope in (*action.scopes, *action.any_scopes):
                assert connector.provider.scope_titles.get(scope), f"{action.name}: {scope}"


def test_wider_scopes_stand_for_narrower_ones() -> None:
    prefix = "https://www.googleapis.com/auth/"
    google = CATALOG.providers["google"].implies
    assert f"{prefix}gmail.readonly" in expand(["https://mail.google.com/"], google)
    assert f"{prefix}gmail.send" in expand(["https://mail.google.com/"], google)
    assert f"{prefix}gmail.send" not in expand([f"{prefix}gmail.readonly"], google)
    assert f"{prefix}calendar.events.readonly" in expand([f"{prefix}calendar.events"], google)
    assert f"{prefix}gmail.modify" not in expand([f"{prefix}gmail.readonly", f"{prefix}gmail.labels"], google)
    assert "public_repo" in expand(["repo"], CATALOG.providers["github"].implies)


ASKED = [
    ("google", {"scope": "a b", "access_type": "offline", "prompt": "consent", "code_challenge_method": "S256"}),
    ("github", {"scope": "a b", "allow_signup": "false", "code_challenge_method": "S256"}),
    ("slack", {"user_scope": "a,b"}),
]


@pytest.mark.parametrize(("name", "asked"), ASKED)
def test_a_consent_is_asked_as_the_vendor_documents(name: str, asked: dict[str, str]) -> None:
    provider = replace(CATALOG.providers[name], client_id="c")
    url = authorize_url(
        provider, ("a", "b"), redirect_uri="https://x.example/", state="s", verifier="v" * 43, nonce=None
    )
    query = dict(parse_qsl(urlsplit(url).query))
    usual = {"response_type", "client_id", "redirect_uri", "state", "code_challenge"}
    assert {key: value for key, value in query.items() if key not in usual} == asked


DEAD = [
    ("google", 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}),
    ("github", 200, {"error": "bad_refresh_token", "error_description": "The refresh token is incorrect or expired."}),
    ("slack", 200, {"ok": False, "error": "invalid_refresh_token"}),
    ("slack", 200, {"ok": False, "error": "token_revoked"}),
]


@pytest.mark.parametrize(("name", "status", "body"), DEAD)
def test_a_refresh_token_that_is_dead_is_understood(name: str, status: int, body: dict[str, Any]) -> None:
    old = Token(access="at", refresh="rt", expires=1, lifetime=1)
    answer = Reply(status, (("content-type", "application/json"),), json.dumps(body).encode())
    with pytest.raises(Broken):
        read_token(answer, CATALOG.providers[name], sent=0, last=old)


def test_slacks_token_is_the_users_and_never_the_bots() -> None:
    def told(user: dict[str, str]) -> Reply:
        body = {"ok": True, "access_token": "xoxb", "scope": "c", "authed_user": {"id": "U1"} | user}
        return Reply(200, (("content-type", "application/json"),), json.dumps(body).encode())

    slack = CATALOG.providers["slack"]
    fresh = read_token(told({"access_token": "xoxp", "scope": "a,b"}), slack, sent=0)
    assert (fresh.token.access, fresh.scopes) == ("xoxp", ("a", "b"))
    with pytest.raises(Away):
        read_token(told({}), slack, sent=0)


CALLS = [
    ("gmail.list_messages", {"q": "from:ana", "labelIds": ["INBOX", "UNREAD"]},
     "GET https://gmail.googleapis.com/gmail/v1/users/me/messages?q=from%3Aana&labelIds=INBOX&labelIds=UNREAD", b""),
    ("gmail.trash_message", {"id": "18c"},
     "POST https://gmail.googleapis.com/gmail/v1/users/me/messages/18c/trash", b""),
    ("gmail.modify_message", {"id": "18c", "addLabelIds": ["X"]},
     "POST https://gmail.googleapis.com/gmail/v1/users/me/messages/18c/modify",
     b'{"addLabelIds":["X"],"removeLabelIds":[]}'),
    ("gmail.send_message", {"to": ["a@x.example"], "subject": "Hi", "text": "One", "threadId": "18c"},
     "POST https://gmail.googleapis.com/gmail/v1/users/me/messages/send",
     b'{"raw":"' + urlsafe_b64encode(
         b"To: a@x.example\r\nSubject: Hi\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n"
         b"Content-Transfer-Encoding: base64\r\n\r\nT25l\r\n") + b'","threadId":"18c"}'),
    ("gcal.create_event", {"summary": "s", "start": {"dateTime": "2026-11-24T10:00:00Z"}, "end": {"date": "2026-11-25"},
                           "attendees": [{"email": "a@b.example"}]},
     "POST https://www.googleapis.com/calendar/v3/calendars/primary/events?sendUpdates=none",
     b'{"attendees":[{"email":"a@b.example"}],"end":{"date":"2026-11-25"},'
     b'"start":{"dateTime":"2026-11-24T10:00:00Z"},"summary":"s"}'),
    ("gcal.list_events", {"calendarId": "a/b@c"},
     "GET https://www.googleapis.com/calendar/v3/calendars/a%2Fb%40c/events", b""),
    ("github.create_issue", {"owner": "o", "repo": "r.x", "title": "t"},
     "POST https://api.github.com/repos/o/r.x/issues", b'{"title":"t"}'),
    ("github.merge_pull_request", {"owner": "o", "repo": "r", "pull_number": 3, "sha": "a" * 40},
     "PUT https://api.github.com/repos/o/r/pulls/3/merge", b'{"sha":"' + b"a" * 40 + b'"}'),
    ("slack.post_message", {"channel": "C012", "text": "hi"}, "POST https://slack.com/api/chat.postMessage",
     b'{"channel":"C012","text":"hi","unfurl_links":false,"unfurl_media":false}'),
    ("slack.find_user_by_email", {"email": "a@b.example"},
     "GET https://slack.com/api/users.lookupByEmail?email=a%40b.example", b""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "params", "line", "body"), CALLS, ids=[call[0] for call in CALLS])
def test_what_leaves_is_what_the_vendor_documents(name: str, params: dict[str, Any], line: str, body: bytes) -> None:
    operation = CATALOG.actions[name]
    request = operation.build(operation.validate(params), {}, "exe_1", 0)
    assert f"{request.method} {request.url}" == line
    assert request.body == body

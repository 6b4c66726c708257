"""POST /execute: what never becomes an execution, each with its status, code, sentence and hint."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.kit import Answer, Http, Service


def body(**members: Any) -> dict[str, Any]:
    return {"action": "echo.say", "user": "who@example.com", "params": {"text": "x"}, **members}


def raw(service: Service, text: str | bytes) -> Answer:
    data = text.encode() if isinstance(text, str) else text
    return service.agent.post("/execute", data, Content_Type="application/json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        '"x"',
        "null",
        '{"action":"echo.say","action":"echo.say","user":"a@example.com","params":{"text":"x"}}',
        '{"action":"echo.say","user":"a@example.com","params":{"text":"x","text":"y"}}',
        '{"action":"echo.say","user":"a@example.com","params":{"text":"x\\u0000y"}}',
        '{"action":"echo.say","user":"a@example.com","params":{"text":"\\ud800"}}',
        '{"action":"echo.say","user":"a@example.com","params":{"text":"x","count":NaN}}',
        '{"action":"echo.say","user":"a@example.com","params":{"text":"x","count":Infinity}}',
        '{"action":"echo.say","user":"a@example.com","params":{"text":"x","count":1e400}}',
        '{"action":"echo.say","user":"a@example.com","params":{"text":"x","count":9007199254740992}}',
        '{"action":"echo.say","user":"a@example.com","params":{"text":"x","count":-9007199254740992}}',
        '\ufeff{"action":"echo.say","user":"a@example.com","params":{"text":"x"}}',
        '{"action":"echo.say","user":"a@example.com","params":{"text":"x"}} trailing',
    ],
)
def test_bad_json_is_400(service: Service, text: str) -> None:
    answer = raw(service, text)
    assert (answer.status, answer.code) == (400, "bad_json"), answer.body


def test_bytes_that_are_no_utf_8_are_400(service: Service) -> None:
    answer = raw(service, b'{"action":"echo.say","user":"a@example.com","params":{"text":"\xff"}}')
    assert (answer.status, answer.code) == (400, "bad_json")


def test_depth_16_passes_where_the_body_is_1(service: Service) -> None:
    # body 1, params 2, free 3: thirteen more make 16
    def nested(levels: int) -> str:
        return '{"a":' * levels + "1" + "}" * levels

    text = '{"action":"echo.places","user":"a@example.com","params":{"id":"x","part":1,"free":%s}}'
    assert raw(service, text % nested(14)).status == 200
    assert raw(service, text % nested(15)).code == "bad_json"


def test_1e21_is_a_double_and_passes(service: Service) -> None:
    params = '{"id":"x","part":1,"free":{"n":1e21,"m":9007199254740991}}'
    answer = raw(service, '{"action":"echo.places","user":"a@example.com","params":' + params + "}")
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic YTpi", "bearer "])
def test_no_token_is_401(service: Service, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for path in ("/execute", "/executions/exe_x/cancel"):
        answer = service.anyone.post(path, body(), **headers)
        assert answer.status == 401
        assert answer.code
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for path in ("/executions", "/executions/exe_x", "/actions", "/actions/echo.say"):
        assert service.anyone.get(path, **headers).status == 401


def test_401_comes_before_anything_is_told_about_the_body(service: Service) -> None:
    assert service.anyone.post("/execute", b"nonsense").status == 401


def test_the_admin_token_never_executes(service: Service) -> None:
    assert service.admin.post("/execute", body()).status in (401, 403)


def test_an_action_outside_the_globs_is_403_known_or_not(service: Service) -> None:
    for action in ("echo.look", "echo.nonsense", "nonsense.x", "keyed.read"):
        answer = service.other.execute(action, "alice@example.com")
        assert (answer.status, answer.code) == (403, "action_not_permitted"), action


def test_an_unknown_action_inside_the_globs_is_404(service: Service) -> None:
    answer = service.agent.execute("echo.sayy", "a@example.com")
    assert (answer.status, answer.code) == (404, "unknown_action")


def test_a_glob_never_covers_risk_critical(service: Service) -> None:
    answer = service.agent.execute("echo.erase", "a@example.com")
    assert (answer.status, answer.code) == (403, "action_not_permitted")
    named = service.agent.execute("mailhub.delete_everything", "a@example.com", params={"id": "1"})
    assert (named.status, named.code) == (403, "policy_denied")


def test_a_user_it_may_not_act_for_is_403(service: Service) -> None:
    answer = service.other.execute("echo.say", "mallory@example.com", params={"text": "x"})
    assert (answer.status, answer.code) == (403, "user_not_permitted")


@pytest.mark.parametrize(
    "user",
    [
        "",
        "*",
        "requester",
        "delegated",
        "REQUESTER",
        "group:finance",
        "user:x",
        "a/b",
        "a b@example.com",
        "a\u200bb@example.com",
        "a\u0007b",
        "x" * 255,
        "a@b@c",
        "a\u00a0b",
    ],
)
def test_ids_that_no_person_can_have_are_400(service: Service, user: str) -> None:
    answer = service.agent.post("/execute", body(user=user))
    assert (answer.status, answer.code) == (400, "bad_user"), answer.body


@pytest.mark.parametrize(
    ("user", "form"),
    [
        ("ALICE@Example.COM", "alice@example.com"),
        ("bob@B\u00fccher.example", "bob@xn--bcher-kva.example"),
        ("USER-7", "user-7"),
        ("x" * 254, "x" * 254),
        ("ana.rossi@example.com", "ana@example.com"),
    ],
)
def test_what_can_be_brought_into_the_form_is_and_is_answered_in_it(service: Service, user: str, form: str) -> None:
    answer = service.agent.post("/execute", body(user=user))
    assert answer.status == 200, answer.body
    assert answer.json["user"] == form
    listed = service.agent.get(f"/executions?user={form.replace('@', '%40')}").json["items"]
    assert answer.json["id"] in [item["id"] for item in listed]


def test_user_may_be_left_out_only_where_the_credential_is_shared(service: Service) -> None:
    answer = service.agent.execute("mailhub.list_messages")
    assert answer.status in (400, 422), answer.body
    assert answer.code


@pytest.mark.parametrize(
    ("member", "nearest"),
    [("parms", "params"), ("acount", "account"), ("return_ur", "return_url"), ("expires", "expires_in")],
)
def test_an_unknown_member_is_400_with_the_nearest_valid_one(service: Service, member: str, nearest: str) -> None:
    answer = service.agent.post("/execute", body(**{member: "x"}))
    assert (answer.status, answer.code) == (400, "unknown_field")
    assert nearest in answer.json["hint"]


def test_a_body_over_64_kib_is_413(service: Service) -> None:
    fits = json.dumps(body(params={"text": ""})).encode()
    exact = json.dumps(body(params={"text": "x" * (65536 - len(fits))})).encode()
    assert len(exact) == 65536
    assert raw(service, exact).status == 200
    answer = raw(service, exact.replace(b'"xx', b'"xxx'))
    assert answer.status == 413
    assert answer.code


@pytest.mark.parametrize(
    ("params", "pointers"),
    [
        ({}, ["/params/text"]),
        ({"text": 1}, ["/params/text"]),
        ({"text": "x", "txet": 1}, ["/params/txet"]),
        ({"text": "x", "count": -1}, ["/params/count"]),
        ({"text": "x", "count": 1.5}, ["/params/count"]),
        ({"text": None, "count": "1"}, ["/params/count", "/params/text"]),
    ],
)
def test_each_fault_of_the_params_has_its_pointer(
    service: Service, params: dict[str, Any], pointers: list[str]
) -> None:
    answer = service.agent.execute("echo.say", "a@example.com", params=params)
    assert (answer.status, answer.code) == (422, "invalid_params"), answer.body
    assert [pointer for pointer in pointers if pointer.encode() not in answer.body] == []


def test_nested_objects_are_closed_unless_their_schema_says_otherwise(service: Service) -> None:
    def put(**params: Any) -> Answer:
        return service.agent.execute("echo.places", "a@example.com", params={"id": "x", "part": 1, **params})

    assert put(person={"name": "x", "home": {"city": "y"}}, free={"any": {"thing": 1}}).status == 200
    for wrong, pointer in (({"nme": 1}, b"/params/person"), ({"home": {"street": 1}}, b"/params/person/home")):
        answer = put(person=wrong)
        assert answer.code == "invalid_params"
        assert pointer in answer.body


def test_formats_and_enums_are_enforced(service: Service) -> None:
    for params in ({"when": "yesterday"}, {"mode": "medium"}, {"part": "one"}):
        answer = service.agent.execute("echo.places", "a@example.com", params={"id": "x", "part": 1, **params})
        assert answer.code == "invalid_params", params
    answer = service.agent.execute("mailhub.send_message", "a@example.com", params={"to": ["nobody"], "subject": "x"})
    assert answer.code == "invalid_params"
    assert b"/params/to/0" in answer.body


@pytest.mark.parametrize("value", ["..", ".", "", "a/../b", "%2e%2e"])
def test_a_path_value_cannot_walk(service: Service, value: str) -> None:
    answer = service.agent.execute("echo.places", "a@example.com", params={"id": value, "part": 1})
    assert (answer.status, answer.code) == (422, "invalid_params")


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb"])
def test_header_values_refuse_line_breaks(service: Service, value: str) -> None:
    answer = service.agent.execute("echo.places", "a@example.com", params={"id": "x", "part": 1, "X-Trace": value})
    assert (answer.status, answer.code) == (422, "invalid_params")


@pytest.mark.parametrize("value", [59, 0, -1, 14 * 86400 + 1, "60", 60.5, True, None])
def test_expires_in_is_60_s_to_14_d(service: Service, value: Any) -> None:
    answer = service.agent.post("/execute", body(expires_in=value))
    if value is None:
        return  # null: as if left out, or a fault
    assert answer.status == 422, (value, answer.body)
    assert answer.code


def test_expires_in_and_its_default(service: Service, person: str) -> None:
    from datetime import datetime

    def seconds(told: dict[str, str]) -> float:
        times = [told["created_at"], told["expires_at"]]
        assert all(time.endswith("Z") for time in times)
        start, end = (datetime.fromisoformat(time) for time in times)
        return (end - start).total_seconds()

    paused = service.agent.execute("echo.ask", person, params={"text": "x"}).json
    assert seconds(paused) == 86400
    short = service.agent.execute("echo.ask", person, params={"text": "y"}, expires_in=60).json
    assert seconds(short) == 60
    item = short["waiting_for"][0]
    assert item["expires_at"] == short["expires_at"], "every expiry is cut to the execution's"
    assert (
        seconds({"created_at": paused["created_at"], "expires_at": paused["waiting_for"][0]["expires_at"]}) == 4 * 3600
    )
    longest = service.agent.execute("echo.ask", person, params={"text": "z"}, expires_in=14 * 86400).json
    assert seconds(longest) == 14 * 86400


@pytest.mark.parametrize(
    "members",
    [
        {"action": 1},
        {"action": None},
        {"user": 1},
        {"params": []},
        {"params": None},
        {"reason": 1},
        {"account": 1},
        {"return_url": 1},
    ],
)
def test_a_member_of_another_type_is_no_stack_trace(service: Service, members: dict[str, Any]) -> None:
    answer = service.agent.post("/execute", body(**members))
    if members == {"params": None} and answer.status == 200:
        return
    assert answer.status in (400, 422), answer.body
    assert answer.code


def test_an_action_is_needed(service: Service) -> None:
    answer = service.agent.post("/execute", {"user": "a@example.com", "params": {}})
    assert answer.status in (400, 422)
    assert answer.code


def test_return_urls_are_held_to_the_agents_prefixes(service: Service, person: str) -> None:
    for url in (
        "http://127.0.0.1:9000.evil.example/",
        "http://127.0.0.1:9001/",
        "https://127.0.0.1:9000/",
        "http://127.0.0.1:9000@evil.example/",
        "javascript:alert(1)",
        "http://127.0.0.1:9000",
    ):
        answer = service.agent.execute("echo.say", person, params={"text": "x"}, return_url=url)
        if url == "http://127.0.0.1:9000" and answer.status == 200:
            continue  # the same URL by RFC 3986
        assert answer.status in (400, 403, 422), url
        assert answer.code
    good = service.agent.execute("echo.say", person, params={"text": "x"}, return_url="http://127.0.0.1:9000/back?x=1")
    assert good.status == 200, good.body


def test_an_unknown_account_is_422(service: Service, person: str) -> None:
    answer = service.agent.execute("mailhub.list_messages", person, account="work")
    assert (answer.status, answer.code) == (422, "unknown_account")


def test_methods_paths_and_media(service: Service) -> None:
    assert service.agent.get("/execute").status == 405
    assert service.agent.get("/nothing-here").status == 404
    later = [
        "/me",
        "/console",
        "/mcp",
        "/signin",
        "/oauth/token",
        "/oauth/revoke",
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
        "/slack/interactions",
    ]
    for path in later:
        for caller in (service.agent, service.admin, service.anyone):
            for method in ("GET", "POST"):
                answer = caller.ask(method, path, {} if method == "POST" else None)
                assert answer.status == 404, (method, path, answer.status)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.2:8080", "localhost"])
def test_other_host_headers_get_421(service: Service, host: str) -> None:
    for path in ("/executions", "/approvals/jat_x", "/connect/jat_x", "/oauth/callback/mailhub"):
        assert service.agent.get(path, Host=host).status == 421, path
    assert service.agent.post("/execute", body(), Host=host).status == 421


def test_the_configured_hosts_and_health_under_any(service: Service) -> None:
    assert service.agent.get("/executions", Host=f"jit.localhost:{service.port}").status == 200
    for path in ("/healthz", "/readyz"):
        answer = service.anyone.get(path, Host="evil.example")
        assert answer.status == 200
        assert b"ok" in answer.body


def test_links_are_built_from_public_url_alone(service: Service, person: str) -> None:
    answer = service.agent.execute(
        "mailhub.list_messages", person, {"Host": f"jit.localhost:{service.port}", "X-Forwarded-Host": "evil.example"}
    )
    assert answer.json["waiting_for"][0]["url"].startswith(service.url + "/connect/")


def test_every_problem_is_problem_json(service: Service) -> None:
    for caller, path in (
        (Http(service.url, "x"), "/executions"),
        (service.agent, "/executions/exe_x"),
        (service.agent, "/x"),
    ):
        assert caller.get(path).code

"""What leaves, what comes back, and the digest that people approve."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import rfc8785

from tests.acceptance import files
from tests.acceptance.kit import Answer, Service, World, until

JSON = {"Content-Type": "application/json"}


def look(service: Service, world: World, person: str, *answers: Any, headers: dict[str, str] | None = None) -> Answer:
    world.upstream.tell("/v1/look", *answers)
    return service.agent.execute("echo.look", person, headers)


def result(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    told: dict[str, Any] = answer.json["result"]
    return told


def test_every_parameter_goes_where_it_belongs(service: Service, world: World, person: str) -> None:
    params = {
        "id": "a b/\u00fc?",
        "part": 7,
        "kind": "x&y=z",
        "tags": ["one", "two"],
        "X-Trace": "t-1",
        "when": "2026-11-24T10:00:00Z",
        "person": {"name": "Zo\u00eb", "home": {"city": "Oslo"}},
        "free": {"z": 1, "a": [1.0]},
    }
    answer = service.agent.execute("echo.places", person, params=params)
    assert answer.status == 200, answer.body
    seen = world.upstream.seen[-1]
    parts = urlsplit(seen.target)
    assert (seen.method, parts.path) == ("PUT", "/v1/things/a%20b%2F%C3%BC%3F/parts/7")
    assert parse_qsl(parts.query) == [("kind", "x&y=z"), ("tags", "one"), ("tags", "two")]
    assert seen.header("X-Trace") == "t-1"
    sent = {"when": params["when"], "person": params["person"], "free": params["free"], "mode": "slow"}
    assert json.loads(seen.body) == sent
    assert seen.body == rfc8785.dumps(sent), "the bytes are the ones that were hashed"
    assert seen.header("Content-Type") == "application/json"
    assert seen.header("Accept") == "application/json"
    assert (seen.header("User-Agent") or "").startswith("jit_auth/")
    assert seen.header("Authorization") is None
    assert seen.header("Host") == urlsplit(world.upstream.url).netloc
    assert seen.header("Cookie") is None


def test_query_for_get_and_delete_body_for_the_rest(service: Service, world: World, person: str) -> None:
    service.agent.execute("echo.look", person, params={"q": "a+b c"})
    seen = world.upstream.seen[-1]
    assert (seen.method, seen.body) == ("GET", b"")
    assert parse_qsl(urlsplit(seen.target).query) == [("q", "a+b c")]
    service.agent.execute("echo.risky", person, params={"text": "x"})
    assert world.upstream.seen[-1].body == b'{"text":"x"}'
    assert service.agent.execute("echo.look", person).status == 200
    assert urlsplit(world.upstream.seen[-1].target).query == ""


def test_results_by_media_type(service: Service, world: World, person: str) -> None:
    assert result(look(service, world, person, (200, JSON, b'{"a":[1,2.5,null]}')))["body"] == {"a": [1, 2.5, None]}
    vendor = {"Content-Type": "application/vnd.api+json; charset=utf-8"}
    assert result(look(service, world, person, (200, vendor, b"[1]")))["body"] == [1]
    assert result(look(service, world, person, (200, {"Content-Type": "text/html"}, b"<p>hi")))["body"] == "<p>hi"
    latin = {"Content-Type": "text/plain; charset=iso-8859-1"}
    assert result(look(service, world, person, (200, latin, "h\u00e9".encode("latin-1"))))["body"] == "h\u00e9"
    blob = {"Content-Type": "application/octet-stream"}
    assert result(look(service, world, person, (200, blob, b"\0\xff")))["body"] == {
        "base64": base64.b64encode(b"\0\xff").decode()
    }
    told = result(look(service, world, person, (204, {}, b"")))
    assert (told["status"], told["body"], told["untrusted"]) == (204, None, True)


def test_json_that_is_none_breaks_nothing(service: Service, world: World, person: str) -> None:
    for body in (b"{", b'{"a":1,"a":2}', b"[" * 500 + b"]" * 500, b'"\\ud800"', b"1e999", b"NaN"):
        answer = look(service, world, person, (200, JSON, body))
        assert answer.status == 200, (body, answer.body)
        assert answer.json["status"] == "succeeded"
        json.loads(answer.body)


def test_over_1_mib_is_truncated(service: Service, world: World, person: str) -> None:
    fits = json.dumps("x" * ((1 << 20) - 2)).encode()
    told = result(look(service, world, person, (200, JSON, fits)))
    assert len(told["body"]) == (1 << 20) - 2
    assert not told.get("truncated")
    told = result(look(service, world, person, (200, JSON, fits[:-1] + b'x"')))
    assert (told["body"], told["truncated"], told["status"]) == (None, True, 200)


def test_over_1_mib_after_decompression_is_truncated(service: Service, world: World, person: str) -> None:
    import gzip

    bomb = gzip.compress(b"x" * (64 << 20), 9)
    answer = look(service, world, person, (200, {"Content-Type": "text/plain", "Content-Encoding": "gzip"}, bomb))
    told = result(answer)
    assert (told["body"], told["truncated"], told["status"]) == (None, True, 200)
    assert result(look(service, world, person, (200, {**JSON, "Content-Encoding": "gzip"}, gzip.compress(b'{"a":1}'))))[
        "body"
    ] == {"a": 1}


def test_only_exposed_headers_come_back(service: Service, world: World, person: str) -> None:
    headers = {
        **JSON,
        "X-Request-Id": "r-1",
        "ETag": '"e"',
        "X-Other": "no",
        "Set-Cookie": "s=1",
        "WWW-Authenticate": "Bearer",
    }
    world.upstream.tell("/v1/things/x/parts/1", (200, headers, b"{}"))
    told = result(service.agent.execute("echo.places", person, params={"id": "x", "part": 1}))
    assert {name.lower(): value for name, value in told["headers"].items()} == {
        "content-type": "application/json",
        "x-request-id": "r-1",
        "etag": '"e"',
    }


def test_secret_fields_do_not_come_back(service: Service, world: World, person: str) -> None:
    body = {"token": "hush-1", "deep": [{"key": "hush-2", "open": "yes"}]}
    world.upstream.tell("/v1/things/x/parts/1", (200, JSON, json.dumps(body).encode()))
    answer = service.agent.execute("echo.places", person, params={"id": "x", "part": 1})
    assert answer.status == 200
    assert b"hush-1" not in answer.body
    assert b"hush-2" not in answer.body
    assert b"yes" in answer.body


def test_provider_errors_are_failed_and_kept(service: Service, world: World, person: str) -> None:
    for status in (400, 401, 403, 404, 409, 418, 422, 500, 501):
        answer = look(service, world, person, (status, JSON, b'{"why":"so"}'))
        told = answer.json
        assert (answer.status, told["status"]) == (200, "failed"), (status, told)
        assert (told["result"]["status"], told["result"]["body"]) == (status, {"why": "so"})
        assert told["error"]["code"]
        assert told["error"]["hint"]


def test_redirects(service: Service, world: World, person: str) -> None:
    base = world.upstream.url
    told = look(service, world, person, (302, {"Location": "/v1/other?x=1"}, b"")).json
    assert (told["status"], told["result"]["status"]) == ("succeeded", 200)
    assert world.upstream.seen[-1].target == "/v1/other?x=1"
    before = len(world.upstream.seen)
    told = look(
        service, world, person, (302, {"Location": base.replace("127.0.0.1", "localhost") + "/v1/other"}, b"")
    ).json
    assert (told["status"], told["result"]["status"]) == ("succeeded", 302), "another origin"
    assert "location" not in {name.lower() for name in told["result"]["headers"]}
    assert len(world.upstream.seen) == before + 1
    loop = [(302, {"Location": "/v1/look"}, b"")] * 9
    before = len(world.upstream.seen)
    told = look(service, world, person, *loop).json
    assert (told["status"], told["result"]["status"]) == ("succeeded", 302)
    assert len(world.upstream.seen) == before + 4, "at most 3"
    world.upstream.answers["/v1/look"].clear()
    world.upstream.tell("/v1/risky", (303, {"Location": "/v1/other"}, b""))
    before = len(world.upstream.seen)
    told = service.agent.execute("echo.risky", person).json
    assert (told["status"], told["result"]["status"]) == ("succeeded", 303), "GET only"
    assert len(world.upstream.seen) == before + 1


def test_a_key_never_changes_for_an_execution(service: Service, world: World, person: str) -> None:
    world.upstream.tell("/v1/once", "hang-up", (503, {}, b""), (201, JSON, b"{}"))
    answer = service.agent.execute("echo.once", person, {"Prefer": "wait=20"}, params={"text": person})
    assert answer.json["status"] in ("succeeded", "failed")
    seen = [each for each in world.upstream.of("/v1/once") if person.encode() in each.body]
    assert len(seen) >= 2
    keys = {each.header("Idempotency-Key") for each in seen}
    assert len(keys) == 1
    assert None not in keys
    service.agent.execute("echo.once", person, params={"text": person})
    assert world.upstream.of("/v1/once")[-1].header("Idempotency-Key") not in keys


def test_a_lost_answer(service: Service, world: World, person: str) -> None:
    world.upstream.tell("/v1/look", "hang-up")
    before = len(world.upstream.of("/v1/look"))
    told = service.agent.execute("echo.look", person, {"Prefer": "wait=10"}).json
    assert told["status"] == "succeeded", "a read is sent again"
    assert len(world.upstream.of("/v1/look")) == before + 2
    for answer in ("hang-up", (408, {}, b""), (502, {}, b""), (504, {}, b"")):
        before = len(world.upstream.of("/v1/risky"))
        world.upstream.tell("/v1/risky", answer)
        lost = service.agent.execute("echo.risky", person)
        assert (lost.status, lost.json["status"]) == (200, "unknown"), answer
        assert lost.json["error"]["code"]
        assert len(world.upstream.of("/v1/risky")) == before + 1, "never twice"


def test_a_timeout_is_a_lost_answer(service: Service, world: World, person: str) -> None:
    world.upstream.tell("/v1/risky", 2.6, (200, JSON, b"{}"))
    before = len(world.upstream.of("/v1/risky"))
    answer = service.agent.execute("echo.risky", person, {"Prefer": "wait=10"})
    assert (answer.status, answer.json["status"]) == (200, "unknown")
    assert 1.8 < answer.seconds < 5
    assert len(world.upstream.of("/v1/risky")) == before + 1


def test_retry_after(service: Service, world: World, person: str) -> None:
    for path, action in (("/v1/risky", "echo.risky"), ("/v1/look", "echo.look")):
        before = len(world.upstream.of(path))
        world.upstream.tell(path, (429, {"Retry-After": "1"}, b"slow"), (200, JSON, b"{}"))
        answer = service.agent.execute(action, person, {"Prefer": "wait=10"})
        assert (answer.status, answer.json["status"]) == (200, "succeeded"), "a 429 counts as not executed"
        times = [seen.at for seen in world.upstream.of(path)][before:]
        assert len(times) == 2
        assert times[1] - times[0] >= 0.95
    world.upstream.tell("/v1/risky", (503, {"Retry-After": "1"}, b"slow"))
    before = len(world.upstream.of("/v1/risky"))
    told = service.agent.execute("echo.risky", person, {"Prefer": "wait=10"}).json
    assert told["status"] in ("failed", "unknown"), "a 503 does not count so for never"
    assert len(world.upstream.of("/v1/risky")) == before + 1


def test_a_retry_after_beyond_the_time_ends_it(service: Service, world: World, person: str) -> None:
    started = time.monotonic()
    world.upstream.tell("/v1/look", (429, {"Retry-After": "86400"}, b"slow"))
    told = service.agent.execute("echo.look", person, {"Prefer": "wait=5"}).json
    assert (told["status"], told["result"]["status"]) == ("failed", 429)
    assert time.monotonic() - started < 5


def test_an_outage_before_the_call_left_is_retried(own: Callable[..., Service], world: World, person: str) -> None:
    # Nothing listens there until the second attempt.
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from tests.acceptance.kit import free_port

    class Late(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    port, got = free_port(), list[str]()
    text = files.echo(world).replace(world.upstream.url, f"http://127.0.0.1:{port}")
    service = own({"connectors/echo/connector.toml": text}).start()
    told = service.agent.execute("echo.risky", person, {"Prefer": "wait=0"}, params={"text": "x"}).json
    assert told["status"] == "executing"
    until(lambda: service.agent.get(f"/executions/{told['id']}").json["status"] == "executing")
    server = HTTPServer(("127.0.0.1", port), Late)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        assert service.agent.settled(told)["status"] == "succeeded"
        assert got == ["/v1/risky"]
    finally:
        server.shutdown()
        server.server_close()


def digest(service: Service, action: str, user: str, **body: Any) -> str:
    answer = service.agent.execute(action, user, **body)
    told = answer.json.get("execution", answer.json)
    value: str = told["digest"]
    return value


def test_the_digest_is_of_the_call_and_of_nothing_else(service: Service, world: World, person: str) -> None:
    one = digest(service, "echo.say", person, params={"text": "x"})
    assert digest(service, "echo.say", person, params={"text": "x", "count": 1}) == one, "parameters after defaults"
    assert digest(service, "echo.say", person, params={"count": 1.0, "text": "x"}) == one, "RFC 8785 knows no 1.0"
    assert digest(service, "echo.say", person.upper(), params={"text": "x"}) == one, "ids have one form"
    assert digest(service, "echo.say", person, params={"text": "x"}, reason="another", expires_in=90) == one
    key = digest(service, "echo.once", person, params={"text": "x"})
    assert digest(service, "echo.once", person, params={"text": "x"}) == key, "what derives from the id is a fixed word"
    others = [
        digest(service, "echo.say", person, params={"text": "y"}),
        digest(service, "echo.say", person, params={"text": "x", "count": 2}),
        digest(service, "echo.say", person, params={"text": "x", "note": None}),
        digest(service, "echo.say", "not-" + person, params={"text": "x"}),
        digest(service, "echo.ask", person, params={"text": "x"}),
        service.other.execute("echo.say", "zed@example.com", params={"text": "x"}).json["digest"],
        digest(service, "echo.say", "zed@example.com", params={"text": "x"}),
    ]
    assert len({one, *others}) == len(others) + 1


def test_the_digest_survives_consent_and_a_restart_and_follows_the_destination(
    own: Callable[..., Service], world: World, person: str
) -> None:
    service = own().start()
    told, item = service.paused(service.agent.execute("mailhub.list_messages", person), "consent")
    say = service.agent.execute("echo.say", person, params={"text": "x"}).json
    world.consent(item["url"], user="digest")
    done = service.agent.settled(told)
    assert (done["status"], done["digest"]) == ("succeeded", told["digest"])
    assert done["account"] == "digest@example.com"
    service.restart()
    assert service.agent.get(f"/executions/{told['id']}").json == done
    assert digest(service, "echo.say", person, params={"text": "x"}) == say["digest"]
    later = service.agent.execute("mailhub.list_messages", person).json
    assert later["status"] == "succeeded"
    assert later["digest"] != told["digest"], "the account is known now"
    assert service.agent.execute("mailhub.list_messages", person).json["digest"] == later["digest"]
    service.end()
    service.write("connectors/echo/connector.toml", files.echo(world).replace("/v1", "/v2"))
    service.start()
    assert digest(service, "echo.say", person, params={"text": "x"}) != say["digest"]

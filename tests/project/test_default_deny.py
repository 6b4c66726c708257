"""Without credentials nothing is answered but health: every route, by every method it has, says no in one shape."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from jit_auth.app import Service, build
from jit_auth.config.load import load
from jit_auth.loading import load_bundle
from tests.project.tree import ROOT

HEALTH = {"/healthz", "/readyz"}
OPEN = {*HEALTH, "/openapi.json"}
PAGES = ("/connect/", "/approvals/", "/oauth/callback/")
CONFIG = """
[storage]
url = "sqlite:///t.db"
[vault]
keys = [{{ id = "k", file = "vault.key" }}]
[agents.bot]
secret_sha256 = "{digest}"
actions = ["mailhub.*"]
users = ["*"]
[providers.mailhub]
client_id = "c"
client_secret = "s"
[connectors]
paths = ["{connectors}"]
allow_private_hosts = ["127.0.0.1"]
"""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    key = tmp_path / "vault.key"
    key.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    key.chmod(0o600)
    connectors = ROOT / "examples" / "mailhub" / "connectors"
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(digest=hashlib.sha256(b"tok").hexdigest(), connectors=connectors))
    config.chmod(0o600)
    settings = load(config)
    async with build(settings, load_bundle(settings), write=lambda text: None) as running:
        yield running


async def test_every_route_refuses_whoever_shows_nothing(service: Service) -> None:
    async with TestClient(TestServer(service.app)) as client:
        asked = 0
        for route in service.app.router.routes():
            assert route.resource is not None
            path = re.sub(r"\{[^}]+\}", "nothing", route.resource.canonical)
            if route.method == "*" or path in OPEN:
                continue
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "session=wrong"}):
                reply = await client.request(route.method, path, headers=headers, json={}, allow_redirects=False)
                place = f"{route.method} {path} {headers}: {reply.status}"
                refused = {400, 403, 404} if path.startswith(PAGES) else {401}
                assert reply.status in refused, place
                assert "Set-Cookie" not in reply.headers, place
                assert "Access-Control-Allow-Origin" not in reply.headers, place
                asked += 1
        assert asked > 20


async def test_unknown_paths_and_methods_are_problems(service: Service) -> None:
    async with TestClient(TestServer(service.app)) as client:
        for method, path, status in (
            ("GET", "/nothing", 404),
            ("GET", "/execute", 405),
            ("DELETE", "/actions", 405),
            ("GET", "/connections", 401),
            ("GET", "/metrics", 401),
            ("GET", "/executions/../execute", 405),
        ):
            reply = await client.request(method, path)
            assert reply.status == status, (method, path)
            assert reply.content_type == "application/problem+json"
            problem = await reply.json()
            assert {"type", "title", "status", "detail", "code", "hint"} <= set(problem)
            assert problem["status"] == status
            assert problem["code"]


async def test_health_is_a_code_only_and_answers_under_any_host(service: Service) -> None:
    async with TestClient(TestServer(service.app)) as client:
        for path in sorted(HEALTH):
            reply = await client.get(path, headers={"Host": "probe.example"})
            assert (reply.status, await reply.text()) == (200, "ok")
        reply = await client.get("/actions", headers={"Host": "probe.example", "Authorization": "Bearer tok"})
        assert reply.status == 421

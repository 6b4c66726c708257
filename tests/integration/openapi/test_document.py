"""The document is the routes: none is missing from it, none is in it that this service does not have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from jit_auth import __version__
from jit_auth.app import build
from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.config.load import load
from jit_auth.loading import load_bundle
from jit_auth.web.openapi.document import OPERATIONS
from tests.integration.service.kit import Kit, kit

HOUSE = """
[issuers.corp]
issuer = "http://127.0.0.1:9/issuer"
client_id = "jit-auth"
client_secret = "s"
domains = ["example.com"]

[channels.slack]
bot_token = "xoxb-1"
signing_secret = "s"
api_url = "http://127.0.0.1:9/api/"
team = "T012"

[channels.email]
smtp_url = "smtp://127.0.0.1:9"
from = "approvals@example.com"
"""
WORLDS = {
    "plain": {},
    "house": {"config": HOUSE, "users": '[users]\nverify = "email"\n'},
    "app": {"users": '[users]\nverify = "app"\napp_url = "http://127.0.0.1:9/confirm"\napp_secret = "s"\n'},
}
Served = tuple[set[tuple[str, str]], dict[str, Any]]


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    async with kit(tmp_path, **WORLDS[request.param]) as found:
        yield found


async def served(world: Kit) -> Served:
    """The routes of a service, and what it says of them."""
    settings = load(world.folder / "config.toml", channels=CHANNEL_TABLES)
    async with build(settings, load_bundle(settings), write=lambda text: None) as service:
        routes = {
            (route.method, route.resource.canonical)
            for route in service.app.router.routes()
            if route.resource is not None and route.method not in ("*", "HEAD")
        }
        async with TestClient(TestServer(service.app)) as client:
            reply = await client.get("/openapi.json")
            assert (reply.status, reply.content_type) == (200, "application/json")
            return routes, await reply.json()


async def test_the_document_is_what_the_service_answers(world: Kit) -> None:
    routes, told = await served(world)
    described = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    assert described == routes
    # Five seconds of grammars, which every process that collects this file would pay.
    from openapi_spec_validator import OpenAPIV31SpecValidator

    assert list(OpenAPIV31SpecValidator(told).iter_errors()) == []
    assert told["info"]["version"] == __version__


async def test_every_description_is_of_a_route_that_some_configuration_has(tmp_path: Path) -> None:
    found: set[tuple[str, str]] = set()
    for name, parts in WORLDS.items():
        async with kit(tmp_path / name, **parts) as world:
            found |= (await served(world))[0]
    assert set(OPERATIONS) == found


async def test_it_names_nobody_and_nothing_of_the_configuration(tmp_path: Path) -> None:
    async with kit(tmp_path, **WORLDS["house"]) as world:
        text = str((await served(world))[1])
    for word in ("mailbot", "otherbot", "ana@", "alice", "9/issuer", "T012", world.url, "environment': 'test"):
        assert word not in text


async def test_it_is_open_under_our_own_name_alone(tmp_path: Path) -> None:
    async with kit(tmp_path) as world, world.running():
        assert (await world.call("GET", "/openapi.json", token="wrong")).status == 200
        refused = await world.call("GET", "/openapi.json", Host="evil.example")
        assert (refused.status, refused.json["code"]) == (421, "wrong_host")


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)


def test_no_operation_takes_one_parameter_twice() -> None:
    for (method, path), operation in OPERATIONS.items():
        taken = [(each["in"], each["name"]) for each in operation.get("parameters", ()) if "name" in each]
        assert len(set(taken)) == len(taken), (method, path)

"""GET /actions for models and programs: formats, search, pages; calls by a tool's name."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from jit_auth.catalog.formats import anthropic
from tests.integration.service.kit import OTHER, Kit, kit
from tests.unit.catalog.kit import ACTION, mailhub

ODATA = """
[actions."list_drive-items"]
title = "List files of a drive"
method = "GET"
path = "/messages"
scopes = ["mail.read"]
risk = "low"
effect = "read"
[actions."list_drive-items".params]
"$top" = { type = "integer", description = "How many files at most" }
"_top" = { type = "integer" }
"$filter" = { type = "string", required = true }
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    async with kit(tmp_path) as made:
        path = tmp_path / "connectors" / "mailhub" / "connector.toml"
        path.write_text(path.read_text() + ODATA)
        made.policies += '[[rule]]\nid = "list"\nmatch = ["mailhub.list_drive-items"]\neffect = "allow"\n'
        (tmp_path / "policies.toml").write_text(made.policies)
        async with made.running():
            yield made


async def names(world: Kit, query: str, **how: str) -> list[str]:
    answer = await world.call("GET", f"/actions?{query}", **how)
    assert answer.status == 200, answer.json
    return [item["name"] for item in answer.json["items"]]


async def test_tools_as_the_two_apis_take_them(world: Kit) -> None:
    known = (await world.call("GET", "/actions")).json["items"]
    openai = (await world.call("GET", "/actions?format=openai")).json
    anthropic = (await world.call("GET", "/actions?format=anthropic")).json
    assert [set(tool) for tool in openai] == [{"type", "function"}] * len(known)
    assert [set(tool) for tool in anthropic] == [{"name", "description", "input_schema"}] * len(known)
    assert [tool["function"]["name"] for tool in openai] == [item["tool_name"] for item in known]
    for item, one, other in zip(known, openai, anthropic, strict=True):
        assert one["type"] == "function"
        assert one["function"]["parameters"] == other["input_schema"]
        assert one["function"]["description"] == other["description"]
        schema = other["input_schema"]
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
        jsonschema_rs.meta.validate(schema)
        assert item["title"] in other["description"]
        assert f"risk is {item['risk']}" in other["description"]
        assert "paused" in other["description"]
    by_name = {item["name"]: tool["input_schema"] for item, tool in zip(known, anthropic, strict=True)}
    odd = by_name["mailhub.list_drive-items"]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", key) for key in odd["properties"])
    assert odd["required"] == ["_filter"]


def test_an_array_without_items_gets_some(tmp_path: Path) -> None:
    one, other = "{ type = 'array' }", "{ type = ['array', 'null'] }"
    more = f"params.tags = {one}\nparams.of = {{ type = 'object', properties = {{ x = {other} }} }}\n"
    action = ACTION + more
    tool = anthropic(mailhub(tmp_path, action=action).actions["mailhub.send"])
    assert tool["input_schema"]["properties"]["tags"] == {"type": "array", "items": {}}
    assert tool["input_schema"]["properties"]["of"]["properties"]["x"]["items"] == {}


async def test_a_bare_array_holds_all_or_the_first_of_them(world: Kit) -> None:
    whole = (await world.call("GET", "/actions?format=openai")).json
    assert (await world.call("GET", "/actions?format=openai&limit=2")).json == whole[:2]
    for query in ("format=openai&cursor=x", "format=mcp", "format=OpenAI", "format="):
        refused = await world.call("GET", f"/actions?{query}")
        assert (refused.status, refused.json["code"]) == (400, "bad_query"), query


async def test_the_best_come_first_and_the_same_each_time(world: Kit) -> None:
    assert (await names(world, "q=send+email+message"))[:2] == ["mailhub.send_message", "mailhub.send_mail"]
    assert len(await names(world, "q=e-mail")) == 4
    assert (await names(world, "q=send_message"))[0] == "mailhub.send_message"
    assert (await names(world, "q=mailhub__send_again"))[0] == "mailhub.send_again"
    assert await names(world, "q=delet") == ["mailhub.delete_message"]
    assert await names(world, "q=mesages") == await names(world, "q=messages")
    assert await names(world, "q=mail.delete") != []
    assert await names(world, "q=files+at+most") == ["mailhub.list_drive-items"]
    assert await names(world, "q=xylophone") == []
    assert await names(world, "q=") == await names(world, "")
    assert await names(world, "q=send") == await names(world, "q=SEND")
    for query in ("q=" + "x" * 201, "q=a%00b", "q=a&q=b"):
        refused = await world.call("GET", f"/actions?{query}")
        assert (refused.status, refused.json["code"]) == (400, "bad_query"), query


@pytest.mark.parametrize("question", ["", "&q=message+mail"])
async def test_pages_hold_each_action_once_and_know_their_list(world: Kit, question: str) -> None:
    whole, found, cursor = await names(world, question), [], ""
    while True:
        page = (await world.call("GET", f"/actions?limit=2{question}{cursor}")).json
        found += [item["name"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == whole
    for query, token in ((f"q=other{cursor}", {}), (f"limit=2{question}{cursor}", {"token": OTHER})):
        refused = await world.call("GET", f"/actions?{query}", **token)
        assert (refused.status, refused.json["code"]) == (400, "bad_query")


async def test_search_tells_nothing_of_other_agents_actions(world: Kit) -> None:
    assert await names(world, "q=delete+message", token=OTHER) == ["mailhub.list_messages"]
    assert await names(world, "q=delte", token=OTHER) == []
    for name in ("mailhub__delete_message", "mailhub__nothing"):
        refused = await world.call("GET", f"/actions/{name}", token=OTHER)
        assert (refused.status, refused.json["code"]) == (404, "unknown_action")
        assert "." not in refused.json["detail"].partition(name)[2].strip("'.")


async def test_a_call_by_the_tools_name_is_the_call(world: Kit) -> None:
    await world.connected()
    told = (await world.call("GET", "/actions/mailhub__note")).json
    assert told == (await world.call("GET", "/actions/mailhub.note")).json
    body: dict[str, Any] = {"user": "alice@example.com", "params": {"text": "x"}}
    first = await world.call("POST", "/execute", {"action": told["tool_name"]} | body, Idempotency_Key="k1")
    again = await world.call("POST", "/execute", {"action": told["name"]} | body, Idempotency_Key="k1")
    other = await world.call("POST", "/execute", {"action": told["name"]} | body)
    assert first.json["action"] == "mailhub.note"
    assert again.json["id"] == first.json["id"] != other.json["id"]
    assert first.json["digest"] == other.json["digest"]


async def test_a_model_fills_the_names_it_was_given(world: Kit) -> None:
    await world.connected()
    (tool,) = (await world.call("GET", "/actions?format=anthropic&q=drive")).json
    top = next(key for key in tool["input_schema"]["properties"] if key.startswith("_top_"))
    body = {"action": tool["name"], "user": "alice@example.com"}
    answer = await world.call("POST", "/execute", body | {"params": {top: 3, "_filter": "a", "_top": 1}})
    assert answer.json["params"] == {"$top": 3, "$filter": "a", "_top": 1}
    own = await world.call("POST", "/execute", body | {"params": {"$top": 3, "$filter": "a", "_top": 1}})
    assert own.json["digest"] == answer.json["digest"]
    both = await world.call("POST", "/execute", body | {"params": {top: 3, "$top": 3, "_filter": "a"}})
    assert (both.status, both.json["code"]) == (422, "invalid_params")
    by_name = body | {"action": "mailhub.list_drive-items", "params": {"_filter": "a"}}
    assert (await world.call("POST", "/execute", by_name)).status == 422


async def test_a_tools_name_is_refused_as_the_actions_would_be(world: Kit) -> None:
    for name in ("mailhub.delete_message", "mailhub.nothing", "gmail.send_message", "nothing.at_all"):
        body = {"user": "alice@example.com", "params": {}}
        by_tool = await world.call("POST", "/execute", {"action": name.replace(".", "__")} | body, token=OTHER)
        by_name = await world.call("POST", "/execute", {"action": name} | body, token=OTHER)
        assert (by_tool.status, by_tool.json) == (by_name.status, by_name.json)
    near = await world.call("POST", "/execute", {"action": "mailhub__send_mesage", "user": "a", "params": {}})
    assert (near.status, near.json["code"]) == (404, "unknown_action")
    assert "mailhub.send_message" in near.json["hint"]
    assert (await world.call("GET", "/actions/mailhub.send_mesage")).json[
        "hint"
    ] == "Did you mean mailhub.send_message?"


async def test_the_nearest_name_is_one_that_the_agent_may_use(world: Kit) -> None:
    call = {"user": "alice@example.com", "params": {}}
    outside = await world.call("POST", "/execute", {"action": "malhub.list_messages"} | call, token=OTHER)
    assert outside.json["code"] == "action_not_permitted"
    assert outside.json["hint"].startswith("Did you mean mailhub.list_messages?")
    for name in ("mailhub.delete_mesage", "mailhub.send_mesage"):
        refused = await world.call("POST", "/execute", {"action": name} | call, token=OTHER)
        shown = await world.call("GET", f"/actions/{name}", token=OTHER)
        for hint in (refused.json["hint"], shown.json["hint"]):
            assert "delete_message" not in hint
            assert "send_message" not in hint

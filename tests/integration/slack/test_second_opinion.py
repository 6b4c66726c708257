"""Another library's view of Block Kit (slackblocks): it makes the same blocks, and refuses what the fake does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from slackblocks import ActionsBlock, Button, ContextBlock, HeaderBlock, SectionBlock, Text, TextType
from slackblocks.errors import InvalidUsageError

from jit_auth.channels.slack.message import bare, message
from jit_auth.channels.slack.parts import button, context, header, plain, section
from tests.fakes.slack_blocks import faults_of_blocks
from tests.integration.slack.test_message import ADDRESS, cards


def text(block: dict[str, Any]) -> Text:
    return Text(block["text"], type_=TextType.PLAINTEXT)


def pressed(block: dict[str, Any]) -> Button:
    given = {name: block[name] for name in ("value", "style", "url") if name in block}
    return Button(text=text(block["text"]), action_id=block["action_id"], **given)


def rebuilt(block: dict[str, Any]) -> dict[str, Any]:
    """The same block, made by the other library."""
    named = {"block_id": block.get("block_id", "b")}
    made: Any
    match block["type"]:
        case "header":
            made = HeaderBlock(text(block["text"]), **named)
        case "section":
            accessory = pressed(block["accessory"]) if "accessory" in block else None
            made = SectionBlock(text(block["text"]), accessory=accessory, **named)
        case "context":
            made = ContextBlock(elements=[text(each) for each in block["elements"]], **named)
        case "actions":
            made = ActionsBlock(elements=[pressed(each) for each in block["elements"]], **named)
        case other:
            raise AssertionError(other)
    resolved: dict[str, Any] = made._resolve()
    return resolved


def bared(value: Any) -> Any:
    """A block without what the other library leaves out where it is false."""
    if isinstance(value, dict):
        return {name: bared(each) for name, each in value.items() if name != "emoji"}
    return [bared(each) for each in value] if isinstance(value, list | tuple) else value


@settings(max_examples=25, deadline=None)
@given(cards)
def test_every_message_is_what_the_other_library_makes(card: Any) -> None:
    for made in (message(card, ADDRESS), bare(card, ADDRESS)):
        for block in made.blocks:
            named = {"block_id": "b"} | block
            assert rebuilt(named) == bared(named)


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda n: {"type": "header", "text": plain("x" * n)}, 150),
        (lambda n: section("x" * n), 3000),
        (lambda n: {"type": "actions", "elements": [button("Go", "go", "v" * n)]}, 2000),
        (lambda n: {"type": "actions", "elements": [button("Go", "g" * n, "v")]}, 255),
        (lambda n: {"type": "actions", "elements": [button("Go", f"go{i}", "v") for i in range(n)]}, 25),
        (lambda n: {"type": "context", "elements": [plain("x")] * n}, 10),
    ],
)
def test_both_draw_the_same_line(make: Callable[[int], dict[str, Any]], most: int) -> None:
    assert faults_of_blocks([make(most)]) == []
    rebuilt(make(most))
    assert faults_of_blocks([make(most + 1)]) != []
    with pytest.raises(InvalidUsageError):
        rebuilt(make(most + 1))


def test_our_own_parts_stay_within_the_lines() -> None:
    rebuilt(header("x" * 1000))
    rebuilt(context(["x" * 5000] * 30))
    rebuilt({"type": "actions", "elements": [button("x" * 200, "a", "v")]})

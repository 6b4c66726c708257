"""The fake Slack takes the blocks that Slack takes, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.slack_blocks import faults_of_blocks


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def button(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "button", "text": plain(text), **more}


def section(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


ASK = [
    section("*Pay* 10 EUR?"),
    {
        "type": "actions",
        "block_id": "decide",
        "elements": [
            button("Approve", action_id="approve", value="r1", style="primary"),
            button("Deny", action_id="deny", value="r1"),
            button("Look at it", action_id="look", url="https://jit.example/r1"),
        ],
    },
]
MODAL = {
    "type": "modal",
    "title": plain("Deny"),
    "submit": plain("Deny"),
    "private_metadata": "r1",
    "blocks": [
        {
            "type": "input",
            "block_id": "why",
            "label": plain("Why?"),
            "element": {"type": "plain_text_input", "action_id": "text", "max_length": 10},
        },
        {
            "type": "input",
            "block_id": "how",
            "optional": True,
            "label": plain("How long?"),
            "element": {
                "type": "static_select",
                "action_id": "pick",
                "options": [{"text": plain("Once"), "value": "once"}, {"text": plain("Always"), "value": "always"}],
            },
        },
    ],
}


def actions(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements)}


def rich(*elements: dict[str, Any], kind: str = "rich_text_preformatted") -> dict[str, Any]:
    return {"type": "rich_text", "elements": [{"type": kind, "elements": list(elements)}]}


def confirm(title: int = 100, text: int = 300, yes: int = 30) -> dict[str, Any]:
    texts = {"title": plain("a" * title), "text": plain("a" * text), "confirm": plain("a" * yes), "deny": plain("n")}
    return button("a", confirm=texts)


WITHIN_AND_BEYOND: list[tuple[Callable[[int], list[dict[str, Any]]], int, str]] = [
    (lambda n: [{"type": "divider"}] * n, 50, "/blocks"),
    (lambda n: [section("a" * n)], 3000, "/blocks/0/text/text"),
    (lambda n: [{"type": "section", "fields": [plain("a")] * n}], 10, "/blocks/0/fields"),
    (lambda n: [{"type": "section", "fields": [plain("a" * n)]}], 2000, "/blocks/0/fields/0/text"),
    (lambda n: [{"type": "header", "text": plain("a" * n)}], 150, "/blocks/0/text/text"),
    (lambda n: [{"type": "context", "elements": [plain("a")] * n}], 10, "/blocks/0/elements"),
    (lambda n: [actions(*[button("a")] * n)], 25, "/blocks/0/elements"),
    (lambda n: [actions(button("a" * n))], 75, "/blocks/0/elements/0/text/text"),
    (lambda n: [actions(button("a", value="a" * n))], 2000, "/blocks/0/elements/0/value"),
    (lambda n: [actions(button("a", action_id="a" * n))], 255, "/blocks/0/elements/0/action_id"),
    (lambda n: [actions(button("a", url="https:" + "a" * (n - 6)))], 3000, "/blocks/0/elements/0/url"),
    (lambda n: [section("a", block_id="a" * n)], 255, "/blocks/0/block_id"),
    (lambda n: [actions(confirm(title=n))], 100, "/blocks/0/elements/0/confirm/title/text"),
    (lambda n: [actions(confirm(text=n))], 300, "/blocks/0/elements/0/confirm/text/text"),
    (lambda n: [actions(confirm(yes=n))], 30, "/blocks/0/elements/0/confirm/confirm/text"),
]


@pytest.mark.parametrize(("blocks", "most", "at"), WITHIN_AND_BEYOND)
def test_limits_of_blocks(blocks: Callable[[int], list[dict[str, Any]]], most: int, at: str) -> None:
    assert faults_of_blocks(blocks(most)) == []
    assert [fault.split()[-1] for fault in faults_of_blocks(blocks(most + 1))] == [f"[json-pointer:{at}]"]


@pytest.mark.parametrize(
    "blocks",
    [
        [section("")],
        [{"type": "section"}],
        [{"type": "section", "text": "bare"}],
        [{"type": "header", "text": {"type": "mrkdwn", "text": "a"}}],
        [section("a", colour="red")],
        [section("a", block_id="b"), section("a", block_id="b")],
        [actions(button("a", action_id="b"), button("c", action_id="b"))],
        [actions(button("a", url="no scheme"))],
        [actions(button("a", style="green"))],
        [actions()],
        [{"type": "context", "elements": []}],
        [rich({"type": "text", "text": ""})],
        [rich({"type": "user", "user_id": "U012ANA"})],
        [rich({"type": "text", "text": "a"}, kind="rich_text_table")],
        [{"type": "input", "label": plain("Why?"), "element": {"type": "plain_text_input"}}],
        [{"type": "image2"}],
        "text",
        [1],
    ],
)
def test_no_such_blocks(blocks: Any) -> None:
    assert faults_of_blocks(blocks) != []

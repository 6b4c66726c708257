"""What Slack takes as blocks, metadata and modal views, by the limits of its reference; and what text they show.

https://docs.slack.dev/reference/block-kit/blocks and its neighbours. A fault is worded as Slack words it, with the
pointer to the place: `must be less than 3001 characters [json-pointer:/blocks/0/text/text]`.
"""

from __future__ import annotations

import copy
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]

BLOCKS = {
    "section": {"text", "fields", "accessory", "expand"},
    "header": {"text"},
    "divider": set(),
    "context": {"elements"},
    "actions": {"elements"},
    "rich_text": {"elements"},
    "input": {"label", "element", "optional", "hint", "dispatch_action"},
}
"""The blocks of this fake, and what each may hold beside `type` and `block_id`."""
ELEMENTS = {
    "button": {"text", "url", "value", "style", "confirm", "accessibility_label"},
    "plain_text_input": {"initial_value", "multiline", "min_length", "max_length", "placeholder", "focus_on_load"},
    "radio_buttons": {"options", "initial_option", "confirm", "focus_on_load"},
    "static_select": {"options", "initial_option", "confirm", "focus_on_load", "placeholder"},
}
OPTIONS = {"radio_buttons": 10, "static_select": 100}
RICH = {"rich_text_section", "rich_text_preformatted", "rich_text_quote", "rich_text_list"}
INLINE = {
    "text": "text",
    "link": "url",
    "emoji": "name",
    "user": "user_id",
    "channel": "channel_id",
    "usergroup": "usergroup_id",
    "broadcast": "range",
    "date": "timestamp",
}
"""What may stand in a line of rich text, and what it cannot be without."""
VIEW = {"type", "title", "blocks", "submit", "close", "private_metadata", "callback_id", "clear_on_close"} | {
    "notify_on_close",
    "external_id",
}


class _Checker:
    """Walks blocks and notes every fault."""

    def __init__(self, modal: bool = False) -> None:
        self.modal = modal
        self.faults: list[str] = []
        self.block_ids: set[str] = set()

    def fault(self, what: str, at: str) -> None:
        self.faults.append(f"[ERROR] {what} [json-pointer:{at}]")

    def only(self, value: Json, allowed: set[str], at: str) -> None:
        for name in value:
            if name not in allowed:
                self.fault(f"invalid additional property: {name}", at)

    def string(self, value: Any, most: int, at: str, least: int = 1) -> bool:
        if not isinstance(value, str):
            self.fault("must be a string", at)
        elif len(value) < least:
            self.fault(f"must be more than {least - 1} characters", at)
        elif len(value) > most:
            self.fault(f"must be less than {most + 1} characters", at)
        else:
            return True
        return False

    def optional(self, value: Json, name: str, most: int, at: str, least: int = 1) -> None:
        if name in value:
            self.string(value[name], most, f"{at}/{name}", least)

    def items(self, value: Any, most: int, at: str, each: Callable[[Json, str], None], least: int = 1) -> None:
        if not isinstance(value, list):
            return self.fault("must be an array", at)
        if len(value) < least:
            self.fault(f"no less than {least} items allowed", at)
        if len(value) > most:
            self.fault(f"no more than {most} items allowed", at)
        for number, item in enumerate(value):
            if isinstance(item, dict):
                each(item, f"{at}/{number}")
            else:
                self.fault("must be an object", f"{at}/{number}")
        return None

    def text(self, value: Any, most: int, at: str, *, plain: bool = False) -> None:
        if not isinstance(value, dict):
            return self.fault("missing required field: text object", at)
        if value.get("type") not in (("plain_text",) if plain else ("plain_text", "mrkdwn")):
            return self.fault(f"unsupported type: {value.get('type')}", f"{at}/type")
        self.only(value, {"type", "text", "emoji" if value["type"] == "plain_text" else "verbatim"}, at)
        self.string(value.get("text"), most, f"{at}/text")
        return None

    def block(self, block: Json, at: str) -> None:
        kind = block.get("type")
        if not isinstance(kind, str) or kind not in BLOCKS or (kind == "input" and not self.modal):
            return self.fault(f"unsupported type: {kind}", f"{at}/type")
        self.only(block, BLOCKS[kind] | {"type", "block_id"}, at)
        if "block_id" in block and self.string(block["block_id"], 255, f"{at}/block_id"):
            if block["block_id"] in self.block_ids:
                self.fault(f"block_id already exists: {block['block_id']}", f"{at}/block_id")
            self.block_ids.add(block["block_id"])
        if kind == "section":
            self.section(block, at)
        elif kind == "header":
            self.text(block.get("text"), 150, f"{at}/text", plain=True)
        elif kind == "context":
            self.items(block.get("elements"), 10, f"{at}/elements", lambda value, at: self.text(value, 3000, at))
        elif kind == "actions":
            self.items(block.get("elements"), 25, f"{at}/elements", self.action)
            self.unique(block.get("elements"), f"{at}/elements")
        elif kind == "rich_text":
            self.items(block.get("elements"), 1000, f"{at}/elements", self.rich)
        elif kind == "input":
            self.text(block.get("label"), 2000, f"{at}/label", plain=True)
            if "hint" in block:
                self.text(block["hint"], 2000, f"{at}/hint", plain=True)
            self.element(block.get("element"), {"plain_text_input", "radio_buttons", "static_select"}, f"{at}/element")
        return None

    def section(self, block: Json, at: str) -> None:
        if "text" not in block and "fields" not in block:
            self.fault("missing required field: text", at)
        if "text" in block:
            self.text(block["text"], 3000, f"{at}/text")
        if "fields" in block:
            self.items(block["fields"], 10, f"{at}/fields", lambda value, at: self.text(value, 2000, at))
        if "accessory" in block:
            self.element(block["accessory"], {"button", "radio_buttons", "static_select"}, f"{at}/accessory")

    def unique(self, elements: Any, at: str) -> None:
        names = [item.get("action_id") for item in elements or () if isinstance(item, dict)]
        for name in {name for name in names if isinstance(name, str) and names.count(name) > 1}:
            self.fault(f"action_id already exists: {name}", at)

    def action(self, value: Json, at: str) -> None:
        self.element(value, {"button", "radio_buttons", "static_select"}, at)

    def element(self, value: Any, kinds: set[str], at: str) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        if kind not in kinds:
            return self.fault(f"unsupported type: {kind}", f"{at}/type")
        self.only(value, ELEMENTS[kind] | {"type", "action_id"}, at)
        self.optional(value, "action_id", 255, at)
        if kind == "button":
            self.button(value, at)
        elif kind == "plain_text_input":
            self.optional(value, "initial_value", 3000, at, least=0)
            for name, least in (("min_length", 0), ("max_length", 1)):
                if name in value and not (isinstance(value[name], int) and least <= value[name] <= 3000):
                    self.fault("must be between 0 and 3000", f"{at}/{name}")
        else:
            self.items(value.get("options"), OPTIONS[kind], f"{at}/options", self.option)
            if "initial_option" in value and value["initial_option"] not in (value.get("options") or []):
                self.fault("must be one of the options", f"{at}/initial_option")
        if "placeholder" in value:
            self.text(value["placeholder"], 150, f"{at}/placeholder", plain=True)
        if "confirm" in value:
            self.confirm(value["confirm"], f"{at}/confirm")
        return None

    def button(self, value: Json, at: str) -> None:
        self.text(value.get("text"), 75, f"{at}/text", plain=True)
        self.optional(value, "value", 2000, at)
        self.optional(value, "accessibility_label", 75, at)
        self.optional(value, "url", 3000, at)
        if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S+", str(value.get("url", "https://any"))):
            self.fault("must be a valid URL", f"{at}/url")
        if value.get("style", "primary") not in ("primary", "danger"):
            self.fault("must be primary or danger", f"{at}/style")

    def option(self, value: Json, at: str) -> None:
        self.only(value, {"text", "value", "description"}, at)
        self.text(value.get("text"), 75, f"{at}/text")
        self.string(value.get("value"), 150, f"{at}/value")
        if "description" in value:
            self.text(value["description"], 75, f"{at}/description")

    def confirm(self, value: Any, at: str) -> None:
        if not isinstance(value, dict):
            return self.fault("must be an object", at)
        self.only(value, {"title", "text", "confirm", "deny", "style"}, at)
        self.text(value.get("title"), 100, f"{at}/title", plain=True)
        self.text(value.get("text"), 300, f"{at}/text")
        for name in ("confirm", "deny"):
            self.text(value.get(name), 30, f"{at}/{name}", plain=True)
        return None

    def rich(self, value: Json, at: str) -> None:
        kind = value.get("type")
        if kind not in RICH:
            return self.fault(f"unsupported type: {kind}", f"{at}/type")
        if kind == "rich_text_list":
            self.only(value, {"type", "elements", "style", "indent", "offset", "border"}, at)
            if value.get("style") not in ("bullet", "ordered"):
                self.fault("must be bullet or ordered", f"{at}/style")
            return self.items(value.get("elements"), 1000, f"{at}/elements", self.rich)
        self.only(value, {"type", "elements"} | ({"border"} if kind != "rich_text_section" else set()), at)
        pre = kind == "rich_text_preformatted"
        return self.items(value.get("elements"), 1000, f"{at}/elements", lambda item, at: self.inline(item, at, pre), 0)

    def inline(self, value: Json, at: str, preformatted: bool) -> None:
        kind = value.get("type")
        if kind not in INLINE or (preformatted and kind not in ("text", "link")):
            return self.fault(f"unsupported type: {kind}", f"{at}/type")
        needed = INLINE[kind]
        if kind == "date":
            if not isinstance(value.get("timestamp"), int) or not isinstance(value.get("format"), str):
                self.fault("missing required field: timestamp and format", at)
        else:
            self.string(value.get(needed), 40_000, f"{at}/{needed}")
        style = value.get("style", {})
        if not isinstance(style, dict) or not set(style) <= {"bold", "italic", "strike", "code", "underline"}:
            self.fault("unsupported style", f"{at}/style")
        return None


def faults_of_blocks(blocks: Any) -> list[str]:
    """What is wrong with the blocks of a message."""
    checker = _Checker()
    checker.items(blocks, 50, "/blocks", checker.block, 0)
    return checker.faults


def faults_of_metadata(metadata: Any) -> list[str]:
    """What is wrong with the metadata of a message."""
    checker = _Checker()
    if not isinstance(metadata, dict):
        return ["[ERROR] must be an object [json-pointer:/metadata]"]
    checker.string(metadata.get("event_type"), 255, "/metadata/event_type")
    if not isinstance(metadata.get("event_payload"), dict):
        checker.fault("missing required field: event_payload", "/metadata")
    return checker.faults


def faults_of_view(view: Any) -> list[str]:
    """What is wrong with a modal."""
    checker = _Checker(modal=True)
    if not isinstance(view, dict) or view.get("type") != "modal":
        return ["[ERROR] unsupported type [json-pointer:/view/type]"]
    checker.only(view, VIEW, "/view")
    checker.text(view.get("title"), 24, "/view/title", plain=True)
    for name in ("submit", "close"):
        if name in view:
            checker.text(view[name], 24, f"/view/{name}", plain=True)
    checker.optional(view, "private_metadata", 3000, "/view", least=0)
    checker.optional(view, "callback_id", 255, "/view", least=0)
    checker.items(view.get("blocks"), 100, "/view/blocks", checker.block, 0)
    if "submit" not in view and any(isinstance(b, dict) and b.get("type") == "input" for b in view.get("blocks") or ()):
        checker.fault("missing required field: submit", "/view")
    return checker.faults


def elements(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    """Every interactive element with its block, in the order they are shown."""
    for block in blocks:
        found = [block.get("accessory"), block.get("element")]
        for element in found + (block["elements"] if block["type"] == "actions" else []):
            if element is not None:
                yield block, element


def stored(blocks: list[Json]) -> list[Json]:
    """The blocks as Slack keeps them and gives them back: with ids everywhere, and texts with their defaults."""
    blocks = copy.deepcopy(blocks)
    for block in blocks:
        block.setdefault("block_id", secrets.token_urlsafe(4))
    for _, element in elements(blocks):
        element.setdefault("action_id", secrets.token_urlsafe(4))
    for text in _texts(blocks):
        text.setdefault(*(("emoji", True) if text["type"] == "plain_text" else ("verbatim", False)))
    return blocks


def _texts(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        if value.get("type") in ("plain_text", "mrkdwn"):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)


def shown(value: Any) -> Iterator[str]:
    """Every text in blocks: what a person may read, raw, links' targets included."""
    if isinstance(value, list):
        for item in value:
            yield from shown(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in ("text", "url") and isinstance(item, str):
                yield item
            elif name not in ("block_id", "action_id", "value", "type"):
                yield from shown(item)


def entered(element: Json, given: str | None) -> Json:
    """The state of an input that was filled in."""
    if element["type"] == "plain_text_input":
        length = len(given or "")
        assert not given or element.get("min_length", 0) <= length <= element.get("max_length", 3000), "bad length"
        return {"type": element["type"], "value": given or None}
    chosen = next((option for option in element["options"] if option["value"] == given), None)
    assert chosen or given is None, f"no option {given!r}"
    return {"type": element["type"], "selected_option": chosen}

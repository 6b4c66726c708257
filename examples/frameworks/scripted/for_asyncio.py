"""The scripted model as a function over messages, in place of a call of a model's API."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from examples.frameworks.scripted import say


async def think(messages: list[dict[str, Any]]) -> dict[str, Any]:
    answers = [each["content"] for each in messages if each["role"] == "tool"]
    said = say(messages[0]["content"], answers)
    if isinstance(said, str):
        return {"role": "assistant", "content": said}
    return {"role": "assistant", "content": "", "tool_calls": [asdict(call) for call in said]}

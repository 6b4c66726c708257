"""The scripted model as one of the OpenAI Agents SDK, in place of `Agent(model="...")`; its tracing is switched off."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from agents import Model, ModelResponse, Usage, set_tracing_disabled
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from examples.frameworks.scripted import say

set_tracing_disabled(True)  # it would send what was said to OpenAI


class Scripted(Model):
    async def get_response(
        self, system_instructions: str | None, input: Any, *more: Any, **named: Any
    ) -> ModelResponse:
        items = [{"role": "user", "content": input}] if isinstance(input, str) else input
        prompt = next(each["content"] for each in items if each.get("role") == "user")
        answers = [each["output"] for each in items if each.get("type") == "function_call_output"]
        said = say(prompt, answers)
        if isinstance(said, str):
            text = ResponseOutputText(type="output_text", text=said, annotations=[])
            output: list[Any] = [
                ResponseOutputMessage(type="message", id="msg_1", role="assistant", status="completed", content=[text])
            ]
        else:
            output = [
                ResponseFunctionToolCall(
                    type="function_call", call_id=call.id, name=call.name, arguments=json.dumps(call.arguments)
                )
                for call in said
            ]
        return ModelResponse(output=output, usage=Usage(), response_id=None)

    def stream_response(self, *more: Any, **named: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


chat = Scripted()

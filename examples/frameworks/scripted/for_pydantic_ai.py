"""The scripted model as one of Pydantic AI, in place of `Agent("...")`."""

from __future__ import annotations

from pydantic_ai import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from examples.frameworks.scripted import say


def reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    parts = [part for message in messages for part in message.parts]
    prompt = next(str(part.content) for part in parts if isinstance(part, UserPromptPart))
    answers = [str(part.content) for part in parts if isinstance(part, ToolReturnPart)]
    said = say(prompt, answers)
    if isinstance(said, str):
        return ModelResponse(parts=[TextPart(said)])
    return ModelResponse(parts=[ToolCallPart(call.name, call.arguments, tool_call_id=call.id) for call in said])


chat = FunctionModel(reply)

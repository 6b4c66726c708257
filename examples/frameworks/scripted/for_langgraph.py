"""The scripted model as a chat model of LangChain, in place of `init_chat_model("...")`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from examples.frameworks.scripted import say


class Scripted(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **more: Any) -> Any:
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **more: Any,
    ) -> ChatResult:
        prompt = next(str(each.content) for each in messages if isinstance(each, HumanMessage))
        answers = [str(each.content) for each in messages if isinstance(each, ToolMessage)]
        said = say(prompt, answers)
        if isinstance(said, str):
            reply = AIMessage(said)
        else:
            calls = [{"id": call.id, "name": call.name, "args": call.arguments} for call in said]
            reply = AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=reply)])


chat = Scripted()

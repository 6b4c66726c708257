"""Pydantic AI: a call that waits for people is a deferred tool; its messages lie in a file until they decided."""

import json
from pathlib import Path
from typing import Any

from pydantic_ai import Agent, CallDeferred, DeferredToolRequests, DeferredToolResults, RunContext, Tool
from pydantic_ai.messages import ModelMessagesTypeAdapter

from examples.frameworks.scripted.for_pydantic_ai import chat  # yours: the name of a model
from jit_auth.client import AsyncClient, Client, Refused

jit = AsyncClient()


async def act(context: RunContext[str], **params: Any) -> str:
    key = f"{context.deps}-{context.tool_call_id}"  # tried again, in any process, it is the same execution
    try:  # the user is your session's, never the model's
        execution = await jit.execute(
            str(context.tool_name), user="alice@example.com", params=params, idempotency_key=key
        )
    except Refused as fault:
        return fault.for_model()
    if execution.open:
        for link in execution.consent_links:
            print(f"for alice's own browser: {link}", flush=True)
        raise CallDeferred({"execution": execution.id})
    return execution.for_model()


catalogue = [each["function"] for each in Client().actions("openai")]
tools = [Tool.from_schema(act, each["name"], each["description"], each["parameters"], True) for each in catalogue]
agent = Agent(chat, tools=tools, deps_type=str, output_type=[str, DeferredToolRequests])


async def ask(run: str, prompt: str) -> None:
    save(run, await agent.run(prompt, deps=run))


async def resume(run: str) -> None:  # in this process or the next
    saved = json.loads(Path(f"{run}.json").read_text())
    history = ModelMessagesTypeAdapter.validate_python(saved["messages"])
    answers: dict[str, Any] = {
        call: (await jit.wait(execution)).for_model() for call, execution in saved["waiting"].items()
    }
    results = DeferredToolResults(calls=answers)
    save(run, await agent.run(deps=run, message_history=history, deferred_tool_results=results))


def save(run: str, result: Any) -> None:
    deferred = result.output.metadata if isinstance(result.output, DeferredToolRequests) else {}
    waiting = {call: each["execution"] for call, each in deferred.items()}
    messages = json.loads(result.all_messages_json())
    Path(f"{run}.json").write_text(json.dumps({"messages": messages, "waiting": waiting}))
    print(f"{run}: {'waiting' if waiting else result.output}", flush=True)

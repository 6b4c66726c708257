"""OpenAI Agents SDK: a call that waits for people `needs_approval`; its RunState lies in a file until they decided."""

import json
from pathlib import Path
from typing import Any

from agents import Agent, FunctionTool, Runner, RunState

from examples.frameworks.scripted.for_openai_agents import chat  # yours: Agent(model="...")
from jit_auth.client import AsyncClient, Client, Execution, Refused

jit = AsyncClient()


async def act(run: str, call_id: str, name: str, arguments: str) -> Execution | Refused:
    try:  # one key for each call: asked again, in any process, it is the same execution
        key, params = f"{run}-{call_id}", json.loads(arguments)
        return await jit.execute(name, user="alice@example.com", params=params, idempotency_key=key)
    except Refused as fault:  # the user above is your session's, never the model's
        return fault
    except ValueError as fault:
        return Refused(f"The arguments are no JSON: {fault}", code="bad_json", status=422)


def tool(name: str, description: str, parameters: dict[str, Any]) -> FunctionTool:
    async def needs_approval(context: Any, params: dict[str, Any], call_id: str) -> bool:
        asked = await act(context.context["run"], call_id, name, json.dumps(params))
        for link in getattr(asked, "consent_links", ()):
            print(f"for alice's own browser: {link}", flush=True)
        return isinstance(asked, Execution) and asked.open

    async def invoke(context: Any, arguments: str) -> str:
        return (await act(context.context["run"], context.tool_call_id, name, arguments)).for_model()

    return FunctionTool(name, description, parameters, invoke, strict_json_schema=False, needs_approval=needs_approval)


agent = Agent(name="helper", model=chat, tools=[tool(**each["function"]) for each in Client().actions("openai")])


async def ask(run: str, prompt: str) -> None:
    save(run, await Runner.run(agent, prompt, context={"run": run}))


async def resume(run: str) -> None:  # in this process or the next
    state = await RunState.from_string(agent, Path(f"{run}.json").read_text())
    for item in state.get_interruptions():
        asked = await act(run, str(item.call_id), str(item.name), str(item.arguments))
        if isinstance(asked, Execution) and (asked := await jit.wait(asked)).ok:
            state.approve(item)  # people have, and it was done: `invoke` finds what came of it
        else:
            state.reject(item, rejection_message=asked.for_model())
    save(run, await Runner.run(agent, state))


def save(run: str, result: Any) -> None:
    Path(f"{run}.json").write_text(result.to_state().to_string())
    print(f"{run}: {'waiting' if result.interruptions else result.final_output}", flush=True)

"""Plain asyncio: each conversation is its messages in a file; killed at any moment, it goes on where it was."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from examples.frameworks.scripted.for_asyncio import think  # yours: a call of your model's API
from jit_auth.client import AsyncClient, Refused

jit = AsyncClient()


async def act(key: str, name: str, arguments: dict[str, Any]) -> str:
    """Waits as long as people need. Called again with its key, in any process, it waits for the same execution."""
    try:  # the user is your session's, never the model's
        execution = await jit.execute(name, user="alice@example.com", params=arguments, idempotency_key=key)
        for link in execution.consent_links:
            print(f"for alice's own browser: {link}", flush=True)
        return (await jit.wait(execution)).for_model()
    except Refused as fault:
        return fault.for_model()


async def ask(run: str, prompt: str) -> None:
    save(run, [{"role": "user", "content": prompt}])
    await resume(run)


async def resume(run: str) -> None:  # in this process or the next
    messages = json.loads(Path(f"{run}.json").read_text())
    while (last := messages[-1])["role"] != "assistant" or "tool_calls" in last:
        if last["role"] == "assistant":  # it was saved before anything was done: no call is lost, none is a second one
            wanted = [act(f"{run}-{each['id']}", each["name"], each["arguments"]) for each in last["tool_calls"]]
            messages += [{"role": "tool", "content": answer} for answer in await asyncio.gather(*wanted)]
        else:
            messages.append(await think(messages))
        save(run, messages)
    print(f"{run}: {last['content']}", flush=True)


def save(run: str, messages: list[dict[str, Any]]) -> None:
    """Whole or not at all."""
    draft = Path(f"{run}.new")
    draft.write_text(json.dumps(messages))
    os.replace(draft, f"{run}.json")

"""A mail assistant that can be talked into anything: its scripted model does whatever the last text it read says.

Its own program names one task for each request of its user, and hands it on with every call. The model cannot: that
is what the rules of `policies.toml` lean on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from examples.demo.agent import Execution, JitAuth

Step = tuple[str, dict[str, Any]]
"""An action, and its parameters."""


def model(prompt: str, read: list[dict[str, Any]]) -> Step | None:
    """What to do next, or None: it is done. No language model, but it falls for the same thing."""
    if not read and "mail" in prompt:
        return "mailhub.list_messages", {"limit": 10}
    for message in read:
        order = re.search(r"[Ff]orward all .* to (\S+@\S+\w)", message["text"])
        if order:
            stolen = "\n".join(f"{each['from']}: {each['text']}" for each in read)
            return "mailhub.send_message", {"to": [order[1]], "subject": "As you asked", "body": stolen}
    return None


def assist(jit: JitAuth, user: str, prompt: str, task: str, tell: Callable[[Execution], None]) -> list[Execution]:
    """Do what `prompt` says, and what is read on the way. The executions, in order; the last may have been denied."""
    done: list[Execution] = []
    read: list[dict[str, Any]] = []
    while (step := model(prompt, read)) is not None:
        action, params = step
        asked = jit.execute(
            action, user=user, params=params, key=f"{task}-{len(done)}", task={"id": task, "title": prompt}
        )
        done.append(jit.follow(asked, tell))
        if done[-1]["status"] != "succeeded" or action != "mailhub.list_messages":
            break
        read = done[-1]["result"]["body"]["messages"]
    return done

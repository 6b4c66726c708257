"""An agent's tool with `jit_auth.client`: every outcome, as the model that called it is told.

JIT_AUTH_URL=http://127.0.0.1:8080 JIT_AUTH_TOKEN=jat_agt_... python examples/client.py

It needs the rules of examples/demo/policies.toml: reading is allowed, sending needs bo's approval, the rest is denied.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from jit_auth.client import Client, JitAuthError

USER = os.environ.get("JIT_AUTH_USER", "alice@example.com")


def tool(jit: Client, name: str, arguments: dict[str, Any], key: str) -> str:
    """What a model's tool call gives. `key` is the call's own id: asked again, it is the same execution."""
    try:
        execution = jit.execute(name, user=USER, params=arguments, idempotency_key=key)
        for link in execution.consent_links:  # for the user's browser, never for the model
            print(f"\n  {USER} has to open {link}", flush=True)
        for item in execution.waiting_for:
            if item["kind"] == "approval":
                print(f"\n  somebody has to approve {item['id']}: the link is printed by jit-auth serve", flush=True)
        return jit.wait(execution, timeout=3600).for_model()
    except JitAuthError as fault:
        return fault.for_model()


def main() -> int:
    message = {"to": ["carol@example.net"], "subject": "Tuesday", "body": "Tuesday at ten is fine."}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("mailhub.list_messages", {"limit": 1}),
        ("mailhub.send_message", message),
        ("mailhub.delete_message", {"id": "m1"}),
        ("mailhub.send_message", {"subject": "nobody"}),
    ]
    told = []
    with Client() as jit:
        for number, (name, arguments) in enumerate(calls):
            told.append(tool(jit, name, arguments, f"client-{number}"))
            print(f"\n{name}: {told[-1]}", flush=True)
    words = [text.split(".")[0].split()[0] for text in told]
    return 0 if words == ["Done", "Done", "Never", "Change"] else 1


if __name__ == "__main__":
    sys.exit(main())

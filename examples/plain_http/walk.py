"""The protocol of an agent, message by message: no client, no classes, only HTTP as it goes over the wire.

JIT_AUTH_URL=http://127.0.0.1:8080 JIT_AUTH_TOKEN=jat_agt_... python examples/plain_http/walk.py
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from typing import Any
from urllib.parse import urlsplit

SERVICE = urlsplit(os.environ.get("JIT_AUTH_URL", "http://127.0.0.1:8080"))
TOKEN = os.environ.get("JIT_AUTH_TOKEN", "")
USER = os.environ.get("JIT_AUTH_USER", "alice@example.com")


def exchange(method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
    """Send one request, print both sides, give status and body."""
    sent = {"Authorization": f"Bearer {TOKEN}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    text = None
    if body is not None:
        text = json.dumps(body)
        sent["Content-Type"] = "application/json"
    print(f"\n> {method} {path}")
    for name, value in sent.items():
        print(f"> {name}: {value if name != 'Authorization' else 'Bearer jat_agt_...'}")
    if text:
        print(f">\n> {text}")
    connection = http.client.HTTPConnection(SERVICE.netloc, timeout=90)
    connection.request(method, path, body=text, headers=sent)
    reply = connection.getresponse()
    answer = json.load(reply)
    connection.close()
    print(f"< {reply.status} {reply.reason}")
    for name in ("Content-Type", "Location", "Retry-After"):
        if reply.getheader(name):
            print(f"< {name}: {reply.getheader(name)}")
    print("<\n" + "\n".join(f"< {line}" for line in json.dumps(answer, indent=2).splitlines()), flush=True)
    return reply.status, answer


def until_it_ends(status: int, execution: dict[str, Any]) -> dict[str, Any]:
    """Ask again, each time for up to 30 seconds, while it is somebody's turn."""
    while status < 400 and execution["status"] in ("paused", "executing"):
        for item in execution["waiting_for"]:
            if item["kind"] == "consent":
                print(f"\n  {USER} has to open {item['url']}", flush=True)
            else:
                print(f"\n  somebody has to approve {item['id']}: the link is printed by jit-auth serve", flush=True)
        status, execution = exchange("GET", f"/executions/{execution['id']}?wait=30")
    return execution


def main() -> int:
    if not TOKEN:
        print("JIT_AUTH_TOKEN is not set: `jit-auth agent new NAME` prints a token", file=sys.stderr)
        return 2

    print("What may this agent do at all?")
    exchange("GET", "/actions")

    print("\nRead the newest messages. 202: it waits for a person; the answer says for whom.")
    call = {"action": "mailhub.list_messages", "user": USER, "params": {"limit": 1}}
    read = until_it_ends(*exchange("POST", "/execute", call, Idempotency_Key="walk-read", Prefer="respond-async"))

    print("\nSend a message. The same Idempotency-Key would find the same execution again, never send twice.")
    message = {"to": ["carol@example.net"], "subject": "Tuesday", "body": "Tuesday at ten is fine."}
    call = {"action": "mailhub.send_message", "user": USER, "params": message, "reason": "Carol asked for a time"}
    sent = until_it_ends(*exchange("POST", "/execute", call, Idempotency_Key="walk-send"))

    print("\nAnd something nobody allowed. 403: denied, with the reason and the execution that is on record.")
    call = {"action": "mailhub.delete_message", "user": USER, "params": {"id": "m1"}}
    status, _ = exchange("POST", "/execute", call)

    print(f"\nread: {read.get('status')}, send: {sent.get('status')}, delete: {status}")
    return 0 if (read.get("status"), sent.get("status"), status) == ("succeeded", "succeeded", 403) else 1


if __name__ == "__main__":
    sys.exit(main())

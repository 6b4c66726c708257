"""Webhooks and callbacks as the service signs them (Standard Webhooks), verified before anything is believed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from jit_auth.client.errors import WebhookError

TOLERANCE = 300
"""Seconds by which a delivery's timestamp may differ from now."""
LONGEST_HEADER = 4_096


def verify_webhook(
    body: bytes | str, headers: Mapping[str, str], secret: str, *, now: float | None = None
) -> dict[str, Any]:
    """The event that a delivery carries: `{"type", "timestamp", "data"}`. Raises WebhookError.

    `body` is what came, byte for byte, before any parsing; `headers` in any case. `secret` is what `jit-auth keys
    callback AGENT` prints, `whsec_...`. A delivery is made at least once: remember `webhook-id` where twice would do
    harm. `now` (seconds since the epoch) is for tests.
    """
    import base64
    import binascii
    import hashlib
    import hmac

    try:
        key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise WebhookError(
            "The secret is none: whsec_ and base64.",
            code="bad_secret",
            hint="`jit-auth keys callback AGENT` prints it.",
        )
    found = {name.lower(): value for name, value in headers.items()}
    id, stamp, given = (found.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature"))
    if not (id and stamp and given) or max(len(id), len(stamp), len(given)) > LONGEST_HEADER:
        raise WebhookError("The delivery is not signed.", code="unsigned", hint="Three webhook- headers are needed.")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 20):
        raise WebhookError("The timestamp of the delivery is no number.", code="bad_timestamp")
    whole = body.encode() if isinstance(body, str) else body
    signed = f"{id}.{stamp}.".encode("utf-8", "surrogateescape") + whole
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    good = False
    for each in given.split(" "):
        version, _, signature = each.partition(",")
        if version == "v1":
            good |= hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), expected)
    if not good:
        raise WebhookError("No signature of the delivery fits.", hint="Is the secret this agent's, the body unparsed?")
    if abs((time.time() if now is None else now) - int(stamp)) > TOLERANCE:
        raise WebhookError("The delivery was signed too long ago, or ahead of time.", code="bad_timestamp")
    try:
        event = json.loads(whole)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise WebhookError("The delivery is no JSON object.", code="bad_event")
    return event

"""Whether a post comes from Slack: its v0 signature over the raw body, not older than five minutes.

Attack: a forged or altered click, one recorded yesterday, or an odd header that makes a parser raise. (A replay within
the five minutes is harmless: the vote's primary key makes it the second one.)
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from jit_auth.model import Millis

WINDOW: Millis = 300_000
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_MARK = re.compile(r"v0=[0-9a-f]{64}", re.ASCII)


def signed(secret: str, body: bytes, timestamp: str, signature: str, now: Millis) -> bool:
    """Whether `signature` is Slack's for this body, made within the window around `now`. Never raises."""
    if not secret or not _SECONDS.fullmatch(timestamp) or not _MARK.fullmatch(signature):
        return False
    if abs(now - int(timestamp) * 1000) > WINDOW:
        return False
    made = hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, sha256).hexdigest()
    return hmac.compare_digest("v0=" + made, signature)

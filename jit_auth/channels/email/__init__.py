"""Cards by e-mail: a text and an HTML part, one link per person, one thread per request."""

from __future__ import annotations

from jit_auth.channels.channel import Channel
from jit_auth.channels.email.port import EmailPort, check_email, open_email, way
from jit_auth.channels.email.settings import EmailSettings

EMAIL = Channel("email", EmailSettings, "email", way, open_email, check_email)

__all__ = ["EMAIL", "EmailPort"]

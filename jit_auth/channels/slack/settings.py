"""[channels.slack] as config.toml writes it."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from msgspec import Struct

from jit_auth.channels.shape import Details
from jit_auth.config.secret import Secret

_TEAM = re.compile(r"[TE][A-Z0-9]{1,30}")
_CHANNEL = re.compile(r"[CG][A-Z0-9]{1,30}")


class SlackSettings(Struct, frozen=True, kw_only=True):
    """The table. Clicks come over HTTP, signed (`signing_secret`), or by Socket Mode (`app_token`)."""

    bot_token: Secret
    signing_secret: Secret | None = None
    app_token: Secret | None = None
    api_url: str = "https://slack.com/api/"
    team: str | None = None
    """The workspace whose members may decide; None: the bot's own, as `auth.test` tells."""
    channel: str | None = None
    """Where requests to a group are posted once; None: each member gets a direct message."""
    details: Details = "full"

    def __post_init__(self) -> None:
        if (self.signing_secret is None) == (self.app_token is None):
            raise ValueError("clicks come by `signing_secret` (HTTP) or by `app_token` (Socket Mode): name one of them")
        if not _api(self.api_url):
            raise ValueError("api_url is an https URL (http on this machine alone)")
        if self.team is not None and not _TEAM.fullmatch(self.team):
            raise ValueError(f"team {self.team!r} is no workspace's id such as T012ABC (`auth.test` tells it)")
        if self.channel is not None and not _CHANNEL.fullmatch(self.channel):
            # A name can be given to another channel tomorrow; the id stays.
            raise ValueError(f"channel {self.channel!r} is no channel's id such as C012ABC (at the end of its link)")

    def __repr__(self) -> str:
        return f"SlackSettings({self.api_url!r})"

    __str__ = __repr__


def _api(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        local = host == "localhost" or ((host[:1].isdigit() or ":" in host) and ip_address(host).is_loopback)
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return bool(host) and plain and (parts.scheme == "https" or (parts.scheme == "http" and local))

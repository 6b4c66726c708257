"""Under which name browsers keep passkeys of ours (WebAuthn 5.1.2: an RP ID is a domain of the page's origin)."""

from __future__ import annotations

import ipaddress

from jit_auth.config.urls import origin as origin_of
from jit_auth.config.urls import parsed


def relying_party(public_url: str) -> tuple[str, str] | None:
    """(rp id, origin) of our pages; None where browsers have no passkeys: an IP address, or http off localhost."""
    parts = parsed(public_url)
    host = parts.hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
        return (host, origin_of(public_url)) if local or parts.scheme == "https" else None
    return None

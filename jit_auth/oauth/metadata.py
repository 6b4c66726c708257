"""Read an issuer's metadata (RFC 8414): endpoints that the data leaves out, and whether `iss` is promised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from jit_auth.egress import Egress
from jit_auth.errors import Away, Misconfigured
from jit_auth.model import Millis, Provider
from jit_auth.oauth.call import call
from jit_auth.oauth.protocol import get_request
from jit_auth.oauth.replies import parse_body

_KEPT: Millis = 3_600_000
_KEPT_ABSENT: Millis = 600_000
_ENDPOINTS = {
    "authorize_url": "authorization_endpoint",
    "token_url": "token_endpoint",
    "revoke_url": "revocation_endpoint",
    "userinfo_url": "userinfo_endpoint",
}


class Discovery:
    """Metadata of issuers, kept for an hour. Nothing of it widens where secrets may go: `hosts` alone says that."""

    def __init__(self, egress: Egress, now: Callable[[], Millis]) -> None:
        self._egress = egress
        self._now = now
        self._known: dict[tuple[str, tuple[str, ...], str], tuple[Millis, Mapping[str, Any] | None]] = {}

    async def complete(self, provider: Provider) -> Provider:
        """The provider with its endpoints. Those of the metadata fill in where authorize or token URL is left out.

        Raises Away (metadata cannot be read now), Misconfigured (there is none, it is another issuer's, or it names a
        host that is not the provider's: nothing is sent there, THREAT_MODEL 5).
        """
        if provider.issuer is None or (provider.authorize_url and provider.token_url):
            return provider
        return self._filled(provider, await self._metadata(provider), needed=True)

    async def revocable(self, provider: Provider) -> Provider:
        """As `complete`, looking for a revocation endpoint too, which may stay absent."""
        if provider.issuer is None or provider.revoke_url:
            return provider
        return self._filled(provider, await self._metadata(provider), needed=False)

    async def promises_iss(self, provider: Provider) -> bool:
        """Whether the metadata says that callbacks carry `iss` (RFC 9207 3). Raises Away, Misconfigured."""
        if provider.issuer is None:
            return False
        metadata = await self._metadata(provider)
        return metadata is not None and metadata.get("authorization_response_iss_parameter_supported") is True

    def _filled(self, provider: Provider, metadata: Mapping[str, Any] | None, *, needed: bool) -> Provider:
        if metadata is None:
            if needed:
                raise Misconfigured(f"The issuer of the provider {provider.id} publishes no metadata (RFC 8414).")
            return provider
        found: dict[str, str] = {}
        for field, name in _ENDPOINTS.items():
            url = metadata.get(name)
            if getattr(provider, field) is None and isinstance(url, str) and url:
                if not _ours(url, provider):
                    raise Misconfigured(
                        f"The metadata of the provider {provider.id} names a host that is not its own ({name}).",
                        hint=f"If that host is right, add it to `hosts` of the provider {provider.id}.",
                    )
                found[field] = url
        return msgspec.structs.replace(provider, **found)

    async def _metadata(self, provider: Provider) -> Mapping[str, Any] | None:
        issuer = provider.issuer or ""
        # What one provider's own authority vouched for is not another's.
        key, now = (issuer, provider.hosts, provider.ca), self._now()
        if key in self._known and self._known[key][0] > now:
            return self._known[key][1]
        found = await self._fetch(issuer, provider)
        self._known[key] = (now + (_KEPT if found is not None else _KEPT_ABSENT), found)
        return found

    async def _fetch(self, issuer: str, provider: Provider) -> Mapping[str, Any] | None:
        for url in _locations(issuer):
            reply = await call(self._egress, get_request(url), provider)
            if reply.status >= 500 or reply.status == 429:
                # Not "absent": an outage must not switch the defence against mix-up off.
                raise Away(f"The metadata of the provider {provider.id} cannot be read now.")
            document = parse_body(reply) if reply.status == 200 else {}
            if "issuer" not in document:
                continue
            if document["issuer"] != issuer:
                raise Misconfigured(f"The metadata of the provider {provider.id} is another issuer's.")
            return document
        return None


def _locations(issuer: str) -> Sequence[str]:
    """RFC 8414 3.1 first; then the two forms that servers mounted below a path answer at."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    name = "/.well-known/oauth-authorization-server"
    return tuple(dict.fromkeys((
        f"{origin}{name}{path}", f"{origin}{path}{name}", f"{origin}{path}/.well-known/openid-configuration"
    )))  # fmt: skip


def _ours(url: str, provider: Provider) -> bool:
    """Whether a discovered URL is https (or plain where the issuer is) on one of the provider's hosts."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        _ = parts.port
    except ValueError:
        return False
    plain = (provider.issuer or "").startswith("http://")
    if parts.scheme != "https" and not (plain and parts.scheme == "http"):
        return False
    if not host or parts.username is not None or parts.password is not None or parts.fragment or not url.isascii():
        return False
    return any(
        host == allowed.lower() or (allowed.startswith("*.") and host.endswith(allowed[1:].lower()))
        for allowed in provider.hosts
    )

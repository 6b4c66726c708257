"""Give tokens back to their provider (RFC 7009)."""

from __future__ import annotations

import secrets
import time

from jit_auth.egress import Egress
from jit_auth.errors import ProviderError
from jit_auth.model import Provider, Reply, Token
from jit_auth.oauth.call import call
from jit_auth.oauth.metadata import Discovery
from jit_auth.oauth.protocol import revoke_request
from jit_auth.oauth.replies import error_code, parse_body


async def revoke(egress: Egress, provider: Provider, token: Token) -> bool:
    """Revoke the refresh token (which ends its access tokens at most providers) and the access token.

    True once the provider has confirmed both; False where it has not: try again later, up to the outbox row's end.
    A token that is dead already counts as confirmed (RFC 7009 2.2). Outages and refusals are answered by False.
    """
    confirmed, now = True, time.time_ns() // 1_000_000
    try:
        provider = await Discovery(egress, lambda: now).revocable(provider)
        if provider.revoke_url is None:
            return False
        for value, hint in ((token.refresh, "refresh_token"), (token.access, "access_token")):
            if value:
                unique = secrets.token_urlsafe(16)
                request = revoke_request(provider, token=value, hint=hint, now=now, unique=unique)
                reply = await call(egress, request, provider)
                confirmed = _gone(reply) and confirmed
    except ProviderError:
        return False
    return confirmed


def _gone(reply: Reply) -> bool:
    code = error_code(parse_body(reply))
    if 200 <= reply.status < 300:
        return code is None or code == "token_revoked"
    # Google answers so for a token that died with its refresh token; others refuse to revoke access tokens at all.
    return reply.status == 400 and code in ("invalid_token", "unsupported_token_type")

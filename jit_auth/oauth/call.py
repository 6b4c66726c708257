"""One request to a provider's own endpoint (token, revocation, userinfo, metadata), with outages told apart."""

from __future__ import annotations

from jit_auth.egress import Egress
from jit_auth.errors import AddressRefused, Away, Lost, Misconfigured, NeverLeft
from jit_auth.model import Millis, Provider, Reply, Request

TIMEOUT: Millis = 20_000
"""For one request, from connecting to the whole answer. Claims on a grant last longer than this (see `refresh`)."""

MAX_BODY = 256 * 1024


class Unanswered(Away):
    """The request left and no whole answer came: what it asked for may have happened."""


async def call(egress: Egress, request: Request, provider: Provider) -> Reply:
    """Send once, to the provider's hosts only (THREAT_MODEL 5); no redirect is followed.

    Raises Away (nothing left), Unanswered (an Away: it left), Misconfigured (the address is refused;
    code `address_refused`).
    """
    try:
        reply = await egress.send(
            request, hosts=provider.hosts, timeout=TIMEOUT, max_body=MAX_BODY, fresh=True, ca=provider.ca
        )
    except AddressRefused as error:
        raise Misconfigured(error.message, code=error.code, hint=error.hint) from error
    except NeverLeft as error:
        raise Away(f"The provider {provider.id} cannot be reached.") from error
    except Lost as error:
        raise Unanswered(f"The provider {provider.id} did not answer.") from error
    if reply.truncated:
        raise Unanswered(f"The provider {provider.id} did not answer in full.")
    return reply

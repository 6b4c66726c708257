"""One attempt of a call: one request, and for a GET the same-origin redirects that its answer asks for.

Redirects: GET only, same origin, at most 3. Never raises for what a network does, never repeats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from urllib.parse import urldefrag, urljoin

from jit_auth.egress import Egress
from jit_auth.egress.address import parse
from jit_auth.errors import AddressRefused, EgressError, Lost
from jit_auth.model import Action, Missed, Provider, Reply, Request
from jit_auth.send.scrub import Scrub

_REDIRECTS = 3
_MOVED = frozenset({301, 302, 303, 307, 308})


class Sender:
    """Makes attempts through egress."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def ready(self, request: Request, provider: Provider) -> Missed | None:
        """What is slow before a connection (DNS) or refuses it: for before the intent. None: nothing is in the way."""
        try:
            await self._egress.judge(request.url, hosts=provider.hosts)
        except EgressError as error:
            return Missed(False, error.code, error.message)
        return None

    async def attempt(
        self,
        request: Request,
        action: Action,
        provider: Provider,
        traces: Sequence[bytes],
        *,
        window: float,
        onward: Callable[[Request], Request] = lambda hop: hop,
    ) -> Reply | Missed:
        """Send `request`, whose credential is in its place, once; the intent is durable.

        `window`: seconds within which the first byte must be written, else nothing is. `traces`: what must not show in
        a message. `onward`: puts the credential on what a redirect asks for, which has the first one's headers and a
        URL of its own. The whole, redirects included, takes at most the action's timeout from the first byte on.
        """
        loop = asyncio.get_running_loop()
        left_at: float | None = None

        def left() -> None:
            nonlocal left_at
            if left_at is None:
                left_at = loop.time()

        connect_by = loop.time() + window
        millis = action.timeout
        reply: Reply | None = None
        follow = _REDIRECTS
        while True:
            try:
                answer = await self._egress.send(
                    request,
                    hosts=provider.hosts,
                    timeout=millis,
                    fresh=action.retry == "never",
                    on_left=left,
                    connect_by=connect_by,
                    ca=provider.ca,
                )
            except AddressRefused as error:
                # Of a redirect: it is not followed, and stays the answer.
                return reply or _missed(error, traces, left=False)
            except EgressError as error:
                return _missed(error, traces, left=left_at is not None)
            hop = _onward(request, answer) if follow else None
            if hop is None or left_at is None:
                return answer
            connect_by = left_at + action.timeout / 1000
            millis = int((connect_by - loop.time()) * 1000)
            if millis <= 0:
                return Missed(True, Lost.code, "No whole answer came in time.")
            request, reply, follow = onward(hop), answer, follow - 1


def _onward(request: Request, reply: Reply) -> Request | None:
    """What a redirect asks for, if it is one that is followed: GET, same scheme, host and port."""
    location = reply.header("location")
    if request.method != "GET" or reply.status not in _MOVED or not location:
        return None
    try:
        here = parse(request.url)
        url = urldefrag(urljoin(request.url, location)).url
        there = parse(url)
    except (AddressRefused, ValueError):
        return None
    if there[:3] != here[:3]:
        return None
    return Request("GET", url, request.headers, request.body)


def _missed(error: EgressError, traces: Sequence[bytes], *, left: bool) -> Missed:
    return Missed(left, error.code, Scrub(traces).text(error.message))

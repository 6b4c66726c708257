"""The service's door to other hosts, in a test: judged as the real one judges, and leading to no other machine.

What leaves is built and checked by the real code (hosts, addresses, bytes). Hosts of providers are played by
`Accounts`, those of actions by `Api`, receivers of events are written down; only addresses of this machine, which are a
test's own servers, are really connected.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from jit_auth.egress import Egress
from jit_auth.egress.address import parse
from jit_auth.egress.client import MAX_BODY
from jit_auth.egress.request import Writer
from jit_auth.errors import Lost, NeverLeft
from jit_auth.model import Reply, Request
from jit_auth.testing.accounts import Accounts
from jit_auth.testing.api import Answer, Api, Handler, Sent

if TYPE_CHECKING:
    from jit_auth.testing.deliveries import Deliveries

_ANYWHERE = "1.1.1.1"
"""What every other name resolves to: an address that all may go to, and that is never connected."""
_SIGNED = "webhook-signature"


class Wire(Egress):
    """In the place of Egress. One per start of the service; what it speaks to outlives it."""

    def __init__(self, allow_private: Sequence[str], *, api: Api, accounts: Accounts, deliveries: Deliveries) -> None:
        super().__init__(allow_private, resolve=_resolve)
        self._api = api
        self._accounts = accounts
        self._deliveries = deliveries
        self._bytes = Writer()

    async def send(
        self,
        request: Request,
        *,
        hosts: Sequence[str],
        timeout: int,  # noqa: ASYNC109  (as Egress.send)
        max_body: int = MAX_BODY,
        fresh: bool = False,
        on_left: Callable[[], None] | None = None,
        connect_by: float | None = None,
        ca: str = "",
    ) -> Reply:
        """As Egress.send, with its errors."""
        await self.judge(request.url, hosts=hosts)
        target = parse(request.url)
        raw = self._bytes.write(request, target)
        sent = Sent(
            request.method, request.url, {name.lower(): value for name, value in request.headers}, request.body, raw
        )
        played = self._accounts.answer(request)
        if played is not None:
            return _reply(played, max_body)
        event = _SIGNED in sent.headers
        turn = None if event else self._api.turn()
        if turn == "unreachable":
            raise NeverLeft(f"No connection to {target.host} could be made (refused).")
        if connect_by is not None and asyncio.get_running_loop().time() > connect_by:
            raise NeverLeft("The time to begin the request in had passed.")
        if event:
            self._deliveries.note(sent)
        else:
            self._api.note(sent)
        if _here(target.host):
            reply = await super().send(
                request, hosts=hosts, timeout=timeout, max_body=max_body, fresh=fresh, on_left=on_left,
                connect_by=connect_by, ca=ca,
            )  # fmt: skip
        else:
            if on_left is not None:
                on_left()
            reply = _reply(Answer(204), max_body) if event else await self._answered(sent, turn, timeout, max_body)
        if turn == "lost":
            raise Lost("The server closed the connection before the whole answer.")
        return reply

    async def _answered(self, sent: Sent, turn: Handler | str | None, timeout: int, most: int) -> Reply:  # noqa: ASYNC109  (as Egress.send)
        handler = turn if callable(turn) else None
        try:
            async with asyncio.timeout(timeout / 1000):
                answer = await asyncio.to_thread(self._api.handle, sent, handler)
        except TimeoutError:
            raise Lost("No whole answer came in time.") from None
        return _reply(answer, most)


def _reply(answer: Answer, most: int) -> Reply:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    body = answer.body
    if body is None:
        body = b"" if answer.status == 204 else json.dumps(answer.json).encode()
        headers.setdefault("content-type", "application/json")
    over = len(body) > most
    return Reply(answer.status, tuple(headers.items()), b"" if over else body, over)


def _here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def _resolve(host: str) -> tuple[str, ...]:
    return ("127.0.0.1",) if host == "localhost" else (_ANYWHERE,)

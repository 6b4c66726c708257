"""Runs MailHub: the provider on one port, the mail API on another, in the caller's event loop."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass

from aiohttp import web

from examples.mailhub.mail import MailApi
from examples.mailhub.provider import Account, AuthorizationServer, Client

ALICE = Account("u-1001", "alice@example.com", "wonderland")
CLIENT_ID = "jit-auth"


@dataclass
class MailHub:
    """What runs, and where. `api.sent` holds what was really sent."""

    provider_url: str
    api_url: str
    client_secret: str
    provider: AuthorizationServer
    api: MailApi
    _runners: tuple[web.AppRunner, ...]

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()


async def start(
    redirect_uri: str, *, provider_port: int = 0, api_port: int = 0, secret: str | None = None, lifetime: int = 300
) -> MailHub:
    """Start MailHub on loopback for the one client whose `redirect_uri` this is. Port 0: any free one.

    `lifetime` of access tokens is in seconds. Raises OSError where a port is taken.
    """
    secret = secret or secrets.token_urlsafe(24)
    provider_socket, api_socket = _listen(provider_port), _listen(api_port)
    provider_url = f"http://127.0.0.1:{provider_socket.getsockname()[1]}"
    provider = AuthorizationServer(
        provider_url,
        accounts=(ALICE,),
        clients=(Client(CLIENT_ID, secret, (redirect_uri,)),),
        lifetime=lifetime,
    )
    api = MailApi(provider.introspect)
    runners = []
    for app, sock in ((provider.app(), provider_socket), (api.app(), api_socket)):
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, sock).start()
        runners.append(runner)
    api_url = f"http://127.0.0.1:{api_socket.getsockname()[1]}/v1"
    return MailHub(provider_url, api_url, secret, provider, api, tuple(runners))


def _listen(port: int) -> socket.socket:
    sock = socket.create_server(("127.0.0.1", port))
    sock.setblocking(False)
    return sock

"""`python -m examples.mailhub`: MailHub on fixed ports, for a first look at `jit-auth serve` (README, first steps)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal

from examples.mailhub import service


async def run(public_url: str, provider_port: int, api_port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    redirect_uri = public_url.rstrip("/") + "/oauth/callback/mailhub"
    hub = await service.start(redirect_uri, provider_port=provider_port, api_port=api_port, secret="mailhub-secret")
    print(f"MailHub signs people in at {hub.provider_url}; its mail API is {hub.api_url}")
    print(f"Sign in there as {service.ALICE.email} with the password {service.ALICE.password}")
    print(f"Client {service.CLIENT_ID}, secret {hub.client_secret}, redirect URI {redirect_uri}", flush=True)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await stop.wait()
    await hub.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.mailhub", description=__doc__)
    parser.add_argument("--public-url", default="http://127.0.0.1:8080", help="public_url of jit-auth's [server]")
    parser.add_argument("--port", type=int, default=9400, help="the provider's port")
    parser.add_argument("--api-port", type=int, default=9401, help="the mail API's port")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(options.public_url, options.port, options.api_port))


if __name__ == "__main__":
    main()

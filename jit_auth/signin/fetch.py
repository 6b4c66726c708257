"""One request to an issuer: bounded in time and size, no redirect followed, and whatever fails is `SignInAway`.

Issuers are the operator's own words, so this does not go by egress: an issuer inside the house is a usual thing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from jit_auth.errors import SignInAway
from jit_auth.model import Reply, Request

TIMEOUT = 10.0
"""Seconds for one request, from connecting to the whole answer."""

MAX_BODY = 256 * 1024


@asynccontextmanager
async def issuers_session(seconds: float = TIMEOUT) -> AsyncIterator[aiohttp.ClientSession]:
    """A session for requests to issuers: no proxy of the environment, no cookies, nothing decompressed."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with aiohttp.ClientSession(
        timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:
        yield session


async def fetch(session: aiohttp.ClientSession, request: Request, name: str) -> Reply:
    """The whole answer of the issuer called `name`. Raises SignInAway where there is none."""
    # A body that was compressed all the same is not unpacked: it could be a bomb, and then is no JSON.
    headers = {**dict(request.headers), "accept-encoding": "identity"}
    try:
        async with session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=headers,
            data=request.body or None,
            allow_redirects=False,
        ) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_chunked(65_536):
                body += chunk
                if len(body) > MAX_BODY:
                    raise SignInAway(f"The issuer {name} answers with more than it should.")
            told = tuple((key.lower(), value) for key, value in answer.headers.items())
            return Reply(answer.status, told, bytes(body))
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        # The cause is left out: it may quote the request, which holds a code and our secret.
        away = SignInAway(f"The issuer {name} cannot be reached.")
        away.reached = False
        raise away from None

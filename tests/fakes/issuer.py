"""A small OpenID issuer over real HTTP with real keys, as hostile as a test wants it to be.

Whoever comes to its authorization endpoint is signed in at once as `claims` says and sent back. What it publishes,
claims, signs with and answers is data that a test changes; `forge` makes any ID token at all.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import unquote_plus, urlencode

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from tests.fakes.serving import serving

Key = RSAKey | ECKey | OKPKey
ABSENT = object()
"""A claim, parameter or member of the metadata that is left out."""

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


@cache
def key_for(algorithm: str, kid: str | None = "k1", number: int = 1) -> Key:
    """A private key that fits; the same one for the same arguments, since making RSA keys takes a while."""
    named = {} if kid is None else {"kid": kid}
    if algorithm in _CURVES:
        return ECKey.generate_key(_CURVES[algorithm], named)
    if algorithm in ("EdDSA", "Ed25519"):
        return OKPKey.generate_key("Ed25519", named)
    if algorithm == "Ed448":
        return OKPKey.generate_key("Ed448", named)
    return RSAKey.generate_key(2048, named)


@cache
def weak_key(kid: str = "weak") -> RSAKey:
    """1024 bits of RSA: joserfc warns when it imports one, so the object is made around that."""
    raw = generate_private_key(65537, 1024)  # noqa: S505  (what the tests refuse)
    return RSAKey(raw, raw, {"kid": kid})


def compact(header: Mapping[str, Any], payload: object, key: Any, algorithm: str | None = None) -> str:
    """A JWS of anything: `key` is bytes for HS*, None for no signature. `payload` is JSON, or bytes as they are."""
    algorithm = algorithm or str(header["alg"])
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signed = b64(json.dumps(header).encode()) + b"." + b64(raw)
    if key is None:
        signature = b""
    elif isinstance(key, bytes):
        signature = hmac.digest(key, signed, "sha" + algorithm[-3:])
    else:
        signature = JWSRegistry.algorithms[algorithm].sign(signed, key)
    return (signed + b"." + b64(signature)).decode()


def b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def half_hash(text: str, algorithm: str) -> str:
    """`at_hash`."""
    size = algorithm[-3:] if algorithm[-3:] in ("256", "384") else "512"
    digest = hashlib.new("sha" + size, text.encode()).digest()
    return b64(digest[: len(digest) // 2]).decode()


@dataclass
class Fault:
    """What an endpoint (`metadata`, `jwks`, `token`) answers in place of its own."""

    status: int = 200
    body: bytes | Callable[[bytes], bytes] = b""
    """A function is given its own body."""
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    """Never answer."""


class HostileIssuer:
    """Client `jit` with secret `s3cr+t %&`."""

    client_id = "jit"
    client_secret = "s3cr+t %&"

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.url = ""
        self.seconds = seconds
        self.algorithm = "RS256"
        self.key: Any = key_for("RS256")
        """What ID tokens are signed with."""
        self.published: list[Any] = [self.key]
        """Keys (their public half) or whatever else stands in the key set."""
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.metadata_says: dict[str, Any] = {}
        self.answer_says: dict[str, Any] = {}
        """Changes of the parameters of the callback."""
        self.reply_says: dict[str, Any] = {}
        """Changes of the token endpoint's reply."""
        self.faults: dict[str, Fault] = {}
        self.forge: Callable[[dict[str, Any]], object] | None = None
        self.counts: Counter[str] = Counter()
        self.asked: dict[str, str] = {}
        """Parameters of the last authorization request."""
        self.forms: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HostileIssuer]:
        app = web.Application()
        app.add_routes([
            web.get("/.well-known/openid-configuration", self._metadata), web.get("/jwks", self._jwks),
            web.get("/authorize", self._authorize), web.post("/token", self._token),
            # Where redirects lead: the honest answers.
            web.get("/honest/metadata", self._metadata), web.get("/honest/jwks", self._jwks),
            web.post("/honest/token", self._token),
        ])  # fmt: skip
        async with serving(app) as self.url:
            yield self

    async def _metadata(self, request: web.Request) -> web.StreamResponse:
        document = {"issuer": self.url, "authorization_endpoint": self.url + "/authorize",
                    "token_endpoint": self.url + "/token", "jwks_uri": self.url + "/jwks",
                    "authorization_response_iss_parameter_supported": True}  # fmt: skip
        return await self._answer(request, "metadata", changed(document, self.metadata_says))

    async def _jwks(self, request: web.Request) -> web.StreamResponse:
        keys = [each if not hasattr(each, "as_dict") else each.as_dict(private=False) for each in self.published]
        return await self._answer(request, "jwks", {"keys": keys})

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        self.counts["authorize"] += 1
        self.asked = dict(request.query)
        code = secrets.token_urlsafe(16)
        self._codes[code] = self.asked
        answer = changed({"code": code, "state": self.asked["state"], "iss": self.url}, self.answer_says)
        raise web.HTTPFound(self.asked["redirect_uri"] + "?" + urlencode(answer, doseq=True))

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        if not self._genuine(request.headers.get("Authorization", "")):
            return await self._answer(request, "token", {"error": "invalid_client"}, 401)
        asked = self._codes.pop(form.get("code", ""), None)
        proof = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode()
        if asked is None or asked["redirect_uri"] != form.get("redirect_uri") or asked["code_challenge"] != proof:
            return await self._answer(request, "token", {"error": "invalid_grant"}, 400)
        access = secrets.token_urlsafe(16)
        now = int(self.seconds())
        claims = {"iss": self.url, "sub": "s-1", "aud": self.client_id, "iat": now, "exp": now + 300,
                  "nonce": asked.get("nonce"), "email": "ana@example.com", "email_verified": True,
                  "auth_time": now, "at_hash": half_hash(access, self.algorithm)}  # fmt: skip
        claims = changed(claims, self.claims)
        reply = {"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": self._id_token(claims)}
        return await self._answer(request, "token", changed(reply, self.reply_says))

    def _id_token(self, claims: dict[str, Any]) -> object:
        if self.forge is not None:
            return self.forge(claims)
        header = changed({"alg": self.algorithm, "kid": getattr(self.key, "kid", None)}, self.header)
        return compact(header, claims, self.key, self.algorithm)

    def _genuine(self, header: str) -> bool:
        name, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        return (unquote_plus(name), unquote_plus(secret)) == (self.client_id, self.client_secret)

    async def _answer(
        self, request: web.Request, endpoint: str, document: object, status: int = 200
    ) -> web.StreamResponse:
        self.counts[endpoint] += 1
        fault = self.faults.get(endpoint)
        if fault is None or request.path.startswith("/honest/"):
            return web.json_response(document, status=status)
        if fault.hang:
            await asyncio.Event().wait()
        body = fault.body(json.dumps(document).encode()) if callable(fault.body) else fault.body
        return web.Response(status=fault.status, body=body, headers=fault.headers)

    def rotate(self, kid: str = "k2", *, number: int = 2) -> None:
        """Publish a new key alone, and sign with it."""
        self.key = key_for(self.algorithm, kid, number)
        self.published = [self.key]


def changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**values, **changes}.items() if value is not ABSENT}

"""What an issuer publishes: its metadata (OpenID Connect Discovery 1.0) and its keys (RFC 7517), each kept for a while.

How this would be attacked: metadata of another issuer (its `issuer` must be ours, letter by letter), an endpoint over
plain http or by redirect (secrets would leave with it), a key set that never ends, weak keys in it, and ID tokens with
invented key ids that make us ask for keys all day (asked again at most every 30 seconds).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from msgspec import Struct

from jit_auth.config.issuer import Issuer, reachable
from jit_auth.errors import SignInAway
from jit_auth.model import Millis, Reply
from jit_auth.oauth.protocol import get_request
from jit_auth.signin.fetch import fetch

KEPT: Millis = 600_000
AGAIN_AFTER: Millis = 30_000
"""How soon keys are asked for once more, because of a key id that is not among them."""

PublicKey = RSAKey | ECKey | OKPKey

_MAX_KEYS = 100
_RSA = range(342, 1367)  # characters of a modulus of 2048 to 8192 bits: weak ones sign for anybody, huge ones take long
_FITS = {
    "RS256": ("RSA", ""), "RS384": ("RSA", ""), "RS512": ("RSA", ""),
    "PS256": ("RSA", ""), "PS384": ("RSA", ""), "PS512": ("RSA", ""),
    "ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"), "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"), "Ed25519": ("OKP", "Ed25519"),
}  # fmt: skip
ALGORITHMS: frozenset[str] = frozenset(_FITS)
"""What ID tokens may be signed with. Never `none`, and never HS*: a client secret or a public key is no signing key."""


class Metadata(Struct, frozen=True, kw_only=True):
    """What is used of an issuer's metadata."""

    authorize_url: str
    token_url: str
    jwks_uri: str
    promises_iss: bool
    """Callbacks carry `iss` (RFC 9207 3)."""


class Keys(Struct, frozen=True):
    """An issuer's signing keys, as read at a time."""

    keys: tuple[PublicKey, ...]
    read: Millis

    def one(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key that `kid` names and `algorithm` fits; without `kid`, the only one that fits. None where there is
        none or more than one: nobody guesses which key a signature was meant for."""
        if algorithm not in _FITS:
            return None
        kind, curve = _FITS[algorithm]
        fitting = [
            key
            for key in self.keys
            if key.key_type == kind
            and (not curve or getattr(key, "curve_name", None) == curve)
            and key.get("alg") in (None, algorithm)
            and (kid is None or key.kid == kid)
        ]
        return fitting[0] if len(fitting) == 1 else None


class Published:
    """Metadata and keys of issuers. Raises SignInAway wherever they cannot be had, or are not to be believed."""

    def __init__(self, session: aiohttp.ClientSession, now: Callable[[], Millis]) -> None:
        self._session = session
        self._now = now
        self._metadata: dict[str, tuple[Millis, Metadata]] = {}
        self._keys: dict[str, Keys] = {}
        self._failed: dict[str, tuple[Millis, SignInAway]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def metadata(self, issuer: Issuer) -> Metadata:
        """The issuer's endpoints, not older than ten minutes."""
        async with self._alone(issuer):
            return await self._known(issuer)

    async def key(self, issuer: Issuer, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key for a signature, by keys not older than ten minutes; None where there is not exactly one."""
        async with self._alone(issuer):
            keys = self._keys.get(issuer.name)
            if keys is None or not self._young(keys.read, KEPT):
                keys = await self._read_keys(issuer)
            found = keys.one(kid, algorithm)
            if found is None and not self._young(keys.read, AGAIN_AFTER):
                found = (await self._read_keys(issuer)).one(kid, algorithm)  # it may have begun to use a new one
            return found

    @asynccontextmanager
    async def _alone(self, issuer: Issuer) -> AsyncIterator[None]:
        """One at a time asks an issuer, and who waited meanwhile shares the answer: a crowd that signs in at nine
        o'clock makes one request, and does not queue for one timeout after the other where the issuer is away."""
        came = self._now()
        async with self._locks.setdefault(issuer.name, asyncio.Lock()):
            failed = self._failed.get(issuer.name)
            if failed is not None and failed[0] > came:
                raise SignInAway(failed[1].message, hint=failed[1].hint)
            try:
                yield
            except SignInAway as error:
                self._failed[issuer.name] = (self._now(), error)
                raise

    def _young(self, read: Millis, age: Millis) -> bool:
        return 0 <= self._now() - read < age

    async def _known(self, issuer: Issuer) -> Metadata:
        if issuer.name in self._metadata and self._young(self._metadata[issuer.name][0], KEPT):
            return self._metadata[issuer.name][1]
        url = issuer.issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = _read_metadata(_document(await fetch(self._session, get_request(url), issuer.name), issuer), issuer)
        self._metadata[issuer.name] = (self._now(), found)
        return found

    async def _read_keys(self, issuer: Issuer) -> Keys:
        metadata = await self._known(issuer)
        reply = await fetch(self._session, get_request(metadata.jwks_uri), issuer.name)
        found = _document(reply, issuer).get("keys")
        if not isinstance(found, list):
            raise SignInAway(f"The issuer {issuer.name} publishes no keys.")
        read = (_read_key(each) for each in found[:_MAX_KEYS])
        keys = Keys(tuple(key for key in read if key is not None), self._now())
        self._keys[issuer.name] = keys
        return keys


def _document(reply: Reply, issuer: Issuer) -> Mapping[str, Any]:
    try:
        document = json.loads(reply.body) if reply.status == 200 else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise SignInAway(f"The issuer {issuer.name} answers {reply.status}, without the document that was asked for.")
    return document


def _read_metadata(document: Mapping[str, Any], issuer: Issuer) -> Metadata:
    if document.get("issuer") != issuer.issuer:
        raise SignInAway(
            f"The metadata of the issuer {issuer.name} is another issuer's.",
            hint=f"An operator must write `issuer` in [issuers.{issuer.name}] exactly as the issuer names itself.",
        )
    plain = issuer.issuer.startswith("http://")
    urls = [document.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    good = [url for url in urls if isinstance(url, str) and reachable(url, plain=plain)]
    if len(good) != len(urls):
        raise SignInAway(f"The metadata of the issuer {issuer.name} names an endpoint that is missing or not https.")
    promised = document.get("authorization_response_iss_parameter_supported") is True
    return Metadata(authorize_url=good[0], token_url=good[1], jwks_uri=good[2], promises_iss=promised)


def _read_key(data: object) -> PublicKey | None:
    """A public key for signatures, or None: what is not understood is left out (RFC 7517 5)."""
    if not isinstance(data, dict) or data.get("use", "sig") != "sig" or "d" in data:
        return None
    operations = data.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        if data.get("kty") == "RSA":
            if len(data["n"]) not in _RSA or len(data["e"]) > 8:
                return None
            return RSAKey.import_key(data)
        if data.get("kty") == "EC":
            return ECKey.import_key(data)
        return OKPKey.import_key(data) if data.get("kty") == "OKP" else None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None

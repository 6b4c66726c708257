"""Judge an ID token (OpenID Connect Core 1.0, 3.1.3.7) and make of it an identity, or refuse.

How this would be attacked (THREAT_MODEL 27): a token of another issuer, for another application, of another sign-in or
of yesterday; one signed by nothing, by a shared secret, or by a key that it brings along itself; another kind of JWT;
an address that the issuer never verified, in a domain that is not its own, or that only looks like somebody's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from msgspec import Struct

from jit_auth.config.issuer import Issuer
from jit_auth.core.ids import person_id
from jit_auth.errors import BadRequest, SignInRefused
from jit_auth.model import Millis
from jit_auth.signin.identity import Identity
from jit_auth.signin.keys import ALGORITHMS, PublicKey

SKEW: Millis = 60_000
"""By how much an issuer's clock may be ahead of ours."""

OLDEST: Millis = 600_000
"""The greatest age of an ID token (rule of THREAT_MODEL 27: one that was logged is worth nothing)."""

_MAX_TOKEN = 65_536
_MAX_SECONDS = 253_402_300_800  # the year 10000; also keeps NaN and infinity out
_SHA = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}
_CLOCKS = "Start the sign-in again; if it stays, an operator should compare the clocks."
_CORRECT = "An operator should look at how the issuer is set up for this service."


class _Registry(jws.JWSRegistry):
    """The algorithms that we take, and no other; header parameters that we do not know are let be (RFC 7515 4)."""

    max_header_length = 8192  # some put a certificate chain there, which nobody looks at

    def get_alg(self, name: str) -> Any:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


_REGISTRY = _Registry(strict_check_header=False)


class Unverified(Struct, frozen=True):
    """An ID token of which only the header was read: which key it needs. Nothing in it is believed yet."""

    token: jws.CompactSignature
    kid: str | None
    algorithm: str

    def __repr__(self) -> str:
        return "Unverified(...)"

    __str__ = __repr__


class Expected(Struct, frozen=True, kw_only=True):
    """What this sign-in's ID token has to match. `fresh_since`: the person must have proved themselves after it."""

    issuer: Issuer
    nonce: str
    access_token: str
    now: Millis
    fresh_since: Millis | None

    def __repr__(self) -> str:
        return f"Expected({self.issuer!r})"

    __str__ = __repr__


def unverified(token: object) -> Unverified:
    """The header of an ID token. Raises SignInRefused (`bad_id_token`)."""
    if not isinstance(token, str) or len(token) > _MAX_TOKEN or not token.isascii():
        raise _bad("The issuer sent no ID token.")
    try:
        read = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY)
        header = read.headers()
        kid, algorithm, kind = header.get("kid"), header.get("alg"), header.get("typ", "JWT")
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        raise _bad("The ID token cannot be read.") from None
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _bad("The ID token is not signed in a way that is taken here.")
    if not isinstance(kind, str) or kind.lower() not in ("jwt", "application/jwt"):
        # An access token (`at+jwt`) or a logout token is signed by the same keys (RFC 8725 3.11).
        raise _bad("The issuer sent another kind of token in place of an ID token.")
    if "crit" in header or "b64" in header or (kid is not None and not isinstance(kid, str)):
        raise _bad("The ID token's header asks for what is not understood here.")
    return Unverified(read, kid, algorithm)


def verified(token: Unverified, key: PublicKey | None, expected: Expected) -> Identity:
    """The identity that the token proves.

    Raises SignInRefused: `bad_id_token`, `unverified_email`, `foreign_domain`.
    """
    if key is None:
        raise _bad("The ID token is signed by no key of the issuer that fits it.")
    try:
        genuine = jws.validate_compact(token.token, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        genuine = False
    if not genuine:
        raise _bad("The ID token's signature is not the issuer's.")
    try:
        claims = json.loads(token.token.payload)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise _bad("The ID token cannot be read.")
    _check_parties(claims, expected.issuer)
    _check_times(claims, expected.now)
    if not _same(claims.get("nonce"), expected.nonce):
        raise _bad("The ID token is of another sign-in.")
    if "at_hash" in claims and not _same(claims["at_hash"], _half_hash(expected.access_token, token.algorithm)):
        raise _bad("The ID token belongs to another access token.")
    return Identity(
        issuer=expected.issuer.name,
        subject=_subject(claims),
        person=_person(claims, expected.issuer),
        auth_time=_auth_time(claims, expected),
    )


def _check_parties(claims: Mapping[str, Any], issuer: Issuer) -> None:
    if claims.get("iss") != issuer.issuer:
        raise _bad("The ID token is another issuer's.")
    audience, party = claims.get("aud"), claims.get("azp")
    several = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(each, str) for each in several) or issuer.client_id not in several:
        raise _bad("The ID token is meant for another application.")
    if party != issuer.client_id and ("azp" in claims or len(several) > 1):
        raise _bad("The ID token was issued to another application.")


def _check_times(claims: Mapping[str, Any], now: Millis) -> None:
    expires, issued = _time(claims.get("exp")), _time(claims.get("iat"))
    if expires is None or issued is None:
        raise _bad("The ID token does not say when it was made and when it ends.")
    if expires <= now:
        raise _bad("The ID token has expired.", hint=_CLOCKS)
    if issued > now + SKEW:
        raise _bad("The ID token is from the future.", hint=_CLOCKS)
    if issued < now - OLDEST:
        raise _bad("The ID token is too old.", hint=_CLOCKS)
    if "nbf" in claims:
        begins = _time(claims["nbf"])
        if begins is None or begins > now + SKEW:
            raise _bad("The ID token is not valid yet.")


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not (subject.isascii() and subject.isprintable()):
        raise _bad("The ID token names no subject.")
    return subject


def _person(claims: Mapping[str, Any], issuer: Issuer) -> str:
    value = claims.get(issuer.user_claim)
    if not isinstance(value, str):
        raise _bad(f"The ID token does not say who this is: it has no text in `{issuer.user_claim}`.", hint=_CORRECT)
    try:
        person = person_id(value)
    except BadRequest:
        raise _bad(f"What the issuer says in `{issuer.user_claim}` is no id of a person.", hint=_CORRECT) from None
    _, at, domain = person.partition("@")
    if issuer.user_claim == "email":
        if not at:
            raise _bad("What the issuer says in `email` is no address.", hint=_CORRECT)
        if claims.get("email_verified") is not True:  # "true" and 1 are what a claim mapping makes of anything
            raise SignInRefused(
                f"The issuer {issuer.name} has not verified this address.",
                code="unverified_email",
                hint="Verify the address at the issuer, then sign in again.",
            )
    # A name without a domain passes only where no domain is set: else leaving out the `@` would be the way round it.
    if domain not in issuer.domains if at else issuer.domains:
        raise SignInRefused(
            f"The issuer {issuer.name} is not believed about this address.",
            code="foreign_domain",
            hint="Sign in with an account of your organisation, or ask an operator.",
        )
    return person


def _auth_time(claims: Mapping[str, Any], expected: Expected) -> Millis | None:
    told = _time(claims.get("auth_time"))
    if told is None and ("auth_time" in claims or expected.fresh_since is not None):
        raise _bad("The ID token does not say when the person signed in.", hint=_CORRECT)
    if told is not None and told > expected.now + SKEW:
        raise _bad("The ID token says that the person will have signed in.")
    if told is not None and expected.fresh_since is not None and told < expected.fresh_since - SKEW:
        raise _bad("The issuer did not ask the person to sign in anew.")
    return told


def _time(value: object) -> Millis | None:
    """A NumericDate (RFC 7519 2) in milliseconds; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_SECONDS:
        return None
    return int(value * 1000)


def _half_hash(access_token: str, algorithm: str) -> str:
    """`at_hash` (OpenID Connect Core 1.0, 3.1.3.6); Ed25519 hashes by SHA-512."""
    digest = _SHA.get(algorithm[-3:], hashlib.sha512)(access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).decode("ascii").rstrip("=")


def _same(told: object, known: str) -> bool:
    return isinstance(told, str) and hmac.compare_digest(told.encode("utf-8", "surrogatepass"), known.encode())


def _bad(message: str, *, hint: str | None = None) -> SignInRefused:
    return SignInRefused(message, code="bad_id_token", hint=hint)

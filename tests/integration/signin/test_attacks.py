"""The attack table of the sign-in round trip: every row is refused with its code, and tells no secret."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from multidict import MultiDict
from yarl import URL

from jit_auth.errors import SignInAway, SignInRefused
from jit_auth.signin.fetch import issuers_session
from jit_auth.signin.oidc import Oidc
from tests.fakes.issuer import ABSENT, Fault, HostileIssuer, b64, compact, key_for, weak_key
from tests.integration.signin.conftest import KEY, PUBLIC_URL, Time, answered, corp, sign_in, signing_in

Setting = Callable[[HostileIssuer], None]


def claims(**values: Any) -> Setting:
    return lambda evil: evil.claims.update(values)


def at(name: str, seconds: float) -> Setting:
    """A time claim, so many seconds from now."""
    return lambda evil: evil.claims.update({name: int(evil.seconds() + seconds)})


def forged(make: Callable[[HostileIssuer, dict[str, Any]], object]) -> Setting:
    def change(evil: HostileIssuer) -> None:
        evil.forge = lambda told: make(evil, told)

    return change


def signed(header: dict[str, Any], key: Any = None, algorithm: str | None = None) -> Setting:
    """Another header, or another key than the one that is published."""
    return forged(lambda evil, told: compact(header, told, key or evil.key, algorithm))


def publishing(*keys: Any, key: Any = None, header: dict[str, Any] | None = None, algorithm: str = "RS256") -> Setting:
    def change(evil: HostileIssuer) -> None:
        evil.published = list(keys)
        evil.algorithm, evil.key, evil.header = algorithm, key or evil.key, header or {}

    return change


def raw(payload: bytes) -> Setting:
    return forged(lambda evil, told: compact({"alg": "RS256", "kid": "k1"}, payload, evil.key))


def patched(name: str, text: str) -> Setting:
    """A claim in JSON that Python would not write."""

    def make(evil: HostileIssuer, told: dict[str, Any]) -> object:
        payload = json.dumps({**told, name: "@@"}).replace('"@@"', text).encode()
        return compact({"alg": "RS256", "kid": "k1"}, payload, evil.key)

    return forged(make)


def public_pem(evil: HostileIssuer) -> bytes:
    return bytes(evil.key.as_pem(private=False))


RS = {"alg": "RS256", "kid": "k1"}
OTHER = key_for("RS256", "k1", 9)
SECRET_KEY = {"kty": "oct", "kid": "k1", "k": b64(b"s3cr+t %&" * 4).decode(), "alg": "HS256"}
KOBLITZ = ECKey.generate_key("secp256k1", {"kid": "k1"})

ID_TOKENS: dict[str, tuple[Setting, str]] = {
    # How it is signed
    "alg none, no signature": (forged(lambda _, told: compact({"alg": "none"}, told, None)), "bad_id_token"),
    "alg None, spelt otherwise": (forged(lambda _, told: compact({"alg": "nOnE"}, told, None)), "bad_id_token"),
    "alg none, with a key id": (forged(lambda _, told: compact({**RS, "alg": "none"}, told, None)), "bad_id_token"),
    "RS256 without a signature": (forged(lambda _, told: compact(RS, told, None)), "bad_id_token"),
    "HS256 by the client secret": (signed({"alg": "HS256"}, b"s3cr+t %&"), "bad_id_token"),
    "HS512 by the client secret": (signed({"alg": "HS512", "kid": "k1"}, b"s3cr+t %&"), "bad_id_token"),
    "HS256 by the public key": (
        forged(lambda evil, told: compact({"alg": "HS256", "kid": "k1"}, told, public_pem(evil))), "bad_id_token"
    ),
    "HS256 by a published secret": (
        forged(lambda evil, told: (
            evil.published.append(SECRET_KEY), compact({"alg": "HS256", "kid": "k1"}, told, b"s3cr+t %&" * 4)
        )[1]), "bad_id_token",
    ),
    "another key under the same id": (signed(RS, OTHER), "bad_id_token"),
    "a key that comes along (jwk)": (signed({**RS, "jwk": OTHER.as_dict(private=False)}, OTHER), "bad_id_token"),
    "a key from elsewhere (jku)": (signed({**RS, "jku": "http://127.0.0.1:9/k"}, OTHER), "bad_id_token"),
    "a chain that comes along (x5c)": (signed({**RS, "x5c": ["MIIB"]}, OTHER), "bad_id_token"),
    "an unknown key id": (signed({"alg": "RS256", "kid": "k7"}), "bad_id_token"),
    "a key id of another type": (signed({"alg": "RS256", "kid": ["k1"]}), "bad_id_token"),
    "a key id that is a path": (signed({"alg": "RS256", "kid": "../../dev/null"}, OTHER), "bad_id_token"),
    "no key id, two keys fit": (
        publishing(key_for("RS256", "a"), key_for("RS256", "b", 2), key=key_for("RS256", "a"), header={"kid": ABSENT}),
        "bad_id_token",
    ),
    "two keys under one id": (publishing(key_for("RS256"), OTHER), "bad_id_token"),
    "a key for another algorithm": (
        publishing({**key_for("RS256").as_dict(private=False), "alg": "PS256"}), "bad_id_token"
    ),
    "a key for encryption": (publishing({**key_for("RS256").as_dict(private=False), "use": "enc"}), "bad_id_token"),
    "a key that may only sign": (
        publishing({**key_for("RS256").as_dict(private=False), "key_ops": ["sign"]}), "bad_id_token"
    ),
    "a published private key": (publishing(key_for("RS256").as_dict(private=True)), "bad_id_token"),
    "a weak key": (publishing(weak_key(), key=weak_key()), "bad_id_token"),
    "an enormous key": (
        publishing({"kty": "RSA", "kid": "k1", "e": "AQAB", "n": "w" * 200_000}), "bad_id_token"
    ),
    "RS256 named by an EC key": (publishing(key_for("ES256")), "bad_id_token"),
    "ES256 over another curve": (
        publishing(KOBLITZ, key=KOBLITZ, header={"alg": "ES256"}, algorithm="ES256K"), "bad_id_token"
    ),
    "EdDSA over another curve": (
        publishing(key_for("Ed448"), key=key_for("Ed448"), algorithm="EdDSA"), "bad_id_token"
    ),
    "an ECDSA signature of zeros": (
        forged(lambda evil, told: (
            evil.published.append(key_for("ES256", "e1")),
            compact({"alg": "ES256", "kid": "e1"}, told, None) + b64(bytes(64)).decode(),
        )[1]), "bad_id_token",
    ),
    "no key at all": (publishing(), "bad_id_token"),
    "an access token (at+jwt)": (signed({**RS, "typ": "at+jwt"}), "bad_id_token"),
    "a logout token": (signed({**RS, "typ": "logout+jwt"}), "bad_id_token"),
    "a type that is a number": (signed({**RS, "typ": 7}), "bad_id_token"),
    "an extension that must be understood": (signed({**RS, "crit": ["exp"], "exp": 1}), "bad_id_token"),
    "a payload that is not encoded (b64)": (signed({**RS, "b64": False, "crit": ["b64"]}), "bad_id_token"),
    "no algorithm": (signed({"kid": "k1"}, algorithm="RS256"), "bad_id_token"),
    "an algorithm of another type": (signed({"alg": ["RS256"]}, algorithm="RS256"), "bad_id_token"),
    "the payload changed after signing": (
        forged(lambda evil, told: ".".join((
            compact(RS, told, evil.key).split(".")[0],
            b64(json.dumps({**told, "email": "ceo@example.com"}).encode()).decode(),
            compact(RS, told, evil.key).split(".")[2],
        ))), "bad_id_token",
    ),
    # What it is
    "no ID token": (lambda evil: evil.reply_says.update(id_token=ABSENT), "bad_id_token"),
    "an ID token that is an object": (lambda evil: evil.reply_says.update(id_token={"sub": "s"}), "bad_id_token"),
    "two parts": (forged(lambda evil, told: compact(RS, told, evil.key).rpartition(".")[0]), "bad_id_token"),
    "an encrypted one": (forged(lambda evil, told: compact(RS, told, evil.key) + ".x.y"), "bad_id_token"),
    "letters beyond ASCII": (forged(lambda evil, told: compact(RS, told, evil.key) + "é"), "bad_id_token"),
    "longer than anybody needs": (claims(groups="x" * 60_000), "bad_id_token"),
    "a payload that is a list": (raw(b"[1]"), "bad_id_token"),
    "a payload that is no JSON": (raw(b"{"), "bad_id_token"),
    "a payload that is no text": (raw(b"\xff\xfe\x00"), "bad_id_token"),
    "a payload that is nested deeply": (raw(b'{"a":' + b"[" * 30_000), "bad_id_token"),
    # For whom, and by whom
    "another issuer": (claims(iss="https://evil.example"), "bad_id_token"),
    "the issuer with a slash": (lambda evil: evil.claims.update(iss=evil.url + "/"), "bad_id_token"),
    "the issuer in a list": (lambda evil: evil.claims.update(iss=[evil.url]), "bad_id_token"),
    "no issuer": (claims(iss=ABSENT), "bad_id_token"),
    "another application": (claims(aud="other"), "bad_id_token"),
    "another application, in a list": (claims(aud=["other"]), "bad_id_token"),
    "an audience that holds ours": (claims(aud="jit-staging"), "bad_id_token"),
    "no audience": (claims(aud=ABSENT), "bad_id_token"),
    "an empty audience": (claims(aud=[]), "bad_id_token"),
    "an audience of other things": (claims(aud=["jit", 7]), "bad_id_token"),
    "an audience that is an object": (claims(aud={"jit": 1}), "bad_id_token"),
    "two audiences, no azp": (claims(aud=["jit", "other"]), "bad_id_token"),
    "two audiences, issued to the other": (claims(aud=["jit", "other"], azp="other"), "bad_id_token"),
    "ours, issued to another": (claims(azp="other"), "bad_id_token"),
    "ours, issued to nobody": (claims(azp=None), "bad_id_token"),
    # When
    "expired": (at("exp", -1), "bad_id_token"),
    "without an end": (claims(exp=ABSENT), "bad_id_token"),
    "an end that is a text": (claims(exp="9999999999"), "bad_id_token"),
    "an end that is true": (claims(exp=True), "bad_id_token"),
    "an end at no number": (patched("exp", "NaN"), "bad_id_token"),
    "an end at infinity": (patched("exp", "Infinity"), "bad_id_token"),
    "an end beyond all numbers": (patched("exp", "1e999"), "bad_id_token"),
    "an end of 5000 digits": (patched("exp", "9" * 5000), "bad_id_token"),
    "from the future": (at("iat", 90), "bad_id_token"),
    "of yesterday": (at("iat", -86_400), "bad_id_token"),
    "eleven minutes old": (at("iat", -660), "bad_id_token"),
    "without a beginning": (claims(iat=ABSENT), "bad_id_token"),
    "not valid yet": (at("nbf", 90), "bad_id_token"),
    "not valid at any time": (claims(nbf="now"), "bad_id_token"),
    # Of which sign-in
    "no nonce": (claims(nonce=ABSENT), "bad_id_token"),
    "another nonce": (claims(nonce="n" * 43), "bad_id_token"),
    "a nonce that is null": (claims(nonce=None), "bad_id_token"),
    "a nonce with half a character": (claims(nonce="\ud800"), "bad_id_token"),
    "another access token's": (claims(at_hash="A" * 22), "bad_id_token"),
    "an at_hash that is null": (claims(at_hash=None), "bad_id_token"),
    "a sign-in in the future": (at("auth_time", 90), "bad_id_token"),
    "a sign-in at no time": (claims(auth_time="now"), "bad_id_token"),
    "a sign-in that is true": (claims(auth_time=True), "bad_id_token"),
    # Who
    "no subject": (claims(sub=ABSENT), "bad_id_token"),
    "an empty subject": (claims(sub=""), "bad_id_token"),
    "a subject that is a number": (claims(sub=7), "bad_id_token"),
    "a subject of 256 characters": (claims(sub="x" * 256), "bad_id_token"),
    "a subject with NUL": (claims(sub="a\x00b"), "bad_id_token"),
    "no address": (claims(email=ABSENT), "bad_id_token"),
    "an address that is a list": (claims(email=["ana@example.com"]), "bad_id_token"),
    "an address that is none": (claims(email="ana"), "bad_id_token"),
    "the word requester": (claims(email="requester"), "bad_id_token"),
    "two addresses": (claims(email="ana@example.com,eve@evil.example"), "bad_id_token"),
    "an address with a name": (claims(email="Ana <ana@example.com>"), "bad_id_token"),
    "an address with two domains": (claims(email="ana@evil.example@example.com"), "bad_id_token"),
    "a Cyrillic a": (claims(email="\u0430na@example.com"), "bad_id_token"),
    "an invisible letter": (claims(email="ana\u200b@example.com"), "bad_id_token"),
    "a soft hyphen in the domain": (claims(email="ana@exam\u00adple.com"), "bad_id_token"),
    "a quoted local part": (claims(email='"ana@example.com"@evil.example'), "bad_id_token"),
    "not verified": (claims(email_verified=False), "unverified_email"),
    "verified, not said": (claims(email_verified=ABSENT), "unverified_email"),
    "verified as a text": (claims(email_verified="true"), "unverified_email"),
    "verified as a number": (claims(email_verified=1), "unverified_email"),
    "verified as a list": (claims(email_verified=[True]), "unverified_email"),
    "another domain": (claims(email="ana@evil.example"), "foreign_domain"),
    "a subdomain": (claims(email="ana@mail.example.com"), "foreign_domain"),
    "a domain that ends like ours": (claims(email="ana@notexample.com"), "foreign_domain"),
    "a domain that begins like ours": (claims(email="ana@example.com.evil.example"), "foreign_domain"),
    "a Cyrillic e in the domain": (claims(email="ana@\u0435xample.com"), "foreign_domain"),
}  # fmt: skip


@pytest.mark.parametrize(("setting", "code"), ID_TOKENS.values(), ids=list(ID_TOKENS))
async def test_no_such_id_token_signs_anybody_in(oidc: Oidc, evil: HostileIssuer, setting: Setting, code: str) -> None:
    setting(evil)
    with pytest.raises(SignInRefused) as caught:
        await sign_in(oidc)
    assert (caught.value.code, caught.value.status) == (code, 403)
    assert caught.value.hint
    assert evil.counts["token"] == 1  # it was refused for what it is, not before
    tells_no_secret(caught.value, evil)


async def test_without_domains_no_address_is_believed(evil: HostileIssuer, clock: Time) -> None:
    evil.claims = {"upn": "ana@example.com"}
    for user_claim in ("email", "upn"):
        async with signing_in(corp(evil, domains=(), user_claim=user_claim), clock.now) as oidc:
            with pytest.raises(SignInRefused) as caught:
                await sign_in(oidc)
            assert caught.value.code == "foreign_domain"


@pytest.mark.parametrize("value", ["ana", "ana@evil.example", "Ana.Admin"])
async def test_leaving_the_domain_out_is_no_way_round_it(evil: HostileIssuer, clock: Time, value: str) -> None:
    evil.claims = {"preferred_username": value}
    async with signing_in(corp(evil, user_claim="preferred_username"), clock.now) as oidc:
        with pytest.raises(SignInRefused) as caught:
            await sign_in(oidc)
        assert caught.value.code == "foreign_domain"


@pytest.mark.parametrize(
    "setting",
    [claims(auth_time=ABSENT), at("auth_time", -3600), at("auth_time", -70), at("auth_time", 90), claims(auth_time=0)],
    ids=["none", "an hour ago", "just before", "in the future", "1970"],
)
async def test_a_fresh_sign_in_needs_a_fresh_proof(oidc: Oidc, evil: HostileIssuer, setting: Setting) -> None:
    setting(evil)
    with pytest.raises(SignInRefused) as caught:
        await sign_in(oidc, fresh=True)
    assert caught.value.code == "bad_id_token"


CALLBACKS: dict[str, tuple[dict[str, Any], str]] = {
    "no state": ({"state": ABSENT}, "bad_callback"),
    "an empty state": ({"state": ""}, "bad_callback"),
    "a short state": ({"state": "abc"}, "bad_callback"),
    "a state of other letters": ({"state": "é" * 43}, "bad_callback"),
    "another state": ({"state": "s" * 43}, "unknown_state"),
    "two states": ({"state": ["s" * 43, "t" * 43]}, "bad_callback"),
    "two codes": ({"code": ["a", "b"]}, "bad_callback"),
    "two issuers": ({"iss": ["a", "b"]}, "bad_callback"),
    "a code of 5000 letters": ({"code": "c" * 5000}, "bad_callback"),
    "a code with NUL": ({"code": "a\x00b"}, "bad_callback"),
    "no code": ({"code": ABSENT}, "bad_callback"),
    "an empty code": ({"code": ""}, "bad_callback"),
    "an invented code": ({"code": "invented"}, "signin_refused"),
    "another issuer": ({"iss": "https://evil.example"}, "wrong_issuer"),
    "an empty issuer": ({"iss": ""}, "wrong_issuer"),
    "no issuer, though it was promised": ({"iss": ABSENT}, "wrong_issuer"),
    "the person's no": ({"code": ABSENT, "error": "access_denied"}, "signin_refused"),
    "an error beside a code": ({"error": "access_denied"}, "signin_refused"),
    "an error of another issuer": ({"error": "access_denied", "iss": "https://evil.example"}, "wrong_issuer"),
    "an error that is markup": ({"error": "<script>alert(1)</script>"}, "signin_refused"),
    "needs a login": ({"code": ABSENT, "error": "login_required"}, "signin_refused"),
}


@pytest.mark.parametrize(("answer", "code"), CALLBACKS.values(), ids=list(CALLBACKS))
async def test_no_such_callback_signs_anybody_in(
    oidc: Oidc, evil: HostileIssuer, answer: dict[str, Any], code: str
) -> None:
    evil.answer_says = answer
    with pytest.raises(SignInRefused) as caught:
        await sign_in(oidc)
    assert caught.value.code == code
    assert "<" not in caught.value.message
    tells_no_secret(caught.value, evil)


async def test_a_callback_in_another_browser(oidc: Oidc, evil: HostileIssuer) -> None:
    """Login CSRF: Mallory's code in Alice's browser, which has no cookie, or one of her own round trip."""
    mallory, alice = await oidc.begin("corp", to="/me"), await oidc.begin("corp", to="/me")
    query = await answered(mallory.url)
    for cookie, code in ((None, "foreign_browser"), ("", "foreign_browser"), (alice.cookie, "unknown_state")):
        with pytest.raises(SignInRefused) as caught:
            await oidc.finish("corp", query, cookie)
        assert caught.value.code == code
    # Mallory knows Alice's state somehow, and plants his code into her round trip: verifier and nonce are hers.
    query["state"] = URL(alice.url).query["state"]
    with pytest.raises(SignInRefused) as caught:
        await oidc.finish("corp", query, alice.cookie)
    assert caught.value.code == "signin_refused"


async def test_a_code_is_good_once(oidc: Oidc, evil: HostileIssuer) -> None:
    begun = await oidc.begin("corp", to="/me")
    query = await answered(begun.url)
    await oidc.finish("corp", query, begun.cookie)
    with pytest.raises(SignInRefused) as caught:
        await oidc.finish("corp", query, begun.cookie)
    assert caught.value.code == "signin_refused"


async def test_an_id_token_of_an_earlier_sign_in(oidc: Oidc, evil: HostileIssuer) -> None:
    first: list[str] = []

    def once_more(told: dict[str, Any]) -> object:
        first.append(compact(RS, told, evil.key))
        return first[0]

    evil.claims = {"at_hash": ABSENT}
    evil.forge = once_more
    await sign_in(oidc)
    with pytest.raises(SignInRefused, match="another sign-in"):
        await sign_in(oidc)


async def test_after_ten_minutes_it_is_too_late(oidc: Oidc, evil: HostileIssuer, clock: Time) -> None:
    begun = await oidc.begin("corp", to="/me")
    query = await answered(begun.url)
    for ahead in (600, -90):  # too late; and a clock that jumped back
        clock.ahead = ahead
        with pytest.raises(SignInRefused) as caught:
            await oidc.finish("corp", query, begun.cookie)
        assert caught.value.code == "expired"
    assert evil.counts["token"] == 0


async def test_a_cookie_of_another_installation(evil: HostileIssuer, session: ClientSession, clock: Time) -> None:
    theirs = Oidc([corp(evil)], public_url=PUBLIC_URL, key=b"\x08" * 32, now=clock.now, session=session)
    ours = Oidc([corp(evil)], public_url=PUBLIC_URL, key=KEY, now=clock.now, session=session)
    begun = await theirs.begin("corp", to="/me")
    with pytest.raises(SignInRefused) as caught:
        await ours.finish("corp", await answered(begun.url), begun.cookie)
    assert caught.value.code == "foreign_browser"


@pytest.mark.parametrize(
    "to", ["//evil.example", "/\\evil.example", "https://evil.example", "/me\r\nx: y", "javascript:x"]
)
async def test_a_sign_in_leads_to_no_other_place(oidc: Oidc, to: str) -> None:
    assert (await sign_in(oidc, to=to)).to == "/me"


def as_it_is(body: bytes) -> bytes:
    return body


def faulty(
    endpoint: str, status: int, body: bytes | Callable[[bytes], bytes], headers: dict[str, str] | None = None
) -> Setting:
    return lambda evil: evil.faults.update({endpoint: Fault(status, body, headers or {})})


def elsewhere(endpoint: str, status: int) -> Setting:
    """A redirect to where the honest answer is."""
    return lambda evil: evil.faults.update(
        {endpoint: Fault(status, headers={"Location": f"{evil.url}/honest/{endpoint}"})}
    )


HUGE = b'{"keys": [' + b" " * 300_000 + b"]}"
AWAY: dict[str, tuple[Setting, bool]] = {
    # (what is wrong; whether it shows when the round trip begins)
    "metadata 500": (lambda evil: evil.faults.update(metadata=Fault(500)), True),
    "metadata 404": (faulty("metadata", 404, as_it_is), True),
    "metadata elsewhere": (elsewhere("metadata", 302), True),
    "metadata that is no JSON": (lambda evil: evil.faults.update(metadata=Fault(200, b"<html>")), True),
    "metadata that is a list": (lambda evil: evil.faults.update(metadata=Fault(200, b"[]")), True),
    "metadata nested deeply": (lambda evil: evil.faults.update(metadata=Fault(200, b"[" * 200_000)), True),
    "metadata without end": (lambda evil: evil.faults.update(metadata=Fault(200, HUGE)), True),
    "metadata packed": (faulty("metadata", 200, gzip.compress, {"Content-Encoding": "gzip"}), True),
    "metadata of another issuer": (lambda evil: evil.metadata_says.update(issuer="https://evil.example"), True),
    "metadata of an issuer with a slash": (lambda evil: evil.metadata_says.update(issuer=evil.url + "/"), True),
    "metadata of every tenant": (lambda evil: evil.metadata_says.update(issuer="https://x/{tenantid}/v2.0"), True),
    "no issuer": (lambda evil: evil.metadata_says.update(issuer=ABSENT), True),
    "no token endpoint": (lambda evil: evil.metadata_says.update(token_endpoint=ABSENT), True),
    "a plain token endpoint": (lambda evil: evil.metadata_says.update(token_endpoint="http://evil.example/t"), True),
    "plain keys": (lambda evil: evil.metadata_says.update(jwks_uri="http://evil.example/jwks"), True),
    "keys in a file": (lambda evil: evil.metadata_says.update(jwks_uri="file:///etc/passwd"), True),
    "keys that are data": (lambda evil: evil.metadata_says.update(jwks_uri='data:,{"keys":[]}'), True),
    "an authorization endpoint that is script": (
        lambda evil: evil.metadata_says.update(authorization_endpoint="javascript:alert(1)"), True
    ),
    "an endpoint with a user": (
        lambda evil: evil.metadata_says.update(token_endpoint="https://a:b@evil.example/t"), True
    ),
    "an endpoint that is a number": (lambda evil: evil.metadata_says.update(token_endpoint=7), True),
    "keys 500": (faulty("jwks", 500, as_it_is), False),
    "keys elsewhere": (elsewhere("jwks", 307), False),
    "keys without end": (lambda evil: evil.faults.update(jwks=Fault(200, HUGE)), False),
    "keys that are no list": (lambda evil: evil.faults.update(jwks=Fault(200, b'{"keys": {}}')), False),
    "token 500": (faulty("token", 500, as_it_is), False),
    "token elsewhere": (elsewhere("token", 307), False),
    "token without end": (lambda evil: evil.faults.update(token=Fault(200, HUGE)), False),
    "token that is a page": (lambda evil: evil.faults.update(token=Fault(200, b"<html>s3cr+t</html>")), False),
    "a client that is not known": (
        lambda evil: evil.faults.update(token=Fault(401, b'{"error": "invalid_client"}')), False
    ),
}  # fmt: skip


@pytest.mark.parametrize(("setting", "at_once"), AWAY.values(), ids=list(AWAY))
async def test_an_issuer_that_cannot_be_used_now(
    oidc: Oidc, evil: HostileIssuer, setting: Setting, at_once: bool
) -> None:
    setting(evil)
    if not at_once:
        begun = await oidc.begin("corp", to="/me")
        query = await answered(begun.url)
    with pytest.raises(SignInAway) as caught:
        await (oidc.begin("corp", to="/me") if at_once else oidc.finish("corp", query, begun.cookie))
    assert (caught.value.code, caught.value.status) == ("issuer_unavailable", 503)
    assert caught.value.hint
    tells_no_secret(caught.value, evil)


@pytest.mark.parametrize("endpoint", ["metadata", "jwks", "token"])
async def test_an_issuer_that_never_answers(evil: HostileIssuer, clock: Time, endpoint: str) -> None:
    evil.faults[endpoint] = Fault(hang=True)
    async with issuers_session(0.3) as session:
        oidc = Oidc([corp(evil)], public_url=PUBLIC_URL, key=KEY, now=clock.now, session=session)
        with pytest.raises(SignInAway) as caught:
            await sign_in(oidc)
    assert evil.counts[endpoint] == 1
    tells_no_secret(caught.value, evil)


async def test_a_crowd_at_an_issuer_that_never_answers_waits_once(evil: HostileIssuer, clock: Time) -> None:
    evil.faults["metadata"] = Fault(hang=True)
    async with issuers_session(0.3) as session:
        oidc = Oidc([corp(evil)], public_url=PUBLIC_URL, key=KEY, now=clock.now, session=session)
        came = await asyncio.gather(*(oidc.begin("corp", to="/me") for _ in range(20)), return_exceptions=True)
        assert {type(each) for each in came} == {SignInAway}
        assert evil.counts["metadata"] == 1
        evil.faults.clear()
        assert (await sign_in(oidc)).identity.subject == "s-1"  # the failure is not kept for those who come later


async def test_an_issuer_where_nobody_listens(oidc: Oidc, evil: HostileIssuer, clock: Time) -> None:
    async with signing_in(corp(evil, issuer="http://127.0.0.1:9"), clock.now) as away:
        with pytest.raises(SignInAway):
            await away.begin("corp", to="/me")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_only_the_matching_callback_and_cookie_are_accepted(data: st.DataObject, clock: Time) -> None:
    """Two trips; any mix of their cookies, states and codes, with any tampering, is refused but for the true pairs."""
    async with HostileIssuer(clock.seconds).running() as evil, issuers_session() as session:
        oidc = Oidc([corp(evil)], public_url=PUBLIC_URL, key=KEY, now=clock.now, session=session)
        trips = [await oidc.begin("corp", to=f"/{number}") for number in range(2)]
        queries = [await answered(trip.url) for trip in trips]
        cookie_of, state_of, code_of = (data.draw(st.integers(0, 1)) for _ in range(3))
        cookie, state = trips[cookie_of].cookie, queries[state_of]["state"]
        tampered = data.draw(st.sampled_from(["nothing", "cookie", "state", "code"]))
        code = queries[code_of]["code"]
        if tampered == "cookie":
            cookie = data.draw(changed(cookie))
        elif tampered == "state":
            state = data.draw(changed(state))
        elif tampered == "code":
            code = data.draw(changed(code))
        query = MultiDict({"state": state, "code": code, "iss": evil.url})
        if tampered == "nothing" and cookie_of == state_of == code_of:
            assert (await oidc.finish("corp", query, cookie)).to == f"/{cookie_of}"
        else:
            with pytest.raises(SignInRefused):
                await oidc.finish("corp", query, cookie)


def changed(text: str) -> st.SearchStrategy[str]:
    """The text with one place changed, cut or grown."""
    letters = st.sampled_from("ABCXYZabcxyz0189-_.=~")
    places = st.integers(0, len(text) - 1)
    replaced = st.tuples(places, letters).map(lambda it: text[: it[0]] + it[1] + text[it[0] + 1 :])
    cut = places.map(lambda place: text[:place])
    grown = st.tuples(places, letters).map(lambda it: text[: it[0]] + it[1] + text[it[0] :])
    return (replaced | cut | grown).filter(lambda it: it != text)


def tells_no_secret(error: BaseException, evil: HostileIssuer) -> None:
    told = [f"{getattr(error, 'message', '')} {getattr(error, 'hint', '')} {error!r} {error!s}"]
    cause: BaseException | None = error
    while cause := cause.__cause__ if cause else None:
        told.append(f"{cause!r}")
    secrets = [evil.client_secret, evil.asked.get("state"), evil.asked.get("nonce")]
    secrets += [value for form in evil.forms for name in ("code", "code_verifier") if (value := form.get(name))]
    assert [each for each in secrets if each and len(each) > 4 and any(each in text for text in told)] == []

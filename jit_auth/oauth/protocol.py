"""Build every OAuth request we make (authorize URL, token, refresh, revocation), purely; alone imports authlib.

Only authlib's pure functions are used, never its sessions or clients: what leaves goes through egress.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

from authlib.common.urls import add_params_to_qs
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7009.parameters import prepare_revoke_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwk, jwt
from joserfc.errors import JoseError

from jit_auth import __version__
from jit_auth.errors import Misconfigured
from jit_auth.model import Millis, Provider, Request

CLIENT_AUTH: tuple[str, ...] = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")
"""What `token_auth` may be."""

OWN_PARAMS: frozenset[str] = frozenset(
    {"response_type", "client_id", "redirect_uri", "state", "nonce", "code_challenge", "code_challenge_method",
     "grant_type", "code", "code_verifier", "refresh_token", "client_secret", "client_assertion",
     "client_assertion_type", "request", "request_uri"}
)  # fmt: skip
"""Parameters that `authorize_params` and `token_params` may not set: they carry the protocol's own guarantees."""

USER_AGENT = f"jit_auth/{__version__}"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS = 120


def union(*lists: Iterable[str]) -> tuple[str, ...]:
    """All scopes once, in the order in which they first appear."""
    return tuple(dict.fromkeys(scope for scopes in lists for scope in scopes if scope))


def authorize_url(
    provider: Provider, scopes: Sequence[str], *, redirect_uri: str, state: str, verifier: str, nonce: str | None
) -> str:
    """Where the browser goes: RFC 6749 4.1.1 with PKCE S256 (RFC 7636); `nonce` (OIDC) only where given.

    Raises Misconfigured where the provider has no authorize URL or client id, or its data overrides our own parameters.
    """
    url, client_id = _need(provider.authorize_url, provider, "authorize_url"), _client(provider)
    params = _extra(provider.authorize_params, provider, {provider.scope_param})
    if scopes:
        params[provider.scope_param] = (provider.scope_separator or " ").join(scopes)
    if provider.pkce:
        params["code_challenge"] = create_s256_code_challenge(verifier)
        params["code_challenge_method"] = "S256"
    if nonce is not None:
        params["nonce"] = nonce
    uri: str = prepare_grant_uri(url, client_id, "code", redirect_uri=redirect_uri, state=state, **params)
    return uri


def code_request(
    provider: Provider, *, code: str, redirect_uri: str, verifier: str, now: Millis, unique: str
) -> Request:
    """The exchange of a code for tokens (RFC 6749 4.1.3). `unique` names the client assertion, where one is made."""
    params = _extra(provider.token_params, provider, {"scope"})
    params |= {"code": code, "redirect_uri": redirect_uri}
    if provider.pkce:
        params["code_verifier"] = verifier
    body = prepare_token_request("authorization_code", **params)
    return _post(_need(provider.token_url, provider, "token_url"), body, provider, now, unique)


def refresh_request(provider: Provider, *, refresh: str, now: Millis, unique: str) -> Request:
    """A refresh (RFC 6749 6). No scope is named: the reply tells what the token still holds."""
    params = _extra(provider.token_params, provider, {"scope"})
    body = prepare_token_request("refresh_token", refresh_token=refresh, **params)
    url = _need(provider.refresh_url or provider.token_url, provider, "token_url")
    return _post(url, body, provider, now, unique)


def revoke_request(provider: Provider, *, token: str, hint: str, now: Millis, unique: str) -> Request:
    """The revocation of one token (RFC 7009); `hint` is access_token or refresh_token."""
    body, _ = prepare_revoke_token_request(token, hint)
    return _post(_need(provider.revoke_url, provider, "revoke_url"), body, provider, now, unique)


def get_request(url: str) -> Request:
    """A plain GET that wants JSON (metadata, userinfo); the credential is added by whoever holds it."""
    return Request(method="GET", url=url, headers=(("accept", "application/json"), ("user-agent", USER_AGENT)))


def _post(url: str, body: str, provider: Provider, now: Millis, unique: str) -> Request:
    headers: dict[str, str] = {}
    if provider.token_auth == "private_key_jwt":
        assertion = client_assertion(provider, audience=url, now=now, unique=unique)
        body = add_params_to_qs(body, [("client_id", _client(provider)), ("client_assertion_type", _ASSERTION_TYPE),
                                       ("client_assertion", assertion)])  # fmt: skip
    else:
        url, headers, body = _authenticator(provider).prepare("POST", url, headers, body)
    # Some providers (GitHub) answer form-encoded unless JSON is asked for.
    headers |= {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": USER_AGENT,
    }
    lowered = tuple((name.lower(), value) for name, value in headers.items())
    return Request(method="POST", url=url, headers=lowered, body=body.encode("ascii"))


def _authenticator(provider: Provider) -> Any:
    client_id, secret, method = _client(provider), provider.client_secret, provider.token_auth
    if method not in CLIENT_AUTH:
        raise Misconfigured(f"The provider {provider.id} has an unknown token_auth.")
    if method != "none" and not secret:
        raise Misconfigured(
            f"The provider {provider.id} has no client secret.",
            hint=f"Set `client_secret` in [providers.{provider.id}].",
        )
    if method == "client_secret_basic":
        # RFC 6749 2.3.1: both parts are form-encoded before they are joined; authlib joins them as they are.
        return ClientAuth(quote_plus(client_id), quote_plus(secret or ""), method)
    return ClientAuth(client_id, secret, method)


def client_assertion(provider: Provider, *, audience: str, now: Millis, unique: str) -> str:
    """A client assertion (RFC 7523 2.2): `client_secret` is the private key, as PEM or as JWK in JSON.

    Raises Misconfigured where it is not a private key (RSA or EC).
    """
    text = (provider.client_secret or "").strip()
    try:
        key: Any = _private_key(text)
        if not key.is_private:
            raise ValueError("no private key")
        claims = {"iss": _client(provider), "sub": _client(provider), "aud": audience, "jti": unique,
                  "iat": now // 1000, "exp": now // 1000 + _ASSERTION_SECONDS}  # fmt: skip
        algorithm = _algorithm(key)
        header = {"alg": algorithm, "typ": "JWT"} | ({"kid": key.kid} if text.startswith("{") and key.kid else {})
        return jwt.encode(header, claims, key, algorithms=[algorithm])
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        # The cause is left out: its text may quote the key.
        raise Misconfigured(f"The private key of the provider {provider.id} cannot sign a client assertion.") from None


def _private_key(text: str) -> Any:
    if text.startswith("{"):
        values = json.loads(text)
        return jwk.RSAKey.import_key(values) if values["kty"] == "RSA" else jwk.ECKey.import_key(values)
    try:
        return jwk.RSAKey.import_key(text)
    except JoseError:
        return jwk.ECKey.import_key(text)


def _algorithm(key: Any) -> str:
    if key.key_type == "EC":
        return {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[key.curve_name]
    return {"RSA": "RS256"}[key.key_type]


def _extra(params: Mapping[str, str], provider: Provider, also: set[str]) -> dict[str, str]:
    taken = sorted(set(params) & (OWN_PARAMS | also))
    if taken:
        raise Misconfigured(f"The data of the provider {provider.id} sets {taken[0]}, which is not its own to set.")
    return dict(params)


def _client(provider: Provider) -> str:
    if not provider.client_id:
        raise Misconfigured(
            f"The provider {provider.id} has no client id.", hint=f"Set `client_id` in [providers.{provider.id}]."
        )
    return provider.client_id


def _need(url: str | None, provider: Provider, name: str) -> str:
    if not url:
        raise Misconfigured(f"The provider {provider.id} has no {name}.")
    return url

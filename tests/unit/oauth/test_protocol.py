"""What leaves for a provider: authorize URLs, token and revocation requests, client authentication."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import pytest
from joserfc import jwk, jwt

from jit_auth.errors import Misconfigured
from jit_auth.model import Provider, Request
from jit_auth.oauth import protocol

REDIRECT = "https://jit.example/oauth/callback/hub"


def hub(**changes: Any) -> Provider:
    values: dict[str, Any] = {
        "id": "hub", "authorize_url": "https://hub.example/authorize", "token_url": "https://hub.example/token",
        "revoke_url": "https://hub.example/revoke", "hosts": ("hub.example",), "client_id": "jit",
        "client_secret": "s3cr+t %&:",
    }  # fmt: skip
    return Provider(**(values | changes))


def form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode(), strict_parsing=True).items()}


def headers(request: Request) -> dict[str, str]:
    return dict(request.headers)


def authorize(provider: Provider, *scopes: str, nonce: str | None = None) -> dict[str, list[str]]:
    url = protocol.authorize_url(provider, scopes, redirect_uri=REDIRECT, state="st", verifier="v" * 43, nonce=nonce)
    return parse_qs(urlsplit(url).query, strict_parsing=True)


def code_request(provider: Provider) -> Request:
    return protocol.code_request(
        provider, code="c/1", redirect_uri=REDIRECT, verifier="v" * 43, now=1_000_000, unique="u1"
    )


def test_authorize_url_names_everything_once() -> None:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"v" * 43).digest()).rstrip(b"=").decode()
    assert authorize(hub(), "mail.read", "mail.send") == {
        "response_type": ["code"], "client_id": ["jit"], "redirect_uri": [REDIRECT], "scope": ["mail.read mail.send"],
        "state": ["st"], "code_challenge": [challenge], "code_challenge_method": ["S256"],
    }  # fmt: skip


def test_authorize_url_follows_the_providers_data() -> None:
    slack = hub(
        scope_separator=",", scope_param="user_scope", authorize_params={"access_type": "offline"}, pkce=False,
        authorize_url="https://hub.example/authorize?tenant=a%20b",
    )  # fmt: skip
    query = authorize(slack, "chat:write", "users:read", nonce="n1")
    assert query["user_scope"] == ["chat:write,users:read"]
    assert query["access_type"] == ["offline"]
    assert query["tenant"] == ["a b"]
    assert query["nonce"] == ["n1"]
    assert "scope" not in query
    assert "code_challenge" not in query


@pytest.mark.parametrize("name", ["state", "redirect_uri", "code_challenge", "client_id", "scope", "response_type"])
def test_provider_data_cannot_set_the_protocols_own_parameters(name: str) -> None:
    with pytest.raises(Misconfigured, match=name):
        authorize(hub(authorize_params={name: "evil"}))


def test_token_parameters_cannot_set_the_protocols_own() -> None:
    with pytest.raises(Misconfigured, match="code_verifier"):
        code_request(hub(token_params={"code_verifier": "evil"}))
    assert form(code_request(hub(token_params={"owner": "user"})))["owner"] == "user"


def test_basic_authentication_is_form_encoded_first() -> None:
    request = code_request(hub())
    kind, _, pair = headers(request)["authorization"].partition(" ")
    name, _, secret = base64.b64decode(pair).decode().partition(":")
    assert (kind, unquote_plus(name), unquote_plus(secret)) == ("Basic", "jit", "s3cr+t %&:")
    assert form(request) == {
        "grant_type": "authorization_code", "code": "c/1", "redirect_uri": REDIRECT, "code_verifier": "v" * 43,
    }  # fmt: skip
    assert headers(request)["accept"] == "application/json"
    assert headers(request)["content-type"] == "application/x-www-form-urlencoded"
    assert headers(request)["user-agent"].startswith("jit_auth/")


def test_post_and_public_clients() -> None:
    post = code_request(hub(token_auth="client_secret_post"))
    assert (form(post)["client_id"], form(post)["client_secret"]) == ("jit", "s3cr+t %&:")
    assert "authorization" not in headers(post)
    public = code_request(hub(token_auth="none", client_secret=None))
    assert form(public)["client_id"] == "jit"
    assert "client_secret" not in form(public)


def test_refresh_and_revocation() -> None:
    separate = hub(refresh_url="https://hub.example/refresh")
    request = protocol.refresh_request(separate, refresh="rt", now=1, unique="u")
    assert request.url == "https://hub.example/refresh"
    assert form(request) == {"grant_type": "refresh_token", "refresh_token": "rt"}
    revoke = protocol.revoke_request(hub(), token="t+t", hint="refresh_token", now=1, unique="u")
    assert form(revoke) == {"token": "t+t", "token_type_hint": "refresh_token"}


@pytest.mark.parametrize("kind", ["RSA", "EC"])
@pytest.mark.parametrize("written", ["pem", "jwk"])
def test_private_key_jwt(kind: str, written: str) -> None:
    key = jwk.RSAKey.generate_key(2048) if kind == "RSA" else jwk.ECKey.generate_key("P-256")
    text = key.as_pem(private=True).decode() if written == "pem" else _json(key)
    request = code_request(hub(token_auth="private_key_jwt", client_secret=text))
    sent = form(request)
    assert sent["client_assertion_type"].endswith("jwt-bearer")
    assert "authorization" not in headers(request)
    claims = jwt.decode(sent["client_assertion"], key, algorithms=["RS256", "ES256"]).claims
    assert claims == {
        "iss": "jit", "sub": "jit", "aud": "https://hub.example/token", "jti": "u1", "iat": 1000, "exp": 1120,
    }  # fmt: skip


def _json(key: jwk.RSAKey | jwk.ECKey) -> str:
    return json.dumps(key.as_dict(private=True))


@pytest.mark.parametrize("text", ["no key at all", "{}", '{"kty":"oct","k":"c2VjcmV0"}', "{broken", ""])
def test_a_key_that_cannot_sign_is_the_operators_fault_and_is_not_repeated(text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        code_request(hub(token_auth="private_key_jwt", client_secret=text))
    assert caught.value.__cause__ is None
    assert not text or text not in str(caught.value)


def test_a_public_key_cannot_sign() -> None:
    public = jwk.ECKey.generate_key("P-256").as_pem(private=False).decode()
    with pytest.raises(Misconfigured):
        code_request(hub(token_auth="private_key_jwt", client_secret=public))


@pytest.mark.parametrize(
    "changes",
    [{"client_id": None}, {"client_secret": None}, {"token_url": None}, {"token_auth": "tls_client_auth"}],
)
def test_what_is_missing_is_named(changes: dict[str, object]) -> None:
    with pytest.raises(Misconfigured):
        code_request(hub(**changes))


def test_union_keeps_the_first_order() -> None:
    assert protocol.union(["b", "a"], ["a", "c", ""]) == ("b", "a", "c")

"""Plays the OAuth providers of the configuration: gives codes, tokens and accounts, whatever form a provider has."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from jit_auth.model import Provider, Request
from jit_auth.testing.api import Answer

LIFETIME = 3600
"""Seconds for which an access token is good."""


@dataclass(frozen=True)
class Account:
    """One account that a user has at a provider, and the scopes that its tokens have."""

    name: str
    scopes: tuple[str, ...]


class Accounts:
    """Answers at the endpoints of `providers`. Keeps tokens for as long as the kit lives, over restarts too."""

    def __init__(self) -> None:
        self.providers: Callable[[], Mapping[str, Provider]] = dict
        """Those that there are now."""
        self._codes: dict[str, Account] = {}
        self._refreshes: dict[str, Account] = {}
        self._tokens: dict[str, Account] = {}
        self._unnamed: set[str] = set()
        """Tokens whose account is asked for next. Some providers' userinfo is an action too (GitHub's /user): what
        comes after is a call."""

    def consented(self, url: str, provider: Provider, name: str, scopes: Sequence[str] | None) -> dict[str, str]:
        """The person has said yes at the authorize URL `url`, to what was asked or to `scopes` alone: the query with
        which the browser comes back."""
        query = dict(parse_qsl(urlsplit(url).query))
        asked = query.get(provider.scope_param, "").split(provider.scope_separator or " ")
        code = f"code-{secrets.token_hex(8)}"
        self._codes[code] = Account(name, tuple(scopes if scopes is not None else filter(None, asked)))
        back = {"code": code, "state": query["state"]}
        return back if provider.issuer is None else {**back, "iss": provider.issuer}

    def answer(self, request: Request) -> Answer | None:
        """What a provider says; None where the request is for none of their endpoints."""
        place = request.url.partition("?")[0]
        for provider in self.providers().values():
            if place in _tokens_at(provider):
                return self._token(provider, request)
            if place == _at(provider.userinfo_url) and (bearer := _bearer(request)) in self._unnamed:
                self._unnamed.discard(bearer)
                return Answer(json=_identified(provider, self._tokens[bearer]))
            if place == _at(provider.revoke_url):
                return self._revoked(request)
            if provider.issuer is not None and place.startswith(_origin(provider.issuer)) and "/.well-known/" in place:
                return Answer(json=_metadata(provider))
        return None

    def _token(self, provider: Provider, request: Request) -> Answer:
        form = _form(request)
        kept = self._codes if "code" in form else self._refreshes
        account = kept.pop(form.get("code") or form.get("refresh_token", ""), None)
        if account is None:
            return Answer(400, {"error": "invalid_grant"})
        access, refresh = f"token-{secrets.token_hex(8)}", f"refresh-{secrets.token_hex(8)}"
        self._tokens[access] = self._refreshes[refresh] = account
        token: dict[str, Any] = {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": LIFETIME,
            "scope": (provider.scope_separator or " ").join(account.scopes),
        }
        if kept is self._codes:
            self._unnamed.add(access)
        told = _identified(provider, account)
        _put(told, provider.token_path, token)
        return Answer(json=told)

    def _revoked(self, request: Request) -> Answer:
        token = _form(request).get("token", "")
        for kept in (self._tokens, self._refreshes):
            kept.pop(token, None)
        return Answer()


def _form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}


def _bearer(request: Request) -> str:
    return dict(request.headers).get("authorization", "").rpartition(" ")[2]


def _at(url: str | None) -> str | None:
    return None if url is None else url.partition("?")[0]


def _tokens_at(provider: Provider) -> tuple[str | None, ...]:
    return _at(provider.token_url) or _metadata(provider).get("token_endpoint"), _at(provider.refresh_url)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def _metadata(provider: Provider) -> dict[str, Any]:
    """RFC 8414, of an issuer that is all that the connector names."""
    if provider.issuer is None:
        return {}
    base = provider.issuer.rstrip("/")
    return {
        "issuer": provider.issuer,
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "authorization_response_iss_parameter_supported": True,
    }


def _identified(provider: Provider, account: Account) -> dict[str, Any]:
    told: dict[str, Any] = {"sub": account.name, "email": account.name}
    for path in (provider.account_id, provider.account_name):
        if path:
            _put(told, path, account.name)
    return told


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    """Set what a JSON pointer (RFC 6901) names; "" takes an object in."""
    *folders, last = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]] or [""]
    for step in folders:
        document = document.setdefault(step, {})
    if isinstance(value, dict):
        (document.setdefault(last, {}) if path else document).update(value)
    else:
        document[last] = value

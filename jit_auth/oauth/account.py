"""Learn whose account a token is for: the provider's stable account id, and a name to show to people."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from jit_auth.egress import Egress
from jit_auth.errors import Away, ProviderError
from jit_auth.model import Inject, Provider, Request, Token
from jit_auth.oauth.bearer import with_token
from jit_auth.oauth.call import call
from jit_auth.oauth.protocol import get_request
from jit_auth.oauth.replies import error_code, parse_body, pointer

_NAMES = ("email", "login", "preferred_username", "name", "username", "user")
_IDS = ("sub", "id", "user_id", "account_id", "uid", *_NAMES)
_LONGEST = 255


async def who_connected(
    egress: Egress, provider: Provider, token: Token, reply: Mapping[str, Any]
) -> tuple[str, str | None]:
    """Account id and name from userinfo, or from the token reply where the provider has no userinfo.

    "" where the provider does not identify accounts at all: all its grants of one user are then one account.
    Raises Away; ProviderError (`account_unknown`) where the provider has userinfo or a pointer and neither tells:
    an account that is not known must not take another one's place (THREAT_MODEL 17).
    """
    if provider.userinfo_url is None:
        told, guess = reply, False
    else:
        request = _asking(provider, provider.userinfo_url, token)
        answer = await call(egress, request, provider)
        told, guess = parse_body(answer), True
        if answer.status >= 500 or answer.status == 429:
            raise Away(f"The provider {provider.id} cannot say now whose account this is.")
        if answer.status >= 300 or error_code(told) is not None:
            raise _unknown(provider)
    account = _first(told, provider.account_id, _IDS if guess else _IDS[:5])
    if account is None and (provider.account_id or guess):
        raise _unknown(provider)
    return account or "", _first(told, provider.account_name, _NAMES)


def _asking(provider: Provider, url: str, token: Token) -> Request:
    """A bearer token in its header (RFC 6750), and where the API wants it besides, if that is another header."""
    request = get_request(url)
    if provider.inject.query is None and (provider.inject.header or "").lower() != "authorization":
        request = with_token(provider, request, token.access)
    return with_token(replace(provider, inject=Inject(header="Authorization")), request, token.access)


def _first(told: Mapping[str, Any], path: str, guesses: tuple[str, ...]) -> str | None:
    values = (pointer(told, path),) if path else (told.get(key) for key in guesses)
    return next((text for text in map(_text, values) if text), None)


def _text(value: object) -> str | None:
    """Strings and whole numbers, of reasonable length and without control characters; else nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = unicodedata.normalize("NFC", str(value)).strip()
    if not 0 < len(text) <= _LONGEST or any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        return None
    return text


def _unknown(provider: Provider) -> ProviderError:
    return ProviderError(
        f"The provider {provider.id} did not say whose account this is.",
        code="account_unknown",
        hint="Connect again and leave the access to your basic profile ticked.",
    )

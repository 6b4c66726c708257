"""An issuer that could never be right is refused when it is written; its secret is never shown."""

from __future__ import annotations

from typing import Any

import pytest

from jit_auth.config.issuer import Issuer

GOOD: dict[str, Any] = {
    "name": "corp",
    "issuer": "https://login.example.com/tenant",
    "client_id": "jit",
    "client_secret": "hush-hush",
    "domains": ("example.com",),
}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"issuer": "http://127.0.0.1:8080"},
        {"issuer": "http://localhost:8080/x"},
        {"issuer": "http://[::1]:1"},
        {"domains": ()},
        {"domains": ("xn--bcher-kva.example",)},
        {"token_auth": "none"},
    ],
)
def test_what_is_taken(fields: dict[str, Any]) -> None:
    Issuer(**{**GOOD, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "Corp"},
        {"name": "../x"},
        {"name": "a/b"},
        {"issuer": "http://login.example.com"},
        {"issuer": "http://127.0.0.1.example.com"},
        {"issuer": "https://"},
        {"issuer": "https://a@b.example"},
        {"issuer": "https://a.example?x"},
        {"issuer": "https://a.example#x"},
        {"issuer": "https://a.example:99999"},
        {"issuer": "https://bücher.example"},
        {"issuer": "ftp://a.example"},
        {"client_id": ""},
        {"user_claim": ""},
        {"domains": ("Example.com",)},
        {"domains": ("bücher.example",)},
        {"domains": ("*.example.com",)},
        {"domains": ("@example.com",)},
        {"domains": ("com",)},
        {"domains": ("",)},
        {"scopes": ("email",)},
        {"token_auth": "client_secret_jwt"},
    ],
)
def test_what_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\."):
        Issuer(**{**GOOD, **fields})


def test_its_secret_is_not_shown() -> None:
    assert "hush" not in f"{Issuer(**GOOD)!r} {Issuer(**GOOD)}"

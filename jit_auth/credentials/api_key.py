"""The kind `api_key`: one key of this deployment's, in a header or a query parameter, for all users."""

from __future__ import annotations

from jit_auth.catalog.kinds import Fault
from jit_auth.core.inject import place, put
from jit_auth.credentials.kind import Kind, Secret
from jit_auth.credentials.shared import given, judge_secret
from jit_auth.errors import Misconfigured
from jit_auth.model import Inject, Millis, Provider, Request, Token

PLACEHOLDER = "{secret}"


def _judge(provider: Provider, fault: Fault) -> None:
    judge_secret(provider, fault)
    if provider.secret and not _usable(provider.secret):
        fault(("secret",), "secret: is visible ASCII, blanks only inside it")


def _usable(secret: str) -> bool:
    """Whether it can stand in a header: no line break to make another header with."""
    return secret.isascii() and secret.isprintable() and secret == secret.strip()


def _value(inject: Inject) -> str:
    """A header's template: what the data says; a bearer token (RFC 6750); in a header of its own the bare key."""
    if inject.value:
        return inject.value
    return f"Bearer {PLACEHOLDER}" if place(inject).name == "authorization" else PLACEHOLDER


def _open(provider: Provider, _token: Token | None) -> Secret:
    return Secret(shared=given(provider, "secret"))


def _apply(provider: Provider, request: Request, secret: Secret, _now: Millis) -> Request:
    if not secret.shared or not _usable(secret.shared):
        raise Misconfigured(f"The secret of {provider.id} cannot be sent.")
    inject = provider.inject
    text = secret.shared if inject.query is not None else _value(inject).replace(PLACEHOLDER, secret.shared)
    return put(request, place(inject), text)


def _traces(secret: Secret) -> tuple[bytes, ...]:
    return (secret.shared.encode(),) if secret.shared else ()


API_KEY = Kind(
    name="api_key",
    connects=False,
    keys=frozenset({"inject", "secret"}),
    placeholder=PLACEHOLDER,
    judge=_judge,
    adds=lambda provider: frozenset({place(provider.inject)}),
    due=lambda _grant, _now: False,
    open=_open,
    apply=_apply,
    traces=_traces,
)

"""The kind `basic`: one user name and password of this deployment's, for all users (RFC 7617)."""

from __future__ import annotations

from base64 import b64encode

from jit_auth.catalog.kinds import Fault
from jit_auth.core.inject import put
from jit_auth.credentials.kind import Kind, Secret
from jit_auth.credentials.shared import given, judge_secret
from jit_auth.errors import Misconfigured
from jit_auth.model import Millis, Place, Provider, Request, Token

_PLACE = Place("header", "authorization")


def _judge(provider: Provider, fault: Fault) -> None:
    judge_secret(provider, fault)
    if provider.secret and not provider.secret.isprintable():
        fault(("secret",), "secret: holds no control characters")
    if provider.username is not None and not _is_name(provider.username):
        fault(("username",), "username: has no colon and no control characters, and is not empty")


def _is_name(text: str) -> bool:
    return bool(text) and text.isprintable() and ":" not in text


def _open(provider: Provider, _token: Token | None) -> Secret:
    return Secret(shared=f"{given(provider, 'username')}:{given(provider, 'secret')}")


def _apply(provider: Provider, request: Request, secret: Secret, _now: Millis) -> Request:
    if ":" not in secret.shared:
        raise Misconfigured(f"The secret of {provider.id} cannot be sent.")
    return put(request, _PLACE, f"Basic {_coded(secret).decode()}")


def _coded(secret: Secret) -> bytes:
    return b64encode(secret.shared.encode())


def _traces(secret: Secret) -> tuple[bytes, ...]:
    # The pair too: in its base64 the password's ends mix with what stands beside them. And that base64 itself: it is
    # what goes over the wire, so an echo may code it once more.
    _, _, password = secret.shared.partition(":")
    return (secret.shared.encode(), password.encode(), _coded(secret)) if password else ()


BASIC = Kind(
    name="basic",
    connects=False,
    keys=frozenset({"secret", "username"}),
    judge=_judge,
    adds=lambda _provider: frozenset({_PLACE}),
    due=lambda _grant, _now: False,
    open=_open,
    apply=_apply,
    traces=_traces,
)

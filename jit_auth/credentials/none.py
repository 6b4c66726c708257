"""The kind `none`: an API that asks for no credential."""

from __future__ import annotations

from jit_auth.credentials.kind import Kind, Secret

NONE = Kind(
    name="none",
    connects=False,
    keys=frozenset(),
    adds=lambda _provider: frozenset(),
    due=lambda _grant, _now: False,
    open=lambda _provider, _token: Secret(),
    apply=lambda _provider, request, _secret, _now: request,
    traces=lambda _secret: (),
)

"""What a kind of credential is: where it goes, when it must be refreshed, how it is added, what must never be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import Struct

from jit_auth.catalog.kinds import ProviderKind
from jit_auth.model import Grant, Millis, Place, Provider, Request, Token


class Secret(Struct, frozen=True, kw_only=True):
    """An opened credential, between the intent's commit and the request: never kept, never printed."""

    token: Token | None = None
    """A user's, of a kind that connects."""
    shared: str = ""
    """This deployment's own: a key, or USER:PASSWORD."""

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__


@dataclass(frozen=True, kw_only=True)
class Kind(ProviderKind):
    """One kind of credential. All functions are pure; `apply` may touch only the places that `adds` names."""

    adds: Callable[[Provider], frozenset[Place]]
    """Headers and query parameters it fills: forbidden to parameters; in the digest as places only."""
    due: Callable[[Grant | None, Millis], bool]
    """Whether the grant's token must be refreshed before an intent."""
    open: Callable[[Provider, Token | None], Secret]
    """The secret to send with. Raises Misconfigured where there is none."""
    apply: Callable[[Provider, Request, Secret, Millis], Request]
    """The request with the secret added, every other byte as it was. Raises Misconfigured where that cannot be."""
    traces: Callable[[Secret], tuple[bytes, ...]]
    """What must be removed from replies and never logged. Coded forms need no trace of their own (see send/scrub)."""

"""A credential that a deployment has once for all users: `secret` in [providers.X]."""

from __future__ import annotations

from jit_auth.catalog.kinds import Fault
from jit_auth.errors import Misconfigured
from jit_auth.model import Provider

SHORTEST = 6
"""Characters. What is shorter could not be told apart in a reply, and so not be taken out of it."""
LONGEST = 8192


def given(provider: Provider, key: str) -> str:
    """`secret` or `username` of this deployment. Raises Misconfigured where it was not set."""
    value: str | None = getattr(provider, key)
    if not value:
        raise Misconfigured(
            f"There is no credential for {provider.id}.", hint=f"Set `{key}` in [providers.{provider.id}]."
        )
    return value


def judge_secret(provider: Provider, fault: Fault) -> None:
    """Tell `fault` of a secret that could not be scrubbed from replies."""
    if provider.secret and not SHORTEST <= len(provider.secret) <= LONGEST:
        fault(("secret",), f"secret: has {SHORTEST} to {LONGEST} characters")

"""The only door to hosts that files, agents or people named. `Egress.send`: one call, one request, one answer."""

from jit_auth.egress.client import Egress
from jit_auth.egress.resolver import Resolve

__all__ = ["Egress", "Resolve"]

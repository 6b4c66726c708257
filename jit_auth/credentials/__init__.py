"""The kinds of credentials there are, by name: `KINDS` is the one list of them."""

from __future__ import annotations

from types import MappingProxyType

from jit_auth.credentials.api_key import API_KEY
from jit_auth.credentials.basic import BASIC
from jit_auth.credentials.kind import Kind, Secret
from jit_auth.credentials.none import NONE
from jit_auth.credentials.oauth2 import OAUTH2

__all__ = ["KINDS", "Kind", "Secret"]

KINDS = MappingProxyType({kind.name: kind for kind in (OAUTH2, API_KEY, BASIC, NONE)})

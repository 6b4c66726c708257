"""The identity that an issuer vouched for, verified."""

from __future__ import annotations

from msgspec import Struct

from jit_auth.model import Millis


class Identity(Struct, frozen=True, kw_only=True):
    """Who signed in, verified. Made by `id_token.verified` alone, so that holding one is the proof of a sign-in.

    A person is (`issuer`, `subject`): `person`, the id that the claim named, is what they are linked to at first use.
    """

    issuer: str
    """The issuer's name in the configuration, not its URL."""
    subject: str
    person: str
    auth_time: Millis | None
    """When the person last proved who they are to the issuer, where it says so."""

"""Who is signed in, by what, and with which passkeys (all frozen; one row each). No secret of a browser is kept: rows
are found by the MAC of what the browser holds."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from jit_auth.model.execution import Millis

SignedBy = Literal["oidc", "code"]


class Session(Struct, frozen=True, kw_only=True):
    """One signed-in browser. `id` is the MAC of its cookie."""

    id: str
    version: int = 1
    person: str
    how: SignedBy
    """By an issuer's word, or by a code that was mailed (which proves a mailbox and no more, THREAT_MODEL 3)."""
    issuer: str = ""
    at: Millis
    """When the person proved who they are."""
    used: Millis
    until: Millis
    """Its end, whatever is done with it."""


class Linked(Struct, frozen=True, kw_only=True):
    """An issuer's account that a person was linked to at first use. `id` is the MAC of issuer and subject; a person has
    one of each issuer (THREAT_MODEL 27)."""

    id: str
    version: int = 1
    person: str
    issuer: str
    at: Millis


class Code(Struct, frozen=True, kw_only=True):
    """A code that was mailed, for one consent and the one browser that asked. `id` is the MAC of that browser's cookie,
    `mac` that of the code; "" once it was used or another one took its place."""

    id: str
    version: int = 1
    person: str
    ask: str
    mail: int
    """Which mail of this ask it was, from 1: unique, so that mails are counted."""
    mac: str
    tries: int = 0
    sent: Millis
    until: Millis
    """When the row may go: it outlives the code, so that mails stay counted for as long as the ask is open."""


class Passkey(Struct, frozen=True, kw_only=True):
    """A WebAuthn credential of a person. `counter` and `used` as of its last use."""

    id: str
    """The credential's id, base64url."""
    version: int = 1
    person: str
    public_key: bytes
    """COSE."""
    counter: int = 0
    name: str = ""
    transports: tuple[str, ...] = ()
    created: Millis
    used: Millis | None = None


class Challenge(Struct, frozen=True, kw_only=True):
    """What a passkey is to sign, kept until it is answered once. `statement`: the JSON whose hash is signed (a
    decision), or the challenge itself (an enrolment)."""

    id: str
    version: int = 1
    person: str
    statement: str
    until: Millis

"""What a person signs with a passkey, and what is kept of it: in one form, readable without any of WebAuthn."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct, field

from jit_auth.core.digest import canonical
from jit_auth.model import Millis, Verdict
from jit_auth.signin.base64url import decoded

RANDOM = 32
"""Bytes of a statement's nonce."""


class Statement(Struct, frozen=True, forbid_unknown_fields=True):
    """One decision of one person, before it is made: what they sign. `nonce` is base64url of 32 random bytes."""

    nonce: str
    approval: str
    digest: str
    decision: Verdict
    person: str
    expires: Millis
    hold: Millis | None = field(name="for")

    def __post_init__(self) -> None:
        if len(decoded(self.nonce)) != RANDOM:
            raise ValueError(f"a statement's nonce has {RANDOM} bytes")


class Receipt(Struct, frozen=True, forbid_unknown_fields=True):
    """A decision with its proof. `statement` is the JSON whose hash was the challenge; bytes are base64url.

    `credential_id` names the passkey and is signed by nothing: the proof is `public_key`'s. Whose key that is, the
    record of its enrolment says.
    """

    statement: str
    credential_id: str
    public_key: str
    authenticator_data: str
    client_data_json: str
    signature: str
    counter: int


def text_of(statement: Statement) -> str:
    """The RFC 8785 JSON of a statement: kept in the receipt, and hashed."""
    return canonical(msgspec.to_builtins(statement)).decode()


def challenge_of(statement: Statement) -> bytes:
    """The challenge that a passkey signs: SHA-256 of the statement's RFC 8785 JSON."""
    return hashlib.sha256(text_of(statement).encode()).digest()


def stated(text: str) -> Statement:
    """The statement that a receipt's text is. Raises ValueError for text that is no statement in its one form."""
    try:
        statement = msgspec.json.decode(text, type=Statement)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise ValueError("this is no statement") from error
    if text_of(statement) != text:
        raise ValueError("this is a statement in another form than RFC 8785's")
    return statement

"""What browsers answer about passkeys, read strictly: the JSON of `PublicKeyCredential`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct
from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

from jit_auth.errors import PasskeyRefused
from jit_auth.model import Millis, Passkey
from jit_auth.signin.base64url import decoded

TIMEOUT: Millis = 5 * 60 * 1000
"""How long a browser should wait for the person (WebAuthn 15.1 recommends five minutes where they are verified)."""

TRANSPORTS = {each.value: each for each in AuthenticatorTransport}
"""Ways to reach an authenticator that are known here."""

_LONGEST_ID = 1023
_LONGEST = 16 * 1024


class Attested(Struct, frozen=True):
    """AuthenticatorAttestationResponseJSON, as far as it is read."""

    clientDataJSON: str  # noqa: N815 - the spec's name
    attestationObject: str  # noqa: N815 - the spec's name
    transports: tuple[str, ...] = ()


class Asserted(Struct, frozen=True):
    """AuthenticatorAssertionResponseJSON. Its user handle is signed by nothing, and not read."""

    clientDataJSON: str  # noqa: N815 - the spec's name
    authenticatorData: str  # noqa: N815 - the spec's name
    signature: str


class _Credential(Struct, frozen=True):
    """What both have in common."""

    id: str
    rawId: str  # noqa: N815 - the spec's name
    type: Literal["public-key"]

    def __post_init__(self) -> None:
        if self.id != self.rawId or not 1 <= len(decoded(self.id)) <= _LONGEST_ID:
            raise ValueError("this is no credential id")


class Registration(_Credential, frozen=True):
    """RegistrationResponseJSON (WebAuthn level 3, 5.1)."""

    response: Attested


class Authentication(_Credential, frozen=True):
    """AuthenticationResponseJSON (WebAuthn level 3, 5.1)."""

    response: Asserted


Said = TypeVar("Said", Registration, Authentication)


def read(answer: Mapping[str, Any], kind: type[Said]) -> Said:
    """A browser's answer; members that are not known here are left alone. Raises PasskeyRefused."""
    try:
        return msgspec.convert(dict(answer), kind)
    except msgspec.MsgspecError:
        raise PasskeyRefused("The browser's answer is no passkey's.") from None


def bytes_of(text: str) -> bytes:
    """The bytes of a member of an answer. Raises PasskeyRefused."""
    try:
        if len(text) <= _LONGEST:
            return decoded(text)
    except ValueError:
        pass
    raise PasskeyRefused("The browser's answer cannot be read.")


def descriptors(passkeys: Iterable[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    """The same passkeys as the options of a ceremony name them."""
    return [
        PublicKeyCredentialDescriptor(
            id=decoded(each.id),
            transports=[TRANSPORTS[name] for name in each.transports if name in TRANSPORTS] or None,
        )
        for each in passkeys
    ]

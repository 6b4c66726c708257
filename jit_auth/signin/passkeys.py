"""Passkeys answer for decisions: what the browser is asked, and the receipt that its answer gives. No I/O.

Attacks (THREAT_MODEL 26): a passkey of another person, or one that is not enrolled, answers; an authenticator answers
without asking who is there; an assertion is shown twice; a copy of an authenticator lives beside it (counter); whoever
took over an account enrols a passkey and decides at once (`old_enough`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from webauthn import generate_authentication_options, options_to_json
from webauthn.helpers.structs import UserVerificationRequirement

from jit_auth.errors import PasskeyRefused
from jit_auth.model import Millis, Passkey
from jit_auth.signin.credential import TIMEOUT, Authentication, bytes_of, descriptors, read
from jit_auth.signin.enrolment import enrolled, enrolment
from jit_auth.signin.receipts import Assertion, genuine, receipt_of, verify
from jit_auth.signin.site import relying_party
from jit_auth.signin.statement import Receipt, Statement, challenge_of

__all__ = [
    "YOUNG",
    "Passkey",
    "Receipt",
    "Statement",
    "assertion_options",
    "challenge_of",
    "decided",
    "enrolled",
    "enrolment",
    "genuine",
    "old_enough",
    "relying_party",
    "used",
]

YOUNG: Millis = 24 * 60 * 60 * 1000
"""A passkey of less than this age does not count for risk critical."""


def assertion_options(statement: Statement, passkeys: Collection[Passkey], rp_id: str) -> dict[str, Any]:
    """PublicKeyCredentialRequestOptionsJSON: one of these passkeys shall sign this statement.

    Raises ValueError where there are none: any passkey of this site would be offered.
    """
    if not passkeys or any(passkey.person != statement.person for passkey in passkeys):
        raise ValueError("the passkeys of the statement's person are needed")
    options = generate_authentication_options(
        rp_id=rp_id,
        challenge=challenge_of(statement),
        timeout=TIMEOUT,
        allow_credentials=descriptors(passkeys),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    made: dict[str, Any] = msgspec.json.decode(options_to_json(options))
    return made


def used(answer: Mapping[str, Any], passkeys: Iterable[Passkey]) -> Passkey:
    """Which of a person's passkeys an AuthenticationResponseJSON names. Raises PasskeyRefused (`passkey_unknown`)."""
    said = read(answer, Authentication)
    for passkey in passkeys:
        if passkey.id == said.id:
            return passkey
    raise _unknown()


def decided(
    answer: Mapping[str, Any], statement: Statement, passkey: Passkey, *, rp_id: str, origin: str, now: Millis
) -> Receipt:
    """The receipt of a decision that the browser's AuthenticationResponseJSON proves. Raises PasskeyRefused.

    The caller lets a statement be used once, and keeps the receipt's counter with the vote, in one unit.
    """
    said = read(answer, Authentication)
    if said.id != passkey.id or passkey.person != statement.person:
        raise _unknown()
    if now >= statement.expires:
        raise PasskeyRefused(
            "This was asked too long ago.",
            code="passkey_expired",
            hint="Nothing was decided. Open the page again and decide on what it shows.",
        )
    assertion = Assertion(
        credential_id=said.id,
        authenticator_data=bytes_of(said.response.authenticatorData),
        client_data_json=bytes_of(said.response.clientDataJSON),
        signature=bytes_of(said.response.signature),
    )
    counter = verify(
        assertion,
        challenge=challenge_of(statement),
        public_key=passkey.public_key,
        counter=passkey.counter,
        rp_id=rp_id,
        origin=origin,
    )
    return receipt_of(statement, assertion, passkey.public_key, counter)


def old_enough(passkey: Passkey, now: Millis) -> bool:
    """Whether a passkey counts for risk critical: it is enrolled for 24 hours, so that its person was told in time."""
    return now - passkey.created >= YOUNG


def _unknown() -> PasskeyRefused:
    return PasskeyRefused(
        "This passkey is not one of yours here.",
        code="passkey_unknown",
        hint="Use a passkey that you enrolled on your own page. Nothing was decided.",
    )

"""Enrolling a passkey: what the browser is asked, and the passkey that its answer gives. No I/O.

Attacks (THREAT_MODEL 26): an authenticator that does not ask who is there is enrolled; the answer was made for another
site, person or try (the challenge is the caller's, for one try of one person); an attestation brings certificates to
parse. When a person may enrol one at all is decided where sign-ins are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from webauthn import generate_registration_options, options_to_json, verify_registration_response
from webauthn.helpers import parse_attestation_object
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorAttestationResponse,
    AuthenticatorSelectionCriteria,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from jit_auth.errors import PasskeyRefused
from jit_auth.model import Millis, Passkey
from jit_auth.signin.base64url import decoded, encoded
from jit_auth.signin.cose import judge_key
from jit_auth.signin.credential import TIMEOUT, TRANSPORTS, Registration, bytes_of, descriptors, read
from jit_auth.signin.receipts import judge_client_data, unverified

_ALGORITHMS = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
_SHORTEST_CHALLENGE = 16
_LONGEST_HANDLE = 64


def enrolment(
    person: str, rp_id: str, rp_name: str, existing: Iterable[Passkey], challenge: bytes, *, handle: bytes
) -> dict[str, Any]:
    """PublicKeyCredentialCreationOptionsJSON for one new passkey of a person.

    `challenge` is random and good for one try; `handle` stands for the person towards authenticators and tells nothing
    about them (1 to 64 bytes, the same for all their passkeys). Raises ValueError for others.
    """
    if len(challenge) < _SHORTEST_CHALLENGE or not 1 <= len(handle) <= _LONGEST_HANDLE:
        raise ValueError("a challenge has at least 16 bytes, a user handle 1 to 64")
    options = generate_registration_options(
        rp_id=rp_id,
        rp_name=rp_name,
        user_id=handle,
        user_name=person,
        user_display_name=person,
        challenge=challenge,
        timeout=TIMEOUT,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=descriptors(existing),
        supported_pub_key_algs=_ALGORITHMS,
    )
    made: dict[str, Any] = msgspec.json.decode(options_to_json(options))
    return made


def enrolled(
    answer: Mapping[str, Any],
    *,
    person: str,
    name: str,
    now: Millis,
    challenge: bytes,
    rp_id: str,
    origin: str,
) -> Passkey:
    """The passkey that the browser's RegistrationResponseJSON gives to a person. Raises PasskeyRefused.

    That its id is not enrolled already, for whomever, is the store's to hold.
    """
    said = read(answer, Registration)
    collected, attestation = bytes_of(said.response.clientDataJSON), bytes_of(said.response.attestationObject)
    judge_client_data(collected, kind="webauthn.create", challenge=challenge, origin=origin)
    try:
        attested = parse_attestation_object(attestation)
    except Exception:  # foreign bytes: the parser raises what it happens to stumble over
        raise PasskeyRefused("The authenticator's answer cannot be read.") from None
    # None was asked for. A self attestation may come all the same; certificates would be read and then mean nothing.
    if attested.fmt not in ("none", "packed") or attested.att_stmt.x5c:
        raise PasskeyRefused("The authenticator sent an attestation that nobody asked for.")
    if not attested.auth_data.flags.uv:
        raise unverified()
    transports = tuple(dict.fromkeys(each for each in said.response.transports if each in TRANSPORTS))
    try:
        verified = verify_registration_response(
            credential=RegistrationCredential(
                id=said.id,
                raw_id=decoded(said.rawId),
                response=AuthenticatorAttestationResponse(client_data_json=collected, attestation_object=attestation),
            ),
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=origin,
            require_user_verification=True,
            supported_pub_key_algs=_ALGORITHMS,
        )
        judge_key(verified.credential_public_key)
    except Exception:  # the same: whatever it raises, this is no passkey
        raise PasskeyRefused(
            "The passkey's answer does not hold: site, presence, key or signature are wrong."
        ) from None
    if encoded(verified.credential_id) != said.id:
        raise PasskeyRefused("The authenticator names another passkey than the browser does.")
    return Passkey(
        id=said.id,
        person=person,
        public_key=verified.credential_public_key,
        counter=verified.sign_count,
        name=name,
        created=now,
        transports=transports,
    )

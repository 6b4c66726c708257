"""What a passkey signs about one decision, and the receipt that anybody can check later without us (THREAT_MODEL 26).

A statement names the approval, the digest of the call, the decision, for how long, the person and the expiry, and holds
32 random bytes that are kept once; the SHA-256 of its RFC 8785 form is the challenge. Attacks: an assertion made for
"deny", for yesterday's equal request or for another person is shown as an approval of today (each has another
challenge); a page of another origin, or a frame in one, asks the authenticator (origin, rpIdHash, `crossOrigin`); an
authenticator that only saw a touch answers (UV); the log is rewritten (the receipt holds everything that was signed).
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from webauthn import verify_authentication_response
from webauthn.helpers import parse_authenticator_data
from webauthn.helpers.structs import AuthenticationCredential, AuthenticatorAssertionResponse

from jit_auth.errors import PasskeyRefused
from jit_auth.signin.base64url import decoded, encoded
from jit_auth.signin.cose import judge_key
from jit_auth.signin.statement import Receipt, Statement, challenge_of, stated, text_of

_LONGEST = 16 * 1024


class Assertion(Struct, frozen=True):
    """What an authenticator answered to `navigator.credentials.get()`, as bytes."""

    credential_id: str
    authenticator_data: bytes
    client_data_json: bytes
    signature: bytes


class _ClientData(Struct, frozen=True):
    """CollectedClientData (WebAuthn 5.8.1). Members that a later browser adds are of no account, as the spec wants."""

    type: str
    challenge: str
    origin: str
    crossOrigin: bool = False  # noqa: N815 - the spec's name
    topOrigin: str | None = None  # noqa: N815 - the spec's name


def judge_client_data(raw: bytes, *, kind: str, challenge: bytes, origin: str) -> None:
    """Judge clientDataJSON: the ceremony `webauthn.get` or `.create`, this challenge, this origin, no foreign frame.

    Raises PasskeyRefused.
    """
    try:
        data = msgspec.json.decode(raw, type=_ClientData)
    except msgspec.MsgspecError:
        raise _refused("The browser's answer cannot be read.") from None
    if data.type != kind:
        raise _refused("The passkey was used for something else than what was asked.")
    if data.challenge != encoded(challenge):
        raise PasskeyRefused(
            "The passkey answered another question: an older one, or one about another decision.",
            code="passkey_replayed",
            hint="Nothing was decided. Open the page again and decide on what it shows.",
        )
    if data.origin != origin or data.crossOrigin or data.topOrigin is not None:
        raise _refused("The passkey was used on another site, or on our page inside another.")


def verify(assertion: Assertion, *, challenge: bytes, public_key: bytes, counter: int, rp_id: str, origin: str) -> int:
    """The new counter of an assertion that is right in all things: ceremony, challenge, origin, rpIdHash, presence,
    user verification, a counter that grew beyond `counter` (or is 0 on both sides: it keeps none), signature.

    Raises PasskeyRefused.
    """
    judge_client_data(assertion.client_data_json, kind="webauthn.get", challenge=challenge, origin=origin)
    try:
        seen = parse_authenticator_data(assertion.authenticator_data)
    except Exception:  # foreign bytes: the parser raises what it happens to stumble over
        raise _refused("The authenticator's answer cannot be read.") from None
    if not seen.flags.uv:
        raise unverified()
    if (seen.sign_count or counter) and seen.sign_count <= counter:
        raise PasskeyRefused(
            "The passkey's counter did not grow: this answer was used before, or the passkey was copied.",
            code="passkey_replayed",
            hint="Nothing was decided. Try again; if it stays so, remove this passkey and tell your operator.",
        )
    response = AuthenticatorAssertionResponse(
        client_data_json=assertion.client_data_json,
        authenticator_data=assertion.authenticator_data,
        signature=assertion.signature,
    )
    try:
        judge_key(public_key)
        verified = verify_authentication_response(
            credential=AuthenticationCredential(
                id=assertion.credential_id, raw_id=decoded(assertion.credential_id), response=response
            ),
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=origin,
            credential_public_key=public_key,
            credential_current_sign_count=counter,
            require_user_verification=True,
        )
    except Exception:  # the same: whatever it raises, this is no proof
        raise _refused(
            "The passkey's answer does not hold: site, presence or signature are not what they must be."
        ) from None
    return verified.new_sign_count


def receipt_of(statement: Statement, assertion: Assertion, public_key: bytes, counter: int) -> Receipt:
    """What is kept of an assertion that was verified."""
    return Receipt(
        statement=text_of(statement),
        credential_id=assertion.credential_id,
        public_key=encoded(public_key),
        authenticator_data=encoded(assertion.authenticator_data),
        client_data_json=encoded(assertion.client_data_json),
        signature=encoded(assertion.signature),
        counter=counter,
    )


def genuine(receipt: Receipt, *, rp_id: str, origin: str) -> bool:
    """Whether the holder of the receipt's public key said, present and verified, what its statement says.

    It needs nothing that is not in the receipt. The caller compares what is stated with the vote, and the public key
    with the one that was enrolled for that person.
    """
    try:
        if any(len(text) > _LONGEST for text in msgspec.structs.astuple(receipt)[:-1]):
            return False
        counter = verify(
            Assertion(
                credential_id=receipt.credential_id,
                authenticator_data=decoded(receipt.authenticator_data),
                client_data_json=decoded(receipt.client_data_json),
                signature=decoded(receipt.signature),
            ),
            challenge=challenge_of(stated(receipt.statement)),
            public_key=decoded(receipt.public_key),
            counter=0,
            rp_id=rp_id,
            origin=origin,
        )
    except (ValueError, PasskeyRefused):
        return False
    return counter == receipt.counter


def unverified() -> PasskeyRefused:
    """The refusal of an authenticator that did not ask who is there."""
    return PasskeyRefused(
        "The passkey did not check that it was you (PIN, fingerprint or face).",
        code="passkey_unverified",
        hint="Set a screen lock or a PIN for this passkey, or use another. Nothing was decided.",
    )


def _refused(message: str) -> PasskeyRefused:
    return PasskeyRefused(message)

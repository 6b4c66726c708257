"""Enrolling: the authenticator is asked to verify its person, and only its right answer gives a passkey."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.errors import PasskeyRefused
from jit_auth.signin.passkeys import Passkey, enrolled, enrolment
from tests.fakes.authenticator import PRESENT, VERIFIED, Authenticator, b64, unb64
from tests.unit.signin.conftest import CHALLENGE, HANDLE, NOW, ORIGIN, RP_ID, Bearer

OPTIONS = enrolment("ana@example.com", RP_ID, "jit_auth", (), CHALLENGE, handle=HANDLE)


def accept(answer: Any) -> Passkey:
    return enrolled(
        answer, person="ana@example.com", name="Phone", now=NOW, challenge=CHALLENGE, rp_id=RP_ID, origin=ORIGIN
    )


def test_options_are_what_rule_26_asks_for(ana: Bearer) -> None:
    options = enrolment("ana@example.com", RP_ID, "jit_auth", [ana.passkey], CHALLENGE, handle=HANDLE)
    assert options["rp"] == {"id": RP_ID, "name": "jit_auth"}
    assert options["user"] == {"id": b64(HANDLE), "name": "ana@example.com", "displayName": "ana@example.com"}
    assert unb64(options["challenge"]) == CHALLENGE
    assert options["attestation"] == "none"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["authenticatorSelection"]["residentKey"] == "preferred"
    assert [each["id"] for each in options["excludeCredentials"]] == [ana.passkey.id]
    assert [each["alg"] for each in options["pubKeyCredParams"]] == [-7, -8, -257]


@pytest.mark.parametrize(("challenge", "handle"), [(b"short", HANDLE), (CHALLENGE, b""), (CHALLENGE, b"h" * 65)])
def test_weak_values_are_the_callers_fault(challenge: bytes, handle: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        enrolment("ana@example.com", RP_ID, "jit_auth", (), challenge, handle=handle)


def test_a_right_answer_gives_a_passkey() -> None:
    device = Authenticator(ORIGIN)
    assert accept(device.create(OPTIONS)) == Passkey(
        id=b64(device.credential_id),
        person="ana@example.com",
        public_key=device.cose(),
        counter=1,
        name="Phone",
        created=NOW,
        transports=("internal", "hybrid"),
    )


def packed(device: Authenticator, key: ec.EllipticCurvePrivateKey, **more: Any) -> dict[str, Any]:
    """A self attestation: the new key signs what was made with it."""
    plain = device.create(OPTIONS, counter=1)
    made = cbor2.loads(unb64(plain["response"]["attestationObject"]))
    client = unb64(plain["response"]["clientDataJSON"])
    signature = key.sign(made["authData"] + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
    return device.create(OPTIONS, counter=1, statement=("packed", {"alg": -7, "sig": signature} | more))


def test_a_self_attestation_must_be_signed_by_the_new_key() -> None:
    device = Authenticator(ORIGIN)
    assert accept(packed(device, device.key)).public_key == device.cose()
    with pytest.raises(PasskeyRefused):
        accept(packed(device, ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(PasskeyRefused, match="nobody asked for"):
        accept(packed(device, device.key, x5c=[b"a certificate"]))


TWISTED: dict[str, tuple[dict[str, Any], str]] = {
    "another challenge": ({"challenge": b64(b"c" * 32)}, "passkey_replayed"),
    "another origin": ({"origin": "https://evil.example"}, "passkey_refused"),
    "a frame of another site": ({"crossOrigin": True}, "passkey_refused"),
    "another rp id": ({"rp_id": "evil.example"}, "passkey_refused"),
    "nobody verified": ({"flags": PRESENT}, "passkey_unverified"),
    "nobody present": ({"flags": VERIFIED}, "passkey_refused"),
    "the ceremony of an assertion": ({"kind": "webauthn.get"}, "passkey_refused"),
    "another id than it made": ({"named": b"another"}, "passkey_refused"),
    "an attestation of a format that is not read": ({"statement": ("tpm", {"ver": "2.0"})}, "passkey_refused"),
    "an attestation of none with a signature": ({"statement": ("none", {"sig": b"s"})}, "passkey_refused"),
    "an attestation that is no map": ({"statement": ("none", 7)}, "passkey_refused"),
}


@pytest.mark.parametrize("name", TWISTED)
def test_an_enrolment_that_is_not_right_gives_nothing(name: str) -> None:
    twists, code = TWISTED[name]
    with pytest.raises(PasskeyRefused) as refused:
        accept(Authenticator(ORIGIN).create(OPTIONS, **twists))
    assert refused.value.code == code


def nested(levels: int) -> bytes:
    return b"\x81" * levels + b"\x00"


OBJECTS: dict[str, bytes] = {
    "empty": b"",
    "no map": cbor2.dumps([1, 2]),
    "no data": cbor2.dumps({"fmt": "none", "attStmt": {}}),
    "nested deeply": nested(10_000),
    "one key twice": b"\xa2" + (cbor2.dumps("fmt") + cbor2.dumps("none")) * 2,
    "a length beyond its end": b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_attestation_object_that_is_none_gives_nothing(name: str) -> None:
    answer = Authenticator(ORIGIN).create(OPTIONS)
    with pytest.raises(PasskeyRefused):
        accept(answer | {"response": answer["response"] | {"attestationObject": b64(OBJECTS[name])}})


RSA = rsa.generate_private_key(65537, 1024).public_key().public_numbers()  # noqa: S505 - the weak key of an attack
KEYS: dict[str, Callable[[dict[int, Any]], Any]] = {
    "no map": lambda key: [1],
    "no type": lambda key: {name: value for name, value in key.items() if name != 1},
    "an algorithm nobody asked for": lambda key: key | {3: -47},
    "a symmetric key": lambda key: {1: 4, 3: 5, -1: b"k" * 32},
    "a point beside the curve": lambda key: key | {-3: b"\x01" * 32},
    "a curve that is none": lambda key: key | {-1: 99},
    "text for bytes": lambda key: key | {-2: "x"},
    "RSA of 1024 bits": lambda key: {1: 3, 3: -257, -1: RSA.n.to_bytes(128, "big"), -2: b"\x01\x00\x01"},
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_cannot_sign_is_not_enrolled(name: str) -> None:
    class Twisted(Authenticator):
        def cose(self) -> bytes:
            return cbor2.dumps(KEYS[name](cbor2.loads(super().cose())))

    with pytest.raises(PasskeyRefused):
        accept(Twisted(ORIGIN).create(OPTIONS))


@given(st.binary(max_size=300))
def test_no_bytes_bring_anything_but_a_refusal(data: bytes) -> None:
    answer = Authenticator(ORIGIN).create(OPTIONS)
    with pytest.raises(PasskeyRefused):
        accept(answer | {"response": answer["response"] | {"attestationObject": b64(data)}})

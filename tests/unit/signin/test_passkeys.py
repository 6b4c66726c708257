"""Passkeys decide what their person saw, and nothing else: the good way, and every attack on it that we know."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jit_auth.errors import PasskeyRefused
from jit_auth.signin.passkeys import (
    YOUNG,
    Statement,
    assertion_options,
    challenge_of,
    genuine,
    old_enough,
    relying_party,
    used,
)
from tests.fakes.authenticator import PRESENT, VERIFIED, b64, unb64
from tests.unit.signin.conftest import NOW, ORIGIN, RP_ID, STATEMENT, Bearer, decide, enrol


def edited(answer: dict[str, Any], member: str, edit: Callable[[bytes], bytes]) -> dict[str, Any]:
    """The answer with one member of its response altered after it was signed."""
    return answer | {"response": answer["response"] | {member: b64(edit(unb64(answer["response"][member])))}}


def flip(data: bytes, at: int = -1) -> bytes:
    made = bytearray(data)
    made[at] ^= 1
    return bytes(made)


def test_a_decision_gives_a_receipt_that_anybody_can_check(ana: Bearer) -> None:
    receipt = decide(ana.says(), ana.passkey)
    assert genuine(receipt, rp_id=RP_ID, origin=ORIGIN)
    assert receipt.counter == 2
    assert json.loads(receipt.statement) == {
        "nonce": b64(b"n" * 32),
        "approval": STATEMENT.approval,
        "digest": STATEMENT.digest,
        "decision": "approve",
        "for": None,
        "person": "ana@example.com",
        "expires": STATEMENT.expires,
    }
    kept = msgspec.json.decode(msgspec.json.encode(receipt), type=type(receipt))
    assert kept == receipt


@pytest.mark.parametrize("change", [{"decision": "deny"}, {"hold": 3_600_000}, {"person": "zoé@example.com"}])
def test_every_kind_of_statement_can_be_signed(change: dict[str, Any]) -> None:
    statement = replace(STATEMENT, **change)
    bearer = enrol(statement.person)
    receipt = decide(bearer.says(statement), bearer.passkey, statement)
    assert genuine(receipt, rp_id=RP_ID, origin=ORIGIN)


def test_options_ask_for_a_verified_person_and_for_their_passkeys_alone(ana: Bearer) -> None:
    options = assertion_options(STATEMENT, [ana.passkey], RP_ID)
    assert options["userVerification"] == "required"
    assert options["rpId"] == RP_ID
    assert unb64(options["challenge"]) == challenge_of(STATEMENT)
    assert options["allowCredentials"] == [
        {"id": ana.passkey.id, "type": "public-key", "transports": ["internal", "hybrid"]}
    ]


def test_without_a_passkey_of_this_person_nothing_is_asked(ana: Bearer) -> None:
    for passkeys in ([], [replace(ana.passkey, person="bo@example.com")]):
        with pytest.raises(ValueError, match="passkeys of the statement's person"):
            assertion_options(STATEMENT, passkeys, RP_ID)


OTHERS: dict[str, dict[str, Any]] = {
    "made for deny, used as approve": {"decision": "deny"},
    "another approval": {"approval": "apr_another"},
    "another digest": {"digest": "sha256:" + "6" * 64},
    "approved for a while instead": {"hold": 3_600_000},
    "another person": {"person": "bo@example.com"},
    "another expiry": {"expires": STATEMENT.expires + 1},
    "yesterday's equal request": {"nonce": b64(b"o" * 32)},
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_assertion_about_another_statement_decides_nothing(ana: Bearer, name: str) -> None:
    statement = replace(STATEMENT, **OTHERS[name])
    signed = Bearer(ana.authenticator, replace(ana.passkey, person=statement.person)).says(statement)
    with pytest.raises(PasskeyRefused) as refused:
        decide(signed, ana.passkey)
    assert (refused.value.code, refused.value.status) == ("passkey_replayed", 403)
    # And the other way round: one about this statement says nothing about that.
    person = replace(ana.passkey, person=statement.person)
    with pytest.raises(PasskeyRefused):
        decide(ana.says(), person, statement)


TWISTED: dict[str, tuple[dict[str, Any], str]] = {
    "another origin": ({"origin": "https://auth.example.com.evil.example"}, "passkey_refused"),
    "another scheme": ({"origin": "http://auth.example.com"}, "passkey_refused"),
    "another port": ({"origin": "https://auth.example.com:8443"}, "passkey_refused"),
    "a sub-domain": ({"origin": "https://a.auth.example.com"}, "passkey_refused"),
    "an app's origin": ({"origin": "android:apk-key-hash:2jmj7l5rSw0yVb"}, "passkey_refused"),
    "a frame of another site": ({"crossOrigin": True}, "passkey_refused"),
    "a frame that names its top": ({"topOrigin": ORIGIN}, "passkey_refused"),
    "crossOrigin is no boolean": ({"crossOrigin": 0}, "passkey_refused"),
    "another rp id": ({"rp_id": "example.com"}, "passkey_refused"),
    "nobody verified": ({"flags": PRESENT}, "passkey_unverified"),
    "nobody present": ({"flags": VERIFIED}, "passkey_refused"),
    "neither": ({"flags": 0}, "passkey_unverified"),
    "backed up, but not eligible for it": ({"flags": PRESENT | VERIFIED | 0x10}, "passkey_refused"),
    "the counter stands still": ({"counter": 1}, "passkey_replayed"),
    "the counter fell back": ({"counter": 0}, "passkey_replayed"),
    "the ceremony of an enrolment": ({"kind": "webauthn.create"}, "passkey_refused"),
    "the ceremony of a payment": ({"kind": "payment.get"}, "passkey_refused"),
    "signed by another key": ({"key": ec.generate_private_key(ec.SECP256R1())}, "passkey_refused"),
    "signed by a key of another curve": ({"key": ec.generate_private_key(ec.SECP384R1())}, "passkey_refused"),
    "the challenge in another spelling": ({"challenge": b64(challenge_of(STATEMENT)) + "="}, "passkey_replayed"),
    "no challenge": ({"challenge": ""}, "passkey_replayed"),
}


@pytest.mark.parametrize("name", TWISTED)
def test_an_assertion_that_is_signed_but_not_right_decides_nothing(ana: Bearer, name: str) -> None:
    twists, code = TWISTED[name]
    with pytest.raises(PasskeyRefused) as refused:
        decide(ana.says(**twists), ana.passkey)
    assert refused.value.code == code
    assert refused.value.hint


ALTERED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "client data: a member more": ("clientDataJSON", lambda raw: raw[:-1] + b',"x":1}'),
    "client data: a space": ("clientDataJSON", lambda raw: raw + b" "),
    "client data: a byte order mark": ("clientDataJSON", lambda raw: b"\xef\xbb\xbf" + raw),
    "client data: UTF-16": ("clientDataJSON", lambda raw: raw.decode().encode("utf-16")),
    "client data: no JSON": ("clientDataJSON", lambda raw: b"{"),
    "client data: no object": ("clientDataJSON", lambda raw: b"[1]"),
    "client data: empty": ("clientDataJSON", lambda raw: b""),
    "authenticator data: counter raised": ("authenticatorData", lambda raw: raw[:-4] + b"\0\0\xff\xff"),
    "authenticator data: a flag more": ("authenticatorData", lambda raw: raw[:32] + bytes([raw[32] | 8]) + raw[33:]),
    "authenticator data: rp id": ("authenticatorData", lambda raw: flip(raw, 0)),
    "authenticator data: bytes behind": ("authenticatorData", lambda raw: raw + b"\0"),
    "authenticator data: too short": ("authenticatorData", lambda raw: raw[:36]),
    "authenticator data: empty": ("authenticatorData", lambda raw: b""),
    "authenticator data: extensions that are none": ("authenticatorData", lambda raw: raw[:32] + b"\x85" + raw[33:]),
    "signature: a bit": ("signature", flip),
    "signature: bytes behind": ("signature", lambda raw: raw + b"\0"),
    "signature: empty": ("signature", lambda raw: b""),
    "signature: zeros": ("signature", lambda raw: bytes.fromhex("3006020100020100")),
}


@pytest.mark.parametrize("name", ALTERED)
def test_an_answer_altered_after_it_was_signed_decides_nothing(ana: Bearer, name: str) -> None:
    with pytest.raises(PasskeyRefused):
        decide(edited(ana.says(), *ALTERED[name]), ana.passkey)


def test_user_verification_cannot_be_added_later(ana: Bearer) -> None:
    answer = ana.says(flags=PRESENT)
    answer = edited(answer, "authenticatorData", lambda raw: raw[:32] + bytes([PRESENT | VERIFIED]) + raw[33:])
    with pytest.raises(PasskeyRefused):
        decide(answer, ana.passkey)


def test_an_answer_is_good_once_where_the_counter_is_kept(ana: Bearer) -> None:
    answer = ana.says()
    receipt = decide(answer, ana.passkey)
    with pytest.raises(PasskeyRefused) as refused:
        decide(answer, replace(ana.passkey, counter=receipt.counter))
    assert refused.value.code == "passkey_replayed"


def test_a_copied_authenticator_is_noticed() -> None:
    original = enrol()
    copy = Bearer(
        type(original.authenticator)(ORIGIN, key=original.authenticator.key, counter=original.authenticator.counter),
        original.passkey,
    )
    receipt = decide(original.says(), original.passkey)
    with pytest.raises(PasskeyRefused) as refused:
        decide(copy.says(), replace(original.passkey, counter=receipt.counter))
    assert refused.value.code == "passkey_replayed"


def test_a_synced_passkey_keeps_no_counter() -> None:
    synced = enrol(counting=False)
    for _ in range(2):
        receipt = decide(synced.says(), synced.passkey)
        assert receipt.counter == 0
        assert genuine(receipt, rp_id=RP_ID, origin=ORIGIN)


def test_the_passkey_of_another_person_is_refused(ana: Bearer) -> None:
    bo = enrol("bo@example.com", credential_id=b"bo's credential")
    signed = bo.authenticator.get(assertion_options(STATEMENT, [ana.passkey], RP_ID))
    for passkey in (bo.passkey, ana.passkey):
        with pytest.raises(PasskeyRefused) as refused:
            decide(signed, passkey)
        assert refused.value.code == "passkey_unknown"
    with pytest.raises(PasskeyRefused) as refused:
        used(signed, [ana.passkey])
    assert refused.value.code == "passkey_unknown"
    assert used(ana.says(), [bo.passkey, ana.passkey]) == ana.passkey


def test_the_key_of_another_person_under_this_ones_id_is_refused(ana: Bearer) -> None:
    bo = enrol("bo@example.com", credential_id=ana.authenticator.credential_id)
    with pytest.raises(PasskeyRefused) as refused:
        decide(bo.authenticator.get(assertion_options(STATEMENT, [ana.passkey], RP_ID)), ana.passkey)
    assert refused.value.code == "passkey_refused"


@pytest.mark.parametrize("late", [0, 1, 86_400_000])
def test_an_expired_statement_is_refused(ana: Bearer, late: int) -> None:
    answer = ana.says()
    with pytest.raises(PasskeyRefused) as refused:
        decide(answer, ana.passkey, now=STATEMENT.expires + late)
    assert refused.value.code == "passkey_expired"
    assert decide(answer, ana.passkey, now=STATEMENT.expires - 1)


def test_a_young_passkey_is_not_old_enough(ana: Bearer) -> None:
    assert YOUNG == 86_400_000
    assert not old_enough(ana.passkey, NOW)
    assert not old_enough(ana.passkey, NOW + YOUNG - 1)
    assert old_enough(ana.passkey, NOW + YOUNG)


SHAPES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "empty": lambda answer: {},
    "no response": lambda answer: {name: value for name, value in answer.items() if name != "response"},
    "id and rawId differ": lambda answer: answer | {"id": b64(b"another")},
    "another type": lambda answer: answer | {"type": "password"},
    "an id in another spelling": lambda answer: answer | {"id": answer["id"] + "=", "rawId": answer["rawId"] + "="},
    "an empty id": lambda answer: answer | {"id": "", "rawId": ""},
    "an id too long": lambda answer: answer | {"id": b64(b"i" * 1024), "rawId": b64(b"i" * 1024)},
    "numbers": lambda answer: answer | {"response": dict.fromkeys(answer["response"], 1)},
    "padding": lambda answer: answer | {"response": dict.fromkeys(answer["response"], "AA==")},
    "base64 of the other alphabet": lambda answer: answer | {"response": dict.fromkeys(answer["response"], "+/+/")},
    "loose bits": lambda answer: answer | {"response": dict.fromkeys(answer["response"], "AB")},
    "no ASCII": lambda answer: answer | {"response": dict.fromkeys(answer["response"], "\u0661\u0661\u0661\u0661")},
    "a lone surrogate": lambda answer: answer | {"id": "\ud800", "rawId": "\ud800"},
    "long": lambda answer: answer | {"response": dict.fromkeys(answer["response"], "A" * 16_388)},
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_no_answer_of_a_passkey_is_refused(ana: Bearer, name: str) -> None:
    with pytest.raises(PasskeyRefused):
        decide(SHAPES[name](ana.says()), ana.passkey)
    with pytest.raises(PasskeyRefused):
        used(SHAPES[name](ana.says()), [])


ANA = enrol()


@given(st.dictionaries(st.sampled_from(["clientDataJSON", "authenticatorData", "signature"]), st.binary(max_size=200)))
def test_no_bytes_bring_anything_but_a_refusal(members: dict[str, bytes]) -> None:
    answer = ANA.says(counter=9)
    answer = answer | {"response": answer["response"] | {name: b64(data) for name, data in members.items()}}
    if members:
        with pytest.raises(PasskeyRefused):
            decide(answer, ANA.passkey)


@given(st.sampled_from(["clientDataJSON", "authenticatorData", "signature"]), st.integers(0, 10_000), st.integers(0, 7))
def test_no_flipped_bit_goes_unseen(member: str, place: int, bit: int) -> None:
    def flipped(raw: bytes) -> bytes:
        made = bytearray(raw)
        made[place % len(made)] ^= 1 << bit
        return bytes(made)

    with pytest.raises(PasskeyRefused):
        decide(edited(ANA.says(counter=9), member, flipped), ANA.passkey)


@pytest.mark.parametrize(
    "nonce", ["", b64(b"n" * 31), b64(b"n" * 33), b64(b"n" * 32) + "=", "+" * 43, b64(b"n" * 32)[:-1] + "\u00e9"]
)
def test_a_statement_without_32_random_bytes_is_none(nonce: str) -> None:
    with pytest.raises(ValueError, match=r"base64url|nonce"):
        replace(STATEMENT, nonce=nonce)


def test_values_that_read_alike_have_different_challenges() -> None:
    made = [
        STATEMENT,
        *(replace(STATEMENT, **change) for change in OTHERS.values()),
        replace(STATEMENT, hold=0),
        replace(STATEMENT, approval='apr_1","decision":"deny'),
    ]
    assert len({challenge_of(each) for each in made}) == len(made)
    assert {field.name for field in msgspec.structs.fields(Statement)} == {
        "nonce", "approval", "digest", "decision", "hold", "person", "expires"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("public_url", "party"),
    [
        ("https://auth.example.com", ("auth.example.com", "https://auth.example.com")),
        ("https://Auth.Example.com:443/", ("auth.example.com", "https://auth.example.com")),
        ("https://auth.example.com:8443", ("auth.example.com", "https://auth.example.com:8443")),
        ("http://localhost:8080", ("localhost", "http://localhost:8080")),
        ("http://jit.localhost:8080", ("jit.localhost", "http://jit.localhost:8080")),
        ("http://127.0.0.1:8080", None),
        ("https://[::1]:8443", None),
        ("https://192.0.2.1", None),
        ("http://auth.example.com", None),
        ("http://notlocalhost", None),
    ],
)
def test_rp_id_and_origin_are_those_of_the_public_url(public_url: str, party: tuple[str, str] | None) -> None:
    assert relying_party(public_url) == party

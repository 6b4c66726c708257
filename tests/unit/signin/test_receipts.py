"""Receipts: what is kept of a decision proves it without us, and no part of it can be changed unseen."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jit_auth.signin.passkeys import Receipt, genuine
from jit_auth.signin.statement import stated, text_of
from tests.fakes.authenticator import b64, unb64
from tests.unit.signin.conftest import ORIGIN, RP_ID, STATEMENT, Bearer, decide, enrol

ANA, BO = enrol(), enrol("bo@example.com")
GOOD = decide(ANA.says(), ANA.passkey)


def said(**change: object) -> Callable[[Receipt], Receipt]:
    return lambda receipt: replace(receipt, statement=text_of(replace(STATEMENT, **change)))


def bits(name: str) -> Callable[[Receipt], Receipt]:
    def flipped(receipt: Receipt) -> Receipt:
        raw = unb64(getattr(receipt, name))
        return replace(receipt, **{name: b64(raw[:-1] + bytes([raw[-1] ^ 1]))})

    return flipped


def spelled(receipt: Receipt, place: int, byte: int) -> Receipt:
    raw = bytearray(unb64(receipt.public_key))
    raw[place] = byte
    return replace(receipt, public_key=b64(bytes(raw)))


ALTERED: dict[str, Callable[[Receipt], Receipt]] = {
    "decision": said(decision="deny"),
    "approval": said(approval="apr_another"),
    "digest": said(digest="sha256:" + "0" * 64),
    "for": said(hold=3_600_000),
    "person": said(person="bo@example.com"),
    "expiry": said(expires=STATEMENT.expires + 1),
    "nonce": said(nonce=b64(b"x" * 32)),
    "statement spaced": lambda receipt: replace(receipt, statement=json.dumps(json.loads(receipt.statement))),
    "statement with a member more": lambda receipt: replace(receipt, statement='{"a":1,' + receipt.statement[1:]),
    "statement with a member twice": lambda receipt: replace(
        receipt, statement='{"approval":"apr_1",' + receipt.statement[1:]
    ),
    "statement without a member": lambda receipt: replace(
        receipt, statement=receipt.statement.replace(',"for":null', "")
    ),
    "no statement": lambda receipt: replace(receipt, statement="null"),
    "a surrogate": lambda receipt: replace(receipt, statement='{"approval":"\ud800"}'),
    "credential id that is none": lambda receipt: replace(receipt, credential_id="a"),
    "public key": lambda receipt: replace(receipt, public_key=b64(BO.passkey.public_key)),
    "public key's bytes": bits("public_key"),
    "public key respelled with simple(1)": lambda receipt: spelled(receipt, 1, 0xE1),
    "public key respelled with true": lambda receipt: spelled(receipt, 1, 0xF5),
    "authenticator data": bits("authenticator_data"),
    "client data": bits("client_data_json"),
    "signature": bits("signature"),
    "signature padded": lambda receipt: replace(receipt, signature=receipt.signature + "=="),
    "counter": lambda receipt: replace(receipt, counter=receipt.counter + 1),
    "all empty": lambda receipt: Receipt("", "", "", "", "", "", 0),
    "huge": lambda receipt: replace(receipt, signature="A" * 100_000),
}


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_receipt_is_not_genuine(name: str) -> None:
    assert genuine(GOOD, rp_id=RP_ID, origin=ORIGIN)
    assert not genuine(ALTERED[name](GOOD), rp_id=RP_ID, origin=ORIGIN)


def test_a_receipt_is_of_one_site() -> None:
    assert not genuine(GOOD, rp_id="example.com", origin=ORIGIN)
    assert not genuine(GOOD, rp_id=RP_ID, origin="https://example.com")


def test_parts_of_two_receipts_make_none() -> None:
    other = decide(ANA.says(denied := replace(STATEMENT, decision="deny")), ANA.passkey, denied)
    assert genuine(other, rp_id=RP_ID, origin=ORIGIN)
    for name in ("statement", "authenticator_data", "client_data_json", "signature"):
        mixed = replace(GOOD, **{name: getattr(other, name)})
        assert not genuine(mixed, rp_id=RP_ID, origin=ORIGIN), name


@pytest.mark.parametrize(
    "twists", [{"flags": 1}, {"flags": 4}, {"kind": "webauthn.create"}, {"crossOrigin": True}, {"origin": "null"}]
)
def test_what_would_not_have_decided_is_no_receipt(twists: dict[str, object]) -> None:
    response = ANA.says(**twists)["response"]
    forged = replace(
        GOOD,
        authenticator_data=response["authenticatorData"],
        client_data_json=response["clientDataJSON"],
        signature=response["signature"],
        counter=int.from_bytes(unb64(response["authenticatorData"])[33:37], "big"),
    )
    assert not genuine(forged, rp_id=RP_ID, origin=ORIGIN)


def test_the_credential_id_is_a_name_and_no_proof(ana: Bearer) -> None:
    """No authenticator signs its credential's id: the key is what has to be the enrolled one."""
    receipt = decide(ana.says(), ana.passkey)
    assert genuine(replace(receipt, credential_id=b64(b"another")), rp_id=RP_ID, origin=ORIGIN)
    assert receipt.public_key == b64(ana.passkey.public_key)


@given(
    st.sampled_from(["public_key", "authenticator_data", "client_data_json", "signature"]),
    st.integers(0, 10_000),
    st.integers(1, 255),
)
def test_no_changed_byte_goes_unseen(name: str, place: int, change: int) -> None:
    raw = bytearray(unb64(getattr(GOOD, name)))
    raw[place % len(raw)] ^= change
    assert not genuine(replace(GOOD, **{name: b64(bytes(raw))}), rp_id=RP_ID, origin=ORIGIN)


def test_a_receipt_tells_what_was_stated() -> None:
    assert stated(GOOD.statement) == STATEMENT

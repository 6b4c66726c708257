"""Deliveries are believed when who holds the secret has just signed them; the reference implementation agrees."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from jit_auth.client import Client, WebhookError, verify_webhook

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW = 1_767_614_400
BODY = json.dumps({"type": "execution.finished", "timestamp": "t", "data": {"execution": "exe_1"}}).encode()


def signed(body: bytes = BODY, id: str = "msg_1", at: int | str = NOW, key: bytes = KEY) -> dict[str, str]:
    mac = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "Webhook-Id": id, "Webhook-Timestamp": str(at), "Webhook-Signature": f"v1,{base64.b64encode(mac).decode()}",
    }  # fmt: skip


def test_a_good_one_is_the_event() -> None:
    event = verify_webhook(BODY, signed(), SECRET, now=NOW)
    assert event["data"] == {"execution": "exe_1"}
    assert verify_webhook(BODY.decode(), signed(), SECRET, now=NOW) == event
    assert Client.verify_webhook(BODY, signed(), SECRET, now=NOW) == event


def test_one_of_several_signatures_is_enough() -> None:
    good = signed()["Webhook-Signature"]
    other = signed(key=b"o" * 32)["Webhook-Signature"]
    for given_ in (f"{other} {good}", f"{good} {other}", f"v1a,xyz {good}", f"v2,{good[3:]} {good}"):
        assert verify_webhook(BODY, {**signed(), "Webhook-Signature": given_}, SECRET, now=NOW)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (signed(key=b"o" * 32), "bad_signature"),
        (signed(body=BODY + b" "), "bad_signature"),
        ({**signed(), "Webhook-Id": "msg_2"}, "bad_signature"),
        ({**signed(), "Webhook-Timestamp": str(NOW + 1)}, "bad_signature"),
        ({**signed(), "Webhook-Signature": signed()["Webhook-Signature"].replace("v1,", "v2,")}, "bad_signature"),
        ({**signed(), "Webhook-Signature": signed()["Webhook-Signature"][3:]}, "bad_signature"),
        ({**signed(), "Webhook-Signature": "v1,"}, "bad_signature"),
        ({**signed(), "Webhook-Signature": "v1,\udcff\u00e9"}, "bad_signature"),
        ({**signed(), "Webhook-Signature": "v1," + "A" * 100_000}, "unsigned"),
        ({}, "unsigned"),
        ({"webhook-id": "x", "webhook-timestamp": "1"}, "unsigned"),
        (signed(at="soon"), "bad_timestamp"),
        (signed(at="٣"), "bad_timestamp"),
        (signed(at="-1"), "bad_timestamp"),
        (signed(at=NOW - 301), "bad_timestamp"),
        (signed(at=NOW + 301), "bad_timestamp"),
    ],
)
def test_others_are_not_believed(headers: dict[str, str], code: str) -> None:
    with pytest.raises(WebhookError) as refused:
        verify_webhook(BODY, headers, SECRET, now=NOW)
    assert refused.value.code == code
    assert SECRET not in str(refused.value)


def test_five_minutes_either_way_are_fine() -> None:
    for at in (NOW - 300, NOW + 300):
        assert verify_webhook(BODY, signed(at=at), SECRET, now=NOW)


@pytest.mark.parametrize("body", [b"[1]", b"x", b"[" * 100_000, b"\xff"])
def test_signed_nonsense_is_no_event(body: bytes) -> None:
    with pytest.raises(WebhookError, match="no JSON object"):
        verify_webhook(body, signed(body), SECRET, now=NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_***", "short secret"])
def test_what_is_no_secret_verifies_nothing(secret: str) -> None:
    with pytest.raises(WebhookError) as refused:
        verify_webhook(BODY, signed(key=b""), secret, now=NOW)
    assert refused.value.code == "bad_secret"


@given(st.dictionaries(st.text(), st.text()), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_the_reference_signs_what_is_verified_and_the_other_way(event: dict[str, str], id: str) -> None:
    body = json.dumps(event)
    now = datetime.now(UTC)
    reference = Webhook(SECRET)
    headers = {
        "webhook-id": id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": reference.sign(id, now, body),
    }
    assert verify_webhook(body, headers, SECRET) == event
    ours = {name.lower(): value for name, value in signed(body.encode(), id, int(now.timestamp())).items()}
    assert reference.verify(body, ours) == event

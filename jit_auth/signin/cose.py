"""A passkey's public key (COSE_Key, RFC 9052) as it is kept: one that can verify, in one spelling.

Attacks: a key that no signature can ever match is enrolled (attestation "none" proves no possession); a kept key is
respelled (`true` or simple(1) for the label 1: the CBOR reader takes them for equal) and still passes for the enrolled.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    encode_cbor,
    parse_cbor,
)

_SHORTEST_RSA = 2048
_PLAIN = (int, bytes, str)


def judge_key(public_key: bytes) -> None:
    """Raise ValueError for what is no usable key."""
    try:
        members = parse_cbor(public_key)
        plain = type(members) is dict and all(type(each) in _PLAIN for pair in members.items() for each in pair)
        respelled = not plain or encode_cbor(members) != public_key
        key = decoded_public_key_to_cryptography(decode_credential_public_key(public_key))
    except Exception as error:  # foreign bytes: the parsers raise what they happen to stumble over
        raise ValueError("this is no public key") from error
    if respelled or (isinstance(key, RSAPublicKey) and key.key_size < _SHORTEST_RSA):
        raise ValueError("this is a public key that is too short, or in another spelling")

"""A WebAuthn authenticator and its browser in software. It makes ES256 passkeys and answers as a test twists."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40
AAGUID = bytes(16)


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One credential. `counting`: whether its signature counter grows; else it is 0 for ever, as a synced passkey's."""

    origin: str
    counting: bool = True
    credential_id: bytes = b"credential-number-one"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    counter: int = 0

    def create(self, options: Mapping[str, Any], **twists: Any) -> dict[str, Any]:
        """RegistrationResponseJSON for PublicKeyCredentialCreationOptionsJSON. `twists`: what is otherwise than right,
        of `collect` and `authenticator_data`; `statement`: (fmt, attStmt); `named`: another id than it made."""
        kind = twists.pop("kind", "webauthn.create")
        fmt, statement = twists.pop("statement", ("none", {}))
        named = b64(twists.pop("named", self.credential_id))
        rp_id = twists.pop("rp_id", options["rp"]["id"])
        flags = twists.pop("flags", PRESENT | VERIFIED) | ATTESTED
        attested = AAGUID + len(self.credential_id).to_bytes(2, "big") + self.credential_id + self.cose()
        data = self.authenticator_data(rp_id, flags, twists.pop("counter", None)) + attested
        client = self.collect(kind, twists.pop("challenge", options["challenge"]), **twists)
        made = cbor2.dumps({"fmt": fmt, "attStmt": statement, "authData": data})
        return {
            "id": named,
            "rawId": named,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": b64(client),
                "attestationObject": b64(made),
                "transports": ["internal", "hybrid", "pigeon", "internal"],
            },
        }

    def get(self, options: Mapping[str, Any], **twists: Any) -> dict[str, Any]:
        """AuthenticationResponseJSON for PublicKeyCredentialRequestOptionsJSON; `twists` as for `create`, and `key`:
        who signs instead."""
        kind = twists.pop("kind", "webauthn.get")
        rp_id = twists.pop("rp_id", options["rpId"])
        key: ec.EllipticCurvePrivateKey = twists.pop("key", self.key)
        flags = twists.pop("flags", PRESENT | VERIFIED)
        data = self.authenticator_data(rp_id, flags, twists.pop("counter", None))
        client = self.collect(kind, twists.pop("challenge", options["challenge"]), **twists)
        named = b64(self.credential_id)
        return {
            "id": named,
            "rawId": named,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": b64(client),
                "authenticatorData": b64(data),
                "signature": b64(key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))),
                "userHandle": None,
            },
        }

    def collect(self, kind: str, challenge: str, **twists: Any) -> bytes:
        """clientDataJSON as browsers write it. `origin`, `crossOrigin`, `topOrigin` may be otherwise."""
        client = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False} | twists
        return json.dumps(client, separators=(",", ":")).encode()

    def authenticator_data(self, rp_id: str, flags: int, counter: int | None = None) -> bytes:
        """rpIdHash, flags, signCount."""
        if counter is None:
            self.counter += self.counting
            counter = self.counter
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + counter.to_bytes(4, "big")

    def cose(self) -> bytes:
        """The public key as a COSE_Key: EC2, ES256, P-256."""
        point = self.key.public_key().public_numbers()
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")})

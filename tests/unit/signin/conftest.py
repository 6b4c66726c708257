"""A relying party, a person with an enrolled passkey, and a decision to make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from jit_auth.signin.passkeys import Passkey, Receipt, Statement, assertion_options, decided, enrolled, enrolment
from tests.fakes.authenticator import Authenticator, b64

RP_ID = "auth.example.com"
ORIGIN = "https://auth.example.com"
NOW = 1_764_064_800_000
CHALLENGE = bytes(range(32))
HANDLE = b"opaque-handle-of-ana"
STATEMENT = Statement(
    nonce=b64(b"n" * 32),
    approval="apr_01j9z8m6q2",
    digest="sha256:" + "5" * 64,
    decision="approve",
    hold=None,
    person="ana@example.com",
    expires=NOW + 600_000,
)


@dataclass
class Bearer:
    """A person, the authenticator in their hand, and the passkey that we keep of it."""

    authenticator: Authenticator
    passkey: Passkey

    def says(self, statement: Statement = STATEMENT, **twists: Any) -> dict[str, Any]:
        """The browser's answer about a statement."""
        return self.authenticator.get(assertion_options(statement, [self.passkey], RP_ID), **twists)


def enrol(person: str = "ana@example.com", **authenticator: Any) -> Bearer:
    device = Authenticator(ORIGIN, **authenticator)
    answer = device.create(enrolment(person, RP_ID, "jit_auth", (), CHALLENGE, handle=HANDLE))
    passkey = enrolled(answer, person=person, name="Phone", now=NOW, challenge=CHALLENGE, rp_id=RP_ID, origin=ORIGIN)
    return Bearer(device, passkey)


def decide(answer: Any, passkey: Passkey, statement: Statement = STATEMENT, now: int = NOW) -> Receipt:
    return decided(answer, statement, passkey, rp_id=RP_ID, origin=ORIGIN, now=now)


@pytest.fixture
def ana() -> Bearer:
    return enrol()

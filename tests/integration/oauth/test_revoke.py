"""Giving tokens back (RFC 7009): what counts as done, and what is tried again."""

from __future__ import annotations

import pytest

from jit_auth.egress import Egress
from jit_auth.model import Provider, Token
from jit_auth.oauth.owed import owed, revocable
from jit_auth.oauth.revoke import revoke
from tests.fakes.provider_odd import OddProvider
from tests.integration.oauth.conftest import hub

TOKEN = Token(access="at", refresh="rt")


async def test_both_tokens_are_given_back(egress: Egress, odd: OddProvider) -> None:
    family = odd.issue("alice", "mail.read")
    assert await revoke(egress, hub(odd), Token(access=family.access, refresh=family.refresh))
    assert odd.revoked == [family.refresh, family.access]
    assert not family.live


async def test_an_access_token_alone(egress: Egress, odd: OddProvider) -> None:
    assert await revoke(egress, hub(odd), Token(access="at"))
    assert odd.revoked == ["at"]


async def test_the_endpoint_may_come_from_metadata(egress: Egress, odd: OddProvider) -> None:
    assert await revoke(egress, hub(odd, issuer=odd.url, revoke_url=None), TOKEN)
    assert odd.revoked == ["rt", "at"]


@pytest.mark.parametrize(
    ("faults", "done"),
    [
        ([(503, "text/html", "busy")], False),
        ([(400, "application/json", '{"error":"invalid_token"}')], True),
        ([(400, "application/json", '{"error":"unsupported_token_type"}')], True),
        ([(400, "application/json", '{"error":"invalid_request"}')], False),
        ([(401, "application/json", '{"error":"invalid_client"}')], False),
        ([(200, "application/json", '{"ok":false,"error":"not_authed"}')], False),
        ([(200, "application/json", '{"ok":true,"revoked":true}')] * 2, True),
    ],
)
async def test_what_counts_as_done(
    egress: Egress, odd: OddProvider, faults: list[tuple[int, str, str]], done: bool
) -> None:
    odd.faults = faults
    assert await revoke(egress, hub(odd), TOKEN) is done


async def test_no_endpoint_no_host_no_connection(egress: Egress, odd: OddProvider) -> None:
    assert not await revoke(egress, hub(odd, revoke_url=None), TOKEN)
    assert not await revoke(egress, hub(odd, revoke_url="https://evil.example/revoke"), TOKEN)
    assert not await revoke(egress, hub(odd, revoke_url="http://127.0.0.1:1/revoke"), TOKEN)


def test_what_is_owed() -> None:
    row = owed("alice@example.com", "odd", TOKEN, 1_000_000_000_000)
    assert row.id.startswith("out_")
    assert (row.kind, row.due, row.until - row.due) == ("revoke", 1_000_000_000_000, 86_400_000)
    assert "at" not in repr(row.token)
    assert revocable(Provider(id="x", revoke_url="https://x.example/r"))
    assert not revocable(Provider(id="x"))

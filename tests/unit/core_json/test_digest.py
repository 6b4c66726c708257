"""The digest changes with everything that decides or leaves, and with nothing else."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.core.digest import digest, sha256_text
from jit_auth.core.ids import derived_key
from jit_auth.model import Place, Request
from tests.unit.core_json.test_parse_json import OBJECTS, TEXT

ID = "exe_01m3250v00xfpwb29eqsbp6a3f"
REQUEST = Request("POST", "https://api.x.example/v1/m?a=1", (("Accept", "a"), ("X-Key", derived_key(ID))), b'{"a":1}')
CALL: dict[str, Any] = {
    "action": "x.send",
    "provider": "x",
    "params": {"a": 1},
    "user": "alice@example.com",
    "verified": True,
    "chain": ("mailbot",),
    "account": None,
    "request": REQUEST,
    "places": (Place("header", "authorization"),),
    "execution_id": ID,
}


def change(**to: Any) -> Request:
    return msgspec.structs.replace(REQUEST, **to)


@pytest.mark.parametrize(
    "other",
    [
        {"action": "x.send2"},
        {"provider": "y"},
        {"params": {"a": 2}},
        {"params": {"a": "1"}},
        {"params": {}},
        {"user": "bob@example.com"},
        {"user": None},
        {"verified": False},
        {"chain": ("mailbot", "sub")},
        {"chain": ("mailbotsub",)},
        {"account": ""},
        {"account": "a1"},
        {"request": change(method="PUT")},
        {"request": change(url="https://api.x.example/v1/m?a=2")},
        {"request": change(url="https://evil.example/v1/m?a=1")},
        {"request": change(body=b'{"a":1 }')},
        {"request": change(body=b"")},
        {"request": change(headers=(("Accept", "b"), REQUEST.headers[1]))},
        {"request": change(headers=(REQUEST.headers[0], ("X-Key", "of another")))},
        {"request": change(headers=(REQUEST.headers[0], ("X-Other", REQUEST.headers[1][1])))},
        {"request": change(headers=REQUEST.headers[:1])},
        {"request": change(headers=REQUEST.headers[::-1])},
        {"places": ()},
        {"places": (Place("query", "authorization"),)},
        {"places": (Place("header", "x-token"),)},
    ],
    ids=str,
)
def test_every_part_of_a_call_is_in_its_digest(other: dict[str, Any]) -> None:
    assert digest(**{**CALL, **other}) != digest(**CALL)


def test_what_derives_from_the_execution_is_not_in_the_digest() -> None:
    again = "exe_01m3250v0100000000000000zz"
    request = change(headers=(REQUEST.headers[0], ("X-Key", derived_key(again))))
    assert digest(**{**CALL, "execution_id": again, "request": request}) == digest(**CALL)


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_members_is_not_in_the_digest(names: list[str]) -> None:
    first = digest(**{**CALL, "params": {name: name for name in sorted(names)}})
    assert digest(**{**CALL, "params": {name: name for name in names}}) == first


def test_the_digest_is_stable() -> None:
    # A change of this value is a change of what old approvals stand for: raise FORMAT with it.
    assert digest(**CALL) == "sha256:993a3b422b7f70375d6f0437c221dd5d245c803cc727ced13ce145f9489f94d5"


@given(OBJECTS, TEXT, TEXT | st.none(), st.booleans(), st.lists(TEXT, max_size=3), TEXT)
def test_the_digest_is_a_hash_of_rfc_8785_json(
    params: dict[str, Any], action: str, user: str | None, verified: bool, chain: list[str], value: str
) -> None:
    request = Request("GET", "https://x.example/é", (("A", value), ("B", derived_key(ID))), b"")
    document = {
        "format": 1,
        "action": action,
        "provider": "x",
        "params": params,
        "user": user,
        "verified": verified,
        "chain": chain,
        "account": None,
        "request": {
            "method": "GET",
            "url": "https://x.example/é",
            "headers": [["A", value], ["B", "{execution}"]],
            "body": hashlib.sha256(b"").hexdigest(),
        },
        "places": [["header", "authorization"]],
    }
    call = {"params": params, "action": action, "user": user, "verified": verified, "chain": chain, "request": request}
    assert digest(**{**CALL, **call}) == sha256_text(rfc8785.dumps(document))


def test_sha256_text() -> None:
    assert sha256_text(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

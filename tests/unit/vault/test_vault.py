"""The key ring: a sealed value opens unchanged, in its place, under a key of the ring, and in no other case."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.errors import VaultError
from jit_auth.vault import DataKey, Vault, key_id

ONE, TWO = os.urandom(32), os.urandom(32)
PLACE: dict[str, Any] = {"table": "grant", "row": "grt_1", "column": "token", "user": "psn_1", "provider": "mailhub"}


@given(st.binary(max_size=2_000), st.integers(0, 2**48 - 1))
def test_what_was_sealed_opens(plaintext: bytes, number: int) -> None:
    vault = Vault([("one", ONE)])
    sealed = vault.seal(plaintext, **PLACE, number=number)
    assert vault.open(sealed, **PLACE) == plaintext
    key = DataKey(TWO)
    assert key.open(key.seal(plaintext, **PLACE, number=number), **PLACE) == plaintext


@pytest.mark.parametrize("sealer", [Vault([("one", ONE)]), DataKey(ONE)])
def test_each_flipped_byte_is_found(sealer: Vault | DataKey) -> None:
    sealed = sealer.seal(b"the token", **PLACE, number=7)
    for at in range(len(sealed)):
        for bit in (0, 7):
            bad = sealed[:at] + bytes((sealed[at] ^ (1 << bit),)) + sealed[at + 1 :]
            with pytest.raises(VaultError):
                sealer.open(bad, **PLACE)
    for cut in range(len(sealed)):
        with pytest.raises(VaultError):
            sealer.open(sealed[:cut], **PLACE)
    with pytest.raises(VaultError):
        sealer.open(sealed + b"\0", **PLACE)


@pytest.mark.parametrize("part", sorted(PLACE))
def test_a_value_that_was_moved_does_not_open(part: str) -> None:
    vault = Vault([("one", ONE)])
    sealed = vault.seal(b"the token", **PLACE, number=7)
    for other in ("", "other", PLACE[part] + "x"):
        with pytest.raises(VaultError) as raised:
            vault.open(sealed, **(PLACE | {part: other}))
        assert "the token" not in str(raised.value)


def test_parts_of_a_place_cannot_run_into_each_other() -> None:
    vault = Vault([("one", ONE)])
    sealed = vault.seal(b"x", table="a", row="b", column="cd", number=1)
    with pytest.raises(VaultError):
        vault.open(sealed, table="a", row="bc", column="d")
    with pytest.raises(VaultError, match="NUL"):
        vault.seal(b"x", table="a\0b", row="c", column="d", number=1)


def test_the_first_key_seals_and_all_open() -> None:
    old = Vault([("one", ONE)])
    ring = Vault([("two", TWO), ("one", ONE)])
    before, after = old.seal(b"x", **PLACE, number=1), ring.seal(b"x", **PLACE, number=1)
    assert (key_id(before), key_id(after)) == ("one", "two")
    assert ring.open(before, **PLACE) == ring.open(after, **PLACE) == b"x"
    with pytest.raises(VaultError, match="two") as raised:
        old.open(after, **PLACE)
    assert raised.value.hint
    # The same id with another key is another key.
    with pytest.raises(VaultError):
        Vault([("two", ONE)]).open(after, **PLACE)


def test_sealing_twice_gives_two_values() -> None:
    vault = Vault([("one", ONE)])
    assert len({vault.seal(b"x", **PLACE, number=1) for _ in range(100)}) == 100


def test_derived_keys_differ_by_label_and_key_and_stay_the_same() -> None:
    ring = Vault([("two", TWO), ("one", ONE)])
    labels = ["ticket", "chain", "state", "seal"]
    keys = {ring.derive(label, key) for label in labels for key in ring.ids}
    assert len(keys) == 8
    assert ring.derive("ticket") == ring.derive("ticket", "two") == Vault([("two", TWO)]).derive("ticket")
    assert ONE not in keys
    with pytest.raises(VaultError):
        ring.derive("ticket", "three")


def test_a_data_key_unwraps_for_its_person_alone() -> None:
    vault = Vault([("one", ONE)])
    key, wrapped = vault.new_key("psn_1")
    sealed = key.seal(b"x", **PLACE, number=1)
    assert vault.unwrap(wrapped, "psn_1").open(sealed, **PLACE) == b"x"
    assert vault.unwrap(wrapped, "psn_1").derive("commit") == key.derive("commit")
    with pytest.raises(VaultError):
        vault.unwrap(wrapped, "psn_2")
    other, _ = vault.new_key("psn_1")
    with pytest.raises(VaultError):
        other.open(sealed, **PLACE)


@pytest.mark.parametrize(
    "keys",
    [
        [], [("", ONE)], [("x" * 65, ONE)], [("ü", ONE)], [("a\n", ONE)], [("a", ONE[:31])], [("a", ONE + b"x")],
        [("a", ONE), ("a", TWO)], [("a", ONE), ("b", ONE)],
    ],
)  # fmt: skip
def test_an_odd_ring_is_refused(keys: list[tuple[str, bytes]]) -> None:
    with pytest.raises(VaultError):
        Vault(keys)


def test_nothing_shows_a_key() -> None:
    vault = Vault([("one", ONE)])
    key, _ = vault.new_key("psn_1")
    for shown in (repr(vault), str(vault), repr(key)):
        assert ONE.hex() not in shown
        assert repr(ONE)[2:-1] not in shown

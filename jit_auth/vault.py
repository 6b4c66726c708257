"""Sealing: AES-256-GCM under a ring of vault keys and under one data key per person (THREAT_MODEL 13, 29).

A sealed value is format, key id, seal number, nonce, ciphertext. The associated data are the first three, table, row,
column, person and provider, so that a value opens only in the place it was sealed for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from jit_auth.errors import VaultError

_FORMAT = b"\x01"
_NONCE = 12
_NUMBER = 6
_TAG = 16
_KEY = 32
_PERSON_KEY = "p1"
"""The key id inside values under a person's data key: its first generation (the ring's key is in the wrapped key)."""


class Entropy:
    """Random bytes of one size, asked of the system many at once: each asking gives up the interpreter's lock.

    Each is handed out once: to one thread (`list.pop` is atomic) of the process that asked (never across a fork).
    """

    __slots__ = ("_drawn", "_process", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._drawn: list[bytes] = []
        self._process = os.getpid()

    def take(self) -> bytes:
        """Bytes that nobody else has, or will have."""
        if self._process != os.getpid():
            self._drawn, self._process = [], os.getpid()
        while True:
            try:
                return self._drawn.pop()
            except IndexError:
                fresh = os.urandom(256 * self._size)
                self._drawn.extend(fresh[at : at + self._size] for at in range(0, len(fresh), self._size))


def _derive(root: bytes, label: str) -> bytes:
    """HKDF-SHA256 (RFC 5869) without salt: root keys are uniformly random already."""
    return HKDF(algorithm=SHA256(), length=_KEY, salt=None, info=b"jit_auth/" + label.encode()).derive(root)


class Sealer:
    """Seals and opens under one key, whose id stands in the values. Safe in any thread."""

    __slots__ = ("_cipher", "_head", "_nonces", "id")

    def __init__(self, key_id: str, key: bytes, nonces: Entropy | None = None) -> None:
        self.id = key_id
        self._nonces = nonces or Entropy(_NONCE)
        self._head = mark(key_id)
        self._cipher = AESGCM(key)

    def seal(
        self, plaintext: bytes, *, table: str, row: str, column: str, user: str = "", provider: str = "", number: int
    ) -> bytes:
        """`plaintext`, sealed for one place. `number` is the row's version at this sealing (0 to 2^48-1)."""
        head = self._head + number.to_bytes(_NUMBER, "big")
        nonce = self._nonces.take()
        return head + nonce + self._cipher.encrypt(nonce, plaintext, _place(head, table, row, column, user, provider))

    def open(self, sealed: bytes, *, table: str, row: str, column: str, user: str = "", provider: str = "") -> bytes:
        """What `seal` was given for the same place. Raises VaultError where anything differs."""
        cut = len(self._head) + _NUMBER
        if not sealed.startswith(self._head) or len(sealed) < cut + _NONCE + _TAG:
            raise VaultError(f"The sealed value {table}.{column} of {row} is none of key {self.id!r}.")
        head, nonce, ciphertext = sealed[:cut], sealed[cut : cut + _NONCE], sealed[cut + _NONCE :]
        try:
            return self._cipher.decrypt(nonce, ciphertext, _place(head, table, row, column, user, provider))
        except InvalidTag:
            raise VaultError(f"The sealed value {table}.{column} of {row} was altered or moved.") from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"


def _place(head: bytes, table: str, row: str, column: str, user: str, provider: str) -> bytes:
    place = f"\0{table}\0{row}\0{column}\0{user}\0{provider}".encode()
    if place.count(0) != 5:  # else two places could share their associated data
        raise VaultError("The parts of a sealed value's place hold no NUL.")
    return head + place


class DataKey(Sealer):
    """A person's data key. What it sealed is gone for ever once the wrapped key is deleted."""

    __slots__ = ("_root",)

    def __init__(self, root: bytes, nonces: Entropy | None = None) -> None:
        super().__init__(_PERSON_KEY, _derive(root, "seal"), nonces)
        self._root = root

    def derive(self, label: str) -> bytes:
        """32 bytes for one purpose (commitments; of the store's own key: tickets, sessions); gone with the key."""
        return _derive(self._root, label)


class Vault:
    """The ring of root keys: (id, 32 bytes), the first encrypts, all decrypt. Raises VaultError for anything odd."""

    def __init__(self, keys: Sequence[tuple[str, bytes]]) -> None:
        if not keys:
            raise VaultError("The vault has no key.", hint="Put one into [vault] keys; `jit-auth init` makes one.")
        self._roots: dict[str, bytes] = {}
        for key_id, key in keys:
            if not (0 < len(key_id) <= 64 and key_id.isascii() and key_id.isprintable()):
                raise VaultError("The id of a vault key has 1 to 64 printable ASCII characters.")
            if len(key) != _KEY:
                raise VaultError(f"The vault key {key_id!r} has {len(key)} bytes; it takes 32.")
            if key_id in self._roots:
                raise VaultError(f"Two vault keys are called {key_id!r}.")
            if key in self._roots.values():
                raise VaultError(f"The vault key {key_id!r} is another one under a second id.")
            self._roots[key_id] = bytes(key)
        self.ids: tuple[str, ...] = tuple(self._roots)
        self._nonces = Entropy(_NONCE)
        self._sealers = {
            key_id: Sealer(key_id, _derive(root, "seal"), self._nonces) for key_id, root in self._roots.items()
        }
        self._first = self._sealers[self.ids[0]]

    def derive(self, label: str, key_id: str | None = None) -> bytes:
        """32 bytes for one purpose, from the first key or the one named. Raises VaultError for an unknown id."""
        root = self._roots.get(key_id if key_id is not None else self.ids[0])
        if root is None:
            raise VaultError(f"The vault key {key_id!r} is not in the ring.")
        return _derive(root, label)

    def seal(
        self, plaintext: bytes, *, table: str, row: str, column: str, user: str = "", provider: str = "", number: int
    ) -> bytes:
        """`plaintext` under the first key, for one place (see Sealer.seal)."""
        return self._first.seal(
            plaintext, table=table, row=row, column=column, user=user, provider=provider, number=number
        )

    def open(self, sealed: bytes, *, table: str, row: str, column: str, user: str = "", provider: str = "") -> bytes:
        """What `seal` was given, under whichever key of the ring. Raises VaultError."""
        sealer = self._sealers.get(key_id(sealed))
        if sealer is None:
            raise VaultError(
                f"The sealed value {table}.{column} of {row} needs the vault key {key_id(sealed)!r}.",
                hint="Keep older keys behind the first in [vault] keys.",
            )
        return sealer.open(sealed, table=table, row=row, column=column, user=user, provider=provider)

    def new_key(self, user: str, key_id: str | None = None) -> tuple[DataKey, bytes]:
        """A fresh data key for a person (named by pseudonym), and the same wrapped under the first key, or the one
        named, to be stored."""
        root = os.urandom(_KEY)
        sealer = self._first if key_id is None else self._sealers[key_id]
        wrapped = sealer.seal(root, table="person", row=user, column="key", user=user, number=1)
        return DataKey(root, self._nonces), wrapped

    def rewrap(self, sealed: bytes, *, table: str, row: str, column: str, user: str = "") -> bytes:
        """The same value for the same place, under the first key. Raises VaultError."""
        plain = self.open(sealed, table=table, row=row, column=column, user=user)
        at = 2 + sealed[1]
        number = int.from_bytes(sealed[at : at + _NUMBER], "big") + 1
        return self.seal(plain, table=table, row=row, column=column, user=user, number=number)

    def unwrap(self, wrapped: bytes, user: str) -> DataKey:
        """The data key of a person. Raises VaultError where `wrapped` is none of theirs."""
        return DataKey(self.open(wrapped, table="person", row=user, column="key", user=user), self._nonces)

    def __repr__(self) -> str:
        return f"Vault({list(self.ids)})"


def mark(key_id: str) -> bytes:
    """What every value that is sealed under this key begins with, and no other."""
    return _FORMAT + bytes((len(key_id),)) + key_id.encode()


def key_id(sealed: bytes) -> str:
    """Id of the key that a value is sealed under. Raises VaultError if it is no sealed value."""
    if len(sealed) < 2 or sealed[:1] != _FORMAT or len(sealed) < 2 + sealed[1] + _NUMBER + _NONCE + _TAG:
        raise VaultError("This is no sealed value.")
    try:
        return sealed[2 : 2 + sealed[1]].decode("ascii")
    except UnicodeDecodeError:
        raise VaultError("This is no sealed value.") from None

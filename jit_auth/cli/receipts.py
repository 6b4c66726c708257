"""Whether every vote that a passkey signed has its receipt, and the receipt proves it: `jit-auth audit verify`'s second
half. It takes nobody's word: the public key is the one that the record of its enrolment names, the signature is checked
over the statement, and the statement is compared with the vote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from jit_auth.errors import JitAuthError
from jit_auth.model import Millis, Passkey, Vote
from jit_auth.signin.base64url import decoded
from jit_auth.signin.site import relying_party
from jit_auth.signin.statement import Receipt, stated
from jit_auth.storage.store import Store


async def unproven(store: Store, public_url: str) -> tuple[int, list[tuple[str, str]]]:
    """How many signed votes there are, and (ask, why) of each whose receipt does not prove it. Raises StorageError."""
    keys, claimed = await _recorded(store)
    votes = await store.own.signed_votes()
    cut = await _kept_since(store) if votes else 0
    found: list[tuple[str, str]] = []
    for vote in votes:
        claimed.pop((vote.ask, vote.person), None)
        if why := await _unproven(store, vote, keys, public_url, cut):
            found.append((vote.ask, why))
    found += [(ask, "the record names a passkey, and the vote has no receipt") for ask, _ in claimed]
    return len(votes), found


async def _recorded(store: Store) -> tuple[dict[str, str], dict[tuple[str, str], None]]:
    """Public keys by passkey, and the votes that were signed, as the record has them."""
    keys: dict[str, str] = {}
    claimed: dict[tuple[str, str], None] = {}
    for entry in await store.audit.naming('"passkey'):
        for fact in entry.what:
            if fact.get("do") == "passkey.enrolled":
                keys[str(fact.get("passkey"))] = str(fact.get("key"))
            elif fact.get("do") == "vote" and fact.get("how") == "passkey":
                claimed[str(fact.get("ask")), str(fact.get("by"))] = None
    return keys, claimed


async def _kept_since(store: Store) -> Millis:
    """From when on the record is whole; 0: from the beginning."""
    entries = await store.audit.naming('"audit.cut"')
    return max((fact["before"] for entry in entries for fact in entry.what if fact.get("do") == "audit.cut"), default=0)


async def _unproven(store: Store, vote: Vote, keys: Mapping[str, str], public_url: str, cut: Millis) -> str:
    """Why a vote is unproven. Where `[retention]` took the row of an enrolment, the passkey that is held speaks for it.
    Votes from before `cut`, of a passkey that is held no more, are as gone as their rows of the record."""
    mark = (vote.receipt or {}).get("credential_id")
    if cut and isinstance(mark, str) and mark not in keys:
        held = await store.row(Passkey, mark)
        if held is None and vote.at < cut:
            return ""
        keys = {} if held is None else {mark: "sha256:" + hashlib.sha256(held.public_key).hexdigest()}
    return _fault(vote, keys, public_url)


def _fault(vote: Vote, keys: Mapping[str, str], public_url: str) -> str:
    """Why a vote's receipt does not prove it; "" where it does."""
    if vote.gone:
        return ""  # what they signed is gone, with their key or after its time
    from jit_auth.signin.receipts import genuine  # brings a library for WebAuthn with it: where there is a receipt

    try:
        receipt = msgspec.convert(vote.receipt, Receipt)
        statement = stated(receipt.statement)
        site = relying_party(public_url)
        key = "sha256:" + hashlib.sha256(decoded(receipt.public_key)).hexdigest()
    except (msgspec.MsgspecError, ValueError, JitAuthError):
        return "its receipt cannot be read"
    if site is None or not genuine(receipt, rp_id=site[0], origin=site[1]):
        return "its signature is not one of this service's pages"
    if keys.get(receipt.credential_id) != key:
        return "its key is not the one that was enrolled"
    said = (statement.approval, statement.person, statement.digest, statement.decision, statement.hold)
    if said != (vote.ask, vote.person, vote.digest, vote.verdict, vote.hold):
        return "the passkey signed another decision than the vote"
    return ""

"""Which person an issuer's account is: linked at first use, and the same ever after (THREAT_MODEL 27).

Attacks: an account is deleted at the issuer and its address given to somebody else (another subject with the same
name is refused until an operator unlinks the first); an address of one issuer asserted by another (each domain is one
issuer's, which the issuer's own checks see to); two names of one human (aliases are one person).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jit_auth.core.mac import Mac
from jit_auth.errors import SignInRefused, Unavailable
from jit_auth.model import Audit, Delete, Insert, Linked, Stale, Unit, Who
from jit_auth.signin.identity import Identity
from jit_auth.storage.store import Store

if TYPE_CHECKING:  # it brings the language of policies, which `jit-auth people` has no use for
    from jit_auth.engine.current import Current

_MOST_STALE = 10


@dataclass(frozen=True)
class Linking:
    """Finds the person of a verified identity. `gone(person)`: has left or was stopped."""

    store: Store
    current: Current
    mac: Mac
    gone: Callable[[str], bool]

    async def person(self, verified: Identity) -> str:
        """The person. Raises SignInRefused (`other_subject`, `left`)."""
        person = self.current.bundle.people.person(verified.person)
        if self.gone(person):
            # No session would be believed: the browser would go round between here and an issuer that knows it.
            raise SignInRefused(
                f"{person} has left, or was stopped here.",
                code="left",
                hint="If that is a mistake, an operator can put it right. Nothing was changed.",
            )
        key = "idn_" + self.mac.hex(f"{verified.issuer}\n{verified.subject}".encode())
        known = await self.store.row(Linked, key)
        if known is None:
            made = Linked(id=key, person=person, issuer=verified.issuer, at=self.store.now())
            fact = {"do": "identity.linked", "issuer": verified.issuer, "by": Who(person)}
            audit = Audit(actor=f"person:{person}", what=(fact,), user=person)
            if not isinstance(await self.store.apply(Unit(None, (Insert(made),), audit)), Stale):
                return person
            known = await self.store.row(Linked, key)  # this very account may have been linked a moment ago
        if known is None or known.person != person:
            raise SignInRefused(
                "The issuer names you by an id that belongs to another account of its own.",
                code="other_subject",
                hint="An operator has to say whose it is now: `jit-auth people unlink ID`.",
            )
        return person


async def unlink(store: Store, person: str) -> tuple[tuple[Linked, ...], int]:
    """An operator's word that the person's next sign-in may be by another account: what links them goes, and so do
    their sessions, in one. Gives the accounts, and how many sessions there were. Raises Unavailable."""
    for _ in range(_MOST_STALE):
        linked, sessions = await store.own.identities(person), await store.own.sessions(person)
        if not linked and not sessions:
            return (), 0
        issuers = [each.issuer for each in linked]
        fact = {"do": "identity.unlinked", "issuers": issuers, "sessions": len(sessions)}
        audit = Audit(actor="operator", what=(fact,), user=person)
        ops = (*map(Delete, linked), *map(Delete, sessions))
        if not isinstance(await store.apply(Unit(None, ops, audit)), Stale):
            return linked, len(sessions)
    raise Unavailable("They sign in this very moment.", hint="Try again.")

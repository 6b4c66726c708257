"""Sessions: a browser that somebody signed in with. A row each, found by the MAC of its cookie.

Attacks: fixation (a session is made at the sign-in and never before; an old one ends there); a stolen database (it
holds MACs alone); a session that lives on (idle and absolute limits; it ends with the person, a stop, a sign-out); a
form that another site posts (`Origin`, and a token that only a page of this session has; THREAT_MODEL 38).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from jit_auth.core.mac import Mac
from jit_auth.engine.proof import Visitor
from jit_auth.model import Audit, Change, Delete, Insert, Millis, Session, SignedBy, Stale, Unit, Who
from jit_auth.storage.store import Store

LONGEST: Millis = 7 * 86_400_000
IDLE: Millis = 12 * 3_600_000
NOTED: Millis = 300_000
"""A session's use is put down at most so often."""
RECENT: Millis = 300_000
"""A sign-in that is younger counts as just now (a first passkey asks for one)."""
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True)
class Signed:
    """A browser whose person is known: verified, and made nowhere but here."""

    session: Session
    form_token: str
    """What forms of this session carry."""

    @property
    def person(self) -> str:
        return self.session.person

    @property
    def visitor(self) -> Visitor:
        """For the engine: who it is, and by what."""
        return Visitor(self.session.person, self.session.how, self.session.issuer)


@dataclass(frozen=True)
class Sessions:
    """Opens, finds and ends them. `gone(person)`: has left or was stopped."""

    store: Store
    mac: Mac
    gone: Callable[[str], bool]

    async def open(self, person: str, how: SignedBy, issuer: str, old: Signed | None) -> str:
        """A new session; gives its cookie. The one that this browser had before ends. Raises StorageError."""
        cookie = secrets.token_urlsafe(32)
        now = self.store.now()
        made = Session(
            id=self._id(cookie), person=person, how=how, issuer=issuer, at=now, used=now, until=now + LONGEST
        )
        fact = {"do": "signin", "how": how, "issuer": issuer, "by": Who(person)}
        await self.store.apply(Unit(None, (Insert(made),), Audit(actor=f"person:{person}", what=(fact,), user=person)))
        if old is not None:
            await self.close(old)
        return cookie

    async def find(self, cookie: str | None) -> Signed | None:
        """The session of a cookie, if it is one and still good."""
        if cookie is None or not _COOKIE.fullmatch(cookie):
            return None
        found = await self.store.row(Session, self._id(cookie))
        now = self.store.now()
        if found is None or now >= min(found.until, found.used + IDLE) or self.gone(found.person):
            return None
        if now - found.used >= NOTED:
            fact = {"do": "session.used", "by": Who(found.person)}
            audit = Audit(actor=f"person:{found.person}", what=(fact,), user=found.person)
            await self.store.apply(Unit(None, (Change(found, {"used": now}),), audit))
        return Signed(found, self.mac.hex(b"form\n" + cookie.encode()))

    async def close(self, signed: Signed) -> None:
        """End it. One that has ended already stays so."""
        for _ in range(3):
            found = await self.store.row(Session, signed.session.id)
            if found is None:
                return
            fact = {"do": "signout", "by": Who(found.person)}
            audit = Audit(actor=f"person:{found.person}", what=(fact,), user=found.person)
            if not isinstance(await self.store.apply(Unit(None, (Delete(found),), audit)), Stale):
                return

    async def close_all(self, person: str) -> int:
        """End all of a person's; gives how many there were."""
        rows = await self.store.own.sessions(person)
        for row in rows:
            await self.close(Signed(row, ""))
        return len(rows)

    def recent(self, signed: Signed) -> bool:
        """Whether the person has proven who they are just now, at an issuer."""
        return signed.session.how == "oidc" and self.store.now() - signed.session.at < RECENT

    def _id(self, cookie: str) -> str:
        return "ses_" + self.mac.hex(b"session\n" + cookie.encode())

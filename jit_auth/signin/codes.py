"""Codes by mail: six digits that show, for one question and in one browser, that its user reads their own mailbox.

Attacks: the agent asks its user for the digits and types them itself (a code works only with the cookie of the browser
that asked); guessing (five tries of a code, each committed before anything is compared; five mails of a question,
twenty of a person in an hour); a code of another question or person, or one used before (the MAC is over all of them,
and a code is spent by compare-and-set); a stolen database (it holds MACs alone, under a key that is not in it).
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from jit_auth.core.digest import canonical
from jit_auth.core.mac import Mac
from jit_auth.errors import ChannelError, CodeRefused, Never, TooMany, Unavailable
from jit_auth.model import Ask, Audit, Change, Code, Delete, Insert, Millis, Op, Stale, Unit, Who
from jit_auth.storage.store import Store

log = logging.getLogger(__name__)

LIFETIME: Millis = 600_000
TRIES = 5
MAILS = 5
"""Of one question."""
MAILS_AN_HOUR = 20
"""To one person, for whatever questions: with TRIES, at most 100 guesses of a million in an hour."""
_HOUR: Millis = 3_600_000
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_CODE = re.compile(r"[0-9]{6}", re.ASCII)
_MOST_STALE = 10

MailCode = Callable[[str, str, str, str], Awaitable[None]]
"""(person, code, agent, provider's name): mails it. Raises Later, Never."""


@dataclass(frozen=True)
class Codes:
    """Mails codes and takes them. `mac` is keyed for codes alone."""

    store: Store
    mac: Mac
    mail: MailCode

    async def send(self, ask: Ask, provider: str, cookie: str | None) -> str:
        """Mail a code for this question to its user; gives the cookie of the browser that asked. A code that this
        browser had before (`cookie`) ends. Raises TooMany, Unavailable (`mail_unavailable`): nothing was used up."""
        person, code = ask.user or "", f"{secrets.randbelow(1_000_000):06}"
        made = secrets.token_urlsafe(32)
        row = await self._keep(ask, code, made, await self._row(cookie))
        try:
            await self.mail(person, code, ask.agent, provider)
        except ChannelError as error:
            log.warning("a code could not be mailed: %s", error.message)
            await self._put(row, Delete(row), "code.not_mailed")
            raise _unmailed(error) from None
        return made

    async def waits(self, ask: Ask, cookie: str | None) -> bool:
        """Whether this browser has a code for this question that can still be typed."""
        row = await self._row(cookie)
        return row is not None and row.ask == ask.id and _trouble(row, self.store.now()) is None

    async def enter(self, ask: Ask, cookie: str | None, text: str) -> None:
        """Take what was typed: it is right once. Raises CodeRefused."""
        code = "".join(text.split())
        if not _CODE.fullmatch(code):
            raise CodeRefused("A code is six digits.", hint="Type it as it stands in the mail. This was no try.")
        for _ in range(_MOST_STALE):
            row = await self._row(cookie)
            if row is None or row.ask != ask.id or row.person != ask.user:
                raise CodeRefused(
                    "This browser has asked for no code here.",
                    code="no_code",
                    hint="A code works only in the browser that asked for it. Have one mailed from this page.",
                )
            trouble = _trouble(row, self.store.now())
            if trouble is not None:
                raise trouble
            tried = await self._put(row, Change(row, {"tries": row.tries + 1}), "code.tried")
            if tried is None:
                continue  # another try of the same code came first, and counts
            if not self.mac.genuine(_said(ask, cookie or "", code), bytes.fromhex(tried.mac)):
                left = TRIES - tried.tries
                raise CodeRefused(f"That is not the code. {left} {'try is' if left == 1 else 'tries are'} left.")
            if await self._put(tried, Change(tried, {"mac": ""}), "code.right") is not None:
                return
        raise Unavailable("This code is being tried from elsewhere.", hint="Wait a moment, then try again.")

    async def _keep(self, ask: Ask, code: str, cookie: str, old: Code | None) -> Code:
        """The row of a new code, within the limits; what this browser had before is void."""
        person = ask.user or ""
        for _ in range(_MOST_STALE):
            now = self.store.now()
            rows = await self.store.own.codes(person, ask.id, now - _HOUR)
            taken = {row.mail for row in rows if row.ask == ask.id}
            if len(taken) >= MAILS or sum(row.sent > now - _HOUR for row in rows) >= MAILS_AN_HOUR:
                raise TooMany(
                    "No more codes are mailed for this now.",
                    code="too_many_mails",
                    hint="Use the newest one that you have; else the agent can ask again later. Nothing was changed.",
                )
            row = Code(
                id=self._id(cookie),
                person=person,
                ask=ask.id,
                mail=min(set(range(1, MAILS + 1)) - taken),
                mac=self.mac.hex(_said(ask, cookie, code)),
                sent=now,
                until=max(ask.expires, now + LIFETIME),
            )
            ops: list[Op] = [Insert(row)]
            if old is not None and old.mac and old.ask == ask.id:
                ops.append(Change(old, {"mac": ""}))
            fact = {"do": "code.mailed", "ask": ask.id, "mail": row.mail, "to": Who(person)}
            if not isinstance(await self.store.apply(Unit(None, tuple(ops), _audit(row, fact))), Stale):
                return row
            old = None if old is None else await self.store.row(Code, old.id)
        raise Unavailable("Codes for this are being asked for from elsewhere.", hint="Wait a moment, then try again.")

    async def _put(self, row: Code, op: Change | Delete, did: str) -> Code | None:
        """The row as it is then; None where somebody else changed it first."""
        fact = {"do": did, "ask": row.ask, "mail": row.mail}
        if isinstance(await self.store.apply(Unit(None, (op,), _audit(row, fact))), Stale):
            return None
        # As it was written, not as it may be by now: each try is judged by its own.
        return replace(row, version=row.version + 1, **op.to) if isinstance(op, Change) else row

    async def _row(self, cookie: str | None) -> Code | None:
        if cookie is None or not _COOKIE.fullmatch(cookie):
            return None
        return await self.store.row(Code, self._id(cookie))

    def _id(self, cookie: str) -> str:
        return "cod_" + self.mac.hex(b"cookie\n" + cookie.encode())


def _said(ask: Ask, cookie: str, code: str) -> bytes:
    """What a code's MAC is over: it is nothing for another browser, question or person."""
    return b"code\n" + canonical([cookie, ask.id, ask.user or "", code])


def _trouble(row: Code, now: Millis) -> CodeRefused | None:
    if not row.mac:
        return CodeRefused("This code was used, or a newer one was mailed.", code="code_spent")
    if row.tries >= TRIES:
        return CodeRefused("This code was tried too often.", code="code_spent")
    if now >= row.sent + LIFETIME:
        return CodeRefused("This code has run out: it is good for ten minutes.", code="code_expired")
    return None


def _unmailed(error: ChannelError) -> Unavailable:
    if isinstance(error, Never):
        return Unavailable(
            "The mail server takes no mail for you, or no address of yours is known here.",
            code="mail_unavailable",
            hint="Tell an operator: [people] holds your address. Nothing was lost; the request still waits.",
        )
    return Unavailable(
        "The mail server does not answer just now, so no code was sent.",
        code="mail_unavailable",
        hint="Try again in a few minutes. Nothing was lost; the request still waits.",
    )


def _audit(row: Code, fact: dict[str, Any]) -> Audit:
    # Whoever asks or types is unknown so far: this is on record as ours.
    return Audit(actor="engine", what=(fact,), user=row.person)

"""Step-up: a decision confirmed with a passkey, and passkeys enrolled (THREAT_MODEL 26).

What is to be signed is kept in a row until it is answered, and spent in the unit that it was kept for: the vote's, or
the new passkey's. Attacks: an answer shown twice, or after its time; one made for another decision, round or person
(the row is the person's, and its statement is compared with the vote); a first passkey enrolled from a stolen session
(it takes a sign-in of the last five minutes), a further one (it takes an existing passkey); one enrolled and used at
once for something critical (it counts after a day, and every channel of the person told of it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from jit_auth.engine.pages import ApprovalPage
from jit_auth.errors import PasskeyRefused
from jit_auth.model import Audit, Challenge, Change, Delete, Insert, Millis, Op, Passkey, Stale, Unit, Verdict, Who
from jit_auth.signin.base64url import decoded, encoded
from jit_auth.signin.passkeys import assertion_options, decided, enrolled, enrolment, old_enough, used
from jit_auth.signin.statement import RANDOM, Statement, stated, text_of
from jit_auth.storage.store import Store

LIFETIME: Millis = 300_000
"""How long an answer is waited for."""
ENROL = "enrolment"
"""What a statement names instead of an approval when an existing passkey lets a new one in."""
MOST = 10
"""Passkeys of one person."""
LONGEST_NAME = 60


@dataclass(frozen=True)
class StepUp:
    """`site`: (rp id, origin) of our pages; None where browsers have no passkeys there. `random(n)`: n random bytes."""

    store: Store
    site: tuple[str, str] | None
    random: Callable[[int], bytes]
    handle: Callable[[str], bytes]
    """What stands for a person towards authenticators: opaque, the same for ever."""

    async def ask(self, page: ApprovalPage, verdict: Verdict, hold: Millis | None) -> tuple[str, dict[str, Any]]:
        """(id, options) of a decision that is to be signed. Raises PasskeyRefused (`no_passkey`)."""
        expires = min(page.ask.expires, self.store.now() + LIFETIME)
        return await self._ask(page.person, page.ask.id, page.ask.digest, verdict, expires, hold)

    async def prove(
        self, page: ApprovalPage, verdict: Verdict, hold: Millis | None, named: str, answer: Mapping[str, Any]
    ) -> tuple[dict[str, Any], tuple[Op, ...]]:
        """The receipt of a signed decision about what the page shows, and the rows that change with the vote. Raises
        PasskeyRefused: then nothing was decided."""
        statement, passkey, receipt, ops = await self._answered(page.person, named, answer)
        wanted = (page.ask.id, page.ask.digest, verdict, hold)
        if (statement.approval, statement.digest, statement.decision, statement.hold) != wanted:
            raise PasskeyRefused(
                "The passkey signed another decision than this one.",
                code="passkey_replayed",
                hint="Nothing was decided. Open the page again and decide on what it shows.",
            )
        if page.action.risk == "critical" and not old_enough(passkey, self.store.now()):
            raise PasskeyRefused(
                "This passkey is younger than a day: it does not count for risk critical yet.",
                code="passkey_too_young",
                hint="Use an older passkey, or let somebody else decide. Nothing was decided.",
            )
        return receipt, ops

    async def begin(self, person: str, recent: bool) -> tuple[str, dict[str, Any], bool]:
        """(id, options, new) of the next step towards a new passkey: `new` False where an existing one must say yes
        first. `recent`: the person has signed in just now. Raises PasskeyRefused."""
        existing = await self.store.own.passkeys(person)
        if len(existing) >= MOST:
            raise PasskeyRefused("You have as many passkeys as one person may have.", hint="Remove one first.")
        if existing:
            named, options = await self._ask(person, ENROL, "", "approve", self.store.now() + LIFETIME, None)
            return named, options, False
        if not recent:
            raise PasskeyRefused(
                "A first passkey takes a sign-in of the last five minutes.",
                code="sign_in_again",
                hint="Sign in once more, and add it then.",
            )
        return (*await self._create(person), True)

    async def go_on(self, person: str, named: str, answer: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """An existing passkey said yes: the options of the new one. Raises PasskeyRefused."""
        statement, _, _, ops = await self._answered(person, named, answer)
        if statement.approval != ENROL:
            raise PasskeyRefused("The passkey was used for something else than what was asked.")
        fact = {"do": "passkey.agreed", "by": Who(person)}
        await self._apply(person, ops, fact)
        return await self._create(person)

    async def finish(self, person: str, named: str, name: str, answer: Mapping[str, Any]) -> Passkey:
        """The new passkey, kept. Raises PasskeyRefused: then there is none."""
        kept = await self._kept(person, named)
        if not kept.statement.startswith("create:"):
            raise PasskeyRefused("This is no enrolment of a passkey.")
        rp_id, origin = self._site()
        made = enrolled(
            answer,
            person=person,
            name=" ".join(name.split())[:LONGEST_NAME] or "passkey",
            now=self.store.now(),
            challenge=decoded(kept.statement.removeprefix("create:")),
            rp_id=rp_id,
            origin=origin,
        )
        key = hashlib.sha256(made.public_key).hexdigest()
        fact = {"do": "passkey.enrolled", "passkey": made.id, "key": f"sha256:{key}", "by": Who(person)}
        await self._apply(person, (Delete(kept), Insert(made)), fact)
        return made

    async def remove(self, person: str, passkey_id: str) -> None:
        """Take a passkey away. Raises PasskeyRefused (`passkey_unknown`)."""
        found = await self.store.row(Passkey, passkey_id)
        if found is None or found.person != person:
            raise PasskeyRefused("This passkey is not one of yours here.", code="passkey_unknown")
        fact = {"do": "passkey.removed", "passkey": found.id, "by": Who(person)}
        await self._apply(person, (Delete(found),), fact)

    async def _ask(
        self, person: str, approval: str, digest: str, verdict: Verdict, expires: Millis, hold: Millis | None
    ) -> tuple[str, dict[str, Any]]:
        rp_id, _ = self._site()
        passkeys = await self.store.own.passkeys(person)
        if not passkeys:
            raise PasskeyRefused(
                "You have no passkey here.",
                code="no_passkey",
                hint="Add one on your own page (/me/passkeys). It counts for risk critical a day later.",
            )
        statement = Statement(encoded(self.random(RANDOM)), approval, digest, verdict, person, expires, hold)
        named = await self._keep(person, text_of(statement), expires)
        return named, assertion_options(statement, passkeys, rp_id)

    async def _create(self, person: str) -> tuple[str, dict[str, Any]]:
        rp_id, _ = self._site()
        challenge = self.random(RANDOM)
        named = await self._keep(person, f"create:{encoded(challenge)}", self.store.now() + LIFETIME)
        existing = await self.store.own.passkeys(person)
        return named, enrolment(person, rp_id, "jit_auth", existing, challenge, handle=self.handle(person))

    async def _keep(self, person: str, statement: str, until: Millis) -> str:
        named = "chl_" + self.random(16).hex()
        made = Challenge(id=named, person=person, statement=statement, until=until)
        await self._apply(person, (Insert(made),), {"do": "passkey.asked", "by": Who(person)})
        return named

    async def _kept(self, person: str, named: str) -> Challenge:
        kept = await self.store.row(Challenge, named)
        if kept is None or kept.person != person or self.store.now() >= kept.until:
            raise PasskeyRefused(
                "This was asked too long ago, or was answered already.",
                code="passkey_expired",
                hint="Open the page again and decide on what it shows.",
            )
        return kept

    async def _answered(
        self, person: str, named: str, answer: Mapping[str, Any]
    ) -> tuple[Statement, Passkey, dict[str, Any], tuple[Op, ...]]:
        kept = await self._kept(person, named)
        try:
            statement = stated(kept.statement)
        except ValueError:
            raise PasskeyRefused("The passkey was used for something else than what was asked.") from None
        passkey = used(answer, await self.store.own.passkeys(person))
        rp_id, origin = self._site()
        now = self.store.now()
        receipt = decided(answer, statement, passkey, rp_id=rp_id, origin=origin, now=now)
        ops: tuple[Op, ...] = (Delete(kept), Change(passkey, {"counter": receipt.counter, "used": now}))
        return statement, passkey, msgspec.to_builtins(receipt), ops

    async def _apply(self, person: str, ops: tuple[Op, ...], fact: dict[str, Any]) -> None:
        audit = Audit(actor=f"person:{person}", what=(fact,), user=person)
        if isinstance(await self.store.apply(Unit(None, ops, audit)), Stale):
            raise PasskeyRefused(
                "This was answered already, or that passkey is known already.",
                code="passkey_replayed",
                hint="Open the page again.",
            )

    def _site(self) -> tuple[str, str]:
        if self.site is None:
            raise PasskeyRefused(
                "Browsers have no passkeys under this address.",
                code="no_passkeys_here",
                hint="An operator has to serve this by https under a host name (or as http://localhost:PORT).",
            )
        return self.site

"""How a person has to prove who they are before a decision of theirs counts (THREAT_MODEL 3).

A link, or a code that was mailed, shows that somebody can read a mailbox, and an agent may be able to read it too. So
what is risky is decided after a sign-in, by a press in Slack, or, at risk critical, with a passkey; and a person whose
own account lets an agent read what they are sent proves nothing by what they were sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from jit_auth.core.scopes import expand, lacking
from jit_auth.credentials import KINDS
from jit_auth.engine.bundle import Bundle
from jit_auth.engine.memory import Memory
from jit_auth.errors import Forbidden
from jit_auth.model import Action, Decision

How = Literal["link", "code", "slack", "oidc", "passkey"]
"""What stands behind a decision, weakest first: a link; a mailed code; a member of the workspace; an issuer's word; a
passkey that signed this very decision."""


class Visitor(Struct, frozen=True):
    """Who is signed in at a browser, and by what. Verified: made by `signin.sessions` alone."""

    person: str
    how: How
    issuer: str = ""
    """Whose word it is, for `oidc`."""


_RISKY = ("high", "critical")


@dataclass(frozen=True)
class Proof:
    """Judges proofs. `open_links`: `[users] verify = "none"`, where links decide at every risk (development)."""

    memory: Memory
    open_links: bool
    signs_in: bool
    """Whether there is an issuer that people can sign in at."""
    loopback: bool
    """Development: a link shows sensitive values too."""

    async def short_of(
        self, bundle: Bundle, how: str, via: str, person: str, action: Action, decision: Decision
    ) -> str | None:
        """What is still needed for a decision about this action: `signin`, `passkey`, or None where it counts. `via` is
        the channel that brought the link, or ""."""
        if self.open_links:
            return None
        if self.steps_up(action, decision) and how != "passkey":
            return "passkey" if how == "oidc" or not self.signs_in else "signin"
        if how in ("link", "code"):
            channel = via if how == "link" else "email"
            if action.risk in _RISKY or await self.exposed(bundle, person, channel):
                return "signin"
        return None

    def steps_up(self, action: Action, decision: Decision) -> bool:
        """Whether a passkey is needed: then Slack and mail only open the page."""
        return not self.open_links and (action.risk == "critical" or decision.passkey)

    async def check(self, bundle: Bundle, how: str, via: str, person: str, action: Action, decision: Decision) -> None:
        """Raises Forbidden (`sign_in_required`, `passkey_required`): then nothing was decided."""
        short = await self.short_of(bundle, how, via, person, action, decision)
        if short == "signin":
            raise self._unsigned()
        if short == "passkey":
            raise Forbidden(
                "This takes a passkey.",
                code="passkey_required",
                hint="Open the page, sign in and confirm with your passkey. Nothing was decided.",
            )

    async def signed(self, bundle: Bundle, how: str, via: str, person: str, action: Action, decision: Decision) -> None:
        """The same for what starts nothing (what became of a call): a sign-in is enough. Raises Forbidden."""
        if await self.short_of(bundle, how, via, person, action, decision) == "signin":
            raise self._unsigned()

    def _unsigned(self) -> Forbidden:
        return Forbidden(
            "This takes a sign-in: a link alone does not say who you are.",
            code="sign_in_required",
            hint="Open the page and sign in there. Nothing was decided."
            if self.signs_in
            else "No [issuers] are configured: an operator has to add one. Nothing was decided.",
        )

    async def able(self, bundle: Bundle, person: str, by: frozenset[str], action: Action, decision: Decision) -> bool:
        """Whether a person whom these channels reach could decide at all: nobody is asked what cannot count."""
        if self.open_links or self.signs_in:
            return True
        if self.steps_up(action, decision):
            return False
        if "slack" in by:
            return True
        links = by - {"slack"}
        if action.risk in _RISKY or not links:
            return False
        return not ("email" in links and await self.exposed(bundle, person, "email"))

    async def exposed(self, bundle: Bundle, person: str, channel: str) -> bool:
        """Whether one of the person's own accounts reaches an action that can read what this channel brings them; or an
        agent may use one that takes nobody's account: by a shared credential, or by a function of its own."""
        for action in bundle.readers.get(channel, ()):
            operation = bundle.operation(action.name)
            if operation is None:
                continue
            if operation.build is None or not KINDS[operation.provider.kind].connects:
                if any(action.name in names for names in bundle.allowed.values()):
                    return True
                continue
            holding = await self.memory.holding(person, action.provider)
            for grant in holding.grants:
                held = expand(grant.scopes, operation.provider.implies)
                if grant.state == "live" and not lacking(action, (), held):
                    return True
        return False

"""How whoever answers a consent link has to prove to be the user it is for (`[users] verify`, THREAT_MODEL 15).

Attacks: the agent opens its user's link itself (the link is told to it); another person signs in and connects an own
account under the user's name; a code is mailed to a mailbox that the agent reads (then a mailed code proves
nothing, and a sign-in is needed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jit_auth.config.settings import Verify
from jit_auth.engine.current import Current
from jit_auth.engine.proof import Proof, Visitor
from jit_auth.errors import Forbidden

Needs = Literal["nothing", "signin", "code", "app", "impossible"]
"""What the page asks for before it takes an answer. `impossible`: nothing that is configured could prove it."""


@dataclass(frozen=True)
class Claims:
    """Judges whether a browser is the user's. `issuer`: of `[users]`, for verify = "oidc"."""

    current: Current
    proof: Proof
    verify: Verify
    issuer: str

    async def needs(self, user: str, visitor: Visitor | None) -> Needs:
        """What is still needed from this browser. Raises Forbidden (`other_person`) where another one is signed in."""
        if self.verify in ("none", "app"):
            return "nothing" if self.verify == "none" else "app"
        exposed = self.verify == "email" and await self.proof.exposed(self.current.bundle, user, "email")
        if visitor is not None and visitor.person != user:
            raise Forbidden(
                "This link is for another person than the one who is signed in.",
                code="other_person",
                hint="Sign out first, or open a link of your own. Nothing was changed.",
            )
        if visitor is not None and self._enough(visitor, exposed):
            return "nothing"
        if self.verify == "email" and not exposed:
            return "code"
        return "signin" if self.proof.signs_in else "impossible"

    async def check(self, user: str, visitor: Visitor | None) -> None:
        """Raises Forbidden where the answer of this browser is not the user's: then nothing was changed."""
        needed = await self.needs(user, visitor)
        if needed == "impossible":
            raise Forbidden(
                "Nothing that this service is set up for could show that it is you.",
                code="sign_in_required",
                hint="A mailed code would be read by the agent too. An operator has to add an issuer ([issuers]).",
            )
        if needed in ("signin", "code"):
            raise Forbidden(
                "A link alone does not show that you are its user.",
                code="sign_in_required",
                hint="Open the link in a browser, and prove there who you are. Nothing was changed.",
            )

    def _enough(self, visitor: Visitor, exposed: bool) -> bool:
        if visitor.how == "oidc":
            return self.verify == "email" or visitor.issuer == self.issuer
        return visitor.how == "code" and self.verify == "email" and not exposed

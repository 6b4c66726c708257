"""Decisions confirmed with a passkey, and a person's own passkeys (`/me/passkeys`).

Attacks: those of `signin.stepup`; another site posts the steps (each form carries the token of the session); and the
one page that runs a script is made to run another one (its hash alone is allowed, and nothing of a request is in it).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from jit_auth.core.digest import parse_json
from jit_auth.engine.doors import SignedDoors
from jit_auth.engine.pages import ApprovalPage, Choice
from jit_auth.errors import BadRequest, NotFound
from jit_auth.signin.sessions import Signed
from jit_auth.signin.stepup import LONGEST_NAME, StepUp
from jit_auth.web import rounds
from jit_auth.web.choices import choice
from jit_auth.web.forms import LARGEST_POST, Posted, no_unknown, read_post, refuse_foreign
from jit_auth.web.pages import Pages
from jit_auth.web.visits import Visits

Tell = Callable[[str, str, str], Awaitable[None]]
"""(person, subject, words): by every channel of that person. Never raises."""


class Passkeys:
    """The handlers."""

    def __init__(self, doors: SignedDoors, stepup: StepUp, visits: Visits, pages: Pages, tell: Tell) -> None:
        self._doors = doors
        self._stepup = stepup
        self._visits = visits
        self._pages = pages
        self._tell = tell

    def routes(self) -> list[web.RouteDef]:
        """Only where there is an issuer."""
        guarded = self._pages.guarded
        return [
            web.post("/approvals/{ticket}/passkey", guarded(self.confirm)),
            web.get("/me/passkeys", guarded(self.list)),
            web.post("/me/passkeys/add", guarded(self.add)),
            web.post("/me/passkeys/agree", guarded(self.agree)),
            web.post("/me/passkeys/new", guarded(self.new)),
            web.post("/me/passkeys/remove", guarded(self.remove)),
        ]

    async def confirm(self, request: web.Request) -> web.StreamResponse:
        """Somebody chose to approve: the page that asks for the passkey. Decides nothing."""
        signed, posted = await self._posted(request)
        ask = request.match_info["ticket"]
        page = await self._doors.round_as(signed.person, ask, signed.visitor.how)
        made = choice(posted, page, "")
        named, options = await self._stepup.ask(page, made.verdict, made.hold)
        return self._pages.with_passkeys(
            "confirm.html",
            options={"confirm": options},
            card=rounds.card_of(page),
            hold=made.hold,
            given=posted.values,
            digest=page.ask.digest,
            named=named,
            form_token=signed.form_token,
        )

    async def proven(self, page: ApprovalPage, made: Choice, named: object, answer: object) -> Choice:
        """The choice with the receipt of the passkey that signed it. Raises PasskeyRefused, BadRequest."""
        receipt, also = await self._stepup.prove(page, made.verdict, made.hold, _text(named), _json(answer))
        return replace(made, how="passkey", receipt=receipt, also=also)

    async def list(self, request: web.Request) -> web.StreamResponse:
        """A person's passkeys."""
        signed = await self._visits.signed(request)
        if signed is None:
            return self._visits.to_sign_in("/me/passkeys")
        return self._pages.html(
            "passkeys.html",
            signed=signed,
            passkeys=await self._stepup.store.own.passkeys(signed.person),
            recent=self._visits.sessions.recent(signed),
            here=self._stepup.site is not None,
            longest=LONGEST_NAME,
        )

    async def add(self, request: web.Request) -> web.StreamResponse:
        """The first step towards a new one."""
        signed, posted = await self._posted(request)
        no_unknown(posted.values, ("name",))
        named, options, new = await self._stepup.begin(signed.person, self._visits.sessions.recent(signed))
        return self._step(signed, named, options, _text(posted.values.get("name", "")), new=new)

    async def agree(self, request: web.Request) -> web.StreamResponse:
        """An existing passkey said yes to a new one."""
        signed, posted = await self._posted(request)
        values = posted.values
        no_unknown(values, ("name", "challenge", "passkey"))
        answer = _json(values.get("passkey"))
        named, options = await self._stepup.go_on(signed.person, _text(values.get("challenge")), answer)
        return self._step(signed, named, options, _text(values.get("name", "")), new=True)

    async def new(self, request: web.Request) -> web.StreamResponse:
        """The new one; every channel of the person tells of it."""
        signed, posted = await self._posted(request)
        values = posted.values
        no_unknown(values, ("name", "challenge", "passkey"))
        made = await self._stepup.finish(
            signed.person, _text(values.get("challenge")), _text(values.get("name", "")), _json(values.get("passkey"))
        )
        words = (
            f"The passkey \u201c{made.name}\u201d was added to your account here. It counts for risk critical in a "
            "day. If this was not you, tell an operator now."
        )
        await self._tell(signed.person, "A passkey was added", words)
        return self._back()

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """Take one away."""
        signed, posted = await self._posted(request)
        no_unknown(posted.values, ("passkey",))
        await self._stepup.remove(signed.person, _text(posted.values.get("passkey")))
        await self._tell(signed.person, "A passkey was removed", "A passkey of yours was removed here.")
        return self._back()

    def _step(self, signed: Signed, named: str, options: Mapping[str, Any], name: str, *, new: bool) -> web.Response:
        return self._pages.with_passkeys(
            "passkey_step.html",
            options={"step": options},
            named=named,
            name=name[:LONGEST_NAME],
            new=new,
            form_token=signed.form_token,
        )

    async def _posted(self, request: web.Request) -> tuple[Signed, Posted]:
        refuse_foreign(request, self._pages.origin)
        posted = await read_post(request, LARGEST_POST)
        if not posted.form:
            raise NotFound("This is for forms alone.")
        return await self._visits.must(request, posted), posted

    def _back(self) -> web.Response:
        return web.Response(status=303, headers={"Location": "/me/passkeys", **self._pages.headers})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadRequest("A field of the form is missing.", code="bad_form", hint="Open the page again.")
    return value


def _json(value: object) -> dict[str, Any]:
    """A passkey's answer, as the page's script wrote it."""
    return parse_json(_text(value).encode("utf-8", "surrogatepass"))

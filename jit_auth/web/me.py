"""`/me`: the signed-in person's own page, and the forms on it.

Attacks: another site, or a page of another session, posts a form (`Origin`, and the session's own token: THREAT_MODEL
38); an id of somebody else's in a form (the engine knows nothing but the person's own: 404); a link that makes the page
say that something was done (what it says after a change is signed with the session's token); whoever reads a mailbox,
as an agent may, lifts a stop by a mailed code (this page needs an issuer's word, THREAT_MODEL 3); text of agents and
providers that tries to be a part of the page (every piece of it is made visible, and isolated).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from msgspec import Struct

from jit_auth.channels.words import line
from jit_auth.core.text import Part, visible
from jit_auth.engine.mine import Account, Deed, Mines, Waiting
from jit_auth.engine.withdrawals import ALL, Withdrawals
from jit_auth.errors import BadRequest, Forbidden, Unauthenticated
from jit_auth.model import Action, Execution
from jit_auth.signin.sessions import Signed
from jit_auth.web.connect import scopes
from jit_auth.web.forms import Posted, no_unknown, read_post, refuse_foreign
from jit_auth.web.pages import Pages, wants_json
from jit_auth.web.visits import Visits

PATH = "/me"
_MARKED = 32

DONE: Mapping[str, str] = {
    "dispute": "It is on record that this was not you, and the operators have been told. If you do not know why the "
    "agent did it, stop the agent too.",
    "withdraw": "That agent can no longer use this account. If it calls again, you are asked again.",
    "disconnect": "The account is disconnected. Its access is being revoked at the provider.",
    "pass": "That approval has ended. Equal calls are asked for again.",
    "stop": "Stopped. What was open has ended, and your consents were taken back.",
    "allow": "Allowed again. Consents that were taken back are asked for anew.",
}
"""What is said after a change."""

Act = Callable[[str, dict[str, str]], Awaitable[None]]


class Way(Struct, frozen=True):
    """One thing that a form does: the fields it carries, and the engine's part of it."""

    fields: tuple[str, ...]
    act: Act


class Me:
    """The two handlers."""

    def __init__(self, mines: Mines, withdrawals: Withdrawals, pages: Pages, visits: Visits) -> None:
        self._mines = mines
        self._pages = pages
        self._visits = visits
        self._ways = {
            "dispute": Way(("execution",), lambda who, named: withdrawals.dispute(who, named["execution"])),
            "withdraw": Way(
                ("grant", "agent"), lambda who, named: withdrawals.withdraw(who, named["grant"], named["agent"])
            ),
            "disconnect": Way(("grant",), lambda who, named: withdrawals.disconnect(who, named["grant"])),
            "pass": Way(("pass",), lambda who, named: withdrawals.end_pass(who, named["pass"])),
            "stop": Way(("agent",), lambda who, named: withdrawals.stop(who, named["agent"])),
            "allow": Way(("agent",), lambda who, named: withdrawals.allow(who, named["agent"])),
        }

    def routes(self) -> list[web.RouteDef]:
        """Only where there is an issuer."""
        return [
            web.get(PATH, self._pages.guarded(self.show)),
            web.post(PATH, self._pages.guarded(self.change)),
        ]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page. Changes nothing. Raises Unauthenticated (a client that speaks JSON), BadRequest."""
        signed = await self._visits.signed(request)
        if signed is None or not _vouched(signed):
            if wants_json(request):
                raise Unauthenticated(
                    "This is for people who are signed in.",
                    hint="Open the address in a browser and sign in there.",
                    headers={"WWW-Authenticate": 'Session realm="me"'},
                )
            return self._visits.to_sign_in(PATH)
        cursor = request.query.get("cursor")
        mine = await self._mines.page(signed.person, cursor)
        return self._pages.html(
            "me.html",
            mine=mine,
            first=cursor is None,
            waiting=[_waiting(each) for each in mine.waiting],
            deeds=[_deed(each) for each in mine.deeds],
            accounts=[_account(each) for each in mine.accounts],
            every=ALL,
            own=signed.session.id,
            form_token=signed.form_token,
            done=self._done(signed, request),
        )

    async def change(self, request: web.Request) -> web.StreamResponse:
        """One change, by its form; then the page again. Raises Forbidden, NotFound, BadRequest, Unavailable: nothing
        was changed."""
        refuse_foreign(request, self._pages.origin)
        posted = await read_post(request)
        signed = await self._visits.must(request, posted)
        if not _vouched(signed):
            raise Forbidden(
                "This takes a sign-in: a mailed code does not say enough about who you are.",
                code="sign_in_required",
                hint="Sign in and open /me again. Nothing was changed.",
            )
        name, named = self._form(posted)
        await self._ways[name].act(signed.person, named)
        headers = {"Location": f"{PATH}?done={name}&mark={_mark(signed, name)}", **self._pages.headers}
        return web.Response(status=303, headers=headers)

    def _form(self, posted: Posted) -> tuple[str, dict[str, str]]:
        name = posted.values.get("do")
        way = self._ways.get(name) if isinstance(name, str) else None
        if name is None or way is None:
            raise BadRequest(
                f"`do` is one of {', '.join(self._ways)}.", code="bad_form", hint="Use the buttons of the page."
            )
        no_unknown(posted.values, ("do", *way.fields))
        named: dict[str, str] = {}
        for field in way.fields:
            value = posted.values.get(field)
            if not isinstance(value, str) or not value:
                raise BadRequest(f"`{field}` is missing.", code="bad_form", hint="Use the buttons of the page.")
            named[field] = value
        return name, named

    def _done(self, signed: Signed, request: web.Request) -> str:
        """What was done a moment ago, where the address says so with our own mark."""
        name, mark = request.query.get("done", ""), request.query.get("mark", "")
        genuine = name in DONE and hmac.compare_digest(mark.encode(), _mark(signed, name).encode())
        return DONE[name] if genuine else ""


def _vouched(signed: Signed) -> bool:
    return signed.session.how == "oidc"


def _mark(signed: Signed, name: str) -> str:
    return hmac.new(signed.form_token.encode(), b"done\n" + name.encode(), hashlib.sha256).hexdigest()[:_MARKED]


def _summary(action: Action | None, execution: Execution) -> tuple[Part, ...]:
    if action is None:
        return (Part(visible(execution.action, one_line=True), foreign=True),)
    return line(action, execution)


def _ready_for(each: Waiting) -> tuple[Part, ...]:
    return (Part(", ".join(visible(action.title, one_line=True) for action in each.wants)),)


def _waiting(each: Waiting) -> dict[str, Any]:
    return {
        "kind": each.kind,
        "link": each.link,
        "summary": _summary(each.action, each.execution) if each.execution is not None else _ready_for(each),
        "agent": each.agent,
        "user": each.execution.user or "" if each.execution is not None else "",
        "risk": each.action.risk if each.action is not None else "",
        "provider": each.provider_name,
        "expires": each.expires,
    }


def _deed(each: Deed) -> dict[str, Any]:
    execution = each.execution
    return {
        "id": execution.id,
        "state": execution.state,
        "summary": _summary(each.action, execution),
        "action": execution.action,
        "chain": execution.chain,
        "account": execution.account_name or execution.account or "",
        "provider": each.provider_name,
        "at": execution.updated if execution.state not in ("paused", "executing") else execution.created,
        "approved": list(dict.fromkeys(vote.person for vote in each.votes if vote.verdict == "approve")),
        "denied": list(dict.fromkeys(vote.person for vote in each.votes if vote.verdict == "deny")),
        "under": each.under,
        "asked": bool(execution.decision.wants),
        "trouble": execution.error.message if execution.error is not None else "",
    }


def _account(each: Account) -> dict[str, Any]:
    held = {scope for share in each.shares for scope in share.scopes}
    return {
        "row": each,
        "rest": scopes(tuple(scope for scope in each.scopes if scope not in held), each.scope_titles),
        "shares": [
            {"agent": share.agent, "scopes": scopes(share.scopes, each.scope_titles), "since": share.since,
             "used": share.used}
            for share in each.shares
        ],
    }  # fmt: skip

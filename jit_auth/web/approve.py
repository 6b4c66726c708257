"""The approval page of one link: it shows exactly what will be sent, and takes one vote."""

from __future__ import annotations

from typing import Any, cast

from aiohttp import web

from jit_auth.channels.card import Card, build, outcome
from jit_auth.core.digest import sha256_text
from jit_auth.core.links import row_of
from jit_auth.core.text import hidden, summary_parts, visible
from jit_auth.engine.pages import ApprovalPage, Doors
from jit_auth.errors import BadRequest, Conflict, NotFound, Unprocessable
from jit_auth.model import Request, Verdict
from jit_auth.web.forms import Posted, no_unknown, read_post, refuse_foreign
from jit_auth.web.pages import Pages

LONGEST_FEEDBACK = 2000
"""Characters of a message to the agent."""

_FIELDS = ("decision", "feedback", "digest")


def routes(doors: Doors, pages: Pages) -> list[web.RouteDef]:
    """`GET` and `POST /approvals/{ticket}`."""
    approvals = Approvals(doors, pages)
    return [
        web.get("/approvals/{ticket}", pages.guarded(approvals.show)),
        web.post("/approvals/{ticket}", pages.guarded(approvals.decide)),
    ]


class Approvals:
    """The two handlers."""

    def __init__(self, doors: Doors, pages: Pages) -> None:
        self._doors = doors
        self._pages = pages

    async def show(self, request: web.Request) -> web.Response:
        """The page. Decides nothing, however often it is fetched, and by whom."""
        page = await self._doors.approval_page(_ticket(request))
        card = _card(page)
        mine = next((vote for vote in card.decided if vote.who == card.person), None)
        return self._pages.html(
            "approval.html",
            card=card,
            mine=mine,
            digest=page.ask.digest,
            wire=wire(page.request),
            places=page.places,
            now=page.now,
            longest=LONGEST_FEEDBACK,
        )

    async def decide(self, request: web.Request) -> web.Response:
        """One vote. What was shown is hashed from what the page shows at this moment: the digest that a form carries
        holds it to what the person read."""
        ticket = _ticket(request)
        refuse_foreign(request, self._pages.origin)
        posted = await read_post(request)
        verdict, feedback, digest = _vote(posted)
        seen = _card(await self._doors.approval_page(ticket)).seen
        voted = await self._doors.vote(ticket, verdict, digest=digest, feedback=feedback, how="link", seen=seen)
        if not posted.form:
            return self._pages.json(
                {
                    "status": voted.execution.state,
                    "decision": voted.verdict,
                    "id": voted.ask.id,
                    "execution": voted.execution.id,
                }
            )
        return self._pages.html(
            "voted.html",
            verdict=voted.verdict,
            person=voted.person,
            agent=voted.execution.chain[0],
            summary=summary_parts(voted.action.summary, voted.execution.params, sensitive=hidden(voted.action)),
            outcome=outcome(voted.execution, voted.provider_name or voted.action.provider),
            waiting=voted.ask.state == "open",
        )


def wire(request: Request) -> dict[str, Any]:
    """A request as people read it: every byte of it, text made visible, anything else in hexadecimal."""
    try:
        body, form = visible(request.body.decode("utf-8")), "text"
    except UnicodeDecodeError:
        body, form = request.body.hex(" "), "hexadecimal"
    return {
        "line": f"{request.method} {visible(request.url, one_line=True)}",
        "headers": [(visible(name, one_line=True), visible(value, one_line=True)) for name, value in request.headers],
        "body": body,
        "form": form,
        "length": len(request.body),
        "sha256": sha256_text(request.body),
    }


def _ticket(request: web.Request) -> str:
    ticket = request.match_info["ticket"]
    if row_of(ticket) is None:
        raise NotFound("There is no such approval.", hint="Use the whole link that you were given.")
    return ticket


def _card(page: ApprovalPage) -> Card:
    return build(
        environment=page.environment,
        card=page.card,
        ask=page.ask,
        execution=page.execution,
        action=page.action,
        connector_name=page.connector_name,
        provider_name=page.provider_name,
        request=page.request,
        votes=page.votes,
        connects=page.connects,
    )


def _vote(posted: Posted) -> tuple[Verdict, str | None, str | None]:
    values = posted.values
    no_unknown(values, _FIELDS)
    decision, feedback, digest = (values.get(name) for name in _FIELDS)
    if decision not in ("approve", "deny"):
        raise BadRequest("A decision is `approve` or `deny`.", code="bad_decision", hint="Nothing was decided.")
    if feedback is not None and (not isinstance(feedback, str) or len(feedback) > LONGEST_FEEDBACK):
        raise Unprocessable(
            f"`feedback` is text of at most {LONGEST_FEEDBACK} characters.",
            code="invalid_params",
            hint="Write a shorter message. Nothing was decided.",
        )
    if digest is not None and not isinstance(digest, str):
        raise BadRequest("`digest` is text.", code="bad_decision", hint="Send the digest that the page shows.")
    if posted.form and not digest:
        raise Conflict(
            "The form did not say what it showed. Nothing was decided.",
            code="digest_mismatch",
            hint="Open the link again and decide on what it shows.",
        )
    words = feedback.replace("\r\n", "\n").strip() if feedback else ""
    return cast(Verdict, decision), words or None, digest

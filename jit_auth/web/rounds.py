"""One round on a page: everything that will be sent, who asks and why, and the forms that decide it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from jit_auth.channels.card import Card, build, outcome
from jit_auth.channels.cut import masked
from jit_auth.channels.words import line
from jit_auth.core.digest import canonical, sha256_text
from jit_auth.core.links import row_of
from jit_auth.core.text import hidden, visible
from jit_auth.engine.pages import ApprovalPage, Voted
from jit_auth.errors import NotFound
from jit_auth.web.choices import LONGEST_FEEDBACK, editable
from jit_auth.web.pages import Pages


def ticket_of(text: str) -> str:
    """The text of a ticket. Raises NotFound for what is none."""
    if row_of(text) is None:
        raise NotFound("There is no such approval.", hint="Use the whole link that you were given.")
    return text


def card_of(page: ApprovalPage) -> Card:
    """The card that the page shows: whole, but for what is not for whoever holds a link."""
    card = build(page, card=page.card)
    return masked(card) if page.hides else card


def shown(pages: Pages, page: ApprovalPage, *, alone: bool = True, form_token: str = "") -> web.Response:
    """The page of one round. `alone`: by its own link, where parameters can be changed and the others be found.
    `form_token`: of the session, where somebody is signed in."""
    card = card_of(page)
    mine = next((vote for vote in card.decided if vote.who == card.person), None)
    # Where the engine says who may decide, somebody who may not is offered nothing.
    may = not page.eligible or page.person in page.eligible
    asked = card.open and card.role == "decide" and not mine and may
    offers = asked and page.short is None and (card.decidable or page.hides)
    return pages.html(
        "approval.html",
        card=card,
        mine=mine,
        offers=offers,
        late=card.open and card.role == "decide" and not mine and not may,
        short=page.short if asked else None,
        form_token=form_token,
        linked=page.how == "link",
        digest=page.ask.digest,
        wire=wire(page),
        places=page.places,
        now=page.now,
        longest=LONGEST_FEEDBACK,
        editors=editable(page) if offers and alone else (),
        alone=alone,
        rounds=page.rounds,
    )


def wire(page: ApprovalPage) -> dict[str, Any] | None:
    """The request as people read it: every byte of it, text made visible, anything else in hexadecimal; of a function
    of the agent's own its name and parameters. None where it holds values that are not for whoever holds a link."""
    if page.hides and hidden(page.action):
        return None
    request = page.request
    if request is None:
        params = visible(canonical(page.execution.params).decode())
        return {"function": page.action.name, "body": params}
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


def document(voted: Voted) -> dict[str, Any]:
    """A vote that counted, for a client that speaks JSON."""
    told = {
        "status": voted.execution.state,
        "decision": voted.verdict,
        "id": voted.ask.id,
        "execution": voted.execution.id,
    }
    return told | ({"edited": True} if voted.edited else {})


def decided(pages: Pages, voted: Sequence[Voted], *, together: bool = False) -> web.Response:
    """What a browser is told after its votes."""
    return pages.html(
        "voted.html",
        verdict=voted[0].verdict,
        edited=voted[0].edited,
        person=voted[0].person,
        together=together,
        items=[
            {
                "agent": each.execution.chain[0],
                "summary": line(each.action, each.execution),
                "outcome": outcome(each.execution, each.provider_name or each.action.provider),
                "waiting": each.ask.state == "open",
            }
            for each in voted
        ],
    )

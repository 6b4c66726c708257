"""Several requests decided at once: each shown whole, each bound to its own digest, all of them or none.

Attacks: an item is added after the page was rendered (what is ticked carries the digest that stood beside it, and
nothing else is decided); a long list hides the one that matters (riskiest first; what is too long to be read in a list
is opened alone and cannot be ticked); one stale item slips through with the others (it refuses the whole, by name).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from msgspec import Struct

from jit_auth.channels.card import Card
from jit_auth.channels.words import OPAQUE
from jit_auth.engine.doors import Doors
from jit_auth.engine.pages import ApprovalPage, Choice
from jit_auth.engine.proof import Visitor
from jit_auth.errors import BadRequest, Conflict, NotFound, Unprocessable
from jit_auth.web import rounds
from jit_auth.web.choices import LONGEST_FEEDBACK, choice, digest_of, feedback_of, hold_of, verdict_of
from jit_auth.web.forms import LARGEST_POST, Posted, no_unknown, read_post, refuse_foreign
from jit_auth.web.notice import is_ask
from jit_auth.web.pages import Pages, shown
from jit_auth.web.visits import Visits

MOST_LISTED = 20
"""Requests on one page; the rest wait for the next."""
LONGEST_ITEM = 4_000
"""Bytes of HTML that one request's own words may take in the list: more is to be read on its own page."""
LONGEST_PAGE = 18_000
"""The same for all of them, so that the whole page stays under 60 KB."""

_RISKS = ("critical", "high", "medium", "low")
_MEMBERS = ("id", "decision", "digest", "feedback", "for")


class Item(Struct, frozen=True):
    """One request of the list. `whole`: all of it stands here, so that it can be ticked."""

    card: Card
    digest: str
    whole: bool
    mine: bool
    short: str | None
    """What is still needed before it can be decided: `signin`, `passkey`, or nothing."""


class Together:
    """The page of all that waits for one person, and of one of them."""

    def __init__(self, doors: Doors, pages: Pages, visits: Visits | None) -> None:
        self._doors = doors
        self._pages = pages
        self._visits = visits

    async def show(self, request: web.Request) -> web.Response:
        """The list. Decides nothing."""
        signed = await self._visits.signed(request) if self._visits else None
        ticket = rounds.ticket_of(request.match_info["ticket"])
        found = await self._doors.open_rounds(ticket, signed.visitor if signed else None)
        items = _items(found)
        return self._pages.html(
            "together.html",
            items=items,
            more=len(found) - len(items),
            now=found[0].now if found else 0,
            person=found[0].person if found else "",
            some=any(item.whole for item in items),
            longest=LONGEST_FEEDBACK,
            form_token=signed.form_token if signed else "",
            signs_in=any(page.short == "signin" for page in found),
        )

    async def decide(self, request: web.Request) -> web.Response:
        """Several votes: all or nothing. Raises Conflict with the member `stale`."""
        ticket = rounds.ticket_of(request.match_info["ticket"])
        refuse_foreign(request, self._pages.origin)
        posted = await read_post(request, LARGEST_POST)
        visitor = await self._posting(request, posted)
        seen = {page.ask.id: rounds.card_of(page).seen for page in await self._doors.open_rounds(ticket, visitor)}
        choices = _ticked(posted.values, seen) if posted.form else _listed(posted.values, seen)
        voted = await self._doors.vote_together(ticket, choices, visitor)
        if not posted.form:
            return self._pages.json({"decided": [rounds.document(each) for each in voted]})
        return rounds.decided(self._pages, voted, together=True)

    async def show_one(self, request: web.Request) -> web.Response:
        """One of them, whole."""
        signed = await self._visits.signed(request) if self._visits else None
        page = await self._one(request, signed.visitor if signed else None)
        return rounds.shown(self._pages, page, alone=False, form_token=signed.form_token if signed else "")

    async def decide_one(self, request: web.Request) -> web.Response:
        """One vote on one of them."""
        ticket = rounds.ticket_of(request.match_info["ticket"])
        refuse_foreign(request, self._pages.origin)
        posted = await read_post(request, LARGEST_POST)
        visitor = await self._posting(request, posted)
        page = await self._one(request, visitor)
        made = choice(posted, None, rounds.card_of(page).seen)
        try:
            voted = await self._doors.vote_together(ticket, {page.ask.id: made}, visitor)
        except Conflict as error:
            raise _alone(error) from None
        if not posted.form:
            return self._pages.json(rounds.document(voted[0]))
        return rounds.decided(self._pages, voted)

    async def _posting(self, request: web.Request, posted: Posted) -> Visitor | None:
        signed = await self._visits.posting(request, posted) if self._visits else None
        return signed.visitor if signed else None

    async def _one(self, request: web.Request, visitor: Visitor | None) -> ApprovalPage:
        ask = request.match_info["ask"]
        for page in await self._doors.open_rounds(rounds.ticket_of(request.match_info["ticket"]), visitor):
            if page.ask.id == ask:
                return page
        raise NotFound(
            "This request does not wait for you any more.", hint="Go back to the list: it shows what still waits."
        )


def _items(found: tuple[ApprovalPage, ...]) -> list[Item]:
    """The riskiest first, then those that run out first."""
    order = sorted(found, key=lambda page: (_RISKS.index(page.action.risk), page.ask.expires, page.ask.id))
    items, room = [], LONGEST_PAGE
    for page in order[:MOST_LISTED]:
        card = rounds.card_of(page)
        length = _length(card)
        readable = length <= min(LONGEST_ITEM, room) and OPAQUE not in card.labels
        mine = any(vote.who == card.person for vote in card.decided)
        may = not page.eligible or page.person in page.eligible
        room -= length if readable else 0
        items.append(
            Item(
                card,
                page.ask.digest,
                readable and card.decidable and may and not mine and page.short is None,
                mine,
                page.short if may else None,
            )
        )
    return items


def _length(card: Card) -> int:
    """Of what others wrote, as it stands in the list. The summary names the box, what is folded, and the link."""
    own = [field.value_text + field.name for field in card.fields]
    own += [each.before + each.after for each in card.changed]
    own += [*card.unusual, *card.reasons, card.says, card.again, *[card.line] * 3]
    return sum(len(shown(text).encode()) for text in own)


def _ticked(values: Mapping[str, Any], seen: Mapping[str, str]) -> dict[str, Choice]:
    """A form: each ticked box is called as its round and holds the digest that stood beside it."""
    rest = {name: value for name, value in values.items() if not is_ask(name)}
    no_unknown(rest, ("decision", "feedback"))
    verdict, feedback = verdict_of(rest.get("decision")), feedback_of(rest.get("feedback"))
    choices = {
        name: Choice(verdict=verdict, digest=digest_of(value, needed=True), feedback=feedback, seen=seen.get(name, ""))
        for name, value in values.items()
        if is_ask(name)
    }
    return _some(choices)


def _listed(values: Mapping[str, Any], seen: Mapping[str, str]) -> dict[str, Choice]:
    """JSON: `{"decisions": [{"id", "decision", "digest", "feedback"?, "for"?}]}`."""
    no_unknown(values, ("decisions",))
    listed = values.get("decisions")
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise BadRequest(
            "`decisions` is a list of objects.", code="bad_decision", hint="Each has id, decision and digest."
        )
    choices: dict[str, Choice] = {}
    for each in listed:
        no_unknown(each, _MEMBERS)
        name = each.get("id")
        if not isinstance(name, str) or not is_ask(name) or name in choices:
            raise BadRequest(
                "`id` names one request, once.",
                code="bad_decision",
                hint="Send each `apr_...` once. Nothing was decided.",
            )
        verdict = verdict_of(each.get("decision"))
        choices[name] = Choice(
            verdict=verdict,
            digest=digest_of(each.get("digest"), needed=True),
            feedback=feedback_of(each.get("feedback")),
            hold=hold_of(each.get("for"), verdict),
            seen=seen.get(name, ""),
        )
    return _some(choices)


def _alone(error: Conflict) -> Conflict:
    """The refusal of a batch of one: that of its one item."""
    stale = error.members.get("stale", ())
    if len(stale) != 1:
        return error
    return Conflict(stale[0]["detail"], code=stale[0]["code"], hint="Go back to the list: it shows what still waits.")


def _some(choices: dict[str, Choice]) -> dict[str, Choice]:
    if not choices:
        raise Unprocessable(
            "No request was chosen.", code="invalid_params", hint="Go back and tick those that you decide."
        )
    return choices

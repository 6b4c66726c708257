"""What became of a call whose answer was lost: a person who can find out says so, once and for good.

Attack: it is answered "it did not happen" so that the agent pays again (THREAT_MODEL 35): the page shows what was sent,
says what the answer leads to, and takes no answer without a word on how it is known.
"""

from __future__ import annotations

from aiohttp import web

from jit_auth.channels.card import outcome
from jit_auth.channels.words import line
from jit_auth.engine.pages import ApprovalPage
from jit_auth.errors import BadRequest, Conflict, Unprocessable
from jit_auth.model import Execution
from jit_auth.web import rounds
from jit_auth.web.forms import Posted, no_unknown
from jit_auth.web.pages import Pages

LONGEST_NOTE = 2000
"""Characters of the note."""


class Outcomes:
    """The page of an `unk_...` question."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def shown(self, page: ApprovalPage, *, form_token: str = "") -> web.Response:
        """What was sent, and the two answers. Changes nothing."""
        card = rounds.card_of(page)
        may = not page.eligible or page.person in page.eligible
        return self._pages.html(
            "outcome.html",
            card=card,
            offers=card.open and card.role == "resolve" and page.execution.state == "unknown" and may,
            short=page.short if page.short == "signin" else None,
            form_token=form_token,
            sent=page.execution.updated,
            digest=page.ask.digest,
            wire=rounds.wire(page),
            places=page.places,
            longest=LONGEST_NOTE,
        )

    def resolved(self, page: ApprovalPage, posted: Posted, found: str, execution: Execution) -> web.Response:
        """What is told after the person's word."""
        if not posted.form:
            told = {"status": execution.state, "outcome": found, "id": page.ask.id, "execution": execution.id}
            return self._pages.json(told)
        return self._pages.html(
            "resolved.html",
            happened=found == "succeeded",
            person=page.person,
            agent=execution.chain[0],
            summary=line(page.action, execution),
            outcome=outcome(execution, page.provider_name),
        )


def answered(posted: Posted, digest: str) -> tuple[str, str]:
    """Outcome and note of a post. Raises BadRequest, Unprocessable, Conflict: then nothing was recorded."""
    values = posted.values
    no_unknown(values, ("outcome", "note", "digest"))
    found, note = values.get("outcome"), values.get("note")
    if found not in ("succeeded", "failed"):
        raise BadRequest("An outcome is `succeeded` or `failed`.", code="bad_decision", hint="Nothing was recorded.")
    if not isinstance(note, str) or not note.strip() or len(note) > LONGEST_NOTE:
        raise Unprocessable(
            f"`note` says how it is known, in at most {LONGEST_NOTE} characters.",
            code="invalid_params",
            hint="Look at the provider, write down what you found, and answer again. Nothing was recorded.",
        )
    shown = values.get("digest")
    if (posted.form or shown is not None) and shown != digest:
        raise Conflict(
            "The page showed another call. Nothing was recorded.",
            code="digest_mismatch",
            hint="Open the link again and answer for what it shows.",
        )
    return str(found), note.replace("\r\n", "\n").strip()

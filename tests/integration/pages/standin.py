"""An engine of a few calls in memory, with the real rules of votes and consents as far as the pages can tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from jit_auth.core.links import ticket
from jit_auth.core.times import rfc3339
from jit_auth.engine.pages import ApprovalPage, Choice, Choose, ConsentPage, Finished, Leaving, Voted, Wanted
from jit_auth.errors import Conflict, FlowRefused, Gone, NotFound, Problem, Unprocessable
from jit_auth.model import Action, Ask, Card, Decision, Execution, Param, Place, Request, Trouble, Vote, Want
from jit_auth.web import approve, connect
from jit_auth.web.pages import Pages

KEY = b"k" * 32
NOW = 1_764_064_800_000  # 25 Nov 2025, 10:00:00 UTC
LATER = NOW + 3_600_000
DIGEST = "sha256:" + "ab" * 32

ACTION = Action(
    name="mailhub.send_message",
    connector="mailhub",
    provider="mailhub",
    title="Send an e-mail",
    summary="Send to {to}: {subject}",
    show=("to", "subject", "body"),
    method="POST",
    path="/messages",
    risk="high",
    effect="create",
    retry="never",
    scopes=("mail.send",),
    params=(
        Param(name="to", schema={"type": "array"}),
        Param(name="subject", schema={"type": "string"}),
        Param(name="body", schema={"type": "string"}, sensitive=True),
    ),
)
PARAMS: dict[str, Any] = {
    "to": ["x@y.example", "bo@example.com"],
    "subject": "Quarterly numbers",
    "body": "Dear both,\n\nthe numbers are attached.\n\nAlice",
}
BODY = b'{"body":"Dear both,\\n\\nthe numbers are attached.\\n\\nAlice","subject":"Quarterly numbers"}'
REQUEST = Request(
    "POST",
    "https://api.mailhub.example/v1/messages",
    (("Content-Type", "application/json"), ("Accept", "application/json"), ("User-Agent", "jit_auth/0.1")),
    BODY,
)
EXECUTION = Execution(
    id="exe_01kb3q0000000000000000000a",
    state="paused",
    agent="mailbot",
    chain=("mailbot",),
    user="alice@example.com",
    verified=True,
    action=ACTION.name,
    params=PARAMS,
    reason="Alice asked me to send the numbers before noon.",
    account="u-17",
    account_name="alice@mailhub.example",
    digest=DIGEST,
    decision=Decision(
        "require_approval", ("send-outside",), ("Mail that leaves the house needs a second look.",), policy="sha256:00"
    ),
    created=NOW,
    updated=NOW,
    expires=NOW + 86_400_000,
)
ROUND = Ask(
    id="apr_01kb3q0000000000000000000b",
    execution=EXECUTION.id,
    kind="approval",
    agent="mailbot",
    user="alice@example.com",
    digest=DIGEST,
    wants=(Want(("user:ana@example.com",)),),
    created=NOW,
    expires=LATER,
)
CARD = Card(
    id="crd_01kb3q0000000000000000000c",
    ask=ROUND.id,
    execution=EXECUTION.id,
    person="ana@example.com",
    via="terminal",
    expires=LATER,
)
CONSENT = Ask(
    id="cns_01kb3q0000000000000000000d",
    execution=EXECUTION.id,
    kind="consent",
    agent="mailbot",
    user="alice@example.com",
    provider="mailhub",
    scopes=("mail.send",),
    created=NOW,
    expires=LATER,
)
TITLES = {"mail.send": "Send e-mail as you", "mail.read": "Read your e-mail"}
UNKNOWN = Ask(
    id="unk_01kb3q0000000000000000000e",
    execution=EXECUTION.id,
    kind="outcome",
    agent="mailbot",
    user="alice@example.com",
    digest=DIGEST,
    wants=(Want(("group:finance",)),),
    created=NOW,
    expires=LATER,
)
ASKING = Card(
    id="crd_01kb3q0000000000000000000f",
    role="resolve",
    ask=UNKNOWN.id,
    execution=EXECUTION.id,
    person="ana@example.com",
    via="email",
    expires=LATER,
)
GATHERED = "gth_01kb3q0000000000000000000g"
APPROVAL_TICKET = ticket(KEY, "approval", CARD.id, CARD.person, CARD.expires)
CONSENT_TICKET = ticket(KEY, "consent", CONSENT.id, "alice@example.com", CONSENT.expires)
OUTCOME_TICKET = ticket(KEY, "approval", ASKING.id, ASKING.person, ASKING.expires)
GATHER_TICKET = ticket(KEY, "approval", GATHERED, CARD.person, LATER)
STRANGE_TICKET = ticket(KEY, "approval", "crd_unknown", CARD.person, CARD.expires)


class Standin:
    """Holds one call; tests set its parts and read what was called."""

    def __init__(self) -> None:
        self.action = ACTION
        self.execution = EXECUTION
        self.round = ROUND
        self.consent = CONSENT
        self.request = REQUEST
        self.places: tuple[Place, ...] = (Place("header", "authorization"),)
        self.votes: tuple[Vote, ...] = ()
        self.gone: Problem | None = None
        self.new: tuple[str, ...] = ("mail.send",)
        self.held: tuple[str, ...] = ("mail.read",)
        self.trip = True
        self.call = True
        """A call waits for the consent; without, an agent asks before any."""
        self.titles: tuple[str, ...] = ()
        """Of more actions that the consent is for."""
        self.leaving_url = "https://auth.mailhub.example/authorize?client_id=jit-auth&state=s-123&scope=mail.send"
        self.ending = self.finished("connected", granted=("mail.read", "mail.send"))
        self.seen: list[str] = []
        self.began = 0
        self.others: tuple[ApprovalPage, ...] = ()
        """Other rounds that wait for the same person."""
        self.more: dict[str, Any] = {}
        """What else the page of the call itself holds."""
        self.chosen: list[Choice] = []
        self.together: list[dict[str, Choice]] = []
        self.resolved: list[tuple[str, str]] = []
        self.unknown = UNKNOWN
        self.callbacks: list[tuple[str, dict[str, str], str | None]] = []

    def finished(self, kind: Any, **values: Any) -> Finished:
        given = {"account": "alice@mailhub.example", "environment": "dev", "scope_titles": TITLES} | values
        return Finished(
            kind=kind,
            execution=self.execution if self.call else None,
            agent="mailbot",
            user="alice@example.com",
            provider_id="mailhub",
            provider_name="MailHub",
            **given,
        )

    def page(self, **values: Any) -> ApprovalPage:
        given: dict[str, Any] = {
            "environment": "dev",
            "person": CARD.person,
            "card": CARD,
            "ask": self.round,
            "execution": self.execution,
            "action": self.action,
            "connector_name": "MailHub",
            "provider_name": "MailHub",
            "request": self.request,
            "places": self.places,
            "votes": self.votes,
            "now": NOW,
        }
        return ApprovalPage(**given | self.more | values)

    def another(self, number: int, **values: Any) -> ApprovalPage:
        """The page of another open round of this person: its own id, digest, parameters."""
        digest = "sha256:" + f"{number:064x}"
        ask = replace(ROUND, id=f"apr_other{number}", execution=f"exe_other{number}", digest=digest)
        params = PARAMS | {"subject": f"Number {number}"}
        execution = replace(EXECUTION, id=ask.execution, digest=digest, params=params)
        return self.page(**{"ask": ask, "execution": execution, "votes": (), "rounds": 1} | values)

    async def approval_page(self, ticket: str, signed: Any = None) -> ApprovalPage:
        self._known(ticket, APPROVAL_TICKET)
        return self.page()

    async def vote(self, ticket: str, choose: Choose, signed: Any = None) -> Voted:
        choice = choose(await self.approval_page(ticket))
        if self.round.state != "open":
            decided = [{"by": v.person, "decision": v.verdict, "at": rfc3339(v.at)} for v in self.votes]
            raise Conflict(
                "This was decided already.", code="already_decided", hint="Ask again.", members={"decided": decided}
            )
        self._held(choice, self.round)
        self.chosen.append(choice)
        self.seen.append(choice.seen)
        if choice.params is not None:
            editable = self.execution.decision.editable
            faults = [{"pointer": f"/params/{name}", "message": "is not to be changed"} for name in choice.params]
            if not set(choice.params) <= set(editable):
                raise Unprocessable("That may not be changed.", code="invalid_params", members={"faults": faults})
            self.votes, self.round = (), replace(self.round, state="superseded")
            return self._voted(choice, edited=True)
        vote = Vote(
            ask=ROUND.id,
            person=CARD.person,
            verdict=choice.verdict,
            digest=DIGEST,
            seen=choice.seen,
            how=choice.how,
            feedback=choice.feedback,
            hold=choice.hold,
            at=NOW,
        )
        self.votes = (*self.votes, vote)
        approved = choice.verdict == "approve"
        self.round = replace(self.round, state="met" if approved else "denied")
        error = None if approved else Trouble("approval_denied", "ana@example.com denied it.", by=CARD.person)
        self.execution = replace(self.execution, state="executing" if approved else "denied", error=error)
        return self._voted(choice)

    def _voted(self, choice: Choice, **values: Any) -> Voted:
        given: dict[str, Any] = {"ask": self.round, "execution": self.execution, "votes": self.votes} | values
        return Voted(
            environment="dev", person=CARD.person, verdict=choice.verdict, action=self.action, now=NOW, **given
        )

    def _held(self, choice: Choice, ask: Ask) -> None:
        if choice.digest is not None and choice.digest != ask.digest:
            raise Conflict("Nothing was decided.", code="digest_mismatch", hint="Open the link again.")

    async def open_rounds(self, ticket: str, signed: Any = None) -> tuple[ApprovalPage, ...]:
        self._known(ticket, APPROVAL_TICKET, GATHER_TICKET)
        mine = [vote for vote in self.votes if vote.person == CARD.person]
        own = (self.page(),) if self.round.state == "open" and not mine else ()
        return (*own, *self.others)

    async def vote_together(self, ticket: str, choices: Mapping[str, Choice], signed: Any = None) -> tuple[Voted, ...]:
        waits = {page.ask.id: page for page in await self.open_rounds(ticket)}
        stale = []
        for name, choice in choices.items():
            if name not in waits:
                stale.append({"id": name, "code": "already_decided", "detail": "This was decided already."})
            elif choice.digest != waits[name].ask.digest:
                stale.append({"id": name, "code": "digest_mismatch", "detail": "It is something else by now."})
        if stale:
            raise Conflict("Nothing was decided.", code="stale", hint="Open it again.", members={"stale": stale})
        self.together.append(dict(choices))
        self.others = tuple(page for page in self.others if page.ask.id not in choices)
        return tuple(
            self._voted(choice, ask=replace(waits[name].ask, state="met"), execution=waits[name].execution)
            for name, choice in choices.items()
        )

    async def outcome_page(self, ticket: str, signed: Any = None) -> ApprovalPage:
        self._known(ticket, OUTCOME_TICKET)
        return self.page(card=ASKING, ask=self.unknown)

    async def resolve(self, ticket: str, outcome: str, note: str, signed: Any = None) -> Execution:
        self._known(ticket, OUTCOME_TICKET)
        if self.unknown.state != "open":
            raise Conflict("There is nothing to resolve.", code="not_unknown", hint="It is over.")
        self.resolved.append((outcome, note))
        self.unknown = replace(self.unknown, state="met")
        error = Trouble("resolved_failed", "A person found out that the call did not happen.")
        values: dict[str, Any] = {"state": outcome, "error": error if outcome == "failed" else None}
        self.execution = replace(self.execution, **values)
        return self.execution

    async def notice(self, ask: str) -> ApprovalPage:
        if ask not in (ROUND.id, UNKNOWN.id):
            raise NotFound("There is no such request.", hint="It may belong to another service.")
        return self.page(person="", card=None)

    async def consent_page(self, ticket: str, signed: Any = None) -> ConsentPage:
        self._known(ticket, CONSENT_TICKET)
        return ConsentPage(
            environment="dev",
            ask=self.consent,
            execution=self.execution if self.call else None,
            wants=tuple(
                Wanted(replace(self.action, title=title), "MailHub") for title in (self.action.title, *self.titles)
            ),
            provider_id="mailhub",
            provider_name="MailHub",
            provider_host="auth.mailhub.example" if self.trip else "",
            scope_titles=TITLES,
            new=self.new,
            held=self.held,
            manage_url="https://auth.mailhub.example/apps",
            trip=self.trip,
            now=NOW,
        )

    async def consent_begin(self, ticket: str, signed: Any = None) -> Leaving | Finished:
        self._known(ticket, CONSENT_TICKET)
        self.began += 1
        if not self.trip:
            return self.ending
        return Leaving(
            url=self.leaving_url, cookie="c" * 43, lifetime=600_000, environment="dev", provider_name="MailHub"
        )

    async def consent_refuse(self, ticket: str, signed: Any = None) -> Finished:
        self._known(ticket, CONSENT_TICKET)
        self.consent = replace(self.consent, state="denied")
        self.execution = replace(
            self.execution, state="denied", error=Trouble("consent_refused", "The user refused the access.")
        )
        return self.finished("refused")

    async def consent_finish(self, provider_id: str, query: Mapping[str, str], cookie: str | None) -> Finished:
        self.callbacks.append((provider_id, dict(query), cookie))
        if cookie is None:
            raise FlowRefused("This browser did not start it.", hint="Open the link again.")
        if len(self.callbacks) > 1:
            raise FlowRefused("This was finished before.", code="already_finished")
        return self.ending

    def _known(self, ticket: str, *mine: str) -> None:
        if ticket not in mine:
            raise NotFound("There is no such link.", hint="Use the whole link.")
        if self.gone is not None:
            raise self.gone


def gone(code: str) -> Gone:
    return Gone("It is too late.", code=code)


def application(doors: Standin, public_url: str, environment: str = "dev") -> web.Application:
    """The pages alone, under one origin."""
    app = web.Application()
    pages = Pages(public_url, environment)
    app.add_routes([*approve.routes(doors, pages), *connect.routes(doors, pages)])
    return app

"""`jit-auth approvals list / show / link`: what waits for people, and (on loopback) the way there."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from jit_auth.cli.configured import settings_of, with_store
from jit_auth.cli.options import config_option, json_option, print_json, table
from jit_auth.cli.waiting import Titles, ask_data, ask_row, execution_data, lines, pass_data, pass_row
from jit_auth.core.links import ticket
from jit_auth.errors import JitAuthError
from jit_auth.model import Ask, Card, Execution, Opened, Pass
from jit_auth.storage.store import Store
from jit_auth.vault import Vault

MOST = 200
"""Open questions of a kind that are listed, the oldest first."""
KINDS = ("approval", "outcome")
"""What approvers decide. A consent is between the user and the provider."""


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`approvals list`, `approvals show ID`, `approvals link ID --as PERSON`."""
    approvals = sub.add_parser("approvals", help="what waits for people")
    commands = approvals.add_subparsers(metavar="COMMAND", required=True)
    listed = commands.add_parser("list", help="open requests, and what is approved for a while")
    listed.set_defaults(run=run_list)
    show = commands.add_parser("show", help="one request: what was asked, of whom, and who decided")
    show.add_argument("id", metavar="ID", help="of an approval or an execution")
    show.set_defaults(run=run_show)
    link = commands.add_parser("link", help="print a person's link (on loopback only)")
    link.add_argument("id", metavar="ID", help="of an approval or an execution")
    link.add_argument("--as", dest="person", metavar="PERSON", required=True, help="whose link")
    link.set_defaults(run=run_link)
    for parser in (listed, show, link):
        config_option(parser)
        json_option(parser)


def run_list(args: argparse.Namespace) -> int:
    """Open rounds and outcomes that people are asked for, then what they have approved for a while."""
    settings = settings_of(args)
    titles = Titles.of(settings)

    async def read(store: Store, vault: Vault) -> tuple[list[tuple[Ask, Execution]], tuple[Pass, ...], bool]:
        asked = [await store.circles.open_asks(kind, MOST) for kind in KINDS]
        pairs = sorted((pair for some in asked for pair in some), key=lambda pair: pair[0].created)
        return pairs, await store.circles.passes(), any(len(some) >= MOST for some in asked)

    pairs, passes, more = with_store(settings, read)
    if args.json:
        items = [ask_data(ask, execution, titles) for ask, execution in pairs]
        print_json({"items": items, "more": more, "passes": [pass_data(one) for one in passes]})
        return 0
    print(table([ask_row(ask, execution, titles) for ask, execution in pairs]) or "nothing is open")
    if more:
        print(f"These are the oldest {len(pairs)}.")
    if passes:
        print("\napproved for a while")
        print(table([pass_row(one) for one in passes]))
    return 0


def run_show(args: argparse.Namespace) -> int:
    """All that is known of one round, or of an execution and its rounds. Sensitive parameters are masked."""
    settings = settings_of(args)
    titles = Titles.of(settings)
    opened, ask = with_store(settings, lambda store, vault: _find(store, args.id))
    asks = [ask] if ask is not None else opened.asks
    if not args.json:
        print("\n".join(lines(opened.execution, asks, opened.votes, titles)))
        return 0
    shown = [ask_data(one, opened.execution, titles, opened.votes) for one in asks]
    call = execution_data(opened.execution, titles)
    print_json({**call, "approvals": shown} if ask is None else {**shown[0], "call": call})
    return 0


def run_link(args: argparse.Namespace) -> int:
    """Prints the person's link, whole and alone on its line; exit 1 where there is none."""
    settings = settings_of(args)
    if not settings.loopback:
        # A link decides. Where it is no longer only one's own machine, reading the store must not be enough.
        raise JitAuthError(
            "Links are printed on loopback only.", hint="People get theirs by the channels they are reached by."
        )
    person = settings.people.person(args.person)

    async def read(store: Store, vault: Vault) -> tuple[Card, str]:
        ask = _open(*await _find(store, args.id))
        card = _own(await store.circles.open_cards(person), ask, person)
        return card, ticket(store.derive("tickets"), "approval", card.id, card.person, card.expires)

    card, mark = with_store(settings, read)
    url = f"{settings.server.public_url}/approvals/{mark}"
    if args.json:
        print_json({"id": card.ask, "person": card.person, "url": url})
    else:
        print(url)
    return 0


async def _find(store: Store, id: str) -> tuple[Opened, Ask | None]:
    """An execution with its questions, and the question where `id` is one. Raises JitAuthError."""
    asked = await store.ask(id)
    opened = await store.opened(asked.execution if asked is not None else id)
    if opened is None:
        raise JitAuthError(
            f"There is no approval or execution {id!r}.",
            hint="`jit-auth approvals list` names those that are open; ids begin with apr_ or exe_.",
        )
    return opened, next((ask for ask in opened.asks if ask.id == id), None)


def _open(opened: Opened, named: Ask | None) -> Ask:
    """The question that people may decide now. Raises JitAuthError, which says what is the case instead."""
    now = next((ask for ask in opened.asks if ask.kind in KINDS and ask.state == "open"), None)
    execution = opened.execution
    if now is not None and named in (None, now):
        return now
    if named is not None and named.kind not in KINDS:
        raise JitAuthError(f"{named.id} is no approval: it asks the user for a consent.")
    instead = f" {now.id} is asked instead." if now is not None else ""
    what = f"{named.id} is {named.state}" if named is not None else "Nobody is asked"
    raise JitAuthError(f"{what}: the execution {execution.id} is {execution.state}.{instead}")


def _own(cards: Iterable[Card], ask: Ask, person: str) -> Card:
    """The person's own copy of a question: the one that was sent to them before the terminal's. Raises JitAuthError."""
    own = sorted((card for card in cards if card.ask == ask.id), key=lambda card: (card.via == "terminal", card.id))
    if own:
        return own[0]
    raise JitAuthError(
        f"{person} has no link of their own for {ask.id}.",
        hint="Only who may decide has one, and a request to a group may be shown in the group's channel alone: "
        f"`jit-auth approvals show {ask.id}` names who is asked.",
    )

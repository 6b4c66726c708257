"""What must hold after all kills, judged from what people, the upstream, Slack, mailboxes and the receiver have, beside
the rows and the record."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from jit_auth.channels.slack.port import EVENT
from jit_auth.channels.slack.told import told
from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.config.load import load
from jit_auth.core.events import project
from jit_auth.model import Card, Opened
from jit_auth.storage.audit import Entry
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault
from tests.crash.process import ROOT
from tests.crash.town import Town
from tests.fakes.slack_api import Message

LATER = 400 * 86_400_000
"""So far in the future everything is due that is not done with."""
ONCE = ("note", "send_message")
"""Actions that are sent at most once (retry = never)."""
ENDS = {"approve": ("succeeded", "unknown"), "deny": ("denied",)}
"""What may come of a decision. Of calls that may be repeated too it can stay unknown: they are sent again for 60 s, and
deaths may last longer."""


class Said(Protocol):
    """What a person said."""

    @property
    def person(self) -> str: ...
    @property
    def verdict(self) -> str: ...


class Made(Protocol):
    """A call that an agent made."""

    @property
    def id(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def word(self) -> str: ...
    @property
    def taken(self) -> Sequence[Said]: ...


Copies = dict[str, tuple[Card, Opened]]
"""Copies by their ids, each with its call."""


@dataclass
class Findings:
    """Figures, and what is wrong."""

    statuses: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    """In Slack, threads and private answers apart."""
    mails: int = 0
    """Different ones."""
    mails_repeated: int = 0
    events: int = 0
    """Different ones."""
    events_repeated: int = 0
    rows: int = 0
    """Of the record."""
    wrong: list[str] = field(default_factory=list)


@asynccontextmanager
async def looking(at: Town) -> AsyncIterator[Store]:
    """The service's store, in a future in which everything is due."""
    settings = load(at.kit.folder / "config.toml", channels=CHANNEL_TABLES)
    vault = Vault(settings.vault.keys)
    clock = Clock(LATER)
    store = await Store.open(settings.storage.url, vault, clock=clock, base=settings.base, serve=False)
    try:
        yield store
    finally:
        await store.close()


async def restless(store: Store) -> str:
    """What is still to be done; "" where everything rests."""
    cards, outbox = await store.cards_due(), await store.outbox_due()
    under_way = (await store.lists.executions("mailbot", states=("executing",), limit=10)).items
    left = {"cards": cards, "events": outbox, "calls": under_way}
    return ", ".join(f"{len(rows)} {name}" for name, rows in left.items() if rows)


async def judge(at: Town, calls: Sequence[Made]) -> Findings:
    """Everything, after the last process has ended."""
    found = Findings()
    async with looking(at) as store:
        opened: dict[str, Opened] = {}
        copies: list[Card] = []
        for call in calls:
            row = await store.opened(call.id)
            if row is None:
                found.wrong.append(f"{call.word}: its execution is gone")
            else:
                opened[call.id] = row
                copies += await store.cards(call.id)
        record = [entry async for entry in store.audit.rows()]
    found.rows = len(record)
    for call in calls:
        if call.id in opened:
            found.statuses[opened[call.id].execution.state] += 1
            found.wrong += [f"{call.word} {call.id}: {fault}" for fault in _ended(at, call, opened[call.id])]
    found.wrong += _messages(at, _cards(opened, copies, "slack"), found)
    found.wrong += _mails(at, _cards(opened, copies, "email"), found)
    found.wrong += _events(at, record, opened.values(), found)
    found.wrong += await _whole(at)
    return found


def _ended(at: Town, call: Made, row: Opened) -> Iterator[str]:
    """Nothing lost: it ended as it was decided, or waits with one question. Sent at most once."""
    state = row.execution.state
    votes = {(vote.person, vote.verdict) for vote in row.votes}
    for said in call.taken:
        if (said.person, said.verdict) not in votes:
            yield f"the vote of {said.person} was taken and is lost"
    if len(votes) > len(call.taken):
        yield f"votes that nobody gave: {votes}"
    live = [ask for ask in row.asks if ask.state == "open"]
    needed = 2 if call.action == "note_again" else 1
    denied = any(said.verdict == "deny" for said in call.taken)
    if denied or len(call.taken) >= needed:
        if state not in ENDS["deny" if denied else "approve"]:
            yield f"decided ({call.taken}), and yet {state}"
    elif state != "paused":
        yield f"undecided, and yet {state}"
    kinds = [ask.kind for ask in live]
    if kinds != {"paused": ["approval"], "unknown": ["outcome"]}.get(state, []):
        yield f"{state}, and these questions are open: {kinds}"
    sent = sum(call.word in (body.get("text"), body.get("subject")) for body in at.kit.mail.messages)
    if sent > 1 and call.action in ONCE:
        yield f"sent {sent} times"
    if (state == "succeeded" and not sent) or (state in ("paused", "denied") and sent):
        yield f"{state}, and sent {sent} times"


def _messages(at: Town, known: Copies, found: Findings) -> Iterator[str]:
    """No copy twice; each open question stands there; no button on what is over."""
    by_card: defaultdict[str, list[Message]] = defaultdict(list)
    for message in at.slack.messages:
        if message.only_for is None and message.thread_ts is None and not message.deleted:
            metadata = message.metadata or {}
            if metadata.get("event_type") != EVENT:
                yield f"a message of no card: {message.text}"
                continue
            by_card[metadata["event_payload"]["card"]].append(message)
    found.messages = sum(map(len, by_card.values()))
    for card_id in by_card.keys() - known.keys():
        yield f"a message of the unknown card {card_id}"
    for card_id, (card, row) in known.items():
        messages = by_card[card_id]
        ask = next(ask for ask in row.asks if ask.id == card.ask)
        if len(messages) > 1:
            yield f"{card.ask} for {card.person}: {len(messages)} messages"
        where = told(card.ref)
        if (where and [(where.channel, where.ts)]) != ([(one.channel, one.ts) for one in messages] or None):
            yield f"{card_id}: its row says {card.ref}, and there are {len(messages)} messages"
        if ask.state == "open" and len(messages) != 1:
            yield f"{card.ask} is open and has {len(messages)} messages for {card.person}"
        for message in messages:
            live = [button for button in at.slack.buttons(message) if "url" not in button]
            mine = any(vote.ask == ask.id and vote.person == card.person for vote in row.votes)
            if ask.state == "open" and not live and not mine:
                yield f"{card.ask} is open and has no buttons for {card.person}"
            if ask.state != "open" and at.slack.buttons(message):
                yield f"{card.ask} is {ask.state} and has buttons for {card.person}"


def _mails(at: Town, known: Copies, found: Findings) -> Iterator[str]:
    """One mail that asks, for each person and question."""
    ids = Counter((mail.to, str(mail.message["Message-ID"])) for mail in at.mail.mails)
    found.mails, found.mails_repeated = len(ids), sum(ids.values()) - len(ids)
    for (to, message_id), _ in ids.items():
        card_id, _, step = message_id.strip("<>").partition("@")[0].partition(".")
        if card_id.startswith("crd_") and step == "ask":
            if card_id not in known:
                yield f"a mail of the unknown card {card_id}"
            elif known[card_id][0].person != to:
                yield f"a mail of {card_id} to {to}"
    for card_id, (card, row) in known.items():
        asked = [one for one in ids if one[1].startswith(f"<{card_id}.ask@")]
        ask = next(ask for ask in row.asks if ask.id == card.ask)
        if ask.state == "open" and len(asked) != 1:
            yield f"{card.ask} is open and {card.person} got {len(asked)} mails"


def _cards(opened: Mapping[str, Opened], copies: Iterable[Card], via: str) -> Copies:
    """The copies by one channel, by id. Two for one person and question would be one too many."""
    found = {card.id: (card, opened[card.execution]) for card in copies if card.via == via}
    twice = [key for key, count in Counter((card.ask, card.person) for card, _ in found.values()).items() if count > 1]
    assert not twice, f"two copies for one person: {twice}"
    return found


def _events(at: Town, record: Iterable[Entry], opened: Iterable[Opened], found: Findings) -> Iterator[str]:
    """Every event of the record arrived, each under one id with one body, and none that is not of the record."""
    bodies: dict[str, bytes] = {}
    for delivery in at.receiver.told:
        if bodies.setdefault(delivery.id, delivery.body) != delivery.body:
            yield f"{delivery.id} has two bodies"
    found.events, found.events_repeated = len(bodies), len(at.receiver.told) - len(bodies)
    came = Counter(_named(json.loads(body)) for body in bodies.values())
    due = Counter(
        _named({"type": event.type, "data": {**event.data, "execution": event.execution or entry.execution}})
        for entry in record
        for event in project(entry.what)
    )
    for missing, count in (due - came).items():
        yield f"{count} times not delivered: {missing}"
    for foreign, count in (came - due).items():
        yield f"{count} times delivered, and not of the record: {foreign}"
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for kind, execution, _ in came:
        kinds[execution].add(kind)
    for row in opened:
        needed = {"execution.paused", "approval.requested"}
        if row.execution.state != "paused":
            needed |= {"approval.decided"}
            needed |= {"execution.unknown" if row.execution.state == "unknown" else "execution.finished"}
        if missed := needed - kinds[row.execution.id]:
            yield f"{row.execution.id}: {missed} never came"


def _named(event: dict[str, Any]) -> tuple[str, str, str]:
    """Type, execution, and what else tells two events apart."""
    data = event["data"]
    return event["type"], data.get("execution") or "", f"{data.get('approval', '')} {data.get('decision', '')}"


async def _whole(at: Town) -> list[str]:
    """`jit-auth audit verify`, as an operator runs it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "jit_auth", "audit", "verify", "-c", str(at.kit.folder / "config.toml"),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return [] if process.returncode == 0 else [f"audit verify: {out.decode()}"]

"""What people and operators do, by the very calls that pages, links and Slack make of the engine: with its checks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from msgspec import structs

from jit_auth.app import Service
from jit_auth.engine.connections import Wish
from jit_auth.engine.consents import Consents
from jit_auth.engine.current import Current
from jit_auth.engine.pages import Choice, Finished, Leaving
from jit_auth.errors import Misused
from jit_auth.model import Ask, Execution, Millis, Opened
from jit_auth.testing.accounts import Accounts

MOVING = 10.0
"""Seconds that an execution gets to come to rest after somebody has decided."""
AGAIN = 0.05
"""Seconds between two looks at what nobody has told of."""
OPERATOR = "admin:testing"


async def opened(service: Service, execution_id: str) -> Opened:
    """The execution with what people were asked. Raises Misused."""
    found = await service.store.opened(execution_id)
    if found is None:
        raise Misused(f"There is no execution {execution_id!r}.", hint="Give the execution, or its id (exe_...).")
    return found


async def vote(service: Service, execution_id: str, person: str, choice: Choice) -> None:
    """One person's decision about the round that is open. Raises Problem as their link would."""
    ask = _open(await opened(service, execution_id), "approval")
    person = service.engine.bundle.people.person(person)
    await service.engine.vote_as(person, ask.id, structs.replace(choice, digest=ask.digest))
    await settled(service, execution_id)


async def answer(
    service: Service, accounts: Accounts, execution_id: str, account: str | None, scopes: Sequence[str] | None
) -> None:
    """The user says yes to every consent that the execution waits for. Raises Problem."""
    found = await opened(service, execution_id)
    asks = [ask for ask in found.asks if ask.kind == "consent" and ask.state == "open"]
    for ask in asks or [_open(found, "consent")]:
        await _through(service.engine.consents, accounts, ask, account, scopes)
    await settled(service, execution_id)


async def refuse(service: Service, execution_id: str) -> None:
    """The user says no. Raises Problem."""
    ask = _open(await opened(service, execution_id), "consent")
    await service.engine.consent_refuse(_ticket(service.engine.consents, ask))
    await settled(service, execution_id)


async def connect(
    service: Service,
    accounts: Accounts,
    agent: str,
    user: str,
    actions: Sequence[str],
    account: str | None,
    scopes: Sequence[str] | None,
) -> None:
    """The user has said yes before any call. The agent is not given the right to ask: it is asked in its name, with the
    checks of /connections. Raises Problem."""
    current, engine = service.engine.current, service.engine
    who = structs.replace(current.bundle.agents[agent], connections=True)
    agents = {**current.bundle.agents, agent: who}
    # A view for this one answer: what the service itself holds says still whether the agent may ask.
    seen = Current(current.settings, replace(current.bundle, agents=agents))
    consents = replace(engine.consents, current=seen, connects=replace(engine.consents.connects, current=seen))
    wish = Wish(agent=who, user=seen.bundle.people.person(user), actions=tuple(actions))
    for ask in await replace(service.connections, current=seen).ask(wish):
        await _through(consents, accounts, ask, account, scopes)


async def resolve(service: Service, execution_id: str, outcome: str, note: str, person: str | None) -> None:
    """What became of a call of unknown outcome, by an operator or a person. Raises Problem."""
    engine = service.engine
    if person is None:
        await engine.outcomes.by_admin(execution_id, outcome, note, OPERATOR)
        return
    ask = _open(await opened(service, execution_id), "outcome")
    await engine.resolve_as(engine.bundle.people.person(person), ask.id, outcome, note, "link")


async def runs_out(service: Service, execution_id: str) -> Millis:
    """When the next thing that is open of an execution runs out. Raises Misused where nothing is."""
    found = await opened(service, execution_id)
    execution = found.execution
    if execution.claimed and execution.deadline is not None:
        return execution.deadline
    if execution.state not in ("paused", "released"):
        raise Misused(f"{execution.id} is {execution.state}: nothing of it can expire.")
    return min([execution.expires, *(ask.expires for ask in found.asks if ask.state == "open")])


async def caught_up(service: Service) -> None:
    """Until everything is done that is due by now, whoever is at it."""
    engine, loop = service.engine, asyncio.get_running_loop()
    end = loop.time() + MOVING
    await service.store.renew()  # a leap of time must not look like a process that died
    event = engine.waits.watch()
    try:
        while loop.time() < end:
            turn = asyncio.create_task(service.worker.turn())
            await asyncio.wait({turn}, timeout=end - loop.time())  # never cancelled: it may be in the middle of a send
            if engine.approvals.memory.belief.halted or not await service.store.due(1):
                return
            await engine.waits.pause(event, AGAIN)
    finally:
        engine.waits.unwatch(event)


async def settled(service: Service, execution_id: str) -> None:
    """Until an execution waits for somebody, or for time to pass, or has ended."""
    loop = asyncio.get_running_loop()
    end = loop.time() + MOVING
    waits = service.engine.waits
    event = waits.watch()
    try:
        while loop.time() < end:
            event.clear()
            if _rests(await opened(service, execution_id)) or service.engine.approvals.memory.belief.halted:
                return
            await waits.pause(event, AGAIN)
    finally:
        waits.unwatch(event)


def _rests(found: Opened) -> bool:
    execution = found.execution
    if execution.state == "paused":
        return any(ask.state == "open" for ask in found.asks)
    return execution.state != "executing" or execution.claimed or _later(execution)


def _later(execution: Execution) -> bool:
    return execution.due is not None and execution.process is None


def _open(found: Opened, kind: str) -> Ask:
    for ask in found.asks:
        if ask.kind == kind and ask.state == "open":
            return ask
    execution = found.execution
    raise Misused(
        f"Nobody is asked for {_WORDS[kind]} by {execution.id}: it is {execution.state}"
        + (f" ({execution.error.code})." if execution.error is not None else "."),
        hint="Is it another execution, or decided already? Its `waiting_for` says what is open.",
    )


_WORDS: Mapping[str, str] = {"approval": "an approval", "consent": "a consent", "outcome": "an outcome"}


def _ticket(consents: Consents, ask: Ask) -> str:
    return urlsplit(consents.link(ask)).path.rpartition("/")[2]


async def _through(
    consents: Consents, accounts: Accounts, ask: Ask, account: str | None, scopes: Sequence[str] | None
) -> None:
    """A consent's whole way: our page, the provider, and back, in one browser. Raises Problem, Misused."""
    came: Any = await consents.begin(_ticket(consents, ask))
    if isinstance(came, Leaving):
        provider = consents.current.bundle.catalog.providers[ask.provider or ""]
        back = accounts.consented(came.url, provider, account or ask.account or ask.user or "", scopes)
        came = await consents.finish(provider.id, back, came.cookie)
    if not isinstance(came, Finished) or came.kind == "error":
        raise Misused(f"The consent could not be given: {getattr(came, 'error_description', came)}.")

"""Admission: from what an agent posted to a judged draft, or a refusal that leaves no trace but its audit row."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from jit_auth.catalog.load import Operation
from jit_auth.config.settings import Agent
from jit_auth.core.digest import canonical
from jit_auth.core.step import next_step
from jit_auth.core.toml import nearest
from jit_auth.core.urls import within
from jit_auth.core.view import Asking
from jit_auth.credentials import KINDS
from jit_auth.engine.advance import Dispatcher, Joined, Taken
from jit_auth.engine.coming import Coming
from jit_auth.engine.current import Current
from jit_auth.engine.judge import Judge, Judged
from jit_auth.engine.memory import Holding, Memory
from jit_auth.engine.units import open_key
from jit_auth.errors import Forbidden, NotFound, Problem, TooMany, Unavailable, Unprocessable
from jit_auth.model import Ask, Audit, Decision, Execution, Grant, Idem, Insert, Millis, Op, Stale, Task, Unit
from jit_auth.storage.store import Store

DAY: Millis = 86_400_000
SHORTEST: Millis = 60_000
LONGEST: Millis = 14 * DAY
KEY_KEPT: Millis = 7 * DAY
"""How long an idempotency key is kept after its execution can last."""
LONGEST_NAME = 200
"""Characters of a name that is none, of which the nearest one is looked for."""
_UNDECIDED = Decision("deny")


class Call(Struct, frozen=True, kw_only=True):
    """One call as it was posted: well-formed JSON of known members, nothing else checked yet."""

    agent: Agent
    action: str
    user: str | None
    params: dict[str, Any]
    account: str | None = None
    reason: str | None = None
    task: Task | None = None
    metadata: dict[str, Any] | None = None
    expires_in: Millis = DAY
    return_url: str | None = None
    callback_url: str | None = None
    """Judged already against the agent's `callback_urls`, and normalised."""
    key: str | None = None
    """Idempotency-Key."""
    body: bytes = b""
    """Canonical JSON of the whole body, compared where the key exists already."""
    dry_run: bool = False
    """It is only asked what would become of it: for `Previews`, not for `Submit`."""


class Admitted(Struct, frozen=True):
    """What a call became. `joined`: an equal one was paused already, and is the answer."""

    execution: Execution
    joined: bool = False
    asks: tuple[Ask, ...] = ()
    """What people are asked for it, where that is known: it was asked just now."""


class Submit:
    """Admits calls."""

    def __init__(
        self,
        store: Store,
        memory: Memory,
        current: Current,
        judge: Judge,
        dispatcher: Dispatcher,
        make_id: Callable[[str], str],
    ) -> None:
        self._store = store
        self._memory = memory
        self._current = current
        self._judge = judge
        self._dispatcher = dispatcher
        self._make_id = make_id
        self._coming = Coming()

    async def submit(self, call: Call, admitted: Callable[[Execution], None] | None = None) -> Admitted:
        """The execution that this call becomes, or, with a known key, became; or that it joins.

        Drives it as far as it goes without waiting for people. `admitted` is called with its first durable row.
        Raises Problem where the call is not admitted: no execution, and the key stays free.
        """
        operation = self.permitted(call)
        scope = self._scope(call)
        try:
            draft = await self._draft(call, operation)
        except Problem:
            # What it was refused for may have changed since: a key that exists is answered all the same.
            known = await self._known(call, scope)
            if known is None:
                raise
            return Admitted(known)
        idem = None
        if scope is not None:
            until = draft.expires + KEY_KEPT
            idem = Idem(scope=scope, execution=draft.id, body=call.body.decode(), until=until)
        try:
            await asyncio.sleep(0)  # as below
            mark = self._coming.mark(draft.agent)
            begun = perf_counter()
            judged = await self._judge.judge(draft, valid=operation)
            self._dispatcher.took("decide", draft, begun, judged.view.decision.effect)
            unseen = self._coming.unseen(draft.agent, mark)
            if judged.view.crowd.paused + unseen >= self._judge.most_open:
                await self.room(judged)
            with self._place(judged):
                await asyncio.sleep(0)  # calls that were judged together are written together (docs/design/0002)
                opened = await self._dispatcher.start(judged, idem, admitted)
            return Admitted(opened.execution, asks=opened.asks)
        except Joined as joined:
            return await self._join(call, joined.open_key, idem, admitted)
        except (Taken, Problem) as refusal:
            known = await self._known(call, scope)
            if known is not None:
                self._dispatcher.resume(known)
                return Admitted(known)
            if isinstance(refusal, Problem):
                raise
            raise Unavailable(
                "The call with this key is just being admitted.", hint="Try again.", headers={"Retry-After": "1"}
            ) from None

    async def _join(
        self, call: Call, key: str, idem: Idem | None, admitted: Callable[[Execution], None] | None
    ) -> Admitted:
        """An equal call is paused: answer that one, and bind this call's key to it too. Nobody is asked again."""
        paused = await self._store.joined(key)
        if paused is None:  # it has just gone on: this call is one of its own
            return await self.submit(call, admitted)
        fact = {"do": "joined"}
        audit = Audit(
            actor=f"agent:{call.agent.name}", what=(fact,), user=paused.user, agent=paused.chain[0],
            execution=paused.id,
        )  # fmt: skip
        ops: tuple[Op, ...] = ()
        if idem is not None:
            ops = (Insert(replace(idem, execution=paused.id, until=paused.expires + KEY_KEPT)),)
        if isinstance(await self._store.apply(Unit(None, ops, audit)), Stale):
            known = await self._known(call, self._scope(call))
            return Admitted(known if known is not None else paused)
        return Admitted(paused, joined=True)

    async def draft(self, call: Call) -> Execution:
        """The execution that this call would become, nothing decided yet. Raises Problem where it is not admitted."""
        return await self._draft(call, self.permitted(call))

    async def room(self, judged: Judged) -> None:
        """Raises TooMany where the agent has as many paused calls as it may, and this would be one more."""
        if isinstance(next_step(judged.view), Asking):
            key = open_key(judged.execution, judged.view.digest)
            if self._coming.equal(judged.execution.agent, key):
                return  # an equal one is being written: it will join that
            if await self._store.joined(key) is not None:
                raise Joined(key)
            raise TooMany(
                f"This agent has {self._judge.most_open} calls that wait for people.",
                code="too_many_open",
                hint="Wait until some are decided, or cancel those that are no longer wanted.",
                headers={"Retry-After": "60"},
            )

    def _place(self, judged: Judged) -> AbstractContextManager[None]:
        """Stands around the writing of a call: one that is about to wait counts for those that come with it."""
        view = judged.view
        if not (view.decision.wants or view.lacks) or not isinstance(next_step(view), Asking):
            return nullcontext()
        return self._coming.place(judged.execution.agent, open_key(judged.execution, view.digest))

    async def refused(self, agent: str, refusal: Problem) -> None:
        """A call that was not admitted leaves its audit row: who, and the code (what was posted may be anything)."""
        fact = {"do": "refused", "code": refusal.code, "status": refusal.status}
        await self._store.apply(Unit(None, (), Audit(actor=f"agent:{agent}", what=(fact,), agent=agent)))

    def permitted(self, call: Call) -> Operation:
        """The action, where this agent may use it for this user. Raises NotFound, Forbidden, Unprocessable."""
        bundle = self._current.bundle
        operation = bundle.operation(call.action)
        allowed = bundle.allowed.get(call.agent.name, frozenset())
        if call.action not in allowed:
            if operation is None and bundle.names(call.agent.name, call.action):
                raise NotFound(
                    f"There is no action {call.action!r}.",
                    code="unknown_action",
                    hint=_nearest(call.action, allowed),
                )
            raise Forbidden(
                f"The agent {call.agent.name} may not use {call.action}.",
                code="action_not_permitted",
                hint=f"{_nearest(call.action, allowed)} An operator can add actions in config.toml.",
            )
        if operation is None:
            raise NotFound(f"There is no action {call.action!r}.", code="unknown_action")
        if call.user is None:
            if KINDS[operation.provider.kind].connects:
                raise Unprocessable(
                    "This action needs `user`: for whom is it done?",
                    code="invalid_params",
                    hint="Name the user whose account is to be used.",
                    members={"faults": [{"pointer": "/user", "message": "is required"}]},
                )
        elif not bundle.serves(call.agent.name, call.user):
            raise Forbidden(
                f"The agent {call.agent.name} may not act for this user.",
                code="user_not_permitted",
                hint="An operator names an agent's users in config.toml.",
            )
        return operation

    async def _draft(self, call: Call, operation: Operation) -> Execution:
        if self._memory.belief.halted and (await self._memory.reread()).halted:
            raise Unavailable(
                "Everything is halted by an operator.", code="halted", hint="Try again when it is resumed."
            )
        params = operation.validate(call.params)
        if not SHORTEST <= call.expires_in <= LONGEST:
            raise _invalid("/expires_in", "must be between 60 s and 14 days")
        if call.return_url is not None and not _within(call.return_url, call.agent.return_urls):
            raise _invalid("/return_url", "is none of this agent's return_urls")
        grant = None
        connects = KINDS[operation.provider.kind].connects and operation.build is not None
        if connects and call.user is not None:
            grant = await self.account(call.user, operation.provider.id, call.account)
        elif call.account is not None:
            raise _unknown_account(call.account, Holding())
        now = self._store.now()
        return Execution(
            id=self._make_id("exe"),
            version=0,
            state="executing",
            agent=call.agent.name,
            chain=(call.agent.name,),
            user=call.user,
            verified=call.agent.trusts_users,
            action=call.action,
            params=params,
            reason=call.reason,
            task=call.task,
            metadata=call.metadata,
            asked_account=call.account,
            account=grant.account if grant is not None else None,
            account_name=grant.account_name if grant is not None else None,
            grant=grant.id if grant is not None else None,
            digest="",
            decision=_UNDECIDED,
            return_url=call.return_url,
            callback_url=call.callback_url,
            created=now,
            updated=now,
            expires=now + call.expires_in,
        )

    async def account(self, user: str, provider: str, named: str | None) -> Grant | None:
        """The account to use: the one that was named, or the only one; several and none named is refused
        (Unprocessable: unknown_account, ambiguous_account)."""
        holding = await self._memory.holding(user, provider)
        found = _pick(holding, named)
        if len(found) == 1:
            return found[0]
        # Nothing is refused by memory alone: another replica may have seen an account connected.
        holding = await self._memory.holding(user, provider, fresh=True)
        found = _pick(holding, named)
        if len(found) == 1:
            return found[0]
        if named is not None:
            raise _unknown_account(named, holding)
        if found:
            raise Unprocessable(
                "The user has connected several accounts: say which one to use.",
                code="ambiguous_account",
                hint="Put one of `accounts` into `account`.",
                members={"accounts": _accounts(holding)},
            )
        return None

    def _scope(self, call: Call) -> str | None:
        if call.key is None:
            return None
        return canonical([call.agent.name, call.user, [call.agent.name], call.key]).decode()

    async def _known(self, call: Call, scope: str | None) -> Execution | None:
        """The execution of a key that exists. Raises Unprocessable where it was bound to another body."""
        if scope is None:
            return None
        idem = await self._store.idem(scope)
        if idem is None:
            return None
        if not self._store.same_body(idem, call.body.decode()):
            raise Unprocessable(
                "This Idempotency-Key was used for another call.",
                code="idempotency_mismatch",
                hint="Use a new key for every new call; repeat a call with exactly the same body.",
            )
        return await self._store.execution(idem.execution)


def _nearest(name: str, allowed: frozenset[str]) -> str:
    near = nearest(name[:LONGEST_NAME], allowed)
    return f"Did you mean {near}?" if near else "GET /actions lists what this agent may use."


def _pick(holding: Holding, named: str | None) -> list[Grant]:
    if named is None:
        return list(holding.grants)
    by_id = [grant for grant in holding.grants if grant.account == named]
    return by_id or [grant for grant in holding.grants if grant.account_name == named]


def _accounts(holding: Holding) -> list[str]:
    names = Counter(grant.account_name for grant in holding.grants)
    return [
        grant.account_name if grant.account_name and names[grant.account_name] == 1 else grant.account
        for grant in holding.grants
    ]


def _unknown_account(named: str, holding: Holding) -> Unprocessable:
    return Unprocessable(
        f"The user has not connected the account {named!r}.",
        code="unknown_account",
        hint="Put one of `accounts` into `account`, or leave it out so that the user can connect one.",
        members={"accounts": _accounts(holding)},
    )


def _invalid(pointer: str, message: str) -> Unprocessable:
    return Unprocessable(
        f"{pointer[1:]} {message}.",
        code="invalid_params",
        members={"faults": [{"pointer": pointer, "message": message}]},
    )


def _within(url: str, prefixes: tuple[str, ...]) -> bool:
    return any(within(url, prefix) for prefix in prefixes)

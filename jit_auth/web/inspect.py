"""/admin, the reading half: the blast radius, the record, why something was decided (THREAT_MODEL 35, 40).

Attacks: an agent's token reads who decides about it (every route asks for an admin first); a viewer reads secrets,
parameters or links out of the record (rows hold none); reading goes unseen (each look is itself on record; the record's
readers once an hour, else whoever polls it would read of nothing but themselves).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from jit_auth.core.ids import is_id
from jit_auth.core.times import from_rfc3339, rfc3339
from jit_auth.engine.access import Access, Known, record
from jit_auth.engine.author import Author
from jit_auth.engine.current import Current
from jit_auth.engine.past import past_of
from jit_auth.errors import BadRequest, NotFound
from jit_auth.model import Audit, Millis
from jit_auth.policy.explain import data, explain_execution
from jit_auth.policy.facts import history_of
from jit_auth.storage.store import Store
from jit_auth.web.agents import Bearers
from jit_auth.web.query import limit, parameters

AGAIN: Millis = 3_600_000
"""After how long it is put on record anew that an admin reads the record."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Inspection:
    """The handlers."""

    store: Store
    current: Current
    bearers: Bearers
    _readers: dict[tuple[str, str | None], Millis] = field(default_factory=dict)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/admin/access", self.access, allow_head=False),
            web.get("/admin/audit", self.audit, allow_head=False),
            web.get("/admin/explain", self.explain, allow_head=False),
        ]

    async def access(self, request: web.Request) -> web.Response:
        """What an agent, or everybody in a user's name, can reach now."""
        author = Author(self.bearers.admin(request, "viewer"))
        query = parameters(request, ("agent", "user"))
        if len(query) != 1:
            raise BadRequest("This takes `agent` or `user`.", code="bad_query", hint="For example agent=mailbot.")
        bundle = self.current.bundle
        access = Access(self.store, Known.of(bundle))
        if "agent" in query:
            return _json(await access.agent(query["agent"], author))
        return _json(await access.user(bundle.people.person(query["user"]), author))

    async def audit(self, request: web.Request) -> web.Response:
        """The record, newest first."""
        who = self.bearers.admin(request, "viewer")
        query = parameters(request, ("since", "execution", "limit", "cursor"))
        execution = query.get("execution")
        if execution is not None and not is_id(execution, "exe"):
            raise _no_execution(execution)
        size = limit(query.get("limit"))
        page = await self.store.audit.page(
            since=_since(query.get("since")), execution=execution, limit=size, cursor=query.get("cursor")
        )
        if execution is not None and not page.items and await self.store.execution(execution) is None:
            raise _no_execution(execution)
        await self._read(who, execution)
        return _json({"items": [entry.data() for entry in page.items], "next": page.next})

    async def explain(self, request: web.Request) -> web.Response:
        """A stored execution through today's rules."""
        author = Author(self.bearers.admin(request, "viewer"))
        query = parameters(request, ("execution",))
        if "execution" not in query:
            raise BadRequest("This takes `execution`.", code="bad_query", hint="An id that begins with exe_.")
        id = query["execution"]
        execution = await self.store.execution(id) if is_id(id, "exe") else None
        if execution is None:
            raise _no_execution(id)
        bundle = self.current.bundle
        operation = bundle.operation(execution.action)
        if operation is None:
            raise NotFound(
                f"No connector describes {execution.action} any more, so no rule is about it.", code="unknown_action"
            )
        past = past_of(execution, history_of(bundle.policy.reads(execution.action)), lambda: bundle.kinds, then=True)
        history = None if past is None else await self.store.history(past, execution.created)
        explained = explain_execution(bundle.policy, execution, operation.action, history)
        looked = Audit(
            actor="", what=({"do": "explain.read"},), user=execution.user, agent=execution.chain[0], execution=id
        )
        await record(self.store, author, looked)
        return _json({"execution": id, **data(explained), "now": rfc3339(explained.call.now)})

    async def _read(self, who: str, execution: str | None) -> None:
        now = self.store.now()
        if now < self._readers.get((who, execution), 0):
            return
        for key in [key for key, until in self._readers.items() if until <= now]:
            del self._readers[key]
        await record(self.store, Author(who), Audit(actor="", what=({"do": "audit.read"},), execution=execution))
        self._readers[who, execution] = now + AGAIN


def _since(text: str | None) -> Millis | None:
    if text is None:
        return None
    try:
        return from_rfc3339(text)
    except ValueError:
        raise BadRequest(
            "`since` is an RFC 3339 time.", code="bad_query", hint="For example 2026-01-05T12:00:00Z."
        ) from None


def _no_execution(id: str) -> NotFound:
    return NotFound(f"There is no execution {id[:80]!r}.", hint="Ids of executions begin with exe_.")


def _json(value: Any) -> web.Response:
    return web.Response(body=_encode(value), content_type="application/json")

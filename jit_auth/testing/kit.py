"""`JitAuth`: the service as a test has it in hand; what agents, people, operators, the API and time do to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jit_auth.client import AsyncClient, Client, Execution, Repeats
from jit_auth.client.address import address
from jit_auth.client.blocking import Blocking
from jit_auth.client.protocol import Call, Speaker
from jit_auth.config.signing import signing_text
from jit_auth.engine.pages import Choice
from jit_auth.errors import Misused
from jit_auth.storage.clock import Clock
from jit_auth.testing import people
from jit_auth.testing.accounts import Accounts
from jit_auth.testing.api import Api
from jit_auth.testing.configuration import Configuration
from jit_auth.testing.deliveries import Deliveries, Delivery
from jit_auth.testing.place import Place
from jit_auth.testing.running import Running
from jit_auth.testing.setup import Setup
from jit_auth.testing.wire import Wire

ONCE = Repeats(seconds=0)
QUICK = Repeats(seconds=10, first=0.02, longest=0.5)
"""How clients of the kit repeat: the service is on this machine."""


class JitAuth:
    """A real service on 127.0.0.1, and everybody around it. The fixture `jit_auth` makes one, or `run`.

    All methods are plain functions that return when it is done; tests with an event loop call them as they are. Those
    that decide raise `jit_auth.errors.Problem` where the service refuses the decision, with its code, and `Misused`
    where nothing is there to be decided. An execution is given as such, or by its id.
    """

    def __init__(self, setup: Setup, folder: Path, place: Place) -> None:
        """Starts it. Raises Faults, Misused."""
        self.api = Api()
        """What actions reach: what it answers, and what it was sent."""
        self._clock = Clock()
        self._accounts = Accounts()
        self._deliveries = Deliveries()
        self._configuration = Configuration(setup, folder, place.url, place.token)
        self._clients: list[Client] = []
        self._running = self._start()

    # Agents

    @property
    def url(self) -> str:
        """JIT_AUTH_URL."""
        return self._configuration.url

    def token(self, agent: str | None = None) -> str:
        """JIT_AUTH_TOKEN of an agent; without a name the first one's. Raises Misused."""
        return self._configuration.token(agent)

    def client(self, agent: str | None = None) -> Client:
        """A client that speaks as that agent. The kit closes it."""
        self._clients.append(Client(self.url, self.token(agent), repeats=QUICK))
        return self._clients[-1]

    def async_client(self, agent: str | None = None) -> AsyncClient:
        """The same for `async with`, which closes it."""
        return AsyncClient(self.url, self.token(agent), repeats=QUICK)

    def register(self, agent: str, **table: Any) -> str:
        """One more agent, with the keys of its table in config.toml (`actions` above all); its token. Raises Faults."""
        settings = self._configuration.with_agent(agent, table)
        if not self._running.do(self._running.service.reload(lambda: settings)):
            raise Misused("The service did not take the new agent.", hint="Its log says why.")
        return self.token(agent)

    def callback_secret(self, agent: str | None = None) -> str:
        """What signs an agent's callbacks (`whsec_...`), for `verify_webhook`. Raises Misused."""
        self.token(agent)
        name = self._configuration.first if agent is None else agent
        store, own = self._running.service.store, self._running.service.engine.current.settings.callback_secrets
        return signing_text(own.get(name) or store.derive(f"callback:{name}"))

    # Users

    def connect(
        self,
        user: str,
        *actions: str,
        agent: str | None = None,
        account: str | None = None,
        scopes: Sequence[str] | None = None,
    ) -> None:
        """The user has connected an account and let the agent use it for these actions.

        `account`: its name at the provider (default: the user's id); `scopes`: what the provider granted, where it is
        not what was asked. Raises Problem where the agent may not use an action, or the user has just refused.
        """
        self.token(agent)
        name = self._configuration.first if agent is None else agent
        self._running.do(people.connect(self._running.service, self._accounts, name, user, actions, account, scopes))

    def consent(
        self, execution: Execution | str, *, account: str | None = None, scopes: Sequence[str] | None = None
    ) -> Execution:
        """The user says yes to what this execution waits for; how it stands then. `account`, `scopes`: as `connect`."""
        done = people.answer(self._running.service, self._accounts, _id(execution), account, scopes)
        return self._after(execution, self._running.do(done))

    def refuse_consent(self, execution: Execution | str) -> Execution:
        """The user says no."""
        return self._after(execution, self._running.do(people.refuse(self._running.service, _id(execution))))

    # Approvers

    def approve(
        self,
        execution: Execution | str,
        *,
        by: str,
        feedback: str | None = None,
        params: Mapping[str, Any] | None = None,
        hold: timedelta | None = None,
    ) -> Execution:
        """A person approves what is open; how it stands then (`paused` where others are still needed).

        `params`: what they change (`editable`), so that others are asked anew; `hold`: approve for a while
        (`for_max`). Raises Problem: `not_eligible` for who is not asked, `already_decided`, `expired`, ...
        """
        millis = None if hold is None else int(hold.total_seconds() * 1000)
        return self._vote(execution, by, Choice(verdict="approve", feedback=feedback, params=params, hold=millis))

    def deny(self, execution: Execution | str, *, by: str, feedback: str | None = None) -> Execution:
        """A person denies it; `feedback` is what the agent is told. Raises Problem, as `approve`."""
        return self._vote(execution, by, Choice(verdict="deny", feedback=feedback))

    def resolve(self, execution: Execution | str, outcome: str, *, note: str, by: str | None = None) -> Execution:
        """A call of unknown outcome `succeeded` or `failed`, as an operator, or a person of `unknown_to`, found out."""
        done = people.resolve(self._running.service, _id(execution), outcome, note, by)
        return self._after(execution, self._running.do(done))

    # Time

    @property
    def now(self) -> datetime:
        """The service's time."""
        return datetime.fromtimestamp(self._clock() / 1000, UTC)

    def advance(self, by: timedelta | float) -> None:
        """Let time pass (seconds), and everything happen that is due then."""
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        if seconds < 0:
            raise Misused("Time does not go back.")
        self._clock.offset += int(seconds * 1000)
        self._running.do(people.caught_up(self._running.service))

    def expire(self, execution: Execution | str) -> Execution:
        """Let so much time pass that what is open of it runs out: its question, the call, or an agent's claim."""
        service = self._running.service
        until = self._running.do(people.runs_out(service, _id(execution)))
        self.advance(max(0, until - self._clock() + 1) / 1000)
        return self._after(execution, None)

    def abandon(self, execution: Execution | str) -> Execution:
        """Another process of the agent claims a released function and dies; its claim runs out: nobody knows whether it
        ran. Raises Refused where it is not released."""
        found = self._after(execution, None)
        digest = json.dumps({"digest": found.digest}).encode()
        self._said(Call("POST", f"/executions/{found.id}/claim", digest), self.token(found.agent))
        return self.expire(found)

    # Operators

    def halt(self, reason: str = "test") -> None:
        """Nothing is sent until `resume`."""
        self._administer("/admin/halt", {"reason": reason})

    def resume(self, reason: str = "test") -> None:
        """Go on after `halt`."""
        self._administer("/admin/resume", {"reason": reason})

    def revoke(
        self,
        *,
        agent: str | None = None,
        user: str | None = None,
        connector: str | None = None,
        grant: str | None = None,
    ) -> None:
        """The kill switch, for one of them: open executions end as `denied`, `revoked`. Raises Refused."""
        named = {"agent": agent, "user": user, "connector": connector, "grant": grant}
        self._administer("/admin/revoke", {kind: id for kind, id in named.items() if id is not None})

    def restore(self, *, agent: str | None = None, connector: str | None = None) -> None:
        """Lift what `revoke` has stopped; it revives nothing. Raises Refused."""
        for kind, name in (("agents", agent), ("connectors", connector)):
            if name is not None:
                self._administer(f"/admin/{kind}/{name}/restore", {})

    def restart(self, *, away: timedelta | float = 0.0) -> None:
        """Stop the service and start it on the same database, address and time; `away`: (seconds) how long the service
        was down, by its clock."""
        self._running.stop()
        self._clock.offset += int((away.total_seconds() if isinstance(away, timedelta) else away) * 1000)
        self._running = self._start()

    # Events

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """All callbacks and webhooks so far, oldest first. To an address of this machine they are really sent, too."""
        return self._deliveries.all

    def next_delivery(self, type: str | None = None, *, timeout: float = 5.0) -> Delivery:
        """The oldest one (of that type) that was not asked for yet; waited for, in real seconds. Raises Misused."""
        self._running.do(people.caught_up(self._running.service))  # they leave with the worker's next turn
        return self._deliveries.take(type, timeout)

    def close(self) -> None:
        """Stop the service. Raises what a handler of `api` raised, if one did."""
        for client in self._clients:
            client.close()
        self._running.stop()
        if self.api.faults:
            raise self.api.faults[0]

    def _start(self) -> Running:
        def wire(allow_private: Sequence[str]) -> Wire:
            return Wire(allow_private, api=self.api, accounts=self._accounts, deliveries=self._deliveries)

        running = Running(self._configuration.settings(), self._clock, wire)
        self._accounts.providers = lambda: running.service.engine.bundle.catalog.providers
        return running

    def _vote(self, execution: Execution | str, by: str, choice: Choice) -> Execution:
        return self._after(execution, self._running.do(people.vote(self._running.service, _id(execution), by, choice)))

    def _after(self, execution: Execution | str, done: None) -> Execution:
        """As its own agent sees it now."""
        found = self._running.do(people.opened(self._running.service, _id(execution)))
        wire = self._wire(self.token(found.execution.agent))
        try:
            answer = wire.send(Call("GET", f"/executions/{found.execution.id}"))
            return Execution(Speaker(self.url, ONCE).read(answer))
        finally:
            wire.close()

    def _administer(self, path: str, body: Mapping[str, Any]) -> None:
        self._said(Call("POST", path, json.dumps(body).encode()), self._configuration.admin)
        self._running.do(people.caught_up(self._running.service))

    def _said(self, call: Call, token: str) -> None:
        wire = self._wire(token)
        try:
            Speaker(self.url, ONCE).read(wire.send(call))
        finally:
            wire.close()

    def _wire(self, token: str) -> Blocking:
        return Blocking(address(self.url, token, allow_http=False), 30.0)


def _id(execution: Execution | str) -> str:
    return execution if isinstance(execution, str) else execution.id

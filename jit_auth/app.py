"""Wiring: constructs every part once and passes it on. The only place that knows them all."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from jit_auth.channels import CHANNELS, Channel, Port, Tools
from jit_auth.channels.terminal import stdout
from jit_auth.config.settings import Settings
from jit_auth.core.mac import Mac
from jit_auth.egress import Egress
from jit_auth.engine.accounts import Accounts
from jit_auth.engine.advance import Dispatcher
from jit_auth.engine.approvals import Approvals
from jit_auth.engine.apps import Apps
from jit_auth.engine.attempt import Attempts
from jit_auth.engine.ballot import Ballot
from jit_auth.engine.bundle import Bundle
from jit_auth.engine.claims import Claims
from jit_auth.engine.connect import Connects
from jit_auth.engine.connections import Connections
from jit_auth.engine.consents import Consents
from jit_auth.engine.copies import Copies
from jit_auth.engine.current import Current
from jit_auth.engine.cuts import Cuts, Named
from jit_auth.engine.erasure import Erasures
from jit_auth.engine.face import Engine
from jit_auth.engine.functions import Functions
from jit_auth.engine.halts import Halts
from jit_auth.engine.judge import Judge
from jit_auth.engine.memory import Memory
from jit_auth.engine.mine import Mines
from jit_auth.engine.outcomes import Outcomes
from jit_auth.engine.own import Own
from jit_auth.engine.preview import Previews
from jit_auth.engine.proof import Proof
from jit_auth.engine.submit import Submit
from jit_auth.engine.tail import Tail
from jit_auth.engine.undo import Undo
from jit_auth.engine.units import Writer
from jit_auth.engine.waits import Waits
from jit_auth.engine.withdrawals import Withdrawals
from jit_auth.errors import ChannelError
from jit_auth.model import Execution
from jit_auth.oauth.flow import Flows
from jit_auth.oauth.held import Held
from jit_auth.oauth.metadata import Discovery
from jit_auth.oauth.refresh import Refresher
from jit_auth.reload import Reload, kept_for, loaded
from jit_auth.send.sender import Sender
from jit_auth.signin.codes import Codes
from jit_auth.signin.linking import Linking
from jit_auth.signin.oidc import open_oidc
from jit_auth.signin.sessions import Sessions
from jit_auth.storage.announce import announce
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault
from jit_auth.watch import Watch
from jit_auth.watch.metrics import Present
from jit_auth.web import approve, connect, openapi
from jit_auth.web.admin import Administration
from jit_auth.web.agents import Bearers
from jit_auth.web.catalogue import Actions
from jit_auth.web.codes import CodePages
from jit_auth.web.confirm import Confirm
from jit_auth.web.connections import ConnectionRoutes
from jit_auth.web.erase import EraseRoute
from jit_auth.web.execute import Execute
from jit_auth.web.executions import Executions
from jit_auth.web.functions import FunctionRoutes
from jit_auth.web.inspect import Inspection
from jit_auth.web.me import Me
from jit_auth.web.metrics import Scrapes
from jit_auth.web.pages import Pages
from jit_auth.web.server import application
from jit_auth.web.signin import SignIn
from jit_auth.web.stream import Streams
from jit_auth.web.undo import UndoForm
from jit_auth.web.visits import Visits
from jit_auth.worker import Worker
from jit_auth.worker.gather import Gathers
from jit_auth.worker.hooks import Hooks
from jit_auth.worker.owed import Owed
from jit_auth.worker.show import Shows

if TYPE_CHECKING:
    from jit_auth.web.passkeys import Passkeys, Tell

log = logging.getLogger(__name__)

MOST_SKEW = 5_000
"""Milliseconds that this machine's clock may differ from the database's before it is not ready."""
CUT_AT_ONCE = 100
"""Executions that end at once with what they hung on."""


@dataclass
class Service:
    """A running service: its HTTP application, and what has to happen beside it."""

    app: web.Application
    engine: Engine
    worker: Worker
    store: Store
    reloads: Reload
    """Whether the last reload failed, and how many did."""
    connections: Connections
    """What an agent may ask its user to connect."""
    metrics: web.Application | None = None
    """For `[server] metrics_listen`."""
    draining: bool = False
    """It was told to stop: calls under way end, no new ones should come."""

    def stop(self, seconds: float) -> None:
        """Calls under way get so long to end, and nobody waits for people any more."""
        self.draining = True
        self.engine.own.waits.end()
        self.engine.dispatcher.stop(seconds)

    async def reload(self, read: Callable[[], Settings]) -> bool:
        """Go on with the files as they are now, as `read` reads them; False where they are faulty, and the service
        goes on as it was. One that drains goes on as it was."""
        if self.draining or not await self.reloads(read):
            return False
        self.worker.wake()
        return True


@asynccontextmanager
async def build(
    settings: Settings,
    bundle: Bundle,
    *,
    clock: Clock | None = None,
    write: Callable[[str], object] = stdout,
    opened: Callable[[Store], Store] = lambda store: store,
    watch: Watch | None = None,
    egress: Callable[[Sequence[str]], Egress] = Egress,
    channels: Mapping[str, Channel] = CHANNELS,
) -> AsyncIterator[Service]:
    """A service from settings and bundle, for as long as the context lasts.

    `clock` is shifted by tests; `write` gets what the terminal channel prints; `opened` may wrap the store (crash
    tests do); `watch` counts, logs and traces (None: counts alone); `egress` makes the door to other hosts of
    `allow_private_hosts`, and `channels` are the ways to people (jit_auth.testing gives its own of both). No
    configuration chooses any of them. Raises StorageError, VaultError.
    """
    vault = Vault(settings.vault.keys)
    async with AsyncExitStack() as stack:
        store = opened(
            await Store.open(settings.storage.url, vault, clock=clock or Clock(), base=settings.base, serve=True)
        )
        stack.push_async_callback(store.close)
        limits, environment, public_url = settings.limits, settings.server.environment, settings.server.public_url
        make_id = announce(store, settings)
        current = Current(settings, bundle)
        store.keep = kept_for(settings)
        reloads = Reload(store, current)
        watch = watch or Watch()
        watch.metrics.catalog = lambda: current.bundle.catalog
        store.wrote, store.batched = watch.wrote, watch.batched
        await store.publish(bundle.hash, "engine", loaded(bundle))
        door = egress(settings.connectors.allow_private_hosts)
        stack.push_async_callback(door.close)
        discovery = Discovery(door, store.now)
        refresher = Refresher(store, door, discovery=discovery)
        stack.push_async_callback(refresher.close)
        flows = Flows(store, door, Mac(store.derive("oauth-state")), discovery=discovery)
        tickets = store.derive("tickets")

        memory = Memory(store)
        await memory.reread()
        proof = Proof(memory, settings.users.verify == "none", bool(settings.issuers), settings.loopback)
        judge = Judge(current, memory, store, proof, most_open=limits.open_per_agent, cooldown=limits.deny_cooldown)
        attempts = Attempts(store, memory, Sender(door), refresher, limits.send_window / 1000)
        waits = Waits()
        copies = Copies(settings.users.notify, store.process, make_id)
        writer = Writer(store.process, make_id, copies)
        dispatcher = Dispatcher(store, memory, judge, attempts, writer, waits)
        stack.push_async_callback(dispatcher.drain)  # once more: channels work off what they took as they close
        ballot = Ballot(store, memory, make_id)
        approvals = Approvals(store, memory, current, judge, dispatcher, ballot, proof, environment, tickets)
        connects = Connects(store, memory, current)
        claims = Claims(current, proof, settings.users.verify, settings.users.issuer)
        undo = Undo(store, memory, current, environment, tickets)
        apps: Apps | None = None
        if settings.users.verify == "app":
            apps = Apps(store, current, flows, Held(store, Mac(store.derive("confirmations"))), settings.users.app_url)
        consents = Consents(
            store, memory, current, dispatcher, flows, connects, environment, public_url, tickets, claims, undo, apps
        )
        own = Own(store, waits, dispatcher)
        submit = Submit(store, memory, current, judge, dispatcher, make_id)
        engine = Engine(
            current=current,
            submitter=submit,
            dispatcher=dispatcher,
            own=own,
            approvals=approvals,
            consents=consents,
            outcomes=Outcomes(store, dispatcher, approvals),
            previews=Previews(store, memory, judge, submit, writer),
        )
        tools = Tools(
            engine, lambda: current.bundle.people, public_url, environment, store.now, write, settings.loopback
        )
        ports: dict[str, Port] = {}
        for way in bundle.reach.ways:
            channel = channels[way.name]
            ports[way.name] = await stack.enter_async_context(channel.open(settings.channels.get(way.name), tools))
        gather_key = Mac(store.derive("gather"))
        gathers = Gathers(store, approvals, make_id, gather_key, limits.asks_per_person_hour, environment)
        shows = Shows(store, approvals, consents, gathers, ports, channels, current, public_url, tickets)

        def callback_secret(agent: str) -> bytes:
            return current.settings.callback_secrets.get(agent) or store.derive(f"callback:{agent}")

        hooks = Hooks(store, door, settings.webhooks, lambda: current.bundle.agents, callback_secret)
        stack.push_async_callback(hooks.close)
        worker = Worker(store, memory, dispatcher, shows, Owed(store, door, current, hooks))

        def moved(execution: Execution) -> None:
            if execution.state == "paused":
                worker.wake()  # its cards are to be shown
            elif execution.due is not None and execution.process is None:
                worker.expect(execution.due)  # it is tried again

        dispatcher.moved, dispatcher.took, dispatcher.within = moved, watch.took, watch.within

        bearers = Bearers(current)

        def stopped(agent: str) -> bool:
            return ("agent", agent) in memory.belief.stops or agent not in current.bundle.agents

        async def settle(executions: Sequence[str]) -> None:
            await memory.reread()
            for execution_id in executions[:CUT_AT_ONCE]:  # the worker ends the others, which are due
                dispatcher.spawn(dispatcher.advance(execution_id))
            worker.wake()

        waits.stopped = stopped

        def named() -> Named:
            catalog = current.bundle.catalog
            return Named(current.bundle.agents, catalog.connectors, catalog.providers)

        cuts = Cuts(store, door, named, settle)
        connections = Connections(
            store, memory, current, submit, copies, make_id, limits.deny_cooldown, limits.open_per_agent
        )
        accounts = Accounts(store, memory, current, cuts)
        execute = Execute(engine, bearers)
        functions = Functions(store, memory, judge, dispatcher, writer, own, Mac(store.derive("claims")))
        pages = Pages(public_url, environment)
        sessions = Sessions(store, Mac(store.derive("sessions")), approvals.gone)
        visits = Visits(sessions, pages, tuple(settings.issuers))
        oidc = await stack.enter_async_context(
            open_oidc(settings.issuers.values(), public_url=public_url, key=store.derive("signin"), now=store.now)
        )
        linking = Linking(store, current, Mac(store.derive("identities")), approvals.gone)
        signin = SignIn(oidc, linking, visits, pages)
        by_code: tuple[web.RouteDef, ...] = ()
        if settings.users.verify == "email" and "email" in ports:
            from jit_auth.channels.email.port import EmailPort  # which the open channel has imported already

            if isinstance(mail := ports["email"], EmailPort):
                codes = Codes(store, Mac(store.derive("codes")), mail.send_code)
                by_code = tuple(CodePages(engine, codes, visits, pages).routes())

        async def tell(person: str, subject: str, words: str) -> None:
            for name, port in ports.items():
                try:
                    await port.tell(person, subject, words)
                except ChannelError as error:
                    log.warning("%s: %s", name, error.message)

        passkeys = _passkeys(store, engine, public_url, visits, pages, tell) if settings.issuers else None
        mines = Mines(store, memory, current, consents)
        me = Me(mines, Withdrawals(store, memory, current, dispatcher), pages, visits)
        routes = [
            *execute.routes(),
            *Executions(engine, bearers, execute).routes(),
            *FunctionRoutes(functions, bearers, execute).routes(),
            *ConnectionRoutes(connections, accounts, consents, current, bearers).routes(),
            *Actions(engine, bearers).routes(),
            *Streams(engine, bearers, environment, stopped, Tail(store.audit.feed, waits)).routes(),
            *(scrapes := Scrapes(watch.metrics.text, bearers)).routes(),
            *Administration(cuts, Halts(store), current, bearers).routes(),
            *Inspection(store, current, bearers).routes(),
            *EraseRoute(Erasures(store, cuts, current, make_id, settle), bearers).routes(),
            *approve.routes(engine, pages, visits, engine, passkeys),
            *connect.routes(engine, pages, visits),
            *by_code,
            *(Confirm(engine, settings.users.app_secret, pages).routes() if apps is not None else ()),
            *UndoForm(engine, pages).routes(),
            *((*signin.routes(), *me.routes(), *passkeys.routes()) if passkeys is not None else ()),
            *(route for port in ports.values() for route in port.routes),
        ]

        async def ready() -> tuple[int, str]:
            if service.draining:
                return 503, "draining"
            if abs(store.skew) > MOST_SKEW:
                return 503, "clock_skew"
            if store.bundle != current.bundle.hash:
                return 503, "stale_bundle"
            if (await memory.recent()).halted:
                return 503, "halted"
            return 200, "reload_failed" if reloads.failed else "ok"

        watch.metrics.backlog = store.backlog
        watch.metrics.present = lambda: Present(
            store.epoch,
            memory.belief.halted,
            store.bundle != current.bundle.hash,
            reloads.failed,
            store.skew,
            worker.ages(),
        )
        hosts = {settings.server.host, *settings.server.hosts}
        app = application([*routes, openapi.route(routes)], hosts, ready, watch.request)
        alone = scrapes.alone(settings.server.metrics_listen)
        service = Service(app, engine, worker, store, reloads, connections, alone)
        yield service
        await dispatcher.drain()


def _passkeys(store: Store, engine: Engine, public_url: str, visits: Visits, pages: Pages, tell: Tell) -> Passkeys:
    # WebAuthn's attestation formats are a tenth of the service's start: only where there is somebody to use a passkey.
    from jit_auth.signin.site import relying_party
    from jit_auth.signin.stepup import StepUp
    from jit_auth.web.passkeys import Passkeys

    handles = Mac(store.derive("passkeys"))
    stepup = StepUp(store, relying_party(public_url), os.urandom, lambda person: handles.digest(person.encode()))
    return Passkeys(engine, stepup, visits, pages, tell)


def calm_gc() -> None:
    """Collect seldom: what a started service holds stays, and requests leave no cycles behind (measured: +2 to 8 %)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)

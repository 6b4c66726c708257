"""The metrics: what they are, how they follow from units that were written, calls that were made, answers that were
given, and the state read when somebody asks (THREAT_MODEL 40). docs/operations.md has the table; a test compares it.

Labels hold words of closed sets and ids that operators wrote into files. Never a user, an agent's words, a parameter, a
ticket, a path.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from jit_auth import __version__
from jit_auth.catalog.load import Catalog
from jit_auth.errors import StorageError
from jit_auth.model import Applied, Backlog, Change, Execution, Insert, Millis, Stale, Unit
from jit_auth.watch.series import Counter, Histogram

PATIENCE = 3.0
"""Seconds that the database gets to say what waits; after that it counts as away."""
FRESH = 1.0
"""Seconds for which what was read is answered again: asking often costs the database nothing."""

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_COMMIT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_HUMAN = (1, 5, 15, 60, 300, 900, 3_600, 4 * 3_600, 12 * 3_600, 86_400, 3 * 86_400, 14 * 86_400)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Kind(Struct, frozen=True):
    """What operators know an action by."""

    connector: str = ""
    provider: str = ""
    effect: str = ""
    risk: str = ""


class Present(Struct, frozen=True):
    """How the service stands at this moment, from memory."""

    epoch: int = 0
    halted: bool = False
    stale_bundle: bool = False
    reload_failed: bool = False
    skew: Millis = 0
    rounds: Mapping[str, float] = {}
    """Of the worker: seconds since each ended well."""


_GAUGES: tuple[tuple[str, str, Callable[[Present, Backlog], float], bool], ...] = (
    ("epoch", "The epoch that this process knows", lambda now, _: now.epoch, False),
    ("halted", "1 while an operator has halted all sends", lambda now, _: now.halted, False),
    ("stale_bundle", "1 while another process has published other rules; this one sends nothing",
     lambda now, _: now.stale_bundle, False),
    ("reload_failed", "1 while the last reload was faulty and the bundle before it runs on",
     lambda now, _: now.reload_failed, False),
    ("clock_skew_seconds", "How far the database's clock is ahead of this machine's",
     lambda now, _: now.skew / 1000, False),
    ("paused_executions", "Executions that wait for people", lambda _, there: there.paused, True),
    ("released_executions", "Functions of agents' own that wait to be claimed", lambda _, there: there.released, True),
    ("lost_intents", "Intents past their deadline without an outcome on record", lambda _, there: there.lost, True),
    ("cards_due", "Copies of questions that are to be shown now", lambda _, there: there.cards, True),
    ("cards_oldest_due_seconds", "Since when the longest due copy is", lambda _, there: there.cards_age, True),
    ("outbox_rows", "Events and revocations that are owed outside", lambda _, there: there.outbox, True),
    ("outbox_oldest_due_seconds", "Since when the longest due of them is", lambda _, there: there.outbox_age, True),
)  # fmt: skip
"""Name, help, value, and whether it needs the database."""


class Metrics(Collector):
    """All of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.catalog: Callable[[], Catalog | None] = lambda: None
        """The actions there are: of the present bundle."""
        self._known: tuple[Catalog | None, dict[str, Kind]] = (None, {})
        self.present: Callable[[], Present] = Present
        self.backlog: Callable[[], Awaitable[Backlog]] | None = None
        self.executions = Counter(
            "jit_auth_executions", "Executions by state reached", "state", "connector", "effect", "risk"
        )
        self.decisions = Counter("jit_auth_decisions", "Decisions of the policies", "decision", "connector")
        self.sends = Counter("jit_auth_sends", "Attempts at a provider by what came of them", "provider", "outcome")
        self.send_seconds = Histogram("jit_auth_send_seconds", "How long attempts took", _FAST, "provider")
        self.decide_seconds = Histogram("jit_auth_decide_seconds", "How long it took to judge a call", _FAST)
        self.lead_seconds = Histogram(
            "jit_auth_decision_to_send_seconds",
            "From the call, or the last thing people gave, to the intent of the first attempt",
            _FAST,
        )
        self.pause_seconds = Histogram(
            "jit_auth_pause_seconds", "From the call to the moment it waits for people no longer", _HUMAN, "state"
        )
        self.refreshes = Counter("jit_auth_refreshes", "Refreshes of tokens", "provider", "outcome")
        self.broken = Counter("jit_auth_grants_broken", "Grants that providers ended", "provider")
        self.connections = Counter(
            "jit_auth_connections_asked", "Consents that agents asked for before any call", "provider"
        )
        self.votes = Counter("jit_auth_votes", "Votes of people", "verdict")
        self.cards = Counter("jit_auth_cards", "Copies of questions by what was done with them", "channel", "did")
        self.records = Counter("jit_auth_audit_rows", "Rows put on record by this process")
        self.stale = Counter("jit_auth_stale_units", "Units refused because something had moved", "which")
        self.away = Counter("jit_auth_storage_errors", "Units that could not be written", "unknown")
        self.batch_units = Histogram("jit_auth_batch_units", "Units in a transaction of the journal", _SIZES)
        self.commit_seconds = Histogram("jit_auth_commit_seconds", "How long such a transaction took", _COMMIT)
        self.requests = Counter("jit_auth_http_requests", "Requests answered", "method", "route", "status")
        self.request_seconds = Histogram("jit_auth_http_request_seconds", "How long answers took", _FAST, "route")
        self.problems = Counter("jit_auth_http_problems", "Answers that are a refusal or a fault", "status", "code")
        self._series = [each for each in vars(self).values() if isinstance(each, Counter | Histogram)]
        self._read: tuple[float, Backlog | None] = (float("-inf"), None)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(namespace="jit_auth", registry=self.registry)

    def wrote(self, unit: Unit, answer: Applied | Stale | StorageError) -> None:
        """Count what a unit did, or why it did nothing."""
        if isinstance(answer, Stale):
            self.stale.add(answer.which)
            return
        if isinstance(answer, StorageError):
            self.away.add("yes" if answer.unknown else "no")
            return
        kinds, kind = self._kinds(), _NO_KIND
        for op in unit.ops:
            if type(op) is Change:
                was = op.was
                if type(was) is Execution:
                    kind = kinds.get(was.action, _NO_KIND)
                    self._moved(was, op.to, answer.at, kind)
            elif type(op) is Insert:
                row = op.row
                if type(row) is Execution:
                    kind = kinds.get(row.action, _NO_KIND)
                    self.executions.add(row.state, kind.connector, kind.effect, kind.risk)
                    if row.intent:
                        self.lead_seconds.observe(max(0, answer.at - row.created) / 1000)
        self.records.add(by=1.0 + len(unit.more))
        for line in (unit.audit, *unit.more) if unit.more else (unit.audit,):
            for fact in line.what:
                count = _COUNTED.get(fact["do"])
                if count is not None:
                    count(self, fact, kind)

    def batched(self, units: int, seconds: float) -> None:
        """Count one transaction of the journal."""
        self.batch_units.observe(units)
        self.commit_seconds.observe(seconds)

    def answered(self, method: str, route: str, status: int, code: str, seconds: float) -> None:
        """Count one answer. `route` is the template."""
        self.requests.add(method if method in _METHODS else "other", route, _CLASSES.get(status // 100, "other"))
        self.request_seconds.observe(seconds, route)
        if status >= 400:
            self.problems.add(str(status), code or "none")

    def took(self, what: str, execution: Execution, seconds: float, came: str) -> None:
        """Count one step of an execution: `decide`, `commit` or `send` (`came` is what the attempt came to)."""
        if what == "send":
            provider = self._kinds().get(execution.action, _NO_KIND).provider
            self.sends.add(provider, came)
            self.send_seconds.observe(seconds, provider)
        elif what == "decide":
            self.decide_seconds.observe(seconds)

    async def text(self) -> bytes:
        """Everything in Prometheus' text format, as of now."""
        now = asyncio.get_running_loop().time()
        if self.backlog is not None and now - self._read[0] >= FRESH:
            found: Backlog | None = None
            try:
                async with asyncio.timeout(PATIENCE):
                    found = await self.backlog()
            except (StorageError, TimeoutError):
                pass  # said by `jit_auth_database_up`
            self._read = (now, found)
        return generate_latest(self.registry)

    def collect(self) -> Iterable[Metric]:
        """Called by the registry."""
        yield from (series.family() for series in self._series)
        present, backlog = self.present(), self._read[1]
        yield GaugeMetricFamily("jit_auth_database_up", "1 while the database answers", value=backlog is not None)
        for name, about, value, stored in _GAUGES:
            if backlog is not None or not stored:
                yield GaugeMetricFamily(f"jit_auth_{name}", about, value=float(value(present, backlog or Backlog())))
        ages = GaugeMetricFamily(
            "jit_auth_worker_round_age_seconds", "Since a round of the worker ended well", labels=("round",)
        )
        for name, age in present.rounds.items():
            ages.add_metric((name,), age)
        yield ages
        built = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily("jit_auth_build", "What runs here", value=built)

    def _moved(self, was: Execution, to: Mapping[str, Any], at: Millis, kind: Kind) -> None:
        state = to.get("state", was.state)
        if state != was.state:
            self.executions.add(state, kind.connector, kind.effect, kind.risk)
            if was.state == "paused":
                self.pause_seconds.observe(max(0, at - was.created) / 1000, state)
        # (When an agent claims what is released to it is the agent's choice.)
        if to.get("intent") and to.get("attempt") == 1 and was.state != "released":
            since = was.created if was.met is None else was.met
            self.lead_seconds.observe(max(0, at - since) / 1000)

    def _kinds(self) -> dict[str, Kind]:
        catalog = self.catalog()
        if catalog is not self._known[0] and catalog is not None:
            kinds = {
                name: Kind(found.connector.id, found.provider.id, found.action.effect, found.action.risk)
                for name, found in catalog.actions.items()
            }
            self._known = (catalog, kinds)
        return self._known[1]


_NO_KIND = Kind()
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CLASSES = {number: f"{number}xx" for number in range(1, 6)}


def _refreshed(metrics: Metrics, fact: Mapping[str, Any], kind: Kind) -> None:
    if fact["step"] != "begin":
        metrics.refreshes.add(fact["provider"], fact["step"].replace(" ", "_"))


_COUNTED: dict[str, Callable[[Metrics, Mapping[str, Any], Kind], None]] = {
    "decision": lambda metrics, fact, kind: metrics.decisions.add(fact["effect"], kind.connector),
    "refresh": _refreshed,
    "grant.broken": lambda metrics, fact, _: metrics.broken.add(fact["provider"]),
    "connection.asked": lambda metrics, fact, _: metrics.connections.add(fact["provider"]),
    "vote": lambda metrics, fact, _: metrics.votes.add(fact["verdict"]),
    "card": lambda metrics, fact, _: metrics.cards.add(fact["via"], fact["did"]),
}
"""Facts that are counted, by their `do`."""

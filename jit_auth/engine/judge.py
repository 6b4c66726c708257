"""Judge an execution anew: who, for whom, which account, which scopes, which rules, and what exactly would leave."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from jit_auth.catalog.load import Operation
from jit_auth.core.digest import canonical, digest
from jit_auth.core.quorum import enough
from jit_auth.core.scopes import Lack, lack
from jit_auth.core.view import Came, View
from jit_auth.credentials import KINDS
from jit_auth.engine.bundle import Bundle
from jit_auth.engine.circle import Circle
from jit_auth.engine.current import Current
from jit_auth.engine.memory import Belief, Holding, Memory
from jit_auth.engine.past import past_of
from jit_auth.engine.proof import Proof
from jit_auth.errors import Unprocessable
from jit_auth.model import (
    Ask,
    At,
    Crowd,
    Decision,
    Execution,
    Grant,
    History,
    Millis,
    Pass,
    Place,
    Request,
    Trouble,
    Vote,
)
from jit_auth.policy.facts import Call
from jit_auth.storage.store import Store

_NOTHING = Decision("deny")
MOST_SKEW: Millis = 60_000
"""A process whose clock is further from the database's than this sends nothing."""


class Judged(Struct, frozen=True):
    """A view with what a send needs: the request as built, the grant, and the epoch it all rests on."""

    view: View
    at: At
    bundle: Bundle
    """By what it was judged."""
    operation: Operation | None = None
    grant: Grant | None = None
    request: Request | None = None
    shadow: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    """Facts and parameters that the decision could read."""
    groups: frozenset[str] | None = None
    """Of the user, as the decision saw them."""
    history: History | None = None
    """What was attempted before, where a rule reads it."""

    @property
    def execution(self) -> Execution:
        return self.view.execution

    def after(self, execution: Execution, came: Came | None) -> Judged:
        """The same judgement, for the row as it is now, with what became of the attempt."""
        return replace(self, view=replace(self.view, execution=execution, came=came))

    def claiming(self) -> Judged:
        """The same judgement, where the agent asks for its turn."""
        return replace(self, view=replace(self.view, claiming=True))

    def settled(self, settled: tuple[Ask, ...]) -> Judged:
        """The same judgement once these asks, which it found open, are owed no longer: they are not closed twice."""
        asks = tuple(_settled(ask) if ask in settled else ask for ask in self.view.asks)
        return replace(self, view=replace(self.view, asks=asks))


class Fixed(Struct, frozen=True):
    """What of a judgement depends on the action alone."""

    operation: Operation
    subjects: tuple[tuple[str, str], ...]
    places: tuple[Place, ...] | None
    """Where the credential will be added; None where the agent runs a function of its own."""


class Judge:
    """Reads what is believed, builds the request, asks the policy. Decides nothing itself."""

    def __init__(
        self, current: Current, memory: Memory, store: Store, proof: Proof, *, most_open: int, cooldown: Millis
    ) -> None:
        """`most_open`: paused executions that an agent may have; `cooldown`: after a denial (`[limits]`)."""
        self.current = current
        self.most_open = most_open
        self._proof = proof
        self._cooldown = cooldown
        self._memory = memory
        self._store = store
        self._fixed: dict[str, Fixed] = {}

    async def judge(
        self,
        execution: Execution,
        asks: tuple[Ask, ...] = (),
        votes: tuple[Vote, ...] = (),
        *,
        held: bool = False,
        fresh: bool = False,
        valid: Operation | None = None,
    ) -> Judged:
        """Everything that `next_step` depends on, by the present rules and rows. `fresh`: the stops were just read.
        `valid`: by what the parameters were just found valid; a reload may have come since."""
        bundle, belief = self.current.bundle, self._memory.belief
        now = self._store.now()
        operation = bundle.operation(execution.action)
        if operation is None:
            view = View(execution, _NOTHING, (), None, (), now, "never", False, 0, asks, votes, _unknown(execution))
            return Judged(replace(view, held=held), At(belief.epoch, bundle.hash, ()), bundle)
        fixed = self._fixed.get(execution.action)
        if fixed is None or fixed.operation is not operation:
            fixed = self._fix(execution.action, operation)
        subjects = [("agent", agent) for agent in execution.chain]
        subjects += fixed.subjects
        if execution.user is not None:
            subjects.append(("user", execution.user))
        grant, missing = await self._grant(bundle, execution, operation, now)
        if grant is not None:
            subjects.append(("grant", grant.id))
        barred = self._bar(bundle, execution, operation, belief, subjects)
        if barred is not None and belief.stops and not fresh:
            # A stop that was lifted elsewhere refuses nothing: memory only ever speeds a yes.
            await self._memory.reread()
            return await self.judge(execution, asks, votes, held=held, fresh=True, valid=valid)
        try:
            if operation is not valid:
                operation.validate(execution.params)
            request, mark = self._request(execution, operation, grant, fixed.places)
        except Unprocessable as fault:
            if not execution.version:
                raise
            # The action has changed since, or the account that was connected fits no address: it can never be sent.
            gone = Trouble("revoked", fault.message, fault.hint, by="policy")
            view = View(execution, _NOTHING, (), None, (), now, "never", False, 0, asks, votes, gone, held=held)
            return Judged(view, At(belief.epoch, bundle.hash, tuple(subjects)), bundle, operation)
        past = past_of(execution, bundle.history.get(execution.action, ()), lambda: bundle.kinds)
        history = None if past is None else await self._store.history(past)
        call = self._call(bundle, execution, operation, now, history)
        decision = bundle.policy.decide(call)
        # Who was stopped decides nothing any more; who voted must not be stopped until the send (THREAT_MODEL 7).
        eligibles: tuple[frozenset[str], ...] = ()
        reached: tuple[frozenset[str], ...] | None = None
        standing: Pass | None = None
        if decision.wants:
            current = next((ask for ask in asks if ask.kind == "approval" and ask.state in ("open", "met")), None)
            out = {name for kind, name in belief.stops if kind == "user"}
            escalated = current.escalated if current is not None else ()
            eligibles = tuple([one - out for one in Circle(bundle).eligible(execution, decision.wants, escalated)])
            voters = {vote.person for vote in votes if vote.verdict == "approve"}
            reached = tuple([await self._reached(bundle, one, operation, decision, voters) for one in eligibles])
            if current is None and mark is not None:
                standing = await self._standing(bundle, execution, decision, eligibles, mark, now)
        if standing is not None:
            subjects += [("user", voter) for voter in standing.voters]
        if votes:
            subjects += [("user", vote.person) for vote in votes if vote.verdict == "approve"]
        crowd = Crowd()
        if not execution.version and (missing is not None or (decision.wants and standing is None)):
            crowd = await self._store.circles.crowd(execution.agent, tally_key(execution), self.most_open)
        view = View(
            execution=execution,
            decision=decision,
            eligible=eligibles,
            digest=mark,
            lacks=(missing,) if missing is not None else (),
            now=now,
            retry=operation.action.retry,
            reads=operation.action.effect == "read",
            send_within=bundle.send_within,
            asks=asks,
            votes=votes,
            barred=barred,
            halted=belief.halted or abs(self._store.skew) > MOST_SKEW,
            held=held,
            reached=reached,
            standing=standing,
            crowd=crowd,
            cooldown=self._cooldown,
            spans=belief.spans,
            by_agent=operation.build is None,
        )
        if past is not None:
            policy = bundle.policy
            past = replace(past, holds=lambda then: policy.decide(replace(call, history=then)) == decision)
        at = At(belief.epoch, bundle.hash, tuple(subjects), past=past)
        shadow, reads = bundle.policy.shadow(call), bundle.reads[execution.action]
        groups = call.groups if execution.action in bundle.beyond else None
        return Judged(view, at, bundle, operation, grant, request, shadow, reads, groups, history)

    async def tallied(self, judged: Judged) -> Judged:
        """The same judgement of a call that is there already, with how often this was asked: for whoever asks anew."""
        execution = judged.execution
        crowd = await self._store.circles.crowd(execution.agent, tally_key(execution), 0)
        return replace(judged, view=replace(judged.view, crowd=crowd))

    async def _reached(
        self, bundle: Bundle, people: frozenset[str], operation: Operation, decision: Decision, voters: set[str]
    ) -> frozenset[str]:
        """Those who can be asked by the channels that the rules allow, and could prove who they are; or who have voted
        already."""
        via, reach, proof = decision.via, bundle.reach, self._proof
        could = [who for who in people if who in voters or reach.reachable(who, via)]
        if proof.open_links or proof.signs_in:
            return frozenset(could)
        able = [
            who
            for who in could
            if who in voters or await proof.able(bundle, who, reach.by(who, via), operation.action, decision)
        ]
        return frozenset(able)

    async def _standing(
        self, bundle: Bundle, execution: Execution, decision: Decision, eligibles: tuple[frozenset[str], ...],
        mark: str, now: Millis,
    ) -> Pass | None:  # fmt: skip
        """An "approve for a while" that covers this call. All of THREAT_MODEL 16 is judged anew: the digest, which
        holds user, chain and account; what decides the action; who gave it; and whether the rules still allow one."""
        if decision.for_max is None:
            return None
        # An attempt under a pass is repeated under it, though that was its last use.
        taken = None if execution.standing is None else await self._store.standing(execution.standing)
        known = await self._store.circles.passes(mark) if taken is None or taken.ended is not None else (taken,)
        for found in known:
            lasts = found.created + decision.for_max
            same = found.digest == mark and (found.action, found.user, found.chain, found.account, found.touch) == (
                execution.action, execution.user, execution.chain, execution.account,
                bundle.touch[execution.action],
            )  # fmt: skip
            if same and now < min(found.until, lasts) and enough(decision.wants, eligibles, found.voters):
                return found
        return None

    async def _grant(
        self, bundle: Bundle, execution: Execution, operation: Operation, now: Millis
    ) -> tuple[Grant | None, Lack | None]:
        """The grant to use and what it lacks; the rows are read before a lack is believed."""
        provider = operation.provider
        if not KINDS[provider.kind].connects or execution.user is None or operation.build is None:
            return None, None
        agent = execution.chain[0]
        grant: Grant | None = None
        missing: Lack | None = None
        for fresh in (False, True):
            holding = await self._memory.holding(execution.user, provider.id, fresh=fresh)
            grant = choose(holding, execution)
            consent = holding.consent(grant, agent, shared=bundle.shared_consent)
            missing = lack(operation.action, provider, execution.extra, grant, consent, now)
            if missing is None:
                break
        return grant, missing

    def _fix(self, action: str, operation: Operation) -> Fixed:
        provider = operation.provider
        subjects = (("provider", provider.id), ("connector", operation.connector.id))
        places = None if operation.build is None else tuple(KINDS[provider.kind].adds(provider))
        fixed = self._fixed[action] = Fixed(operation, subjects, places)
        return fixed

    def _bar(
        self, bundle: Bundle, execution: Execution, operation: Operation, belief: Belief,
        subjects: list[tuple[str, str]],
    ) -> Trouble | None:  # fmt: skip
        """Why this may not run at all any more: a stop, or the configuration no longer covers it."""
        for subject in subjects if belief.stops else ():
            if subject in belief.stops:
                return Trouble("revoked", f"This {subject[0]} was stopped.", "An operator can say why.", by="admin")
        if belief.cut(execution):
            return Trouble("revoked", "The user's access was revoked.", "A new call asks them anew.", by="admin")
        if belief.stops and any(
            ("own", f"{agent}/{execution.user}") in belief.stops for agent in ("*", *execution.chain)
        ):
            return Trouble(
                "revoked", "The user has stopped this agent.", "The user alone can allow it again.", by="user"
            )
        for agent in execution.chain:
            if operation.action.name not in bundle.allowed.get(agent, frozenset()):
                return Trouble("revoked", "The agent may no longer use this action.", "Ask an operator.", by="policy")
            if execution.user is not None and not bundle.serves(agent, execution.user):
                return Trouble("revoked", "The agent may no longer act for this user.", "Ask an operator.", by="policy")
        return None

    def _request(
        self,
        execution: Execution,
        operation: Operation,
        grant: Grant | None,
        places: tuple[Place, ...] | None,
    ) -> tuple[Request | None, str | None]:
        """The request as it would leave and its digest; None while the account that it names is not known. A function
        of the agent's own has a digest and no request."""
        build, request = operation.build, None
        if build is not None:
            if grant is None and build.account_fields:
                return None, None
            account = {} if grant is None else {"id": grant.account, "name": grant.account_name or ""}
            request = build(execution.params, account, execution.id, execution.created)
        mark = digest(
            action=execution.action,
            provider=operation.provider.id,
            params=execution.params,
            user=execution.user,
            verified=execution.verified,
            chain=execution.chain,
            account=execution.account,
            request=request,
            places=places,
            execution_id=execution.id,
            encoded=request.body if request is not None and build is not None and build.whole else None,
        )
        return request, mark

    def _call(
        self, bundle: Bundle, execution: Execution, operation: Operation, now: Millis, history: History | None
    ) -> Call:
        user = execution.user
        return Call(
            action=operation.action,
            params=execution.params,
            user=user,
            groups=bundle.policy.groups_of(user) if user is not None else frozenset(),
            verified=execution.verified,
            agent=execution.agent,
            chain=execution.chain,
            account=execution.account,
            now=now,
            history=history,
            task=execution.task is not None,
        )


def tally_key(execution: Execution) -> str:
    """What makes two requests the same to people: first agent, user, action, parameters (THREAT_MODEL 22)."""
    return canonical([execution.chain[0], execution.user, execution.action, execution.params]).decode()


def choose(holding: Holding, execution: Execution) -> Grant | None:
    """The grant that an execution uses: of its account; else the one its consent made; else the only one.

    Never "the first connected": with several accounts and none named there is no grant until one is.
    """
    if execution.account is not None:
        return next((grant for grant in holding.grants if grant.account == execution.account), None)
    if execution.grant is not None:
        return next((grant for grant in holding.grants if grant.id == execution.grant), None)
    return holding.grants[0] if len(holding.grants) == 1 else None


def _settled(ask: Ask) -> Ask:
    return replace(ask, state="met" if ask.kind == "approval" else "closed", version=ask.version + 1)


def _unknown(execution: Execution) -> Trouble:
    return Trouble("revoked", f"The action {execution.action} no longer exists.", "Ask an operator.", by="policy")

"""`jit-auth policy explain`: a call that a file describes, or a stored execution, through every rule that fits it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jit_auth.catalog.load import Catalog
from jit_auth.catalog.tools import own_params
from jit_auth.cli.configured import settings_of, with_store
from jit_auth.cli.options import print_json
from jit_auth.config.load import shown
from jit_auth.config.settings import Settings
from jit_auth.core.digest import parse_json
from jit_auth.engine.bundle import kinds_of
from jit_auth.engine.past import past_of
from jit_auth.errors import Fault, Faults, JitAuthError, Problem
from jit_auth.model import Decision, Execution, History, Millis
from jit_auth.policy.case import read_call
from jit_auth.policy.explain import Explained, Explanation, data, explain, explain_execution
from jit_auth.policy.facts import Call, history_of
from jit_auth.policy.rules import Policy
from jit_auth.policy.trace import Part
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault

_LONGEST = 100
"""Characters of a value that are printed; `--json` has all of it."""


def explained(args: argparse.Namespace, policy: Policy, catalog: Catalog, settings: Settings | None) -> int:
    """What becomes of the call, and why. Exit 0 whatever is decided. Raises Faults, JitAuthError."""
    if args.what.startswith("exe_"):
        explanation = stored(args, policy, catalog)
    else:
        people = settings.people.names if settings else {}
        explanation = explain(policy, described(Path(args.what), policy, catalog, people))
    if args.json:
        print_json(data(explanation))
    else:
        print("\n".join(lines(explanation, _zone(policy))))
    return 0


def described(path: Path, policy: Policy, catalog: Catalog, aliases: Any) -> Call:
    """The call that a file describes. Raises Faults."""
    file = shown(path)
    try:
        body = parse_json(path.read_bytes())
    except OSError as error:
        raise Faults([Fault(file, 0, f"cannot be read: {error.strerror}")]) from None
    except Problem as problem:
        raise Faults([Fault(file, 1, problem.message)]) from None
    body = _by_tool_name(body, catalog)
    actions = {name: operation.action for name, operation in catalog.actions.items()}
    return read_call(
        file, body, actions, aliases=aliases, groups_of=policy.groups_of, zone=_zone(policy), now=Clock()()
    )


def _by_tool_name(body: Any, catalog: Catalog) -> Any:
    """As /execute takes it."""
    name = body.get("action") if isinstance(body, dict) else None
    operation = catalog.actions.get(catalog.tools.get(name, "")) if isinstance(name, str) else None
    if operation is None:
        return body
    params = body.get("params")
    more = {"params": own_params(params, operation.renamed)} if isinstance(params, dict) and params else {}
    return {**body, "action": operation.action.name, **more}


def stored(args: argparse.Namespace, policy: Policy, catalog: Catalog) -> Explanation:
    """A stored execution: its facts as they are on record, at the time it was asked. Raises JitAuthError."""

    async def read(store: Store, vault: Vault) -> tuple[Execution, History | None] | None:
        execution = await store.execution(args.what)
        if execution is None:
            return None
        past = past_of(execution, history_of(policy.reads(execution.action)), lambda: kinds_of(catalog), then=True)
        return execution, None if past is None else await store.history(past, execution.created)

    found = with_store(settings_of(args), read)
    if found is None:
        raise JitAuthError(f"There is no execution {args.what!r}.", hint="Ids of executions begin with exe_.")
    execution, history = found
    operation = catalog.actions.get(execution.action)
    if operation is None:
        raise JitAuthError(f"No connector describes {execution.action} any more, so no rule is about it.")
    return explain_execution(policy, execution, operation.action, history)


def _zone(policy: Policy) -> tzinfo:
    return UTC if policy.timezone == "UTC" else ZoneInfo(policy.timezone)


# As people read it.


def lines(explanation: Explanation, zone: tzinfo) -> Iterator[str]:
    """The decision first, then each label and rule with its conditions."""
    call = explanation.call
    user = f"for {call.user}{'' if call.verified else ' (not verified)'}" if call.user else "for no user"
    yield f"{call.action.name}, {user}, by {' > '.join(call.chain)}, at {_time(call.now, zone)}"
    if explanation.recorded is not None:
        yield from _decision("recorded", explanation.recorded)
        if explanation.recorded.policy != explanation.decision.policy:
            yield "  decided by other rules than today's; what follows is by today's"
    yield from _decision("decision", explanation.decision)
    if explanation.would is not None:
        yield from _decision("with shadow rules enforced", explanation.would)
    if explanation.decision.labels:
        yield f"labels: {', '.join(explanation.decision.labels)}"
    for one in explanation.labels:
        word = {True: "added", False: "not added", None: "unknown: its condition is in error"}[one.added]
        yield f"\nlabel {one.label.id} ({', '.join(one.label.add)}): {word}"
        yield from _condition("when", one.when)
    for rule in explanation.rules:
        yield from _rule(rule)
    if not explanation.rules:
        yield "\nno rule fits this action"


def _decision(what: str, decision: Decision) -> Iterator[str]:
    by = f", by {', '.join(decision.rules)}" if decision.rules else ""
    yield f"{what}: {decision.effect}{by}"
    for reason in decision.reasons:
        yield f"  {reason}"
    for want in decision.wants:
        within = f"within {want.expires // 1000} s, by {', '.join(decision.via) or 'no channel'}"
        yield f"  needs {want.need} of {', '.join(want.of)} {within} ({', '.join(want.rules)})"


def _rule(one: Explained) -> Iterator[str]:
    rule = one.rule
    mode = "shadow rule" if rule.shadow else "rule"
    won = one.outcome == "winner"
    verdict = ("would win" if won else "would lose") if rule.shadow else ("winner" if won else "loses")
    yield f"\n{mode} {rule.id} ({rule.effect}, {rule.file}:{rule.line}): {verdict}: {one.why}"
    if one.error is not None:
        yield f"  in error: {one.error}"
    yield from _condition("when", one.when)
    yield from _condition("unless", one.unless)


def _condition(key: str, part: Part | None) -> Iterator[str]:
    if part is not None:
        yield f"  {key}"
        yield from _part(part, 2)


def _part(part: Part, depth: int) -> Iterator[str]:
    value = f"error: {part.error}" if part.error is not None else _short(part.value)
    given = "".join(f"{name} = {_short(one)}: " for name, one in (part.given or {}).items())
    yield f"{'  ' * depth}{given}{part.text}  =>  {value}"
    for inner in part.parts:
        yield from _part(inner, depth + 1)
    if part.cut:
        yield f"{'  ' * (depth + 1)}..."


def _short(value: Any) -> str:
    # ASCII alone: a parameter must not write control characters or look-alikes to a terminal.
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def _time(now: Millis, zone: tzinfo) -> str:
    return datetime.fromtimestamp(now / 1000, zone).isoformat(timespec="seconds")

"""The facts that a condition may read: names, types, where their values come from, what tests start from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import Any, Literal, get_args

from msgspec import Struct

from jit_auth.model import MOST_COUNTED, Action, Effect, Exposes, History, Millis, Risk
from jit_auth.policy.types import BOOL, INT, STRING, Type, list_of
from jit_auth.policy.values import Bad, text

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Call(Struct, frozen=True, kw_only=True):
    """One call as policies see it. `chain` runs from the first agent to the one that called.

    `params` are valid against the action's schemas, defaults filled in. `groups` are those of `user`
    (`Policy.groups_of`). `verified`: somebody vouches that `user` is who acts (THREAT_MODEL 1). `depth` is for
    tests alone: by default the length of the chain less one. `history` is None where nothing was counted: an error
    then.
    """

    action: Action
    params: dict[str, Any]
    user: str | None
    groups: frozenset[str]
    verified: bool
    agent: str
    chain: tuple[str, ...]
    account: str | None
    now: Millis
    depth: int | None = None
    history: History | None = None
    task: bool = False
    """Whether it names a task: without one the facts `task.*` are errors."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A name in conditions. `read` takes the call and the file's timezone, and raises Bad; `default` is for tests."""

    name: str
    type: Type
    default: Any
    read: Callable[[Call, tzinfo], Any]
    needs: Literal["call", "history", "task"] = "call"
    """What must be fetched before a decision that reads it."""
    doc: str = ""
    values: tuple[str, ...] = ()
    """All that it can be, where these are few: a comparison with anything else is a slip."""
    most: int | None = None
    """What is more reads as this: a comparison with it, or with more, does not say what it seems to."""


def local(call: Call, zone: tzinfo) -> datetime:
    """The time of a call, in a timezone. Raises Bad beyond the years 1 to 9999."""
    try:
        return datetime.fromtimestamp(call.now // 1000, UTC).astimezone(zone)
    except (ValueError, OverflowError, OSError):
        raise Bad("now is no time of the years 1 to 9999") from None


def groups(call: Call) -> frozenset[str]:
    """The groups of a verified user. Raises Bad for any other."""
    _verified(call, "user.groups")
    return call.groups


def _verified(call: Call, name: str) -> str:
    if call.user is None:
        raise Bad(f"{name}: the call names no user")
    if not call.verified:
        raise Bad(f"{name}: the user is not verified")
    return call.user


def _of_action(name: Literal["name", "connector", "risk", "effect"], doc: str, values: tuple[str, ...] = ()) -> Fact:
    return Fact(f"action.{name}", STRING, None, lambda call, zone: getattr(call.action, name), doc=doc, values=values)


def _of_history(name: str, type_: Type, default: Any, doc: str) -> Fact:
    def read(call: Call, zone: tzinfo) -> Any:
        if call.history is None:
            raise Bad(f"history.{name}: nothing was counted")
        return getattr(call.history, name)

    most = MOST_COUNTED if type_ == INT else None
    return Fact(f"history.{name}", type_, default, read, needs="history", doc=doc, most=most)


def _of_task(name: str, type_: Type, default: Any, doc: str) -> Fact:
    def read(call: Call, zone: tzinfo) -> Any:
        if not call.task:
            raise Bad(f"task.{name}: the call names no task")
        if call.history is None:
            raise Bad(f"task.{name}: nothing was counted")
        return getattr(call.history, f"task_{name}")

    most = MOST_COUNTED if type_ == INT else None
    return Fact(f"task.{name}", type_, default, read, needs="task", doc=doc, most=most)


def _depth(call: Call, zone: tzinfo) -> int:
    return len(call.chain) - 1 if call.depth is None else call.depth


_ALL = (
    _of_action("name", "full name, `mailhub.send_message`"),
    _of_action("connector", "its connector's id"),
    _of_action("risk", "`low`, `medium`, `high` or `critical`", get_args(Risk)),
    _of_action("effect", "`read`, `create`, `update` or `delete`", get_args(Effect)),
    Fact("action.exposes", list_of(STRING), None, lambda call, zone: call.action.exposes,
         doc="what using it touches: some of `private`, `untrusted` and `external`, as its connector says",
         values=get_args(Exposes)),
    Fact("user.id", STRING, "test@example.com", lambda call, zone: _verified(call, "user.id"),
         doc="whom the agent acts for; of an unverified user, or none, an error of the condition"),
    Fact("user.groups", list_of(STRING), [], lambda call, zone: tuple(sorted(groups(call))),
         doc="groups of the user, sorted; of an unverified user, or none, an error of the condition"),
    Fact("user.verified", BOOL, True, lambda call, zone: call.verified and call.user is not None,
         doc="whether it is proven, or vouched for, that the user is who acts"),
    Fact("agent.id", STRING, "test", lambda call, zone: text(call.agent), doc="the agent that called"),
    Fact("agent.depth", INT, 0, _depth, doc="agents between the first one and this: 0 if it called by itself"),
    Fact("agent.chain", list_of(STRING), ["test"], lambda call, zone: tuple([text(one) for one in call.chain]),
         doc="from the first agent to the one that called"),
    Fact("now.hour", INT, None, lambda call, zone: local(call, zone).hour, doc="0 to 23, in the file's timezone"),
    Fact("now.weekday", STRING, None, lambda call, zone: WEEKDAYS[local(call, zone).weekday()],
         doc="`mon` to `sun`, in the file's timezone", values=WEEKDAYS),
    Fact("now.date", STRING, None, lambda call, zone: local(call, zone).date().isoformat(),
         doc="`2026-11-24`, in the file's timezone"),
    Fact("labels", list_of(STRING), (), lambda call, zone: (),
         doc="what the [[label]]s add to the call, and `opaque`; not in a label's own condition"),
    Fact("account", Type("string", nullable=True), None,
         lambda call, zone: None if call.account is None else text(call.account),
         doc="the provider's id of the account, null where none is connected yet"),
    _of_history("same_action_1h", INT, 0, "attempts of this action for this user, in the hour before this one"),
    _of_history("same_action_24h", INT, 0, "the same in the day before"),
    _of_history("denied_24h", INT, 0, "those of them that were denied in the last 24 hours, by whomever"),
    _of_history("agent_action_1h", INT, 0, "attempts of this action for all users, in the hour before"),
    _of_history("agent_writes_1h", INT, 0, "attempts of all actions but reads, for all users, in the hour before"),
    _of_history("first_seen", BOOL, False,
                "whether none has succeeded for this user that a person approved, or that is a day old"),
    _of_task("private", BOOL, False, "whether another execution of its task has returned private data by now"),
    _of_task("untrusted", BOOL, False, "whether one has returned text that others wrote"),
    _of_task("external", BOOL, False, "whether one had an effect that others see"),
    _of_task("count", INT, 0, "earlier executions of its task that ran, or still may"),
)  # fmt: skip


def history_of(reads: Iterable[str]) -> tuple[str, ...]:
    """What has to be counted for these names of facts: fields of `History`."""
    counted = [name for name in reads if name in FACTS and FACTS[name].needs != "call"]
    return tuple([name.removeprefix("history.").replace(".", "_") for name in counted])


FACTS: Mapping[str, Fact] = MappingProxyType({fact.name: fact for fact in _ALL})
"""All but `params.*`, whose types are those of the actions that a rule matches."""

ROOTS: frozenset[str] = frozenset({name.partition(".")[0] for name in FACTS} | {"params"})
"""The names that a condition may begin with."""

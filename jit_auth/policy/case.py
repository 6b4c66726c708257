"""[[test]] and [test_base] as they are written, turned into calls; every name and type in them is checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from msgspec.structs import replace

from jit_auth.core.ids import person_id
from jit_auth.core.toml import Document, convert, did_you_mean
from jit_auth.errors import Fault, Faults, Problem
from jit_auth.model import Action, History, Millis
from jit_auth.policy.facts import FACTS, WEEKDAYS, Call, history_of
from jit_auth.policy.file import EFFECTS, ExpectTable, PolicyFile, TestTable
from jit_auth.policy.fitting import Path, Wrong, fitting, with_defaults
from jit_auth.policy.settle import one_of
from jit_auth.policy.types import params_type

NOW = "2026-01-05T12:00"
"""What time it is, in the file's timezone, in a test that says nothing of it."""

_COUNTED = {history_of((name,))[0]: name for name, fact in FACTS.items() if fact.needs != "call"}
"""Fields of `History` with the names of their facts."""

Given = dict[str, tuple[Path, Any]]
"""Facts by dotted name, each with where it is written."""

_TASK = "task"
"""In a test, `task = ""` is a call that names none."""
_SETTABLE = sorted([name for name in FACTS if not name.startswith("action.") and name != "labels"] + ["now", _TASK])

_NOT_FACTS = frozenset({"action", "set", "reason", "expires_in", "callback_url", "return_url", "metadata"})
"""What a body of /execute has besides facts."""


@dataclass(frozen=True, slots=True)
class Case:
    """One [[test]]: the call that it makes up, and what is expected of it."""

    name: str
    call: Call
    expect: ExpectTable
    file: str
    line: int


def read_cases(
    document: Document,
    file: PolicyFile,
    actions: Mapping[str, Action],
    rules: Collection[str],
    groups: Collection[str],
    labels: Collection[str],
    zone: tzinfo,
    fault: Callable[[Fault], None],
) -> list[Case]:
    """The tests of one file. `rules`, `groups` and `labels` are the names that `expect` may hold."""
    reader = _Reader(document, actions, rules, groups, labels, zone, fault)
    base = reader.flat(("test_base",), file.test_base)
    reader.judge_base(base)
    found: list[Case] = []
    for number, table in enumerate(file.test):
        path: Path = ("test", number)
        try:
            test = convert(document, TestTable, at=path, value=table)
        except Faults as wrong:
            for one in wrong.faults:
                fault(one)
        else:
            found += reader.case(path, test, base)
    return found


def read_call(
    file: str,
    body: Mapping[str, Any],
    actions: Mapping[str, Action],
    *,
    aliases: Mapping[str, str],
    groups_of: Callable[[str], frozenset[str]],
    zone: tzinfo,
    now: Millis,
) -> Call:
    """The call that a body of /execute describes, with facts beside it or in `set` as a [[test]] gives them.

    `agent` and `user` are ids, or tables of facts; whoever is named is taken to be verified, with the groups of the
    policy, at `now`, unless the facts say otherwise. Raises Faults.
    """
    faults: list[Fault] = []
    reader = _Reader(Document(file, dict(body)), actions, (), (), (), zone, faults.append)
    name = body.get("action")
    action = actions.get(name) if isinstance(name, str) else None
    if action is None:
        hint = did_you_mean(name, actions) if isinstance(name, str) else ""
        raise Faults([Fault(file, 1, f"action: unknown action {name!r}{hint}")])
    facts = {key: value for key, value in body.items() if key not in _NOT_FACTS}
    _plain_task(facts)
    for key in ("user", "agent"):
        if isinstance(facts.get(key), str):
            facts[f"{key}.id"] = facts.pop(key)
        elif facts.get(key, "") is None:
            del facts[key]
    given = reader.flat((), {key: value for key, value in facts.items() if value is not None})
    over = body.get("set", {})
    if isinstance(over, Mapping):
        given |= reader.flat(("set",), over)
    else:
        reader.fault(("set",), "set: facts by their names, as a [[test]] has them")
    names = {param.name for param in action.params}
    for fact, (path, _) in given.items():
        if not _of_params(fact, names):
            param = fact.split(".")[1]
            reader.fault(path, f"{action.name} has no parameter {param!r}{did_you_mean(param, names)}")
    given.setdefault("now", ((), datetime.fromtimestamp(now / 1000, zone)))
    if faults:
        raise Faults(faults)
    try:
        call = reader.call(action, given)
    except Wrong as error:
        raise Faults([Fault(file, 1, error.args[1])]) from None
    user = aliases.get(call.user, call.user) if "user.id" in given and call.user is not None else None
    return replace(
        call,
        user=user,
        groups=call.groups if "user.groups" in given or user is None else groups_of(user),
        chain=call.chain if "agent.chain" in given else (call.agent,),
    )


def _plain_task(facts: dict[str, Any]) -> None:
    """A body's `task` is what it is called; whatever else stands in it are facts. Without one the call has no task."""
    task = facts.pop(_TASK, None)
    if isinstance(task, Mapping):
        facts[_TASK] = {key: value for key, value in task.items() if key not in ("id", "title")}
    elif not any(name.startswith(f"{_TASK}.") for name in facts):
        facts[_TASK] = "" if task is None else task


@dataclass(frozen=True, slots=True)
class _Reader:
    document: Document
    actions: Mapping[str, Action]
    rules: Collection[str]
    groups: Collection[str]
    labels: Collection[str]
    zone: tzinfo
    _fault: Callable[[Fault], None]

    def fault(self, path: Path, message: str) -> None:
        self._fault(self.document.fault(path, message))

    def flat(self, path: Path, table: Mapping[str, Any], above: str = "") -> Given:
        """The facts that a table gives, whether by dotted keys or by tables inside."""
        found: Given = {}
        for key, value in table.items():
            name, here = f"{above}{key}", (*path, key)
            if isinstance(value, dict) and name in ("params", "user", "agent", "now", "history", "task"):
                found |= self.flat(here, value, f"{name}.")
            elif name in _SETTABLE or (name.startswith("params.") and name != "params."):
                found[name] = here, value
            elif name.partition(".")[0] == "action":
                self.fault(here, f"{name}: what is known of an action follows from the test's `action`")
            elif name == "labels":
                self.fault(here, "labels: they follow from the [[label]]s")
            else:
                hint = (
                    did_you_mean(name, [*_SETTABLE, "params"]) or f" (there are: params.NAME, {', '.join(_SETTABLE)})"
                )
                self.fault(here, f"unknown fact {name!r}{hint}")
        return found

    def judge_base(self, base: Given) -> None:
        """A parameter that no action has is a slip; one that some lack is left out there."""
        known = {param.name for action in self.actions.values() for param in action.params}
        for name, (path, _) in base.items():
            root, _, rest = name.partition(".")
            param = rest.partition(".")[0]
            if root == "params" and param not in known:
                self.fault(path, f"no action has a parameter {param!r}{did_you_mean(param, known)}")

    def case(self, path: Path, test: TestTable, base: Given) -> list[Case]:
        """The test, or none where something in it is wrong."""
        action = self.actions.get(test.action)
        wrong = self.wrong_expectations((*path, "expect"), test.expect)
        if action is None:
            hint = did_you_mean(test.action, self.actions)
            self.fault((*path, "action"), f"unknown action {test.action!r}{hint}")
        given = self.flat((*path, "set"), test.set)
        if action is None or wrong:
            return []
        names = {param.name for param in action.params}
        for name, (where, _) in given.items():
            root, _, rest = name.partition(".")
            param = rest.partition(".")[0]
            if root == "params" and param not in names:
                self.fault(where, f"{action.name} has no parameter {param!r}{did_you_mean(param, names)}")
                return []
        usable = {name: one for name, one in base.items() if _of_params(name, names)}
        try:
            call = self.call(action, usable | given)
        except Wrong as error:
            self.fault(error.args[0], error.args[1])
            return []
        return [Case(test.name, call, test.expect, self.document.file, self.document.line(*path))]

    def wrong_expectations(self, path: Path, expect: ExpectTable) -> bool:
        """Whether something in `expect` is wrong; names it."""
        faults: list[Fault] = []
        if expect == ExpectTable():
            faults.append(self.document.fault(path, "expect: is empty: nothing would be compared"))
        if expect.effect is not None:
            faults += one_of(self.document, (*path, "effect"), "effect", expect.effect, EFFECTS)
        for key, names in (("rules", expect.rules), ("errors", expect.errors)):
            for number, name in enumerate(names or ()):
                rule = name.partition(":")[0]
                if rule not in self.rules:
                    hint = did_you_mean(rule, self.rules)
                    faults.append(self.document.fault((*path, key, number), f"{key}: no rule {rule!r}{hint}"))
        for of in expect.need or ():
            for name in approvers(of):
                kind, _, who = name.partition(":")
                if kind == "group" and who not in self.groups:
                    message = f"need: unknown group {who!r}{did_you_mean(who, self.groups)}"
                    faults.append(self.document.fault((*path, "need", of), message))
                elif name != "requester" and kind not in ("user", "group"):
                    message = f"need: unknown approver {name!r} (there are: requester, user:ID, group:NAME)"
                    faults.append(self.document.fault((*path, "need", of), message))
        for number, name in enumerate(expect.labels or ()):
            if name.removesuffix("?") not in self.labels:
                hint = did_you_mean(name, self.labels)
                faults.append(self.document.fault((*path, "labels", number), f"labels: no label adds {name!r}{hint}"))
        for fault in faults:
            self._fault(fault)
        return bool(faults)

    def call(self, action: Action, given: Given) -> Call:
        """The call that these facts make up. Raises Wrong(path, message)."""
        values = {name: fact.default for name, fact in FACTS.items()}
        for name, (path, value) in given.items():
            if name in FACTS and name != "account":
                values[name] = fitting(FACTS[name].type, value, name, path)
            elif name == "account":
                values[name] = fitting(FACTS[name].type, value, name, path) or None
        return Call(
            action=action,
            params=self.params(action, given),
            user=_person(values["user.id"], given),
            groups=frozenset(values["user.groups"]),
            verified=values["user.verified"],
            agent=values["agent.id"],
            chain=tuple(values["agent.chain"]),
            account=values["account"],
            now=self.now(given, values),
            depth=values["agent.depth"] if "agent.depth" in given else None,
            history=History(**{field: values[name] for field, name in _COUNTED.items()}),
            task=self.task(given),
        )

    def task(self, given: Given) -> bool:
        """Whether the call names a task: it does, unless `task = ""` takes it away."""
        if _TASK not in given:
            return True
        path, value = given[_TASK]
        if value != "":
            raise Wrong(path, 'task: "" is a call without one; else its facts are written, as in task.private = true')
        return False

    def params(self, action: Action, given: Given) -> dict[str, Any]:
        """The parameters, defaults filled in as they are before a decision."""
        made: dict[str, Any] = {}
        places: dict[str, Path] = {}
        for name, (path, value) in given.items():
            root, *keys = name.split(".")
            if root != "params":
                continue
            inner = made
            for key in keys[:-1]:
                inner = inner.setdefault(key, {})
                if not isinstance(inner, dict):
                    raise Wrong(path, f"{name}: {key!r} is no table here")
            inner[keys[-1]] = value
            places.setdefault(keys[0], path)
        record, _ = params_type([action.params])
        for field in record.fields:
            if made.get(field.name) is not None:
                fitting(field.type, made[field.name], f"params.{field.name}", places[field.name])
        return with_defaults({"properties": {param.name: param.schema for param in action.params}}, made)

    def now(self, given: Given, values: Mapping[str, Any]) -> Millis:
        """`now`, moved to the date, weekday and hour that are given, in the file's timezone."""
        path, value = given.get("now", ((), NOW))
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except (ValueError, TypeError):
            raise Wrong(path, f"now: {value!r} is no time such as 2026-11-24T10:00:00+01:00") from None
        moment = moment.astimezone(self.zone) if moment.tzinfo else moment.replace(tzinfo=self.zone)
        if values["now.date"] is not None:
            try:
                moment = datetime.combine(date.fromisoformat(values["now.date"]), moment.timetz())
            except ValueError:
                raise Wrong(given["now.date"][0], f"now.date: {values['now.date']!r} is no date") from None
        if (day := values["now.weekday"]) is not None:
            if day not in WEEKDAYS:
                raise Wrong(given["now.weekday"][0], f"now.weekday: {day!r} is none of {', '.join(WEEKDAYS)}")
            ahead = (WEEKDAYS.index(day) - moment.weekday()) % 7
            if ahead and values["now.date"] is not None:
                raise Wrong(given["now.weekday"][0], f"now.weekday: {values['now.date']} is no {day}")
            moment += timedelta(days=ahead)
        if (hour := values["now.hour"]) is not None:
            if not 0 <= hour <= 23:
                raise Wrong(given["now.hour"][0], "now.hour: 0 to 23")
            moment = moment.replace(hour=hour)
        return int(moment.timestamp() * 1000)


def approvers(text: str) -> tuple[str, ...]:
    """A key of `expect.need`: the `from` that it stands for, several names with commas between."""
    return tuple(sorted({name.strip() for name in text.split(",")}))


def _of_params(name: str, names: Collection[str]) -> bool:
    root, _, rest = name.partition(".")
    return root != "params" or rest.partition(".")[0] in names


def _person(value: str, given: Given) -> str:
    try:
        return person_id(value)
    except Problem as problem:
        raise Wrong(given["user.id"][0], f"user.id: {value!r}: {problem.message}") from None

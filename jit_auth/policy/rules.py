"""Load policy files: every name, type, group and number checked against what exists; all faults at once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import tzinfo
from typing import Any

import msgspec

from jit_auth.core.toml import Document, convert, did_you_mean, read
from jit_auth.errors import Fault, Faults
from jit_auth.model import Action
from jit_auth.policy.approval import Crew
from jit_auth.policy.case import Case, read_cases
from jit_auth.policy.compile import Condition, compile_condition
from jit_auth.policy.decide import Policy, Rule
from jit_auth.policy.file import EFFECTS, Effect, LabelTable, PolicyFile, RuleTable, located
from jit_auth.policy.labels import OPAQUE, Label
from jit_auth.policy.lex import Mistake
from jit_auth.policy.lint import Judged
from jit_auth.policy.merge import Approval
from jit_auth.policy.scope import Scope, Slots
from jit_auth.policy.settle import Loaded, one_of, person, settle
from jit_auth.policy.strings import glob
from jit_auth.policy.types import Type, params_type
from jit_auth.policy.values import Frame

__all__ = ["Policy", "load"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MODES = ("enforce", "shadow")
_SHORTEST = 1_000
"""Milliseconds that an approval holds at least."""

Path = tuple[str | int, ...]


def load(
    files: Sequence[tuple[str, str]],
    actions: Mapping[str, Action],
    people: Collection[str],
    *,
    vias: Collection[str] = ("page",),
    groups: Mapping[str, Collection[str]] | None = None,
    aliases: Mapping[str, str] | None = None,
    strict: bool = False,
) -> Policy:
    """The policy that all files make together. Raises Faults, with everything that is wrong.

    `files` are (path as shown, text); `people` the ids that config.toml knows, `groups` those that its [people] names,
    `aliases` each other name of a person with the id; `vias` the channels there are. `strict`: what is doubtful
    (`policy.lint`) is a fault too; else it is in the policy's `doubts`.
    """
    faults: list[Fault] = []
    loaded = _read(files, faults)
    settled = settle(loaded, groups or {}, aliases or {}, faults.append)
    crew = Crew(people, settled.groups, aliases or {}, tuple(vias), faults.append)
    judge = _Judge(actions, crew, faults)
    labels: list[Label] = []
    for (document, file), (_, zone) in zip(loaded, settled.zones, strict=True):
        labels += judge.labels(document, file, zone)
    judge.made = labels
    unknown_to = _unknown_to(loaded, crew, faults.append)
    rules: list[Rule] = []
    for (document, file), (_, zone) in zip(loaded, settled.zones, strict=True):
        rules += judge.rules(document, file, zone)
    cases: list[Case] = []
    for (document, file), (_, zone) in zip(loaded, settled.zones, strict=True):
        cases += read_cases(document, file, actions, judge.ids, settled.groups, judge.added, zone, faults.append)
    if strict:
        faults += judge.doubts
    if faults:
        raise Faults(sorted(faults, key=_place))
    content = {
        "format": 1,
        "no_match": settled.no_match,
        "groups": {name: sorted(members) for name, members in settled.groups.items()},
        "unknown_to": unknown_to,
        "rules": judge.contents,
    }
    return Policy(
        rules,
        judge.slots.reads,
        actions=actions,
        no_match_allows=settled.no_match == "allow",
        groups=settled.groups,
        labels=labels,
        unknown_to=unknown_to,
        contents=judge.contents,
        timezone=settled.timezone,
        hash="sha256:" + hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest(),
        cases=cases,
        doubts=sorted(judge.doubts, key=_place),
    )


def _place(fault: Fault) -> tuple[str, int, int]:
    return fault.file, fault.line, fault.column


def _unknown_to(files: Sequence[Loaded], crew: Crew, fault: Callable[[Fault], None]) -> tuple[str, ...]:
    """Who is asked what became of a call of unknown outcome; what two files say must be the same."""
    path = ("defaults", "unknown_to")
    stated: tuple[str, ...] | None = None
    for document, file in files:
        given = file.defaults.unknown_to
        if given is None:
            continue
        names = crew.names(document, path, given)
        if stated not in (None, names):
            fault(document.fault(path, "unknown_to: another file says otherwise: it holds for all"))
        stated = names
    return stated or ()


def _read(files: Sequence[tuple[str, str]], faults: list[Fault]) -> list[Loaded]:
    loaded: list[Loaded] = []
    for name, text in files:
        try:
            document = read(name, text)
        except Faults as wrong:
            faults += wrong.faults
            continue
        file = PolicyFile()
        for key, value in document.data.items():  # one by one: a fault in one table does not hide those of others
            try:
                part = convert(document, PolicyFile, value={key: value})
            except Faults as wrong:
                faults += wrong.faults
            else:
                file = msgspec.structs.replace(file, **{key: getattr(part, key)})
        loaded.append((document, file))
    return loaded


class _Judge:
    """Checks and compiles rules, one after the other; what is wrong goes to `faults`."""

    def __init__(
        self,
        actions: Mapping[str, Action],
        crew: Crew,
        faults: list[Fault],
    ) -> None:
        self.slots = Slots()
        self.contents: dict[str, Any] = {}
        """By id, what a rule says, normalised: what the hash covers."""
        self._actions = actions
        self._crew = crew
        self._faults = faults
        self.ids: set[str] = set()
        """Of all rules, faulty ones included."""
        self.added: set[str] = {OPAQUE}
        """Names that labels add."""
        self.made: list[Label] = []
        """All labels that are without fault, once they are read."""
        self.doubts = crew.doubts
        """What rules without fault may not mean."""
        self._labels: set[str] = set()
        self._fitting: dict[str, tuple[str, ...]] = {}
        self._params: dict[frozenset[str], tuple[Type, dict[str, str]]] = {}

    def labels(self, document: Document, file: PolicyFile, zone: tzinfo) -> list[Label]:
        """Those of one file. All files' come before any rule, which may name them."""
        found: list[Label] = []
        for number, table in enumerate(file.label):
            path: Path = ("label", number)
            try:
                one = self._label(document, path, convert(document, LabelTable, at=path, value=table), zone)
            except Faults as wrong:
                self._faults += wrong.faults
            else:
                found += [one] if one is not None else []
        return found

    def _label(self, document: Document, path: Path, table: LabelTable, zone: tzinfo) -> Label | None:
        before = len(self._faults)
        if not _ID.fullmatch(table.id):
            self._fault(document, (*path, "id"), f"id: {table.id!r} is not 1 to 100 of A-Z a-z 0-9 . _ -")
        elif table.id in self._labels:
            self._fault(document, (*path, "id"), f"id: there is another label {table.id!r}")
        self._labels.add(table.id)
        if not table.add:
            self._fault(document, (*path, "add"), "add: is empty")
        for number, name in enumerate(table.add):
            if not _ID.fullmatch(name):
                self._fault(document, (*path, "add", number), f"add: {name!r} is not 1 to 100 of A-Z a-z 0-9 . _ -")
        self.added.update(table.add)
        actions = self._match(document, path, table.match, allows=False)
        scope = self._scope(actions, zone, labels=None)
        when = self._condition(document, (*path, "when"), table.when, scope) if actions else None
        if len(self._faults) > before:
            return None
        self.contents[f"label {table.id}"] = {
            "match": sorted(set(table.match)), "when": table.when, "add": sorted(set(table.add)), "zone": str(zone),
        }  # fmt: skip
        run = when.run if when is not None else None
        spends = when is not None and when.spends
        return Label(table.id, tuple(sorted(set(table.add))), actions, run, spends, frozenset(scope.reads), when)

    def rules(self, document: Document, file: PolicyFile, zone: tzinfo) -> list[Rule]:
        found: list[Rule] = []
        for number, table in enumerate(file.rule):
            path: Path = ("rule", number)
            try:
                rule = self._rule(document, path, convert(document, RuleTable, at=path, value=table), zone)
            except Faults as wrong:
                self._faults += wrong.faults
            else:
                if rule is not None:
                    found.append(rule)
        return found

    def _rule(self, document: Document, path: Path, table: RuleTable, zone: tzinfo) -> Rule | None:
        before = len(self._faults)
        self._names(document, path, table)
        actions = self._match(document, path, table.match, allows=table.effect == "allow")
        approval = self._approval(document, path, table, actions)
        self._ignores(document, (*path, "ignores"), table.ignores, actions)
        scope = self._scope(actions, zone, labels=frozenset(self.added))
        when = unless = None
        if actions:
            when = self._condition(document, (*path, "when"), table.when, scope)
            unless = self._condition(document, (*path, "unless"), table.unless, scope)
        if len(self._faults) > before:
            return None
        conditions = [one for one in (when, unless) if one is not None]
        effect: Effect = next(effect for effect in EFFECTS if effect == table.effect)
        self.contents[f"rule {table.id}"] = {
            "match": sorted(set(table.match)), "when": table.when, "unless": table.unless, "effect": effect,
            "reason": table.reason, "mode": table.mode, "zone": str(zone), "approval": approval,
        }  # fmt: skip
        rule = Rule(
            id=table.id,
            effect=effect,
            reason=table.reason or "",
            actions=actions,
            run=_run(when, unless),
            spends=any(one.spends for one in conditions),
            reads=frozenset(scope.reads),
            shadow=table.mode == "shadow",
            approval=approval,
            file=document.file,
            line=document.line(*path),
            when=when,
            unless=unless,
        )
        covered = [self._actions[name] for name in sorted(actions)]
        judged = Judged(document, path, table, rule, covered, self.made, self.slots.reads)
        self.doubts += judged.doubts()
        return rule

    def _fault(self, document: Document, path: Path, message: str) -> None:
        self._faults.append(document.fault(path, message))

    def _names(self, document: Document, path: Path, table: RuleTable) -> None:
        if not _ID.fullmatch(table.id):
            self._fault(document, (*path, "id"), f"id: {table.id!r} is not 1 to 100 of A-Z a-z 0-9 . _ -")
        elif table.id in self.ids:
            self._fault(document, (*path, "id"), f"id: there is another rule {table.id!r}")
        self.ids.add(table.id)
        for key, value, names in (("effect", table.effect, EFFECTS), ("mode", table.mode, _MODES)):
            self._faults += one_of(document, (*path, key), key, value, names)

    def _ignores(self, document: Document, path: Path, given: Sequence[str], actions: frozenset[str]) -> None:
        """Parameters about which a rule is not doubted. They decide nothing, so no hash covers them."""
        known = {param.name for name in actions for param in self._actions[name].params}
        for number, name in enumerate(given):
            if actions and name not in known:
                message = f"ignores: no action of this rule has a parameter {name!r}{did_you_mean(name, known)}"
                self._fault(document, (*path, number), message)

    def _match(self, document: Document, path: Path, match: Sequence[str], *, allows: bool) -> frozenset[str]:
        """The actions that a rule covers; a glob that allows leaves out those of risk critical (THREAT_MODEL 24)."""
        covered: set[str] = set()
        if not match:
            self._fault(document, (*path, "match"), "match: is empty")
        for number, pattern in enumerate(match):
            if pattern not in self._fitting:
                self._fitting[pattern] = tuple(name for name in self._actions if glob(pattern, name))
            fitting = self._fitting[pattern]
            if not fitting:
                hint = did_you_mean(pattern, self._actions)
                self._fault(document, (*path, "match", number), f"match: {pattern!r} fits no known action{hint}")
            elif allows and "*" in pattern:
                fitting = tuple(name for name in fitting if self._actions[name].risk != "critical")
                if not fitting:
                    self._fault(
                        document,
                        (*path, "match", number),
                        f"match: {pattern!r} fits actions of risk critical alone: an allow rule has to name them",
                    )
            covered.update(fitting)
        return frozenset(covered)

    def _scope(self, actions: frozenset[str], zone: tzinfo, *, labels: frozenset[str] | None) -> Scope:
        if actions not in self._params:
            self._params[actions] = params_type([self._actions[name].params for name in sorted(actions)])
        params, hidden = self._params[actions]
        crew = self._crew
        groups = frozenset(crew.groups)
        return Scope(params, hidden, zone, self.slots, groups, lambda text: person(text, crew.aliases), labels)

    def _condition(self, document: Document, path: Path, text: str | None, scope: Scope) -> Condition | None:
        if text is None:
            return None
        try:
            condition = compile_condition(text, scope)
        except Mistake as mistake:
            self._faults.append(located(document, path, text, mistake))
            return None
        self.doubts += [located(document, path, text, doubt) for doubt in scope.doubts]
        scope.doubts.clear()
        return condition

    def _approval(self, document: Document, path: Path, table: RuleTable, actions: frozenset[str]) -> Approval | None:
        given, path = table.approval, (*path, "approval")
        if table.effect != "require_approval":
            if given is not None:
                self._fault(document, path, f"approval: a rule of effect {table.effect!r} asks nobody")
            return None
        if given is None:
            self._fault(document, path, "approval: missing: who must approve, as in approval = { from = [...] }")
            return None
        return self._crew.approval(document, path, given, [self._actions[name] for name in sorted(actions)])


def _run(when: Condition | None, unless: Condition | None) -> Callable[[Frame], bool] | None:
    """One closure for both. An error in either is one of the rule: nobody is exempted by what cannot be known."""
    if unless is None:
        return None if when is None else when.run
    exempt = unless.run
    if when is None:
        return lambda frame: not exempt(frame)
    matches = when.run
    return lambda frame: matches(frame) and not exempt(frame)

"""A function's parameters held against its action's schema, and a call's arguments as the action's params."""

from __future__ import annotations

import inspect
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from jit_auth.client.errors import GuardRefused
from jit_auth.client.model import Json

_NAMED = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


class Signature:
    """Of one guarded function. Raises GuardRefused for one that cannot be called by names."""

    def __init__(self, function: Callable[..., Any], action: str) -> None:
        self.place = place_of(function)
        self._action = action
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise self._unfit("it yields; a guarded function returns one value")
        self._signature = inspect.signature(function)
        self._parameters = dict(self._signature.parameters)
        self._self = next(iter(self._parameters), "") if next(iter(self._parameters), "") in ("self", "cls") else ""
        self._open = ""
        """The name of its `**more`."""
        for name, parameter in self._parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                raise self._unfit(f"*{name} has no names, and params have")
            if parameter.kind is parameter.VAR_KEYWORD:
                self._open = name
        try:
            self._types = inspect.get_annotations(function, eval_str=True)
        except Exception:  # an annotation that only a type checker can read says nothing here
            self._types = {}

    @property
    def names(self) -> list[str]:
        return [name for name in self._parameters if name not in (self._self, self._open)]

    def check(self, description: Mapping[str, Any]) -> None:
        """Against GET /actions/{name}. Raises GuardRefused that names the function, the action and what differs."""
        if description.get("run", "agent") != "agent":
            raise self._unfit('the service makes its calls itself; guard is for actions with run = "agent"')
        schema = description.get("params")
        schema = schema if isinstance(schema, dict) else {}
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = schema.get("required") or []
        wrong = []
        if schema.get("additionalProperties", False) is False:
            wrong += [f"the action has no parameter {name!r}" for name in self.names if name not in properties]
        for name, wanted in properties.items():
            wanted = wanted if isinstance(wanted, dict) else {}
            if name in self._parameters:
                wrong += self._typed(name, wanted)
            elif not self._open and (name in required or "default" in wanted):
                wrong.append(f"the function does not take {name!r}")
        if wrong:
            raise self._unfit("; ".join(wrong))

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """A call's arguments with the function's defaults. Raises TypeError, as the function would."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound

    def params(self, bound: inspect.BoundArguments) -> Json:
        """The arguments by name, as JSON. An optional one that is None is left out. Raises GuardRefused."""
        given: Json = {}
        for name, value in bound.arguments.items():
            if name == self._self:
                continue
            if name == self._open:
                given |= value
            elif value is not None or self._parameters[name].default is not None:
                given[name] = value
        found: Json = {}
        for name, value in given.items():
            try:
                found[name] = json.loads(json.dumps(value, allow_nan=False))
            except (TypeError, ValueError, RecursionError):
                raise self._unfit(f"the argument {name!r} is no JSON value, and people could not be shown it") from None
        return found

    def approved(self, bound: inspect.BoundArguments, sent: Json, approved: Json) -> inspect.BoundArguments:
        """The arguments to run with: those that were approved, whatever the call was made with.

        A list or dict is the approved one, not the caller's: that may have been changed while people looked at it.
        """
        values: dict[str, Any] = {self._self: bound.arguments[self._self]} if self._self else {}
        more = {name: value for name, value in approved.items() if name not in self._parameters}
        for name in self.names:
            if name in approved:
                same = name in sent and _same(sent[name], approved[name])
                values[name] = bound.arguments[name] if same else approved[name]
            elif name not in sent:
                values[name] = bound.arguments[name]
            elif self._parameters[name].default is not inspect.Parameter.empty:
                values[name] = self._parameters[name].default
            else:
                raise self._unfit(f"an approver took {name!r} away, which the function needs")
        if self._open:
            values[self._open] = more
        elif more:
            raise self._unfit(f"{', '.join(map(repr, more))} was approved, which the function does not take")
        return inspect.BoundArguments(self._signature, OrderedDict(values))

    def _typed(self, name: str, wanted: Mapping[str, Any]) -> list[str]:
        """Only what is plainly another type: the rest the service judges, call by call."""
        kind, annotation = wanted.get("type"), self._types.get(name)
        mine = _NAMED.get(annotation) if isinstance(annotation, type) else None
        if mine is None or not isinstance(kind, str) or kind == mine or (mine, kind) == ("integer", "number"):
            return []
        return [f"{name!r} is {mine} here and {kind} there"]

    def _unfit(self, why: str) -> GuardRefused:
        return GuardRefused(
            f"The function at {self.place} does not fit the action {self._action}: {why}.",
            code="signature",
            hint=f"GET /actions/{self._action} shows the action's parameters.",
        )


def _same(sent: Any, approved: Any) -> bool:
    """One value that cannot change."""
    plain = not isinstance(sent, dict | list) and isinstance(sent, bool) == isinstance(approved, bool)
    return plain and bool(sent == approved)


def place_of(function: Callable[..., Any]) -> str:
    """file:line (name)."""
    inner = inspect.unwrap(function)
    code = getattr(inner, "__code__", None)
    name = getattr(function, "__qualname__", repr(function))
    return f"{code.co_filename}:{code.co_firstlineno} ({name})" if code is not None else name

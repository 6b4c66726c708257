"""The door for parameters: a compiled validator per action; its refusals name each fault by JSON pointer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import jsonschema_rs
from jsonschema_rs import ValidationErrorKind as Kind

from jit_auth.catalog import schema as schemas
from jit_auth.core.toml import did_you_mean
from jit_auth.errors import Unprocessable
from jit_auth.model import Param

_MOST = 20
"""Faults told of one call."""
_VALUE = "the value"  # stands for what came: a refusal repeats no parameter


def compiled(schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """A validator that fetches nothing and enforces formats. Raises ValueError for what is no JSON Schema."""
    try:
        return jsonschema_rs.Draft202012Validator(
            schemas.compilable(schema),
            formats={"int64": schemas.is_int64},
            validate_formats=True,
            ignore_unknown_formats=False,
            retriever=_refuse,
            mask=_VALUE,
            pattern_options=jsonschema_rs.RegexOptions(),  # linear time: no parameter can make it slow
        )
    except jsonschema_rs.ValidationError as error:
        raise ValueError(error.message) from None


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not fetched: a schema stands alone")


def composed(params: Sequence[Param]) -> dict[str, Any]:
    """The schema of an action's parameters as one closed object: what agents are shown."""
    made: dict[str, Any] = {
        "type": "object",
        "properties": {param.name: param.schema for param in params},
        "additionalProperties": False,
    }
    required = [param.name for param in params if param.required]
    if required:
        made["required"] = required
    return made


class Validate:
    """Checks the parameters of one action and fills in defaults. Made once, called per request."""

    __slots__ = ("_check", "_fill", "_names")

    def __init__(self, params: Sequence[Param]) -> None:
        schema = composed(params)
        self._check = compiled(schema)
        self._fill = schemas.filler(schema)
        self._names = [param.name for param in params]

    def __call__(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters with defaults, whole numbers as integers. Raises Unprocessable (`invalid_params`).

        `params` is not changed. Each fault has a JSON pointer (RFC 6901) into the body of the call.
        """
        filled = self._fill(params) if self._fill else params
        if not self._check.is_valid(filled):
            faults = list(self._faults(filled))
            raise Unprocessable(
                "The parameters do not fit the action.",
                code="invalid_params",
                hint="See `faults`; GET /actions/{name} has the schema.",
                members={"faults": faults[:_MOST]},
            )
        settled: dict[str, Any] = schemas.whole(filled)
        return settled

    def _faults(self, params: dict[str, Any]) -> Iterator[dict[str, str]]:
        for error in self._check.iter_errors(params):
            kind, path = error.kind, list(error.instance_path)
            if isinstance(kind, Kind.Required):
                yield _fault([*path, kind.property], "is required")
            elif isinstance(kind, Kind.AdditionalProperties | Kind.UnevaluatedProperties):
                for name in kind.unexpected:
                    yield self._unknown([*path, name])
            elif isinstance(kind, Kind.FalseSchema):
                yield self._unknown(path)
            elif isinstance(kind, Kind.Pattern) and kind.pattern == schemas.EMAIL:
                yield _fault(path, "is not exactly one plain address (name@example.com)")
            else:
                yield _fault(path, error.message[:500])

    def _unknown(self, path: Sequence[str | int]) -> dict[str, str]:
        if len(path) != 1:
            return _fault(path, "is not allowed here")
        return _fault(path, f"is no parameter{did_you_mean(str(path[0])[:64], self._names)}")


def _fault(path: Sequence[str | int], message: str) -> dict[str, str]:
    steps = (str(step)[:100].replace("~", "~0").replace("/", "~1") for step in path)
    return {"pointer": "/params" + "".join("/" + step for step in steps), "message": message}

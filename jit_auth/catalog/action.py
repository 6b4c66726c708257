"""Actions: from [actions.X] to model.Action, with every fault named at its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_args

from msgspec import UNSET

from jit_auth.catalog import schema as schemas
from jit_auth.catalog.provider import scope_fault
from jit_auth.catalog.tables import ActionTable
from jit_auth.catalog.validate import compiled
from jit_auth.core.mail import misdeclared
from jit_auth.core.request import forbidden
from jit_auth.core.target import TEMPLATE
from jit_auth.core.toml import did_you_mean
from jit_auth.model import Action, Exposes, In, Param, Provider, Shown
from jit_auth.policy.strings import milliseconds

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,126}[A-Za-z0-9])?")
_PARAM = re.compile(r"[A-Za-z0-9_$@.\[\]-]{1,64}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD = re.compile(r"\{([^{}]*)\}")
_PLACES: tuple[In, ...] = ("path", "query", "header", "body")
_SHOWN: tuple[Shown, ...] = ("text", "html", "base64", "rfc822", "opaque")
_EXPOSES: tuple[Exposes, ...] = get_args(Exposes)
_OWN = ("required", "in", "sensitive", "as")
_NEVER_EXPOSED = frozenset({"set-cookie", "set-cookie2", "www-authenticate", "authorization", "proxy-authenticate"})
_LONGEST = 600_000  # milliseconds
_LONGEST_CLAIM = 86_400_000
_LONGEST_TEXT = 300
_CALLS = (
    *("method", "path", "scopes", "any_scopes", "retry", "timeout", "expose_headers", "secret_fields"),
    *("unauthorized_is_unexecuted", "body"),
)
"""Keys that say how a call is made: without meaning where the agent runs a function of its own."""

Path = tuple[str | int, ...]
Fault = Callable[[Path, str], None]


def action_of(
    connector: str, name: str, table: ActionTable, keys: Collection[str], provider: Provider, connects: bool,
    fault: Fault,
) -> Action | None:  # fmt: skip
    """The action, or None where `fault` (path below the action, message) was told of something wrong.

    `keys` are those that were written; `connects`: users connect accounts at its provider, and so grant scopes.
    """
    wrong = False

    def tell(path: Path, message: str) -> None:
        nonlocal wrong
        wrong = True
        fault(path, f"{connector}.{name}: {message}")

    if not _NAME.fullmatch(name):
        tell((), "a name has letters, digits, - and _, at most 128")
    ours = table.run is None
    _judge_run(table, keys, tell)
    if ours and table.method is not None and table.method not in METHODS:
        tell(("method",), f"unknown method {table.method!r}{did_you_mean(table.method.upper(), METHODS)}")
    timeout = milliseconds(table.timeout)
    if not timeout or timeout > _LONGEST:
        tell(("timeout",), 'timeout: expected a duration such as "30s", at most 10m')
    _judge_headers(table, tell)
    retry = _retry(table, provider, tell)
    if ours:
        _judge_scopes(table, provider, connects, tell)
    params = tuple(
        param
        for key, given in table.params.items()
        if (param := _param(key, given, table, provider, retry, lambda path, why: tell(("params", *path), why)))
    )
    headers = [param.name.casefold() for param in params if param.where == "header"]
    if len(set(headers)) < len(headers):
        tell(("params",), "two parameters go to one header")
    _judge_body(table, params, tell)
    summary = table.title if table.summary is None else table.summary
    _judge_texts(table, summary, params, tell)
    if wrong:
        return None
    return Action(
        name=f"{connector}.{name}",
        connector=connector,
        provider=provider.id,
        title=table.title,
        summary=summary,
        show=tuple(param.name for param in params) if table.show is None else table.show,
        method=table.method or "",
        path=table.path or "",
        risk=table.risk,
        effect=table.effect,
        retry=retry,
        scopes=() if table.scopes is UNSET else table.scopes,
        any_scopes=() if table.any_scopes is UNSET else table.any_scopes,
        params=params,
        body=table.body,
        timeout=timeout or 0 if ours else 0,
        run="engine" if ours else "agent",
        claim_timeout=0 if ours else milliseconds(table.claim_timeout) or 0,
        expose_headers=tuple(header.lower() for header in table.expose_headers),
        secret_fields=table.secret_fields,
        unauthorized_is_unexecuted=table.unauthorized_is_unexecuted,
        exposes=tuple(what for what in _EXPOSES if what in table.exposes),
        reads=table.reads,
    )


def _judge_run(table: ActionTable, keys: Collection[str], tell: Fault) -> None:
    if table.run is None:
        for key in ("method", "path"):
            if key not in keys:
                tell((), f"missing key {key!r}")
        if "claim_timeout" in keys:
            tell(("claim_timeout",), 'claim_timeout: means something only with run = "agent"')
        return
    for key in _CALLS:
        if key in keys:
            tell((key,), f'{key}: means nothing with run = "agent": no call is made from here')
    within = milliseconds(table.claim_timeout)
    if not within or within < 1000 or within > _LONGEST_CLAIM:
        tell(("claim_timeout",), 'claim_timeout: expected a duration such as "10m", from 1s to 1d')


def _retry(table: ActionTable, provider: Provider, tell: Fault) -> str:
    """What may be done again when nobody knows whether it happened; never looser than the method and effect allow."""
    retry = table.retry or ("safe" if table.method in ("GET", "HEAD") else "never")
    if retry.startswith("key:"):
        name = retry[4:]
        if not _TOKEN.fullmatch(name):
            tell(("retry",), f"retry: {name!r} is no header name")
        elif why := forbidden(name, "header", provider.inject, "never"):
            tell(("retry",), f"retry: {name!r} {why}")
    elif retry not in ("safe", "idempotent", "never"):
        tell(("retry",), f"retry: expected safe, idempotent, never or key:HEADER, not {retry!r}")
    elif retry == "safe" and table.effect != "read":
        tell(("retry",), f"retry: safe is for effect read, and this one is {table.effect}")
    return retry


def _judge_headers(table: ActionTable, tell: Fault) -> None:
    for number, header in enumerate(table.expose_headers):
        if not _TOKEN.fullmatch(header):
            tell(("expose_headers", number), f"expose_headers: {header!r} is no header name")
        elif header.lower() in _NEVER_EXPOSED:
            tell(("expose_headers", number), f"expose_headers: {header} is never given to agents")


def _judge_scopes(table: ActionTable, provider: Provider, connects: bool, tell: Fault) -> None:
    if connects and table.scopes is UNSET and table.any_scopes is UNSET:
        tell((), "missing key 'scopes' (or any_scopes); an empty list says that none is needed")
    for key, scopes in (("scopes", table.scopes), ("any_scopes", table.any_scopes)):
        if scopes is UNSET:
            continue
        if scopes and not connects:
            tell((key,), f"{key}: a provider of kind {provider.kind} has no scopes")
        for number, scope in enumerate(scopes):
            if why := scope_fault(scope):
                tell((key, number), f"{key}: {why}")


def _judge_body(table: ActionTable, params: tuple[Param, ...], tell: Fault) -> None:
    if table.body == "json":
        return
    sound = {param.name for param in params}
    for name, why in misdeclared(table.method or "", params):
        if name in sound:
            tell(("params", name), f"parameter {name!r}: {why}")
        elif name not in table.params:  # one that is there and faulty was told of already
            tell(("body",), f"body: {why}")


def _judge_texts(table: ActionTable, summary: str, params: tuple[Param, ...], tell: Fault) -> None:
    for key, text in (("title", table.title), ("summary", summary)):
        if not 0 < len(text) <= _LONGEST_TEXT or not text.isprintable():
            tell((key,), f"{key}: one line of 1 to {_LONGEST_TEXT} printable characters")
    names = {name: next((p for p in params if p.name == name), None) for name in table.params}
    for name in table.show or ():
        if name not in names:
            tell(("show",), f"show: no parameter {name!r}{did_you_mean(name, names)}")
    for template in _FIELD.findall(summary):
        param = names.get(template)
        if template not in names:
            tell(("summary",), f"summary: no parameter {template!r}{did_you_mean(template, names)}")
        elif param is not None and param.sensitive:
            tell(("summary",), f"summary: {template!r} is sensitive and would stand in lists and notifications")


def _param(
    name: str, given: Mapping[str, Any], table: ActionTable, provider: Provider, retry: str, tell: Fault
) -> Param | None:
    before: list[str] = []

    def wrong(path: Path, message: str) -> None:
        before.append(message)
        tell((name, *path), f"parameter {name!r}: {message}")

    schema = {key: value for key, value in given.items() if key not in _OWN}
    in_path = name in TEMPLATE.findall(table.path or "")
    # There is no path without it (OpenAPI 3.1, 4.8.12.2: required is true): that need not be written.
    required = given.get("required", in_path and "default" not in given)
    if isinstance(required, list):  # JSON Schema's own, of an object
        schema["required"], required = required, False
    if not isinstance(required, bool) or not isinstance(given.get("sensitive", False), bool):
        wrong((), "required and sensitive are true or false")
    where: In = given.get("in") or _default_place(table.method or "", in_path)
    shown: Shown = given.get("as", "text")
    if not _PARAM.fullmatch(name):
        wrong((), "a name has letters, digits and _$@.[]-, at most 64")
    if where not in _PLACES:
        wrong(("in",), f"in: expected one of {', '.join(_PLACES)}")
        return None
    if shown not in _SHOWN:
        wrong(("as",), f"as: expected one of {', '.join(_SHOWN)}{did_you_mean(str(shown), _SHOWN)}")
    if in_path != (where == "path"):
        wrong((), "stands in the path's template" if in_path else f"{table.path} has no place {{{name}}} for it")
    if where == "path" and not required and "default" not in schema:
        wrong((), "a parameter of the path is required, or has a default")
    if where == "body" and table.method in ("GET", "HEAD"):
        wrong((), f"{table.method} has no body")
    if table.run is not None:
        if "in" in given:
            wrong(("in",), 'in: means nothing with run = "agent": no call is made from here')
    elif why := forbidden(name, where, provider.inject, retry):
        wrong((), why)
    for path, message in schemas.faults(schema):
        wrong(path, message)
    integer = schema.get("format") == "int64" and schema.get("type") == "integer"
    if integer:
        schema["type"] = "string"
    schema = schemas.closed(schema)
    if not before:
        _judge_schema(schema, where, wrong)
    if before:
        return None
    return Param(
        name=name,
        schema=schema,
        required=bool(required),
        where=where,
        sensitive=bool(given.get("sensitive", False)),
        shown=shown,
        integer=integer,
    )


def _default_place(method: str, in_path: bool) -> In:
    if in_path:
        return "path"
    return "query" if method in ("GET", "HEAD", "DELETE") else "body"


def _judge_schema(schema: dict[str, Any], where: In, wrong: Fault) -> None:
    try:
        compiled(schema)
    except ValueError as error:
        wrong((), f"no usable JSON Schema: {error}")
        return
    for path, inner in schemas.walk(schema):
        if "default" in inner and not compiled(inner).is_valid(inner["default"]):
            wrong((*path, "default"), "the default does not fit its own schema")
    if where == "body":
        return
    if _admits_composite(schema, where):
        lists = " or a list of them" if where == "query" else ""
        wrong((), f"a {where} takes a single value{lists}: say so by its type")


def _admits_composite(schema: Mapping[str, Any], where: In) -> bool:
    """Whether a value could be an object (or a list, where it would not be one of a query)."""
    kinds = schema.get("type")
    if kinds is None:
        values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
        return not values or any(isinstance(value, dict | list) for value in values)
    names = set(kinds) if isinstance(kinds, list) else {kinds}
    if "object" in names or (where != "query" and "array" in names):
        return True
    items = schema.get("items")
    return "array" in names and (not isinstance(items, Mapping) or _admits_composite(items, "path"))

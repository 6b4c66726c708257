"""Where a request goes: base URL and path as templates, filled so that no value leaves the place it was given.

A template of a base URL stands for one DNS label or path segment of the connected account (THREAT_MODEL 5), one of a
path for (part of) one segment; a value that a server could read as a step in the path is refused (THREAT_MODEL 31).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from jit_auth.core.digest import canonical
from jit_auth.errors import Unprocessable
from jit_auth.model import Connector

Account = Mapping[str, str] | None

TEMPLATE = re.compile(r"\{([^{}]*)\}")
"""A `{name}` in a path, or an `{account.field}` in a base URL."""

_BASE = re.compile(r"(https?)://([^/?#@\\\s:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?((?:/[^?#\\\s]*)?)")
_DOT = re.compile(r"\.(?![^{}]*\})")  # one between labels, not the one in {account.field}
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")
_HARMLESS = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")


def host_allowed(host: str, hosts: Sequence[str]) -> bool:
    """Whether `host` (lower case, no port) is one of `hosts`: exact names, or `*.domain` for any name below it."""
    return any(host == known or (known.startswith("*.") and host.endswith(known[1:])) for known in hosts)


def base_of(connector: Connector) -> tuple[Callable[[Account], str], frozenset[str]]:
    """How the base URL is made of an account, and the account's fields that it takes."""
    parts = _BASE.fullmatch(connector.base_url or "")
    if not parts:
        raise ValueError("base_url is no absolute http(s) URL without user, query and fragment")
    scheme, host, port, path = parts[1], parts[2], parts[3] or "", parts[4].rstrip("/")
    hosts = connector.provider.hosts
    literal_v6 = host.startswith("[")
    labels = [] if literal_v6 else [_account_field(label) or label.lower() for label in _DOT.split(host)]
    segments = [_account_field(segment) or segment for segment in path.split("/")[1:]]
    whole = len(labels) == 1 and isinstance(labels[0], _Field)
    for label in labels:
        if not isinstance(label, _Field) and not _LABEL.fullmatch(label):
            raise ValueError(f"base_url: {label!r} is no label of a host name")
    for segment in segments:
        if not isinstance(segment, _Field):
            _literal(segment, "base_url")
    fields = frozenset(part.name for part in (*labels, *segments) if isinstance(part, _Field))
    if not fields:
        if not host_allowed(host.lower().strip("[]"), hosts):
            raise ValueError(f"base_url: {host.lower()} is not among the provider's hosts")
        constant = f"{scheme}://{host.lower()}{port}{path}"
        return lambda account: constant, fields
    if literal_v6:
        raise ValueError("base_url: a template and an IPv6 address")
    sample = ".".join("x" if isinstance(label, _Field) else label for label in labels)
    if not whole and not host_allowed(sample, hosts):
        raise ValueError(f"base_url: {host} can be none of the provider's hosts: list *.DOMAIN there")
    template = f"{scheme}://{host}{port}{path}"

    def base(account: Account) -> str:
        if account is None:
            return template
        name = ".".join(_label(part, account, whole) if isinstance(part, _Field) else part for part in labels)
        if len(name) > 253 or not host_allowed(name, hosts):
            raise _no_account("leads to a host that is not among the provider's")
        filled = [_segment(part, account) if isinstance(part, _Field) else part for part in segments]
        return f"{scheme}://{name}{port}" + "".join("/" + segment for segment in filled)

    return base, fields


class _Field:
    """An `{account.field}` of a base URL."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def _account_field(part: str) -> _Field | None:
    found = TEMPLATE.fullmatch(part)
    if found and found[1].startswith("account.") and found[1][8:].isidentifier():
        return _Field(found[1][8:])
    if "{" in part or "}" in part:
        raise ValueError(f"base_url: {part!r}: a template is {{account.FIELD}} and a whole DNS label or path segment")
    return None


def _label(field: _Field, account: Mapping[str, str], whole: bool) -> str:
    value = account.get(field.name, "").lower()
    labels = value.split(".") if whole else [value]
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise _no_account("cannot stand in a host name")
    return value


def _segment(field: _Field, account: Mapping[str, str]) -> str:
    value = account.get(field.name, "")
    if _steps(value):
        raise _no_account("cannot stand in a path")
    return encoded(value)


def _no_account(why: str) -> Unprocessable:
    return Unprocessable(f"The connected account {why}.", code="unknown_account", hint="Connect another account.")


def _literal(text: str, what: str, *, whole: bool = True) -> None:
    if not _LITERAL.fullmatch(text) or (whole and text and _steps(text)):
        raise ValueError(f"{what}: {text!r} cannot stand in a URL's path as it is")


def path_of(template: str, names: set[str]) -> Callable[[Mapping[str, Any]], str]:
    """How the path is made of parameters. Literal text stands as written; a value never leaves its segment."""
    if not template.startswith("/"):
        raise ValueError("path begins with /")
    segments: list[tuple[str, ...]] = []  # literal, name, literal, name, ... literal
    for segment in template[1:].split("/"):
        pieces = tuple(TEMPLATE.split(segment))
        for piece in pieces[::2]:
            _literal(piece, "path", whole=len(pieces) == 1)
        for name in pieces[1::2]:
            if name not in names:
                raise ValueError(f"path: {{{name}}} names no parameter that goes to the path")
        segments.append(pieces)
    unused = names - {name for pieces in segments for name in pieces[1::2]}
    if unused:
        raise ValueError(f"path: no place for {', '.join(sorted(unused))}")
    if any(len(pieces) == 1 and not pieces[0] for pieces in segments[:-1]):
        raise ValueError("path: an empty segment")
    if all(len(pieces) == 1 for pieces in segments):
        return lambda params: template

    made = [_filled(pieces) for pieces in segments]
    return lambda params: "/" + "/".join([fill if isinstance(fill, str) else fill(params) for fill in made])


def _filled(pieces: tuple[str, ...]) -> str | Callable[[Mapping[str, Any]], str]:
    """One segment: as it stands, or how it is made of parameters."""
    if len(pieces) == 1:
        return pieces[0]
    literals, names = pieces[::2], pieces[1::2]
    if not any(literals) and len(names) == 1:
        return lambda params: encoded(_path_value(names[0], params))

    def fill(params: Mapping[str, Any]) -> str:
        values = [*(_path_value(name, params) for name in names), ""]
        pairs = list(zip(literals, values, strict=True))
        if _steps("".join(literal + value for literal, value in pairs)):  # harmless parts can make one ".."
            raise unfit(names[0], "is no path segment")
        return "".join(literal + encoded(value) for literal, value in pairs)

    return fill


def _path_value(name: str, params: Mapping[str, Any]) -> str:
    value = text_of(name, params.get(name))
    if value is None:
        raise unfit(name, "is missing in the path")
    if _steps(value):
        raise unfit(name, 'is empty, or holds "." or ".." as a path segment')
    return value


def _steps(value: str) -> bool:
    """Whether a server could read `value` as a step in the path: empty, or with a dot segment, however encoded."""
    if _HARMLESS.fullmatch(value):
        return False
    for _ in range(4):
        decoded = unquote(value)
        if decoded == value:
            break
        value = decoded
    else:
        return True  # encoded again and again: nothing honest looks like this
    if not value:
        return True
    if "." not in value:
        return False
    return any(part.partition(";")[0] in (".", "..") for part in value.replace("\\", "/").split("/"))


def encoded(text: str) -> str:
    """Percent-encoded, so that it is one path segment, or one name or value of a query."""
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="")


def text_of(name: str, value: Any) -> str | None:
    """A scalar as it stands in a path, query or header; None for null."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is float:
        return canonical(value).decode("ascii")
    if value is None:
        return None
    raise unfit(name, "is no single value")


def unfit(name: str, why: str) -> Unprocessable:
    """The refusal of one parameter's value: `invalid_params`, with its JSON pointer into the call's body."""
    pointer = "/params/" + name.replace("~", "~0").replace("/", "~1")
    return Unprocessable(
        f"The parameter {name} {why}.",
        code="invalid_params",
        hint="See `faults`; GET /actions/{name} has the schema.",
        members={"faults": [{"pointer": pointer, "message": why}]},
    )

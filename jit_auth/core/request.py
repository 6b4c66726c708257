"""The request that leaves, without its credential: one pure function per action, its shape decided at load.

Nothing is normalised after this: the bytes built here are hashed, approved and sent (THREAT_MODEL 4). No parameter can
change scheme, host, the number of path segments or the set of headers (THREAT_MODEL 31).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jit_auth import __version__
from jit_auth.core.digest import canonical
from jit_auth.core.ids import derived_key
from jit_auth.core.mail import PARTS, RAW, misdeclared, raw
from jit_auth.core.target import base_of, encoded, path_of, text_of, unfit
from jit_auth.model import Action, Connector, Inject, Millis, Param, Request

USER_AGENT = f"jit_auth/{__version__}"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_FORBIDDEN_HEADERS = frozenset({
    "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "host", "cookie",
    "set-cookie", "authorization", "forwarded", "x-method-override", "user-agent", "accept-encoding",
})  # fmt: skip
_FORBIDDEN_PREFIXES = ("content-", "proxy-", "x-forwarded-", "x-http-method")


def forbidden(name: str, where: str, inject: Inject, retry: str = "never") -> str | None:
    """Why no parameter may go by this name to this place (THREAT_MODEL 31), or None where it may."""
    folded = name.casefold()
    if where != "path" and folded in {(inject.header or "").casefold(), (inject.query or "").casefold()} - {""}:
        return "is the name that carries the credential"
    if where == "header":
        if not _TOKEN.fullmatch(name):
            return "is no header name (RFC 9110)"
        folded = folded.replace("_", "-")  # CGI and WSGI servers do not tell them apart
        if folded in _FORBIDDEN_HEADERS or folded.startswith(_FORBIDDEN_PREFIXES):
            return "is a header that no parameter may set"
        if retry.startswith("key:") and folded == retry[4:].casefold().replace("_", "-"):
            return "is the provider's idempotency header"
    elif where in ("query", "body"):
        if folded == "_method":
            return "can turn the request into another method"
        if folded == "access_token":
            return "can carry a credential (RFC 6750)"
    return None


class Build:
    """Builds the request of one action. Made by `prepare`; pure, and safe to share.

    `account_fields` are the fields of the connected account that the base URL needs; `whole`: the body, where there is
    one, is the RFC 8785 form of all parameters. A message is made of its parameters here and nowhere else: policies,
    digest and people read the parameters (THREAT_MODEL 18).
    """

    __slots__ = (
        "_base",
        "_body",
        "_headers",
        "_key",
        "_message",
        "_method",
        "_path",
        "_placed",
        "account_fields",
        "whole",
    )

    def __init__(self, connector: Connector, action: Action) -> None:
        inject = connector.provider.inject
        for param in action.params:
            why = forbidden(param.name, param.where, inject, action.retry)
            if why:  # judged again here: whatever made the action, this is the last door
                raise ValueError(f"{action.name}: parameter {param.name!r} {why}")
        self._message = action.body == "rfc822-base64url"
        for name, why in misdeclared(action.method, action.params) if self._message else ():
            raise ValueError(f"{action.name}: {name} {why}")
        self._method = action.method
        self._base, self.account_fields = base_of(connector)
        self._path = path_of(action.path, {p.name for p in action.params if p.where == "path"})
        self._placed = tuple(p for p in action.params if p.where in ("query", "header"))
        self._body = tuple(p for p in action.params if p.where == "body" and not (self._message and p.name in PARTS))
        self.whole = (
            not self._message and len(self._body) == len(action.params) and not any(p.integer for p in self._body)
        )
        self._key = action.retry[4:] if action.retry.startswith("key:") else None
        headers = [("User-Agent", USER_AGENT)]
        if not any(p.where == "header" and p.name.casefold() == "accept" for p in action.params):
            headers.append(("Accept", "application/json"))
        if self._body or self._message:
            headers.append(("Content-Type", "application/json"))
        self._headers = tuple(headers)

    def __call__(
        self, params: Mapping[str, Any], account: Mapping[str, str] | None, execution_id: str, created: Millis
    ) -> Request:
        """The request for validated `params`. `account` holds the fields of the connected account.

        With `account` None, where nothing is connected yet, templates of the base URL stay as they are: such a request
        can be shown and hashed, and egress refuses its host. Raises Unprocessable (`invalid_params`) where a value
        cannot stand in its place, (`unknown_account`) where an account's field cannot.
        """
        url = self._base(account) + self._path(params)
        headers = self._headers
        if self._placed:
            query, more = _place(self._placed, params)
            if query:
                url += "?" + query
            headers += more
        if self._key:
            headers = (*headers, (self._key, derived_key(execution_id)))
        return Request(self._method, url, headers, self._json(params) if self._body or self._message else b"")

    def _json(self, params: Mapping[str, Any]) -> bytes:
        if self.whole:
            return canonical(params)
        present = {p.name: params[p.name] for p in self._body if p.name in params}
        if self._message:
            present[RAW] = raw(params)
        integers = [p.name for p in self._body if p.integer and type(params.get(p.name)) is str]
        if not integers:
            return canonical(present)
        # A 64-bit integer came as a decimal string; RFC 8785 has no form for it, so it is set in as its digits.
        members = [
            canonical(name) + b":" + (value.encode("ascii") if name in integers else canonical(value))
            for name, value in sorted(present.items())
        ]
        return b"{" + b",".join(members) + b"}"


def prepare(connector: Connector, action: Action) -> Build:
    """Decide at load how `action` is built. Raises ValueError, saying what is wrong with connector or action."""
    return Build(connector, action)


def _place(params: Sequence[Param], values: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The query string and the headers that parameters make. A list is repeated in the query; null is left out."""
    query: list[str] = []
    headers: list[tuple[str, str]] = []
    for param in params:
        value = values.get(param.name)
        if param.where == "header":
            text = text_of(param.name, value)
            if text is None:
                continue
            if not _HEADER_VALUE.fullmatch(text):
                raise unfit(param.name, "is no header value: visible ASCII, no line breaks, no outer blanks")
            headers.append((param.name, text))
            continue
        for item in value if isinstance(value, list) else (value,):
            text = text_of(param.name, item)
            if text is not None:
                query.append(f"{encoded(param.name)}={encoded(text)}")
    return "&".join(query), tuple(headers)

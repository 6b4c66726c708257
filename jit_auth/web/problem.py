"""Errors as RFC 9457 problem+json: a stable code, a sentence, a hint; never a stack trace."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from jit_auth.errors import Problem

PROBLEM = "application/problem+json"
_AGAIN = frozenset({429, 503})
"""What is over soon: the answer says after how many seconds to come back."""
_encode = msgspec.json.Encoder().encode


def document(status: int, code: str, detail: str, hint: str, members: dict[str, Any] | None = None) -> dict[str, Any]:
    """The problem as JSON. `type` stays about:blank: `code` is what programs read."""
    found = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "hint": hint,
    }
    return found | (members or {})


def when_again(status: int) -> dict[str, str]:
    """`Retry-After` of what says nothing better itself."""
    return {"Retry-After": "1"} if status in _AGAIN else {}


def response(problem: Problem) -> web.Response:
    """The answer for a refused call."""
    body = document(problem.status, problem.code, problem.message, problem.hint, problem.members)
    return _answer(problem.status, body, problem.headers)


def plain(status: int, code: str, detail: str, hint: str, **members: Any) -> web.Response:
    """A problem that no exception stands for: routing, unexpected faults."""
    return _answer(status, document(status, code, detail, hint, members), {})


def _answer(status: int, body: dict[str, Any], headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        body=_encode(body), status=status, content_type=PROBLEM, headers={**when_again(status), **headers}
    )

"""HTML for people: one Jinja2 environment, the headers that every page carries, and errors as pages or problem+json."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, wraps
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from jit_auth.channels.card import exactly, moment, span
from jit_auth.channels.words import short
from jit_auth.core.text import visible
from jit_auth.core.times import rfc3339
from jit_auth.errors import FlowRefused, JitAuthError, Misconfigured, Problem, ProviderError, StorageError
from jit_auth.web.forms import origin_of
from jit_auth.web.problem import PROBLEM, document, when_again

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OURS = re.compile("(?:\u27e8[^\u27e8\u27e9]*\u27e9)+")
_FLOW_STATUS = {"already_finished": 409, "wrong_path": 404}
_HEADINGS = {
    "already_decided": "Somebody has decided already",
    "already_finished": "This was finished before",
    "superseded": "This was asked again",
    "digest_mismatch": "This page showed something else",
    "expired": "Too late",
    "cancelled": "Withdrawn",
    "revoked": "Access was stopped",
    "already_connected": "This account is connected already",
    "not_found": "There is nothing here",
    "foreign_origin": "Nothing was decided",
    "not_eligible": "This is not yours to decide",
    "other_person": "This is for somebody else",
    "sign_in_required": "Sign in first",
    "bad_form_token": "Nothing was done",
    "stale": "Nothing was decided: something has changed",
    "invalid_params": "That cannot be taken",
    "flow_refused": "This browser did not start it",
}


@cache
def compiled() -> Environment:
    """The templates with what they call: the same for every service of a process, and compiled once (0.3 s)."""
    made = Environment(
        loader=PackageLoader("jit_auth.web"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        shown=shown,
        moment=moment,
        stamp=rfc3339,
        span=span,
        exactly=exactly,
        short=short,
        foreign=foreign,
        visible=visible,
        way=way,
    )
    return made


@cache
def templates() -> Mapping[str, Template]:
    """All pages, by the name of their file."""
    jinja = compiled()
    return {name: jinja.get_template(name) for name in jinja.list_templates(extensions=["html"])}


def _own(jinja: Environment, name: str) -> Markup:
    """A file of ours that stands in pages as it is."""
    if jinja.loader is None:
        raise TypeError("templates without a place they come from")
    return Markup(jinja.loader.get_source(jinja, name)[0])  # noqa: S704 - ours


class Pages:
    """Renders templates under strict headers. Everything is compiled at start.

    `public_url` alone says what our own origin is; `environment` stands on every page.
    """

    def __init__(self, public_url: str, environment: str) -> None:
        self.origin = origin_of(public_url)
        self.public_url = public_url
        self.secure = public_url.startswith("https:")
        self.environment = environment
        self._jinja = compiled()
        style, script = (_own(self._jinja, name) for name in ("style.css", "passkey.js"))
        self._always = {"style": style, "environment": visible(environment, one_line=True)}
        self._templates = templates()
        policy = f"default-src 'none'; style-src {_source(style)}; form-action 'self'; "
        policy += "frame-ancestors 'none'; base-uri 'none'"
        self.headers = {
            "Content-Security-Policy": policy,
            "Referrer-Policy": "same-origin",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        self._script = script
        self._with_script = {"Content-Security-Policy": f"{policy}; script-src {_source(script)}"}

    def html(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """A page. Raises jinja2.UndefinedError where a template names what was not given."""
        text = self._templates[template].render(self._always | values)
        return web.Response(text=text, status=status, content_type="text/html", headers=self.headers)

    def with_passkeys(
        self, template: str, *, options: Mapping[str, Any], status: int = 200, **values: Any
    ) -> web.Response:
        """A page that may run one script, the one that asks for passkeys. `options`: what each button asks for, by the
        name in its `data-passkey`, as WebAuthn's JSON."""
        response = self.html(template, status=status, options=options, script=self._script, **values)
        response.headers.update(self._with_script)
        return response

    def json(self, value: Any, *, status: int = 200, content_type: str = "application/json") -> web.Response:
        """A JSON answer of a page, under the same headers."""
        body = msgspec.json.encode(value)
        return web.Response(body=body, status=status, content_type=content_type, headers=self.headers)

    def guarded(self, handler: Handler, *, json: bool = False) -> Handler:
        """The handler with its refusals answered as a page, or as problem+json to a client that speaks JSON (`json`:
        whatever it speaks)."""

        @wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except (Problem, ProviderError, StorageError) as error:
                return self.refused(request, error, json=json)

        return guarded

    def refused(self, request: web.Request, error: JitAuthError, *, json: bool = False) -> web.Response:
        """An error with its code, sentence and hint. It holds nothing that was sent but where the error quotes it."""
        status = _status(error)
        members: dict[str, Any] = error.members if isinstance(error, Problem) else {}
        if json or wants_json(request):
            body = document(status, error.code, error.message, error.hint, members)
            response = self.json(body, status=status, content_type=PROBLEM)
        else:
            code = "flow_refused" if isinstance(error, FlowRefused) and error.code not in _HEADINGS else error.code
            title = _HEADINGS.get(code, HTTPStatus(status).phrase)
            response = self.html(
                "error.html",
                status=status,
                title=title,
                message=error.message,
                hint=error.hint,
                code=error.code,
                decided=members.get("decided", ()),
                stale=members.get("stale", ()),
                faults=members.get("faults", ()),
            )
        response.headers.update(when_again(status) | (error.headers if isinstance(error, Problem) else {}))
        return response


def wants_json(request: web.Request) -> bool:
    """Whether the client speaks JSON rather than HTML: by the body it sent, or by what it accepts."""
    accept = request.headers.get("Accept", "").lower()
    accepts = "application/json" in accept or "application/problem+json" in accept
    return request.content_type == "application/json" or (accepts and "text/html" not in accept)


def shown(text: str) -> Markup:
    """Text that was made visible, escaped; our own marks (which foreign text cannot write) stand out."""
    return Markup(_OURS.sub(lambda mark: f'<mark class="hid">{mark[0]}</mark>', str(escape(text))))  # noqa: S704 - escaped


def way(text: str) -> str:
    """The direction of a box of foreign text: its own for words, left to right for an address, a host or an id, whose
    parts would else change places where it begins with a Hebrew or Arabic letter."""
    words = _OURS.sub("", text)
    return "auto" if " " in words or "\n" in words else "ltr"


def foreign(text: str) -> Markup:
    """Text that is not ours, not made visible before: on one line, and isolated in direction."""
    seen = visible(text, one_line=True)
    return Markup('<bdi dir="{}">{}</bdi>').format(way(seen), shown(seen))


def _source(text: str) -> str:
    """The one inline style or script of this text, as a CSP source."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") + "'"


def _status(error: JitAuthError) -> int:
    if isinstance(error, Problem):
        return error.status
    if isinstance(error, StorageError):
        return 503
    if isinstance(error, Misconfigured):
        return 500
    return _FLOW_STATUS.get(error.code, 403) if isinstance(error, FlowRefused) else 502

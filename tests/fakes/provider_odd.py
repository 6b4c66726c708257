"""An OAuth server that can be as odd as real ones are, in the test's own process and event loop."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote_plus, urlencode

from aiohttp import web

from tests.fakes.serving import serving


@dataclass
class Oddities:
    """How it behaves; change it between requests."""

    slack: bool = False
    """Tokens nested in `authed_user` beside a bot's token, scopes in `user_scope`, errors as 200 with `ok` false."""
    error_in_200: bool = False
    """GitHub: errors of the token endpoint come with status 200."""
    form_encoded: bool = False
    """GitHub: form-encoded replies unless JSON is asked for; "always": even then."""
    always_form_encoded: bool = False
    broken_code: str = "invalid_grant"
    """What a dead refresh token is called (GitHub: bad_refresh_token)."""
    expires_in: object = 3600
    """As it stands in the reply; None leaves it out."""
    separator: str = " "
    tell_scopes: bool = True
    drop_at_refresh: tuple[str, ...] = ()
    add_scopes: tuple[str, ...] = ()
    rotate: bool = True
    """Refresh tokens are good once; a second use ends the family."""
    repeat_refresh_token: bool = True
    """Name the refresh token in a refresh reply; False with rotate False: the old one stays and is not named."""
    give_refresh_token: bool = True
    iss: Literal["own", "none"] | str = "own"
    promise_iss: bool = True
    metadata: Literal["rfc8414", "below", "oidc", "none", "down"] = "rfc8414"
    metadata_says: dict[str, Any] = field(default_factory=dict)
    id_token_nonce: str | None = None
    """"own": an ID token with the nonce that was sent; else with this nonce."""
    userinfo: dict[str, Any] | None = None
    """What userinfo says; None: sub and email of who signed in."""
    userinfo_status: int = 200


@dataclass
class Family:
    """What hangs on one consent."""

    user: str
    scopes: tuple[str, ...]
    live: bool = True
    access: str = ""
    refresh: str = ""
    spent: set[str] = field(default_factory=set)


class OddProvider:
    """Client `odd` with secret `s3cr+t %&`; every code and token it gave is in `families`."""

    client_id = "odd"
    client_secret = "s3cr+t %&"

    def __init__(self) -> None:
        self.odd = Oddities()
        self.url = ""
        self.counts: Counter[str] = Counter()
        self.forms: list[dict[str, str]] = []
        """Forms that the token endpoint got, oldest first."""
        self.families: list[Family] = []
        self.revoked: list[str] = []
        self.faults: list[tuple[int, str, str]] = []
        """(status, content type, body) to answer next at the token endpoint, before anything is looked at."""
        self.hang_up: list[Literal["before", "after"]] = []
        """Close the connection at the next token requests: before, or after the token was rotated."""
        self.gate: asyncio.Event | None = None
        """While set and unset: the token endpoint waits for it, after it has counted the request."""
        self.late_gate: asyncio.Event | None = None
        """While set and unset: answers of the token endpoint wait for it, after the token was rotated."""
        self.rotated = asyncio.Event()
        """Set when a token request was done, and its answer is on its way."""
        self.reached = asyncio.Event()
        """Set when a token request has come in."""
        self.authenticate: Callable[[dict[str, str], str], bool] | None = None
        """Judges (form, Authorization header) in place of client_secret_basic and _post."""
        self._codes: dict[str, tuple[Family, str, str, str]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[OddProvider]:
        app = web.Application()
        well_known = "/.well-known/oauth-authorization-server"
        app.add_routes([
            web.get("/as/authorize", self._consent), web.post("/as/authorize", self._decide),
            web.post("/as/token", self._token), web.post("/as/refresh", self._token),
            web.post("/as/revoke", self._revoke), web.get("/as/me", self._me),
            web.get(well_known + "/as", self._metadata), web.get("/as" + well_known, self._metadata),
            web.get("/as/.well-known/openid-configuration", self._metadata),
        ])  # fmt: skip
        async with serving(app) as origin:
            self.url = origin + "/as"
            yield self

    def issue(self, user: str, *scopes: str) -> Family:
        """Tokens as after a consent, without a browser."""
        family = Family(user, scopes)
        self.families.append(family)
        self._renew(family)
        return family

    def introspect(self, token: str) -> tuple[str, Sequence[str]] | None:
        """(user, scopes) of an access token that is good now."""
        for family in self.families:
            if family.live and family.access == token:
                return family.user, family.scopes
        return None

    def _renew(self, family: Family) -> None:
        family.access = "at-" + secrets.token_urlsafe(24)
        if self.odd.rotate or not family.refresh:
            family.spent.add(family.refresh)
            family.refresh = "rt-" + secrets.token_urlsafe(24)

    # The browser's part

    async def _consent(self, request: web.Request) -> web.Response:
        self.counts["authorize"] += 1
        name = "user_scope" if self.odd.slack else "scope"
        asked = [scope for scope in request.query.get(name, "").replace(",", " ").split() if scope]
        ticks = "".join(
            f'<label><input type="checkbox" name="tick" value="{scope}" checked>{scope}</label>' for scope in asked
        )
        page = (f'<!doctype html><form method="post"><input name="username" value="alice">{ticks}'
                '<button name="allow" value="yes">Allow</button><button name="deny" value="yes">Deny</button>'
                "</form>")  # fmt: skip
        return web.Response(text=page, content_type="text/html")

    async def _decide(self, request: web.Request) -> web.Response:
        form, query = await request.post(), request.query
        answer = {"state": query.get("state", "")}
        if "allow" in form:
            code = secrets.token_urlsafe(16)
            scopes = (*map(str, form.getall("tick", [])), *self.odd.add_scopes)
            family = Family(str(form["username"]), scopes)
            self.families.append(family)
            self._codes[code] = (family, query["redirect_uri"], query.get("code_challenge", ""), query.get("nonce", ""))
            answer["code"] = code
        else:
            answer["error"] = "access_denied"
        if self.odd.iss != "none":
            answer["iss"] = self.url if self.odd.iss == "own" else self.odd.iss
        raise web.HTTPFound(query["redirect_uri"] + "?" + urlencode(answer))

    # The client's part

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        kind = form.get("grant_type", "none")
        self.counts[kind] += 1
        self.counts[request.path] += 1
        self.reached.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.faults:
            status, content_type, body = self.faults.pop(0)
            return web.Response(status=status, content_type=content_type, text=body)
        hang_up = self.hang_up.pop(0) if self.hang_up else None
        if hang_up == "before":
            return self._hang_up(request)
        if not self._genuine(form, request.headers.get("Authorization", "")):
            return self._error(request, "invalid_client", 401)
        if kind == "authorization_code":
            reply = self._exchange(form)
        elif kind == "refresh_token":
            reply = self._refresh(form)
        else:
            return self._error(request, "unsupported_grant_type")
        if reply is None:
            return self._error(request, self.odd.broken_code)
        self.rotated.set()
        if self.late_gate is not None:
            await self.late_gate.wait()
        if hang_up == "after":
            return self._hang_up(request)
        return self._reply(request, reply, 200)

    def _hang_up(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _genuine(self, form: dict[str, str], header: str) -> bool:
        if self.authenticate is not None:
            return self.authenticate(form, header)
        if header.startswith("Basic "):
            name, _, secret = base64.b64decode(header[6:]).decode().partition(":")
            return (unquote_plus(name), unquote_plus(secret)) == (self.client_id, self.client_secret)
        return (form.get("client_id"), form.get("client_secret")) == (self.client_id, self.client_secret)

    def _exchange(self, form: dict[str, str]) -> dict[str, Any] | None:
        family, redirect_uri, challenge, nonce = self._codes.pop(form.get("code", ""), (None, "", "", ""))
        proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if family is None or redirect_uri != form.get("redirect_uri"):
            return None
        if challenge and proof.rstrip(b"=").decode() != challenge:
            return None
        self._renew(family)
        reply = self._tokens(family, named=True)
        if self.odd.id_token_nonce is not None:
            told = nonce if self.odd.id_token_nonce == "own" else self.odd.id_token_nonce
            claims = base64.urlsafe_b64encode(f'{{"sub":"x","nonce":"{told}"}}'.encode()).rstrip(b"=").decode()
            reply["id_token"] = f"e30.{claims}.x"
        return reply

    def _refresh(self, form: dict[str, str]) -> dict[str, Any] | None:
        token = form.get("refresh_token", "")
        for family in self.families:
            if token in family.spent:
                family.live = False  # reuse: one of two holders is a thief
            if family.live and token == family.refresh:
                family.scopes = tuple(scope for scope in family.scopes if scope not in self.odd.drop_at_refresh)
                self._renew(family)
                return self._tokens(family, named=self.odd.repeat_refresh_token)
        return None

    def _tokens(self, family: Family, *, named: bool) -> dict[str, Any]:
        reply: dict[str, Any] = {"access_token": family.access, "token_type": "bearer"}
        if self.odd.give_refresh_token and named:
            reply["refresh_token"] = family.refresh
        if self.odd.expires_in is not None:
            reply["expires_in"] = self.odd.expires_in
        if self.odd.tell_scopes:
            reply["scope"] = self.odd.separator.join(family.scopes)
        if not self.odd.slack:
            return reply
        user = {"id": f"U-{family.user}", "name": family.user, **reply, "token_type": "user"}
        return {"ok": True, "access_token": "bot-token", "scope": "bot,chat:write", "authed_user": user}

    def _error(self, request: web.Request, code: str, status: int = 400) -> web.StreamResponse:
        if self.odd.slack:
            return self._reply(request, {"ok": False, "error": code}, 200)
        body = {"error": code, "error_description": f"{code} of a fake"}
        return self._reply(request, body, 200 if self.odd.error_in_200 else status)

    def _reply(self, request: web.Request, body: dict[str, Any], status: int) -> web.StreamResponse:
        json_asked = "application/json" in request.headers.get("Accept", "")
        if self.odd.always_form_encoded or (self.odd.form_encoded and not json_asked):
            return web.Response(text=urlencode(body), status=status,
                                content_type="application/x-www-form-urlencoded")  # fmt: skip
        return web.json_response(body, status=status)

    async def _revoke(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        self.counts["revoke"] += 1
        if self.faults:
            status, content_type, body = self.faults.pop(0)
            return web.Response(status=status, content_type=content_type, text=body)
        token = str(form.get("token", ""))
        self.revoked.append(token)
        for family in self.families:
            if token in (family.access, family.refresh):
                family.live = False
        return web.Response()

    async def _me(self, request: web.Request) -> web.StreamResponse:
        self.counts["userinfo"] += 1
        found = self.introspect(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if self.odd.userinfo_status != 200:
            return web.Response(status=self.odd.userinfo_status, text="<h1>Oops</h1>", content_type="text/html")
        if found is None:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        if self.odd.userinfo is not None:
            return web.json_response(self.odd.userinfo)
        return web.json_response({"sub": f"odd-{found[0]}", "email": f"{found[0]}@example.com"})

    async def _metadata(self, request: web.Request) -> web.StreamResponse:
        self.counts["metadata"] += 1
        if self.odd.metadata == "down":
            return web.Response(status=503)
        places = {"rfc8414": "/.well-known/oauth-authorization-server/as",
                  "below": "/as/.well-known/oauth-authorization-server",
                  "oidc": "/as/.well-known/openid-configuration"}  # fmt: skip
        if places.get(self.odd.metadata) != request.path:
            return web.Response(status=404, text="<h1>Not found</h1>", content_type="text/html")
        document = {"issuer": self.url, "authorization_endpoint": self.url + "/authorize",
                    "token_endpoint": self.url + "/token", "revocation_endpoint": self.url + "/revoke",
                    "userinfo_endpoint": self.url + "/me",
                    "authorization_response_iss_parameter_supported": self.odd.promise_iss}  # fmt: skip
        return web.json_response(document | self.odd.metadata_says)

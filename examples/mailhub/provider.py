"""MailHub's OAuth 2.1 authorization server: login, consent, codes with PKCE, rotating refresh tokens, revocation.

A toy, but one that says no where a real one does: RFC 6749 (codes, refresh), RFC 7636 (PKCE, S256 only), RFC 9207
(`iss` in the answer), RFC 7009 (revocation), RFC 8414 (metadata). Everything lives in memory and ends with the process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus, urlencode

from aiohttp import web

from examples.mailhub import pages

SCOPES: Mapping[str, str] = {
    "mail.read": "Read your e-mail",
    "mail.send": "Send e-mail as you",
    "offline_access": "Keep this access while you are away",
}
CODE_SECONDS = 60
SESSION = "mailhub_session"


@dataclass(frozen=True)
class Account:
    """Somebody with a mailbox here."""

    sub: str
    email: str
    password: str


@dataclass(frozen=True)
class Client:
    """A registered application. Redirect URIs are compared as exact strings (RFC 9700 2.1)."""

    id: str
    secret: str
    redirect_uris: tuple[str, ...]


@dataclass
class Grant:
    """What one person gave to one client at one consent: all its tokens die together."""

    account: Account
    client: Client
    scopes: frozenset[str]
    live: bool = True
    used_refresh: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Code:
    grant: Grant
    redirect_uri: str
    challenge: str
    until: float


@dataclass(frozen=True)
class Access:
    """A live access token, as a resource server sees it."""

    account: Account
    scopes: frozenset[str]


class TokenError(Exception):
    """An error of the token endpoint (RFC 6749 5.2)."""

    def __init__(self, code: str, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.status = code, sentence, status


class AuthorizationServer:
    """The authorization server at `issuer` (scheme, host and port). `lifetime` of access tokens is in seconds."""

    def __init__(
        self,
        issuer: str,
        *,
        accounts: tuple[Account, ...],
        clients: tuple[Client, ...],
        lifetime: int = 300,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self.lifetime = lifetime
        self._clock = clock
        self._accounts = {account.email: account for account in accounts}
        self._clients = {client.id: client for client in clients}
        self._sessions: dict[str, Account] = {}
        self._codes: dict[str, Code] = {}
        self._spent_codes: dict[str, Grant] = {}
        self._access: dict[str, tuple[Grant, frozenset[str], float]] = {}
        self._refresh: dict[str, Grant] = {}

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/.well-known/oauth-authorization-server", self._metadata),
                web.get("/authorize", self._authorize),
                web.post("/login", self._login),
                web.post("/authorize", self._decide),
                web.post("/token", self._token),
                web.post("/revoke", self._revoke),
                web.get("/me", self._me),
            ]
        )
        return app

    def introspect(self, token: str) -> Access | None:
        """What a token is good for right now, or None (a resource server in the same process asks this)."""
        found = self._access.get(token)
        if found is None or not found[0].live or found[2] <= self._clock():
            return None
        return Access(found[0].account, found[1])

    def issue(self, account: Account, client: Client, scopes: frozenset[str]) -> dict[str, object]:
        """Tokens without a browser, as after a consent to `scopes`: for tests of what comes after."""
        return self._issue(Grant(account, client, scopes), scopes)

    # The browser's part: login and consent.

    async def _authorize(self, request: web.Request) -> web.Response:
        client, redirect_uri = self._registered(request.query)
        if client is None:
            return pages.fault("This application or its redirect address is not registered here.")
        problem = _unacceptable(request.query)
        if problem:
            raise web.HTTPFound(self._back(redirect_uri, request.query, error=problem))
        account = self._sessions.get(request.cookies.get(SESSION, ""))
        if account is None:
            return pages.login(request.rel_url.raw_query_string)
        wanted = request.query.get("scope", "").split()
        asked = {scope: SCOPES[scope] for scope in wanted}
        csrf = self._csrf(request.cookies[SESSION])
        return pages.consent(client.id, account.email, asked, request.rel_url.raw_query_string, csrf, redirect_uri)

    async def _login(self, request: web.Request) -> web.Response:
        form = await request.post()
        account = self._accounts.get(str(form.get("email", "")))
        if account is None or not hmac.compare_digest(account.password, str(form.get("password", ""))):
            return pages.login(str(form.get("query", "")), "Unknown address or wrong password.")
        session = secrets.token_urlsafe(32)
        self._sessions[session] = account
        answer = web.Response(status=303, headers={"Location": "/authorize?" + str(form.get("query", ""))})
        answer.set_cookie(SESSION, session, httponly=True, samesite="Lax")
        return answer

    async def _decide(self, request: web.Request) -> web.Response:
        client, redirect_uri = self._registered(request.query)
        session = request.cookies.get(SESSION, "")
        account = self._sessions.get(session)
        form = await request.post()
        genuine = hmac.compare_digest(str(form.get("csrf", "")), self._csrf(session))
        if client is None or account is None or not genuine or _unacceptable(request.query):
            return pages.fault("This form does not belong to your session. Please start again.")
        given = frozenset(map(str, form.getall("scope", []))) & frozenset(request.query.get("scope", "").split())
        if form.get("decision") != "allow" or not given:
            raise web.HTTPSeeOther(self._back(redirect_uri, request.query, error="access_denied"))
        code = secrets.token_urlsafe(32)
        grant = Grant(account, client, given)
        self._codes[code] = Code(grant, redirect_uri, request.query["code_challenge"], self._clock() + CODE_SECONDS)
        raise web.HTTPSeeOther(self._back(redirect_uri, request.query, code=code))

    def _registered(self, query: Mapping[str, str]) -> tuple[Client | None, str]:
        client = self._clients.get(query.get("client_id", ""))
        redirect_uri = query.get("redirect_uri", "")
        if client is None or redirect_uri not in client.redirect_uris:
            return None, ""  # never redirect to an address nobody registered
        return client, redirect_uri

    def _back(self, redirect_uri: str, query: Mapping[str, str], **answer: str) -> str:
        state = {"state": query["state"]} if "state" in query else {}
        return redirect_uri + "?" + urlencode({**answer, **state, "iss": self.issuer})

    def _csrf(self, session: str) -> str:
        return hmac.new(session.encode(), b"consent form", hashlib.sha256).hexdigest()

    # The client's part: tokens.

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        try:
            client = self._authenticated(request, form)
            match form.get("grant_type"):
                case "authorization_code":
                    reply = self._redeem(client, form)
                case "refresh_token":
                    reply = self._rotate(client, form)
                case _:
                    raise TokenError("unsupported_grant_type", "Only codes and refresh tokens are taken here.")
        except TokenError as error:
            body = {"error": error.code, "error_description": error.sentence}
            headers = {"WWW-Authenticate": 'Basic realm="MailHub"'} if error.status == 401 else {}
            return _json(body, error.status, headers)
        return _json(reply)

    def _redeem(self, client: Client, form: Mapping[str, str]) -> dict[str, object]:
        text = form.get("code", "")
        if text in self._spent_codes:  # a code seen twice was stolen by one of its two users: RFC 6749 4.1.2
            self._spent_codes[text].live = False
        code = self._codes.pop(text, None)
        if code is None or code.until <= self._clock() or code.grant.client is not client:
            raise TokenError("invalid_grant", "This code is unknown, used, expired or another client's.")
        self._spent_codes[text] = code.grant
        if form.get("redirect_uri") != code.redirect_uri:
            raise TokenError("invalid_grant", "The redirect_uri is not the one of the authorization request.")
        if not hmac.compare_digest(_s256(form.get("code_verifier", "")), code.challenge):
            raise TokenError("invalid_grant", "The code_verifier does not fit the code_challenge.")
        return self._issue(code.grant, code.grant.scopes)

    def _rotate(self, client: Client, form: Mapping[str, str]) -> dict[str, object]:
        text = form.get("refresh_token", "")
        grant = self._refresh.get(text)
        if grant is not None and text in grant.used_refresh:  # reuse: one of two holders is a thief
            grant.live = False
        if grant is None or not grant.live or grant.client is not client:
            raise TokenError("invalid_grant", "This refresh token is unknown, used or revoked.")
        asked = frozenset(form["scope"].split()) if form.get("scope") else grant.scopes
        if not asked <= grant.scopes:
            raise TokenError("invalid_scope", "A refresh never widens what was granted.")
        grant.used_refresh.add(text)
        return self._issue(grant, asked)

    def _issue(self, grant: Grant, scopes: frozenset[str]) -> dict[str, object]:
        access = "mh_at_" + secrets.token_urlsafe(32)
        self._access[access] = (grant, scopes, self._clock() + self.lifetime)
        reply: dict[str, object] = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "scope": " ".join(sorted(scopes)),
        }
        if "offline_access" in grant.scopes:
            refresh = "mh_rt_" + secrets.token_urlsafe(32)
            self._refresh[refresh] = grant
            reply["refresh_token"] = refresh
        return reply

    async def _revoke(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        try:
            client = self._authenticated(request, form)
        except TokenError as error:
            return _json({"error": error.code, "error_description": error.sentence}, error.status)
        token = form.get("token", "")
        grant = self._refresh.get(token) or self._access.get(token, (None,))[0]
        if grant is not None and grant.client is client:
            grant.live = False
        return web.Response()  # also for a token nobody knows: RFC 7009 2.2

    async def _me(self, request: web.Request) -> web.Response:
        access = self.introspect(bearer(request))
        if access is None:
            return _json({"error": "invalid_token"}, 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return _json({"sub": access.account.sub, "email": access.account.email})

    async def _metadata(self, request: web.Request) -> web.Response:
        return _json(
            {
                "issuer": self.issuer,
                "authorization_endpoint": self.issuer + "/authorize",
                "token_endpoint": self.issuer + "/token",
                "revocation_endpoint": self.issuer + "/revoke",
                "userinfo_endpoint": self.issuer + "/me",
                "scopes_supported": list(SCOPES),
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    def _authenticated(self, request: web.Request, form: Mapping[str, str]) -> Client:
        name, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                pair = base64.b64decode(value, validate=True).decode()
            except ValueError:
                pair = ""
            name, secret = (unquote_plus(part) for part in (pair.partition(":")[0], pair.partition(":")[2]))
        client = self._clients.get(name)
        if client is None or not hmac.compare_digest(client.secret.encode(), secret.encode()):
            raise TokenError("invalid_client", "Unknown client or wrong secret.", 401)
        return client


def bearer(request: web.Request) -> str:
    """The bearer token of a request, or ""."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _unacceptable(query: Mapping[str, str]) -> str:
    """The error code for an authorization request of a registered client, or ""."""
    if query.get("response_type") != "code":
        return "unsupported_response_type"
    if query.get("code_challenge_method") != "S256" or not query.get("code_challenge"):
        return "invalid_request"  # OAuth 2.1: no code without PKCE, and no `plain`
    scopes = query.get("scope", "").split()
    return "" if scopes and all(scope in SCOPES for scope in scopes) else "invalid_scope"


def _s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _json(body: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store", **(headers or {})})

"""The sign-in round trip (authorization code flow with PKCE): send a browser to an issuer, take its own answer back.

How this would be attacked (THREAT_MODEL 2, 15, 27): a callback planted in another browser, or of another issuer (the
sealed cookie, `state`, `iss`, and a redirect URI for each issuer); a code injected into this round trip (`nonce`,
PKCE); a parameter given twice so that two readers see two values; an issuer that answers slowly, hugely, elsewhere.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import aiohttp
from msgspec import Struct

from jit_auth.config.issuer import Issuer
from jit_auth.errors import Away, Broken, NotFound, ProviderError, SignInAway, SignInRefused
from jit_auth.model import Millis, Provider
from jit_auth.oauth.protocol import authorize_url, code_request
from jit_auth.oauth.replies import read_token
from jit_auth.signin.fetch import fetch, issuers_session
from jit_auth.signin.id_token import Expected, unverified, verified
from jit_auth.signin.identity import Identity
from jit_auth.signin.keys import Metadata, Published
from jit_auth.signin.trip import LIFETIME, Sealed, Trip, local

_READ = ("state", "code", "iss", "error", "error_description")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_VALUE = 4096


class Begun(Struct, frozen=True, kw_only=True):
    """Send the browser to `url` and give it `cookie` for `lifetime` (HttpOnly, SameSite=Lax; `__Host-` under https)."""

    url: str
    cookie: str
    lifetime: Millis

    def __repr__(self) -> str:
        return "Begun(...)"

    __str__ = __repr__


class Landed(Struct, frozen=True, kw_only=True):
    """Who signed in, and the path of ours where they wanted to go. The trip's cookie has to be deleted now."""

    identity: Identity
    to: str


class Oidc:
    """Begins and finishes sign-ins. `key`: 32 bytes for the trips' cookies alone; `now`: the time, in milliseconds.

    Raises ValueError where two issuers have one name, share a domain, or could both name people who have none.
    """

    def __init__(
        self,
        issuers: Iterable[Issuer],
        *,
        public_url: str,
        key: bytes,
        now: Callable[[], Millis],
        session: aiohttp.ClientSession,
    ) -> None:
        listed = tuple(issuers)
        self._issuers = {issuer.name: issuer for issuer in listed}
        domains = [domain for issuer in listed for domain in dict.fromkeys(issuer.domains)]
        bare = [issuer for issuer in listed if not issuer.domains and issuer.user_claim != "email"]
        if len(self._issuers) != len(listed) or len(set(domains)) != len(domains) or len(bare) > 1:
            raise ValueError("Two issuers have the same name, or could vouch for the same people.")
        self._public_url = public_url.rstrip("/")
        self._sealed = Sealed(key)
        self._now = now
        self._session = session
        self._published = Published(session, now)

    def redirect_uri(self, name: str) -> str:
        """What has to be registered at the issuer, letter by letter."""
        return f"{self._public_url}/signin/callback/{name}"

    async def begin(self, name: str, *, to: str, fresh: bool = False) -> Begun:
        """Open a round trip for this browser; `fresh`: the person must prove themselves to the issuer once more.

        Raises NotFound (no such issuer), SignInAway.
        """
        issuer = self._issuer(name)
        metadata = await self._published.metadata(issuer)
        now = self._now()
        state, nonce = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        verifier = secrets.token_urlsafe(64)
        trip = Trip(
            state=state, nonce=nonce, verifier=verifier, to=local(to), fresh=fresh, begun=now, until=now + LIFETIME
        )
        url = authorize_url(
            _provider(issuer, metadata, fresh=fresh),
            issuer.scopes,
            redirect_uri=self.redirect_uri(name),
            state=state,
            verifier=verifier,
            nonce=nonce,
        )
        return Begun(url=url, cookie=self._sealed.seal(trip, issuer), lifetime=LIFETIME)

    async def finish(self, name: str, query: Mapping[str, str], cookie: str | None) -> Landed:
        """Take the answer of the issuer that the path names, in the browser that holds the trip's cookie.

        `query` is the callback's, as a multidict, so that a repeated name is seen. Raises NotFound (no such issuer),
        SignInRefused (every code of it), SignInAway (its member `to`: where the person wanted to go).
        """
        issuer = self._issuer(name)
        trip = self._belonging(issuer, query, cookie)
        told, error, code = query.get("iss"), query.get("error"), query.get("code")
        if told is not None and told != issuer.issuer:
            raise SignInRefused("This came from another issuer.", code="wrong_issuer")
        if error:
            raise _refusal(issuer, error)
        if not code:
            raise SignInRefused("The issuer sent neither a code nor an error.", code="bad_callback")
        try:
            return Landed(identity=await self._vouched(issuer, trip, code, told), to=trip.to)
        except SignInAway as away:
            # Another one: whoever waits for the same issuer shares the first, and goes elsewhere.
            raise SignInAway(away.message, hint=away.hint, members={"to": trip.to}) from None

    async def _vouched(self, issuer: Issuer, trip: Trip, code: str, told: str | None) -> Identity:
        metadata = await self._published.metadata(issuer)
        if told is None and metadata.promises_iss:
            # RFC 9207 2.4. Errors are taken without it: some servers leave it out there, and all they do is end this.
            raise SignInRefused("The issuer did not name itself.", code="wrong_issuer")
        return await self._identity(issuer, metadata, trip, code)

    def _issuer(self, name: str) -> Issuer:
        issuer = self._issuers.get(name)
        if issuer is None:
            raise NotFound("There is no such issuer.", hint="Start at the sign-in page.")
        return issuer

    def _belonging(self, issuer: Issuer, query: Mapping[str, str], cookie: str | None) -> Trip:
        """The trip that this callback ends, in this browser."""
        names = [name for name, _ in query.items() if name in _READ]
        if len(names) != len(set(names)):
            raise SignInRefused("The callback names a parameter twice.", code="bad_callback")
        state = query.get("state", "")
        if any(len(query[name]) > _MAX_VALUE or "\0" in query[name] for name in names) or not _SECRET.fullmatch(state):
            raise SignInRefused("The callback cannot be read.", code="bad_callback")
        trip = self._sealed.open(cookie, issuer)
        if trip is None:
            raise SignInRefused(
                "This sign-in was started in another browser.",
                code="foreign_browser",
                hint="Start the sign-in again in this browser and finish it here.",
            )
        if not hmac.compare_digest(state.encode(), trip.state.encode()):
            raise SignInRefused("This callback belongs to another sign-in.", code="unknown_state")
        if not trip.begun <= self._now() + 60_000 or self._now() >= trip.until:
            raise SignInRefused("This sign-in took too long.", code="expired")
        return trip

    async def _identity(self, issuer: Issuer, metadata: Metadata, trip: Trip, code: str) -> Identity:
        provider, now = _provider(issuer, metadata, fresh=False), self._now()
        try:
            request = code_request(
                provider,
                code=code,
                redirect_uri=self.redirect_uri(issuer.name),
                verifier=trip.verifier,
                now=now,
                unique=secrets.token_urlsafe(16),
            )
            reply = await fetch(self._session, request, issuer.name)
            answer = read_token(reply, provider, sent=now, secrets=(issuer.client_secret, code, trip.verifier))
        except Broken:
            raise SignInRefused(
                f"The issuer {issuer.name} did not take its code back: it was used or is too old."
            ) from None
        except Away:
            raise SignInAway(f"The issuer {issuer.name} gave no token.") from None
        except ProviderError:
            raise SignInAway(
                f"The issuer {issuer.name} does not accept this service.",
                hint=f"An operator must check client id, secret and redirect URI of [issuers.{issuer.name}].",
            ) from None
        token = unverified(answer.body.get("id_token"))
        key = await self._published.key(issuer, token.kid, token.algorithm)
        expected = Expected(
            issuer=issuer,
            nonce=trip.nonce,
            access_token=answer.token.access,
            now=self._now(),
            fresh_since=trip.begun if trip.fresh else None,
        )
        return verified(token, key, expected)


@asynccontextmanager
async def open_oidc(
    issuers: Iterable[Issuer], *, public_url: str, key: bytes, now: Callable[[], Millis]
) -> AsyncIterator[Oidc]:
    """Sign-ins with connections of their own, for as long as the context lasts; nothing is sent before the first."""
    async with issuers_session() as session:
        yield Oidc(issuers, public_url=public_url, key=key, now=now, session=session)


def _provider(issuer: Issuer, metadata: Metadata, *, fresh: bool) -> Provider:
    return Provider(
        id=issuer.name,
        issuer=issuer.issuer,
        authorize_url=metadata.authorize_url,
        token_url=metadata.token_url,
        authorize_params={"prompt": "login", "max_age": "0"} if fresh else {},
        token_auth=issuer.token_auth,
        client_id=issuer.client_id,
        client_secret=issuer.client_secret,
    )


def _refusal(issuer: Issuer, error: str) -> SignInRefused:
    if error == "access_denied":
        return SignInRefused(f"The sign-in was refused at {issuer.name}.", code="signin_refused")
    shown = error if _CODE.fullmatch(error) else "an error"
    return SignInRefused(f"The issuer {issuer.name} answered {shown}.", code="signin_refused")

"""The consent round trip: send a browser to a provider, and take only its own answer back, once.

How this would be attacked, and what stops it (THREAT_MODEL 2, 5, 6, 15): a callback forged or replayed in another
browser (the flow knows MACs of `state` and of that browser's cookie, never the values); a code of one provider
delivered to another (the path names the provider, the flow too, and `iss` is compared); a code spent twice (the flow is
marked done by compare-and-set before the code leaves); a parameter given twice so that two readers see two values.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from jit_auth.core.mac import Mac
from jit_auth.egress import Egress
from jit_auth.errors import Broken, ConsentRefused, FlowRefused, ProviderError
from jit_auth.model import Applied, Ask, Audit, Change, Flow, Insert, Millis, Op, Provider, Token, Unit
from jit_auth.oauth.account import who_connected
from jit_auth.oauth.call import call
from jit_auth.oauth.metadata import Discovery
from jit_auth.oauth.protocol import authorize_url, code_request, union
from jit_auth.oauth.replies import Fresh, read_token
from jit_auth.storage.store import Store

LIFETIME: Millis = 600_000
"""How long a round trip may take."""

_READ = ("state", "code", "iss", "error", "error_description")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_VALUE = 4096

E = TypeVar("E", bound=ProviderError)


class Begun(Struct, frozen=True, kw_only=True):
    """Send the browser to `url` and give it `cookie` (HttpOnly, SameSite=Lax; `__Host-` under https)."""

    url: str
    cookie: str
    flow_id: str

    def __repr__(self) -> str:
        return f"Begun(flow_id={self.flow_id!r})"

    __str__ = __repr__


class Landed(Struct, frozen=True, kw_only=True):
    """What a finished round trip brought. `scopes`: as granted, which may be less or more than `flow.scopes`."""

    flow: Flow
    token: Token
    scopes: tuple[str, ...]
    account: str
    account_name: str | None


class Flows:
    """Begins and finishes round trips. `mac` is keyed for this purpose alone."""

    def __init__(self, store: Store, egress: Egress, mac: Mac, *, discovery: Discovery | None = None) -> None:
        self._store = store
        self._egress = egress
        self._mac = mac
        self._discovery = discovery or Discovery(egress, store.now)

    async def begin(
        self,
        ask: Ask,
        provider: Provider,
        scopes: Sequence[str],
        *,
        redirect_uri: str,
        epoch: int,
    ) -> Begun:
        """Open a round trip for a consent ask, in this browser.

        `scopes` is all that the token shall hold (the provider's `base_scopes` are added); `epoch` is where the person
        was when they pressed the button. Raises Away, Misconfigured, StorageError.
        """
        provider = await self._discovery.complete(provider)
        state, secret, nonce = (secrets.token_urlsafe(32) for _ in range(3))
        verifier = secrets.token_urlsafe(64)
        asked = union(scopes, provider.base_scopes)
        url = authorize_url(
            provider,
            asked,
            redirect_uri=redirect_uri,
            state=state,
            verifier=verifier,
            nonce=nonce if "openid" in asked else None,
        )
        flow = Flow(
            id=self._flow_id(state),
            ask=ask.id,
            user=ask.user or "",
            provider=provider.id,
            cookie=self._cookie_mac(secret),
            verifier=verifier,
            nonce=nonce,
            scopes=asked,
            epoch=epoch,
            until=self._store.now() + LIFETIME,
        )
        fact = {"do": "connect.begin", "ask": ask.id, "provider": provider.id, "scopes": list(asked)}
        await self._store.apply(Unit(None, (Insert(flow),), _audit(flow, fact, ask.execution or None, ask.agent)))
        return Begun(url=url, cookie=secret, flow_id=flow.id)

    async def finish(
        self, provider: Provider, query: Mapping[str, str], cookie: str | None, *, redirect_uri: str
    ) -> Landed:
        """Take a provider's answer to a round trip of this browser; it is good once, whatever comes of it.

        `provider` is the one that the path names. Raises FlowRefused (nothing was spent or changed; codes bad_callback,
        unknown_state, other_provider, foreign_browser, already_finished, expired, wrong_issuer, missing_issuer);
        and, with `.flow`: ConsentRefused (`access_denied`), Away, Misconfigured, and ProviderError with the provider's
        error code.
        """
        flow, provider, code = await self._arrive(provider, query, cookie)
        return await self.exchange(flow, provider, code, redirect_uri)

    async def hold(
        self, provider: Provider, query: Mapping[str, str], cookie: str | None, waiting: Callable[[Flow, str], Flow]
    ) -> Flow:
        """The same up to the exchange: the code is kept unspent in the row that `waiting` makes of flow and code, which
        is given back. Raises as `finish`."""
        held: list[Flow] = []

        def keep(flow: Flow, code: str) -> tuple[Op, ...]:
            held.append(waiting(flow, code))
            return (Insert(held[-1]),)

        await self._arrive(provider, query, cookie, keep)
        return held[-1]

    async def ready(self, provider: Provider) -> Provider:
        """The provider with all that an exchange needs: asked before a code is risked. Raises Away, Misconfigured."""
        return await self._discovery.complete(provider)

    async def exchange(self, flow: Flow, provider: Provider, code: str, redirect_uri: str) -> Landed:
        """Spend the code of a flow that was marked done. Raises ProviderError and its like, with `.flow`."""
        try:
            return await self._exchange(flow, provider, code, redirect_uri)
        except Broken as trouble:
            hint = "Open the link again and connect once more."
            raise _with_flow(ProviderError(trouble.message, code="invalid_grant", hint=hint), flow) from trouble
        except ProviderError as trouble:
            raise _with_flow(trouble, flow) from trouble.__cause__

    async def _arrive(
        self,
        provider: Provider,
        query: Mapping[str, str],
        cookie: str | None,
        also: Callable[[Flow, str], tuple[Op, ...]] = lambda flow, code: (),
    ) -> tuple[Flow, Provider, str]:
        """Judge a callback, and spend its flow; gives flow, provider and code. `also`: what is written with that."""
        flow = await self._belonging(provider, query, cookie)
        await self._check_issuer(provider, query)
        code, error = query.get("code"), query.get("error")
        if not error and not code:
            raise FlowRefused("The provider sent neither a code nor an error.", code="bad_callback")
        try:
            # What may fail for a while is asked before the code is risked: a reload then works.
            provider = await self._discovery.complete(provider)
        except ProviderError as trouble:
            raise _with_flow(trouble, flow) from trouble.__cause__
        shown = "code" if not error else error if _CODE.fullmatch(error) else "other"
        fact = {"do": "connect.callback", "ask": flow.ask, "provider": flow.provider, "came": shown}
        await self.spend(flow, fact, () if error else also(flow, code or ""))
        if error:
            raise _with_flow(_refusal(provider, error, query.get("error_description") or ""), flow)
        return flow, provider, code or ""

    async def _belonging(self, provider: Provider, query: Mapping[str, str], cookie: str | None) -> Flow:
        """The open flow that this callback belongs to."""
        # A multidict lists a repeated name repeatedly. Unknown ones are let be: providers and rewriters add them.
        names = [name for name, _ in query.items() if name in _READ]
        if len(names) != len(set(names)):
            raise FlowRefused("The callback names a parameter twice.", code="bad_callback")
        state = query.get("state", "")
        if any(len(query[name]) > _MAX_VALUE or "\0" in query[name] for name in names):
            raise FlowRefused("The callback cannot be read.", code="bad_callback")
        flow = await self._store.flow(self._flow_id(state)) if _SECRET.fullmatch(state) else None
        if flow is None:
            raise FlowRefused("This callback belongs to no request of ours.", code="unknown_state", hint=_AGAIN)
        if flow.provider != provider.id:
            raise FlowRefused("This callback came by another provider's path.", code="other_provider", hint=_AGAIN)
        if flow.done:
            # Before the cookie, which may be gone by now: whoever knows the state may know that it is spent.
            raise FlowRefused("This was finished already.", code="already_finished")
        if cookie is None or not hmac.compare_digest(self._cookie_mac(cookie), flow.cookie):
            raise FlowRefused(
                "This was started in another browser.",
                code="foreign_browser",
                hint="Open the link again in this browser and finish it here.",
            )
        if self._store.now() >= flow.until:
            raise FlowRefused("This took too long.", code="expired", hint=_AGAIN)
        return flow

    async def _check_issuer(self, provider: Provider, query: Mapping[str, str]) -> None:
        """RFC 9207 2.4. A refusal (`error`) without `iss` is let through: django-oauth-toolkit sends it so, and what
        it can do at most is end the round trip that its sender was given the state of."""
        if provider.issuer is None:
            return
        told = query.get("iss")
        if told is not None:
            if told != provider.issuer:
                raise FlowRefused("This came from another issuer.", code="wrong_issuer", hint=_AGAIN)
        elif not query.get("error") and await self._discovery.promises_iss(provider):
            raise FlowRefused("The issuer did not name itself.", code="missing_issuer", hint=_AGAIN)

    async def spend(
        self, flow: Flow, fact: dict[str, str], also: tuple[Op, ...] = (), *, actor: str | None = None
    ) -> None:
        """Mark the flow done, before anything of it is used: of two runs of one callback one gets here. `actor`: where
        it is not the user. Raises FlowRefused (`already_finished`)."""
        ask = await self._store.ask(flow.ask)
        unit = Unit(
            None,
            (Change(flow, {"done": True, "code": ""} if flow.code else {"done": True}), *also),
            _audit(flow, fact, (ask.execution or None) if ask else None, ask.agent if ask else None, actor),
        )
        if not isinstance(await self._store.apply(unit), Applied):
            raise FlowRefused("This was finished already.", code="already_finished")

    async def _exchange(self, flow: Flow, provider: Provider, code: str, redirect_uri: str) -> Landed:
        now = self._store.now()
        request = code_request(
            provider,
            code=code,
            redirect_uri=redirect_uri,
            verifier=flow.verifier,
            now=now,
            unique=secrets.token_urlsafe(16),
        )
        reply = await call(self._egress, request, provider)
        fresh = read_token(reply, provider, sent=now, secrets=(provider.client_secret, code, flow.verifier))
        _check_nonce(fresh, flow)
        account, name = await who_connected(self._egress, provider, fresh.token, fresh.body)
        scopes = flow.scopes if fresh.scopes is None else fresh.scopes
        return Landed(flow=flow, token=fresh.token, scopes=scopes, account=account, account_name=name)

    def _flow_id(self, state: str) -> str:
        return self._mac.hex(b"state\0" + state.encode())

    def _cookie_mac(self, secret: str) -> str:
        return self._mac.hex(b"cookie\0" + secret.encode("utf-8", "replace"))


_AGAIN = "Open the link again."


def _refusal(provider: Provider, error: str, description: str) -> ProviderError:
    """`access_denied` is the person's no; every other code is a trouble that a new try may end. Code and message are
    then foreign text: whoever shows them neutralises them."""
    if error == "access_denied":
        return ConsentRefused(f"The access was refused at {provider.id}.")
    return ProviderError(description[:500] or "The provider gave no reason.", code=error[:64], hint=_AGAIN)


def _check_nonce(fresh: Fresh, flow: Flow) -> None:
    """An ID token that came along must carry our nonce (OIDC Core 3.1.3.7): where PKCE is off, this is what ties the
    code to this browser. Its signature proves nothing more here: it came straight from the token endpoint."""
    id_token = fresh.body.get("id_token")
    if "openid" not in flow.scopes or not isinstance(id_token, str):
        return
    try:
        payload = id_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        nonce = claims["nonce"]
    except (ValueError, IndexError, KeyError, TypeError, RecursionError):
        nonce = None
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), flow.nonce.encode()):
        raise ProviderError("The identity in the answer is of another request.", code="wrong_nonce", hint=_AGAIN)


def _audit(
    flow: Flow, fact: Mapping[str, object], execution: str | None, agent: str | None, actor: str | None = None
) -> Audit:
    actor = actor or f"person:{flow.user}"
    return Audit(actor=actor, what=(dict(fact),), user=flow.user or None, agent=agent, execution=execution)


def _with_flow(error: E, flow: Flow) -> E:
    error.flow = flow
    return error

"""What `jit-auth check` asks of the world outside: each channel's own check; and addresses that nothing will reach."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from jit_auth.catalog.hosts import covered
from jit_auth.channels import CHANNELS, Channel, Tools
from jit_auth.config.channels import secret_fields
from jit_auth.config.issuer import Issuer
from jit_auth.config.secret import is_address
from jit_auth.config.settings import Settings
from jit_auth.core.text import visible
from jit_auth.engine.pages import Choice
from jit_auth.errors import Fault, JitAuthError, Later, SignInAway, Unreached
from jit_auth.signin.fetch import issuers_session
from jit_auth.signin.keys import Published
from jit_auth.signin.site import relying_party

PATIENCE = 5.0
"""Seconds that a channel's service gets to answer."""
SHORTEST = 4
"""Characters of a secret that are looked for in what is printed: fewer stand in many words."""


class Undecided:
    """Stands for the engine while channels are only checked: there is nothing to decide."""

    async def round_as(self, person: str, ask: str, how: str = "slack") -> NoReturn:
        """Never called."""
        raise JitAuthError("Nothing is decided while a configuration is checked.")

    async def vote_as(self, person: str, ask: str, choice: Choice) -> NoReturn:
        """Never called."""
        raise JitAuthError("Nothing is decided while a configuration is checked.")

    async def resolve_as(self, person: str, ask: str, outcome: str, note: str, how: str) -> NoReturn:
        """Never called."""
        raise JitAuthError("Nothing is decided while a configuration is checked.")


def channel_faults(
    settings: Settings, channels: Mapping[str, Channel] = CHANNELS, patience: float = PATIENCE
) -> list[Fault]:
    """What each configured channel says is wrong there, in the vendor's own words; of one that is away, Unreached.

    All are asked at once.
    """
    return asyncio.run(_asked(settings, channels, patience))


async def _asked(settings: Settings, channels: Mapping[str, Channel], patience: float) -> list[Fault]:
    tools = Tools(
        decide=Undecided(),
        people=lambda: settings.people,
        public_url=settings.server.public_url,
        environment=settings.server.environment,
        now=lambda: time.time_ns() // 1_000_000,
        write=print,
        loopback=settings.loopback,
    )
    asking = [_sentences(channels[name], table, tools, patience) for name, table in settings.channels.items()]
    told = await asyncio.gather(*asking)
    return [
        _fault(settings, ("channels", name), f"channels.{name}: {_without_secrets(sentence, table)}", kind)
        for (name, table), (kind, sentences) in zip(settings.channels.items(), told, strict=True)
        for sentence in sentences
    ]


def _fault(settings: Settings, path: tuple[str, ...], message: str, kind: type[Fault]) -> Fault:
    return kind(settings.document.file, settings.document.line(*path), message)


async def _sentences(channel: Channel, table: Any, tools: Tools, patience: float) -> tuple[type[Fault], list[str]]:
    if channel.check is None:
        return Fault, []
    try:
        return Fault, list(await asyncio.wait_for(channel.check(table, tools), patience))
    except TimeoutError:
        message = f"it did not answer within {patience:g} s: is the address right, and may this machine go there?"
        return Unreached, [message]
    except JitAuthError as error:
        kind = Unreached if isinstance(error, Later) else Fault
        return kind, [f"{error.message.rstrip('.')}. {error.hint}" if error.hint else error.message]
    except Exception as error:
        # A vendor's library may raise whatever it likes; the other channels are still to be told of.
        return Fault, [f"{type(error).__name__}: {error}"]


def issuer_faults(settings: Settings, patience: float = PATIENCE) -> list[Fault]:
    """What each issuer's own metadata says is wrong (OpenID Connect Discovery); where it is away, Unreached."""
    return asyncio.run(_issuers(settings, patience)) if settings.issuers else []


async def _issuers(settings: Settings, patience: float) -> list[Fault]:
    async with issuers_session() as session:
        published = Published(session, lambda: time.time_ns() // 1_000_000)
        told = await asyncio.gather(*(_published(published, each, patience) for each in settings.issuers.values()))
    return [
        _fault(settings, ("issuers", name), f"issuers.{name}: {visible(sentence, one_line=True)}", kind)
        for name, (kind, sentence) in zip(settings.issuers, told, strict=True)
        if sentence
    ]


async def _published(published: Published, issuer: Issuer, patience: float) -> tuple[type[Fault], str]:
    try:
        await asyncio.wait_for(published.metadata(issuer), patience)
    except TimeoutError:
        return Unreached, f"{issuer.issuer} did not answer within {patience:g} s"
    except JitAuthError as error:
        away = isinstance(error, SignInAway) and not error.reached
        return Unreached if away else Fault, " ".join(filter(None, (error.message, error.hint)))
    return Fault, ""


def unsigned(settings: Settings) -> Iterator[str]:
    """What cannot be decided because nobody can sign in."""
    if settings.users.verify != "none" and not settings.issuers:
        message = "no [issuers]: a link decides nothing at risk high or critical, and only Slack can, up to high"
        yield str(settings.document.fault(("users", "verify"), message))
    if settings.issuers and relying_party(settings.server.public_url) is None:
        message = "server.public_url: browsers have no passkeys there: https and a host name, or http://localhost:PORT"
        yield str(settings.document.fault(("server", "public_url"), message))


def _without_secrets(sentence: str, table: Struct) -> str:
    # A vendor's answer, or a library's exception, may repeat what it was given: a token, an address with a password.
    for attribute, _ in secret_fields(type(table)):
        secret = getattr(table, attribute) or ""
        password = _password(secret)
        for text in (secret, password, unquote(password)):
            if len(text) >= SHORTEST and not is_address(text):
                sentence = sentence.replace(text, "***")
    return visible(sentence, one_line=True)


def _password(text: str) -> str:
    try:
        return urlsplit(text).password or ""
    except ValueError:
        return ""


def unreached(settings: Settings) -> Iterator[str]:
    """Webhooks and callbacks that would be refused at every delivery, as far as their text shows it."""
    private = settings.connectors.allow_private_hosts
    places = [(("webhooks", name, "url"), webhook.url) for name, webhook in settings.webhooks.items()]
    places += [
        (("agents", agent.name, "callback_urls"), url)
        for agent in settings.agents.values()
        for url in agent.callback_urls
    ]
    for path, url in places:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if (parts.scheme == "http" or _inside(host)) and not covered(host, private):
            why = "plain http" if parts.scheme == "http" else "a private address"
            message = f"{'.'.join(path)}: {why}, which goes only to what [connectors] allow_private_hosts names"
            yield str(settings.document.fault(path, message))


def _inside(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False

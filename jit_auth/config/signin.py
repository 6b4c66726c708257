"""[issuers] and [users] judged: who may vouch for people, and how a user proves to be the one a link is for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

import idna

from jit_auth.config import urls
from jit_auth.config.issuer import Issuer
from jit_auth.config.secret import Secret
from jit_auth.config.settings import Users
from jit_auth.config.tables import IssuerTable, UsersTable
from jit_auth.core.toml import Path, did_you_mean

_LABELS = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+")

Said = Callable[[Path, str], None]
_SHORTEST_SECRET = 24

Resolve = Callable[[Secret, Path], str]

NOT_NONE = (
    'verify = "none" is for loopback: beyond it whoever holds a link would consent and decide in the name that it is '
    'for. Name how people prove who they are: [users] verify = "oidc" with [issuers], "email" or "app"'
)


def judge_issuers(tables: Mapping[str, IssuerTable], resolve: Resolve, fault: Said) -> dict[str, Issuer]:
    """The issuers, their secrets resolved. No two share a domain: each name is one issuer's to vouch for."""
    taken: dict[str, str] = {}
    made: dict[str, Issuer] = {}
    for name, table in tables.items():
        at: Path = ("issuers", name)
        if not table.domains:
            fault((*at, "domains"), f"issuers.{name}.domains: empty, so that it could vouch for nobody")
        domains = [_domain(text, (*at, "domains", number), fault) for number, text in enumerate(table.domains)]
        for number, domain in enumerate(domains):
            if domain and (other := taken.setdefault(domain, name)) != name:
                fault((*at, "domains", number), f"{domain!r} is a domain of the issuer {other}: of one alone")
        try:
            made[name] = Issuer(
                name=name,
                issuer=table.issuer,
                client_id=table.client_id,
                client_secret=resolve(table.client_secret, (*at, "client_secret")),
                domains=tuple(domain for domain in domains if domain),
                user_claim=table.user_claim,
                scopes=table.scopes,
                token_auth=table.token_auth,
            )
        except ValueError as error:
            fault(at, f"issuers.{name}: {error}")
    return made


def judge_users(
    table: UsersTable,
    issuers: Mapping[str, Any],
    channels: Mapping[str, Any],
    resolve: Resolve,
    fault: Said,
    *,
    beyond: Path | None,
    warn: Callable[[str], None],
    taken: Collection[str] = (),
) -> Users:
    """How users are verified and told. What `verify` does not need counts for nothing, which `warn` is told.

    `beyond`: what of the file leaves loopback, if anything does. `taken`: SHA-256 (hex) of the credentials of agents
    and operators, which the application's secret must not be.
    """
    for number, name in enumerate(table.notify):
        if name not in channels:
            near = did_you_mean(name, channels)
            fault(("users", "notify", number), f"users.notify: {name!r} is no configured channel{near}")
    if table.verify == "none" and beyond is not None:
        fault(beyond, NOT_NONE)
    needs = {"oidc": ("issuer",), "app": ("app_url", "app_secret")}.get(table.verify, ())
    for key in ("issuer", "app_url", "app_secret"):
        given = getattr(table, key) is not None
        if given and key not in needs:
            warn(f'[users] {key} is not for verify = "{table.verify}" and counts for nothing')
        elif not given and key in needs:
            fault(("users", "verify"), f'users.{key} is needed for verify = "{table.verify}"')
    if table.issuer is not None and table.issuer not in issuers:
        near = did_you_mean(table.issuer, issuers)
        fault(("users", "issuer"), f"users.issuer: there is no [issuers.{table.issuer}]{near}")
    if table.verify == "email" and "email" not in channels:
        fault(("users", "verify"), 'verify = "email" mails codes: it needs [channels.email]')
    if table.app_url is not None:
        try:
            parts = urls.parsed(urls.target(table.app_url))
            if parts.scheme != "https" and not urls.is_loopback(parts.hostname or ""):
                raise ValueError("https is required unless it is loopback")
            if {"nonce", "ticket"} & {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}:
                raise ValueError("its query names nonce or ticket, which are added")
        except ValueError as error:
            fault(("users", "app_url"), f"users.app_url: {error}")
    proved = table.app_secret if "app_secret" in needs else None
    secret = "" if proved is None else resolve(proved, ("users", "app_secret"))
    if secret and hashlib.sha256(secret.encode()).hexdigest() in taken:
        fault(("users", "app_secret"), "users.app_secret is the token of an agent or operator: it has to be one alone")
    if secret and beyond is not None and len(secret) < _SHORTEST_SECRET:
        fault(("users", "app_secret"), f"users.app_secret is short: at least {_SHORTEST_SECRET} random characters")
    return Users(
        verify=table.verify,
        issuer=(table.issuer or "") if "issuer" in needs else "",
        app_url=(table.app_url or "") if "app_url" in needs else "",
        app_secret=secret,
        consent=table.consent,
        notify=tuple(dict.fromkeys(table.notify)),
    )


def _domain(text: str, at: Path, fault: Said) -> str:
    """A domain in the form that ids of people have it in; "" where it is none, which has been told."""
    lower = text.lower()
    try:
        made = lower if lower.isascii() and "xn--" not in lower else idna.encode(lower, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        made = ""
    if not _LABELS.fullmatch(made):
        fault(at, f"{text!r} is no domain such as example.com")
        return ""
    return made

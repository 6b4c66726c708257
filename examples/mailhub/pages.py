"""MailHub's three pages: login, consent and a fault. Plain HTML; what others sent is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import urlsplit

from aiohttp import web

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem;color:#222}"
    "h1{font-size:1.25rem}label{display:block;margin:.6rem 0}"
    "input:not([type=checkbox]){width:100%;padding:.4rem;font:inherit;box-sizing:border-box}"
    "button{font:inherit;padding:.5rem 1rem;margin:.8rem .5rem 0 0}p.bad{color:#a00}"
)


def login(query: str, complaint: str = "") -> web.Response:
    """Asks who somebody is; `query` is the authorization request to go on with."""
    note = f'<p class="bad">{escape(complaint)}</p>' if complaint else ""
    return _page(
        "Sign in to MailHub",
        f'{note}<form method="post" action="/login"><input type="hidden" name="query" value="{escape(query)}">'
        '<label>E-mail address <input name="email" type="email" autocomplete="username" required></label>'
        '<label>Password <input name="password" type="password" autocomplete="current-password" required></label>'
        '<button type="submit">Sign in</button></form>',
    )


def consent(
    client: str, account: str, scopes: Mapping[str, str], query: str, csrf: str, redirect_uri: str
) -> web.Response:
    """Asks for each scope; an unticked one is not granted."""
    boxes = "".join(
        f'<label><input type="checkbox" name="scope" value="{escape(name)}" checked> {escape(title)}</label>'
        for name, title in scopes.items()
    )
    parts = urlsplit(redirect_uri)
    return _page(
        f"{client} asks for access to your mailbox",
        f"<p>You are signed in as <b>{escape(account)}</b>.</p>"
        f'<form method="post" action="/authorize?{escape(query)}"><input type="hidden" name="csrf" value="{csrf}">'
        f'{boxes}<button name="decision" value="allow">Allow</button>'
        '<button name="decision" value="deny">Deny</button></form>',
        # Browsers hold form-action against the redirect behind the post too: the client's origin must be named.
        form_action=f"'self' {parts.scheme}://{parts.netloc}",
    )


def fault(sentence: str) -> web.Response:
    """Says what is wrong and goes nowhere."""
    return _page("This did not work", f"<p>{escape(sentence)}</p>", status=400)


def _page(title: str, body: str, *, status: int = 200, form_action: str = "'self'") -> web.Response:
    return web.Response(
        status=status,
        text=f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>",
        content_type="text/html",
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; "
            f"form-action {form_action}",
            "Referrer-Policy": "same-origin",
        },
    )

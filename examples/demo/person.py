"""Plays a person with a browser: opens links, keeps cookies, fills in the forms of real pages, presses buttons."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import aiohttp


class PageError(Exception):
    """A page was not what a person would expect at that point."""


@dataclass
class Form:
    """A form of a page: where it goes, what it holds, and its buttons as (name, value, label)."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)


class Browser:
    """One person's browser: a cookie jar of its own, no script, the rules of forms and `Refresh` headers."""

    def __init__(self) -> None:
        # unsafe: keep cookies of 127.0.0.1 too, as browsers do.
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self.url = ""
        self.text = ""
        self.forms: list[Form] = []

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def open(self, url: str) -> str:
        """Follow a link and what it leads on to. Gives the text of the page where it ends."""
        return await self._visit("GET", url, None, {"Sec-Fetch-Site": "none"})

    async def press(self, label: str, values: Mapping[str, str] | None = None) -> str:
        """Fill in `values` and press the button whose label holds `label`. Gives the text of the page that follows."""
        for form in self.forms:
            for name, value, text in form.buttons:
                if label.lower() in text.lower():
                    filled = [(key, (values or {}).get(key, old)) for key, old in form.fields]
                    data = filled + ([(name, value)] if name else [])
                    parts = urlsplit(self.url)
                    headers = {"Origin": f"{parts.scheme}://{parts.netloc}", "Sec-Fetch-Site": "same-origin"}
                    return await self._visit(form.method, urljoin(self.url, form.action), data, headers)
        raise PageError(f"no button {label!r} on {urlsplit(self.url).path}: {self.text[:300]}")

    def offers(self, label: str) -> bool:
        """Whether the page has a button whose label holds `label`."""
        return any(label.lower() in text.lower() for form in self.forms for _, _, text in form.buttons)

    async def _visit(
        self, method: str, url: str, data: list[tuple[str, str]] | None, headers: Mapping[str, str]
    ) -> str:
        for _ in range(10):
            body = aiohttp.FormData(data) if data is not None else None
            async with self._session.request(method, url, data=body, headers=headers) as reply:
                page = await reply.text()
                self.url = str(reply.url)
                refresh = re.fullmatch(r"\s*0\s*;\s*url=(.+)", reply.headers.get("Refresh", ""), re.IGNORECASE)
                if reply.status >= 400:
                    raise PageError(f"{method} {urlsplit(url).path} answered {reply.status}: {_read(page)[0][:300]}")
            self.text, self.forms = _read(page)
            if refresh is None:
                return self.text
            method, url, data, headers = "GET", urljoin(self.url, refresh[1].strip("'\"")), None, {}
        raise PageError("a page sends its reader in circles")


async def consent(browser: Browser, link: str, email: str, password: str) -> str:
    """Open a consent link, go on to the provider, sign in where asked, allow everything. Gives the last page's text."""
    await browser.open(link)
    await browser.press("continue" if browser.offers("continue") else "allow")
    if browser.offers("sign in"):
        await browser.press("sign in", {"email": email, "password": password})
    return await browser.press("allow") if browser.offers("allow") else browser.text


async def approve(browser: Browser, link: str, expected: Iterable[str]) -> str:
    """Open an approval link, read it, and approve if it shows all that is `expected`. Gives the last page's text."""
    await _shows(browser, link, expected)
    return await browser.press("approve")


async def deny(browser: Browser, link: str, expected: Iterable[str]) -> str:
    """The same, but say no. Gives the last page's text."""
    await _shows(browser, link, expected)
    return await browser.press("deny")


async def _shows(browser: Browser, link: str, expected: Iterable[str]) -> None:
    await browser.open(link)
    for words in expected:
        if words not in browser.text:
            raise PageError(f"the approval page does not show {words!r}: {browser.text[:1000]}")


class _Reader(HTMLParser):
    """Collects a page's visible text and its forms."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._button: tuple[str, str] | None = None
        self._hidden = 0
        self._label: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = {key: value or "" for key, value in attrs}
        if tag in ("style", "script", "title"):
            self._hidden += 1
        elif tag == "form":
            self._form = Form(have.get("action", ""), have.get("method", "get").upper())
            self.forms.append(self._form)
        elif tag == "button":
            self._button, self._label = (have.get("name", ""), have.get("value", "")), []
        elif tag in ("input", "textarea") and self._form is not None:
            self._input(have)

    def _input(self, have: Mapping[str, str]) -> None:
        assert self._form is not None  # noqa: S101 (the caller looked)
        kind, name, value = have.get("type", "text"), have.get("name", ""), have.get("value", "")
        if kind == "submit":
            self._form.buttons.append((name, value, value))
        elif name and (kind not in ("checkbox", "radio") or "checked" in have):
            self._form.fields.append((name, value))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script", "title"):
            self._hidden -= 1
        elif tag == "form":
            self._form = None
        elif tag == "button" and self._button is not None:
            if self._form is not None:
                self._form.buttons.append((*self._button, " ".join(self._label)))
            self._button = None

    def handle_data(self, data: str) -> None:
        words = " ".join(data.split())
        if words and not self._hidden:
            self.words.append(words)
            self._label.append(words)


def _read(page: str) -> tuple[str, list[Form]]:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return " ".join(reader.words), reader.forms

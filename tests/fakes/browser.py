"""The person: a browser with its own cookies, no script, that follows redirects, `Refresh` headers and forms.

It keeps the browser's rules that our pages rest on: cookies are shared by the ports of a host, `SameSite` and foreign
origins are told by `Origin` and `Sec-Fetch-Site`, and a page's `form-action` holds for every redirect behind its form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from urllib.parse import urldefrag, urljoin, urlsplit

from aiohttp import ClientSession, CookieJar, DummyCookieJar
from yarl import URL

MAX_HOPS = 20
PASSWORD = "secret"
"""What the fakes' sign-in pages take for anybody."""


class Blocked(AssertionError):
    """A real browser would have stopped here."""


@dataclass
class Form:
    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    """Hidden, text and ticked inputs, as they would be sent."""
    buttons: list[tuple[str, str, str]] = field(default_factory=list)
    """(text, name, value)"""
    boxes: list[tuple[str, str]] = field(default_factory=list)
    """(name, value) of all check boxes."""


@dataclass
class Page:
    """Where the browser is."""

    url: str
    status: int
    headers: Mapping[str, str]
    html: str
    forms: list[Form] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    """(text, address)"""
    text: str = ""

    def form(self, button: str | None = None) -> Form:
        """The form with a button of that text (its beginning, any case), or the first one."""
        for form in self.forms:
            if button is None or any(text.lower().startswith(button.lower()) for text, _, _ in form.buttons):
                return form
        raise LookupError(f"no form with the button {button!r} on {self.url}: {self.text[:500]}")


class Browser:
    """`async with Browser() as alice: await alice.get(url)`; `page` is where she is. `behind`: origins that a proxy
    stands for, and where it hands on to (as one that ends TLS does)."""

    def __init__(self, behind: Mapping[str, str] | None = None) -> None:
        self._behind = behind or {}
        self.page = Page("about:blank", 0, {}, "")
        self.trail: list[str] = []
        """Every address that was asked, oldest first."""
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Browser:
        self._jar = CookieJar(unsafe=True)
        # Cookies are handled here: one jar for all ports, as browsers have it.
        self._session = ClientSession(cookie_jar=DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, url: str, **headers: str) -> Page:
        """Type an address (or click a link): follow what it answers."""
        return await self._go("GET", url, None, None, headers)

    async def submit(
        self,
        button: str | None = None,
        values: Mapping[str, str] | None = None,
        *,
        untick: Sequence[str] = (),
        tick: Sequence[str] | None = None,
        form: Form | None = None,
    ) -> Page:
        """Press a button of the page, having filled in `values`; `untick` and `tick` name check boxes by value."""
        form = form or self.page.form(button)
        boxes = set(form.boxes)
        data = [(name, value) for name, value in form.fields if (name, value) not in boxes or value not in untick]
        if tick is not None:
            data = [pair for pair in data if pair not in boxes] + [pair for pair in form.boxes if pair[1] in tick]
        data = [pair for pair in data if pair[0] not in (values or {})] + list((values or {}).items())
        for text, name, value in form.buttons:
            if button is not None and text.lower().startswith(button.lower()):
                data += [(name, value)] if name else []
                break
        if form.method == "GET":
            return await self._go("GET", str(URL(form.action).with_query(data)), None, self.page, {})
        return await self._go("POST", form.action, data, self.page, {})

    async def connect(
        self,
        url: str,
        *,
        user: str = "alice@example.com",
        password: str = PASSWORD,
        untick: Sequence[str] = (),
        deny: bool = False,
    ) -> Page:
        """Open a consent link of ours and play it to the end at the provider (any of the fakes); where it leads."""
        await self.get(url)
        await self.submit()
        return await self.consent(user=user, password=password, untick=untick, deny=deny)

    async def consent(
        self,
        *,
        user: str = "alice@example.com",
        password: str = PASSWORD,
        untick: Sequence[str] = (),
        deny: bool = False,
    ) -> Page:
        """At the provider: sign in where asked, untick scopes, allow or deny."""
        form = self.page.form()
        if any(name in ("password",) for name, _ in form.fields):
            person = next(name for name, _ in form.fields if name in ("username", "email", "user"))
            await self.submit(values={person: user, "password": password})
            form = self.page.form()
        values = {"username": user} if any(name == "username" for name, _ in form.fields) else {}
        return await self.submit("Deny" if deny else "Allow", values, untick=untick)

    def cookies(self, url: str) -> dict[str, str]:
        """What this browser would send there."""
        return {name: morsel.value for name, morsel in self._jar.filter_cookies(URL(url)).items()}

    def plant(self, name: str, value: str, url: str) -> None:
        """A cookie that somebody else has put into this browser."""
        self._jar.update_cookies({name: value}, URL(url))

    def forget(self, name: str) -> None:
        """Lose a cookie."""
        self._jar.clear(lambda morsel: morsel.key == name)

    async def _go(
        self, method: str, url: str, data: list[tuple[str, str]] | None, source: Page | None, extra: Mapping[str, str]
    ) -> Page:
        assert self._session is not None
        policy = _form_action(source) if source is not None and method == "POST" else None
        origin = _origin(source.url) if source is not None else None
        for _ in range(MAX_HOPS):
            url = urldefrag(url).url
            if policy is not None and not _allowed(url, policy, origin or ""):
                raise Blocked(f"form-action of {origin} forbids {url}")
            headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} | dict(extra)
            site = "none" if origin is None else "same-origin" if origin == _origin(url) else "same-site"
            headers.setdefault("Sec-Fetch-Site", site)
            if method == "POST":
                headers.setdefault("Origin", origin or "null")
            cookies = "; ".join(f"{name}={value}" for name, value in self.cookies(url).items())
            if cookies:
                headers["Cookie"] = cookies
            self.trail.append(url)
            if (inner := self._behind.get(_origin(url))) is not None:
                headers["Host"] = urlsplit(url).netloc
            where = URL(url if inner is None else inner + url.removeprefix(_origin(url)), encoded=True)
            async with self._session.request(method, where, data=data, headers=headers, allow_redirects=False) as reply:
                self._jar.update_cookies(reply.cookies, URL(url))
                html = await reply.text(errors="replace")
                status, told = reply.status, dict(reply.headers)
            if status in (301, 302, 303, 307, 308) and "Location" in told:
                url = urljoin(url, told["Location"])
                if status in (301, 302, 303):
                    method, data = "GET", None
                continue
            self.page = _read(url, status, told, html)
            refresh = re.fullmatch(r"\s*0\s*;\s*url=(.+)", told.get("Refresh", ""), re.IGNORECASE)
            if refresh is None:
                return self.page
            # A new navigation: what the page before said about forms holds no longer.
            origin, policy = _origin(url), None
            method, data, url = "GET", None, urljoin(url, refresh[1].strip("'\""))
        raise Blocked("too many redirects")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _form_action(page: Page) -> list[str] | None:
    for rule in page.headers.get("Content-Security-Policy", "").split(";"):
        name, *sources = rule.split() or [""]
        if name == "form-action":
            return sources
    return None


def _allowed(url: str, sources: list[str], own: str) -> bool:
    return any((source == "'self'" and _origin(url) == own) or source == _origin(url) for source in sources)


class _Reader(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base
        self.forms: list[Form] = []
        self.links: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._form: Form | None = None
        self._open: tuple[str, dict[str, str], list[str]] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(urljoin(self.base, given.get("action") or self.base), given.get("method", "get").upper())
            self.forms.append(self._form)
        elif tag == "input" and self._form is not None and "disabled" not in given:
            kind, name, value = given.get("type", "text"), given.get("name", ""), given.get("value", "")
            if kind == "submit":
                self._form.buttons.append((value, name, value))
            elif kind in ("checkbox", "radio"):
                self._form.boxes.append((name, value or "on"))
                if "checked" in given:
                    self._form.fields.append((name, value or "on"))
            elif name:
                self._form.fields.append((name, value))
        elif tag == "textarea" and self._form is not None:
            self._form.fields.append((given.get("name", ""), ""))
        elif tag in ("button", "a"):
            self._open = (tag, given, [])

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._open is not None:
            self._open[2].append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        if self._open is None or self._open[0] != tag:
            return
        _, given, words = self._open
        text, self._open = " ".join("".join(words).split()), None
        if tag == "a":
            self.links.append((text, urljoin(self.base, given.get("href", ""))))
        elif self._form is not None and given.get("type", "submit") == "submit":
            self._form.buttons.append((text, given.get("name", ""), given.get("value", "")))


def _read(url: str, status: int, headers: Mapping[str, str], html: str) -> Page:
    reader = _Reader(url)
    reader.feed(html)
    text = " ".join("".join(reader.texts).split())
    return Page(url, status, headers, html, reader.forms, reader.links, text)

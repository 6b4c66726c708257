"""Text of agents, users, providers and operators stays text: in pages, in tables for spreadsheets, in the log.

THREAT_MODEL 18, 19. Every field that a page shows holds each of these in turn; the pages are read by a parser, and what
they are made of is compared with the same pages without them. (Mails and Slack: tests/integration/mail and slack.)
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from msgspec.structs import replace

from jit_auth.cli.audit import _cell
from jit_auth.model import Vote
from jit_auth.send.shapes import remove
from jit_auth.watch.logs import configure
from tests.integration.pages.conftest import Site
from tests.integration.pages.standin import DIGEST, NOW, ROUND
from tests.integration.signin.test_me import house

MARKUP = (
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "\"><svg onload=alert(1)><a href='",
    "' onmouseover='alert(1)' x='",
    '" autofocus onfocus=alert(1) x="',
    "`onmouseover=alert(1)`",
    "<a href=javascript:alert(1)>x</a>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<form action=https://evil.example><button>Approve</button></form>",
    "<input name=decision value=approve>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content=0;url=https://evil.example>",
    "<style>@import 'https://evil.example/x'</style>",
    "<link rel=stylesheet href=https://evil.example/x>",
    "</bdi></div></section></main><main><h1>Approved</h1>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "<!--", "-->", "<![CDATA[", "<?php", "<!doctype html>",
    "&lt;script&gt;alert(1)&lt;/script&gt;", "&#60;script&#62;", "&colon;", "\\u003cscript\\u003e",
    "{{ 7 * 7 }}", "{% include 'me.html' %}", "{{ cycler.__init__.__globals__ }}", "${7*7}", "#{7*7}",
    "\x00<script>", "<scr\x00ipt>", "\ufeff<script>", "<\u200bscript>", "\uff1cscript\uff1e", "\u202e<script>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<details open ontoggle=alert(1)>", "<x/onclick=alert(1)>x", "+ADw-script+AD4-",
)  # fmt: skip
_WORLDLY = frozenset({"href", "src", "action", "formaction", "srcdoc", "poster", "data", "background", "xlink:href"})


class Made(HTMLParser):
    """What a page is made of: tags with the names of their attributes, and every address in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.addresses: set[str] = set()
        self.declared: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts[tag, tuple(sorted(name for name, _ in attrs))] += 1
        self.addresses |= {value or "" for name, value in attrs if name in _WORLDLY}

    def handle_comment(self, data: str) -> None:
        self.declared.append(data)

    def handle_pi(self, data: str) -> None:
        self.declared.append(data)

    def unknown_decl(self, data: str) -> None:
        self.declared.append(data)


def harmless(html: str, usual: Made | None = None) -> Made:
    """A page without script, handler, style, comment or foreign address; made of what the usual one is made of."""
    made = Made(html)
    for tag, names in made.parts:
        assert tag not in {"script", "iframe", "object", "embed", "base", "link", "svg", "math", "img", "video"}
        assert not [name for name in names if name.startswith("on") or name == "style"]
        assert tag != "meta" or "http-equiv" not in names
    assert made.declared == []
    for address in made.addresses:
        there = urlsplit(urljoin("http://127.0.0.1/approvals/x", address))
        assert there.scheme in ("http", "https"), address
        assert there.hostname in ("127.0.0.1", "auth.mailhub.example"), address
        assert "alert(1)" not in address
    if usual is not None:
        # Our marks, and what we say beside a text that cannot be read; no text of the list asks for any of these.
        ours = {("mark", ("class",)), ("bdi", ("dir",)), ("br", ()), ("code", ()), ("section", ()), ("p", ("class",))}
        assert {part for part in made.parts if part not in usual.parts} - ours == set()
    return made


def planted(site: Site, evil: str) -> None:
    """The text in every field of the call, its round, its votes, its consent and its action."""
    doors = site.doors
    doors.action = replace(doors.action, title=evil, summary=f"{evil} {{to}} {evil}")
    doors.execution = replace(
        doors.execution, agent=evil, chain=(evil, evil), user=evil,
        params={"to": [evil], "subject": evil, evil: {evil: evil}},
        reason=evil, account=evil, account_name=evil,
        decision=replace(doors.execution.decision, reasons=(evil,), rules=(evil,), labels=(evil,)),
    )  # fmt: skip
    doors.round = replace(doors.round, why=evil, agent=evil, user=evil)
    doors.consent = replace(doors.consent, last_error=evil, agent=evil, user=evil, provider=evil, scopes=(evil,))
    doors.unknown = replace(doors.unknown, why=evil, agent=evil, user=evil)
    headers, url = (("X-A", evil), (evil, "x")), "https://api.mailhub.example/" + evil
    doors.request = replace(doors.request, headers=headers, body=evil.encode(), url=url)
    doors.new, doors.held = (evil,), (evil,)
    doors.votes = (
        Vote(ask=ROUND.id, person=evil, verdict="approve", digest=DIGEST, seen="", how=evil, feedback=evil, at=NOW),
    )  # fmt: skip
    doors.more = {
        "connector_name": evil, "provider_name": evil, "environment": evil, "person": evil, "eligible": (evil,),
        "recent": (replace(doors.execution, state="succeeded"),), "asked": 3, "denied": 2,
    }  # fmt: skip


async def every_page(site: Site) -> list[str]:
    """All pages of approvals and consents, in their order."""
    paths = (site.approval, site.consent, site.unknown, site.all, f"/approvals/{ROUND.id}", "/approvals/apr_1")
    pages = [(await site.get(path)).text for path in paths]
    pages.append((await site.form(site.approval, {"decision": "approve"})).text)
    pages.append((await site.vote("deny", feedback=site.doors.execution.reason or "")).text)
    site.doors.trip = False
    for kind in ("connected", "partly", "refused", "error"):
        evil = site.doors.execution.reason or ""
        site.doors.ending = site.doors.finished(
            kind, granted=(evil,), missing=(evil,), link="http://127.0.0.1/connect/x", error=evil,
            manage_url="https://auth.mailhub.example/",
        )  # fmt: skip
        pages.append((await site.form(site.consent, {"decision": "allow"})).text)
    return pages


async def test_no_text_is_markup_on_any_page(site: Site) -> None:
    fresh = {name: getattr(site.doors, name) for name in vars(site.doors)}
    planted(site, "an honest word")
    usual = [harmless(page) for page in await every_page(site)]
    for evil in MARKUP:
        vars(site.doors).update(fresh)
        planted(site, evil)
        for page, known in zip(await every_page(site), usual, strict=True):
            harmless(page, known)


async def test_no_text_is_markup_on_ones_own_page(tmp_path: Path) -> None:
    """`/me` of the whole service: reason, parameters and the account's name, as they were stored."""
    evil = " ".join(MARKUP[:12])
    async with house(tmp_path) as home:
        home.kit.provider.odd.userinfo = {"sub": "odd-alice", "email": evil[:200]}
        await home.kit.connected()
        for params in ({"to": ["x@y.example"], "subject": evil[:900]}, {"to": [], "subject": evil[:900]}):
            await home.kit.execute("send_message", params=params, reason=evil[:400])
        async with home.signed_in("alice@example.com") as browser:
            page = (await browser.get(home.kit.url + "/me")).html
            assert "alert(1)" in page
            harmless(page)
        async with home.signed_in("ana@example.com") as browser:
            harmless((await browser.get(home.kit.url + "/me")).html)


CELLS = (
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "\u00a0=1+1", "\u3000+1",
    "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20x", "=cmd|'/c calc'!A0", '=HYPERLINK("https://evil.example","x")',
    "\ufeff=1+1", "\u200b=1+1", "\x00=1",
)  # fmt: skip


def test_no_cell_of_an_export_is_a_formula() -> None:
    """A spreadsheet leaves out what it cannot see before it looks for a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    for text in CELLS:
        writer.writerow([_cell(text), "end"])
    rows = list(csv.reader(io.StringIO(out.getvalue())))
    assert [row[0] for row in rows] == ["'" + text for text in CELLS]
    assert {row[1] for row in rows} == {"end"}
    for text in ("mailbot", "alice@example.com", "2026-11-24T10:00:00Z", '[{"do": "x"}]', "", "a=1", "sha256:ab"):
        assert _cell(text) == text


@contextmanager
def logging_to(stream: io.StringIO, json: bool) -> Iterator[None]:
    """The process's log, in `stream` for a while."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    configure(stream, json=json, remove=remove)
    try:
        yield
    finally:
        for handler in root.handlers[:]:
            if handler not in before:
                root.removeHandler(handler)
        root.setLevel(level)


LINES = (
    "x\n2026-01-01 WARNING forged", "x\r\nforged", "x\rforged", "\x1b[2J\x1b[31mred", "\x9b31m",
    "x\u2028forged", "x\u2029forged", "x\u0085forged", "\x00", "\x08\x08\x08", "\u202eforged", "\u2066x", "\x1b]8;;https://evil.example\x07x",
    "x\x0bforged", "x\x0cforged",
)  # fmt: skip


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_no_text_makes_a_line_of_the_log(as_json: bool) -> None:
    for text in LINES:
        stream = io.StringIO()
        with logging_to(stream, as_json):
            logging.getLogger("jit_auth.attack").warning("a user: %s", text, extra={"agent": text})
        written = stream.getvalue()
        assert written.endswith("\n")
        assert len(written.splitlines()) == 1, text
        assert written[:-1].isprintable(), text
        if as_json:
            assert json.loads(written)["level"] == "warning"

"""What every page has in common: headers, marks, one shape of errors, a stylesheet that the policy lets through."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from jinja2 import UndefinedError
from msgspec.structs import replace

from jit_auth.channels.words import span
from jit_auth.web.forms import origin_of
from jit_auth.web.pages import Pages, shown
from tests.integration.pages.conftest import Site, words
from tests.integration.pages.standin import DIGEST, ROUND

VOID = {"meta", "input", "br", "link"}


class Outline(HTMLParser):
    """Nesting, headings, labels and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.named: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.attributes += [(tag, name) for name in given]
        self.named += [given[name] for name in ("for", "aria-labelledby", "aria-describedby") if name in given]
        if "id" in given:
            self.ids.append(given["id"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def every_page(site: Site) -> list[Any]:
    doors = site.doors
    pages = [
        await site.get(site.approval),
        await site.get(site.consent),
        await site.get("/approvals/apr_1"),
        await site.get(f"/approvals/{ROUND.id}"),
        await site.get(site.unknown),
        await site.get(site.all),
        await site.form(site.all, {"decision": "approve", "apr_gone": DIGEST}),
        await site.form(site.consent, {}),
        await site.form(site.approval, {"decision": "approve"}),
        await site.vote("approve"),
        await site.vote("approve"),
        await site.get(site.approval),
    ]
    doors.trip = False
    for kind in ("connected", "partly", "refused", "error"):
        doors.ending = doors.finished(
            kind,
            granted=("mail.read",),
            missing=("x",),
            link="http://127.0.0.1/connect/x",
            error="e",
            manage_url="https://m.example/",
        )
        pages.append(await site.form(site.consent, {"decision": "allow"}))
    return pages


async def test_every_page_carries_the_strict_headers(site: Site) -> None:
    for page in await every_page(site):
        policy = page.headers["Content-Security-Policy"]
        directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert directives.keys() == {"default-src", "style-src", "form-action", "frame-ancestors", "base-uri"}
        assert directives["default-src"] == directives["frame-ancestors"] == directives["base-uri"] == "'none'"
        assert directives["form-action"] == "'self'"
        style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
        assert style is not None
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        assert directives["style-src"] == f"'sha256-{digest}'"
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"


async def test_every_page_is_sound_html_for_keyboard_and_screen_reader(site: Site) -> None:
    for page in await every_page(site):
        outline = Outline()
        outline.feed(page.text)
        assert outline.open == []
        assert outline.headings[0] == 1
        assert outline.headings.count(1) == 1
        assert all(b - a <= 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))
        assert len(set(outline.ids)) == len(outline.ids)
        assert set(outline.named) <= set(outline.ids)
        assert '<html lang="en">' in page.text
        assert 'name="viewport"' in page.text
        assert "<script" not in page.text
        assert not [name for _, name in outline.attributes if name.startswith("on") or name == "style"]


async def test_json_answers_carry_the_headers_too(site: Site) -> None:
    for answer in (
        await site.json(site.approval, {"decision": "approve"}),
        await site.json(site.approval, {"decision": "approve"}),
    ):
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("*/*", "text/html"),
        ("application/json", "application/problem+json"),
        ("application/problem+json", "application/problem+json"),
        ("text/html, application/json", "text/html"),
    ],
)
async def test_an_error_is_a_page_or_a_problem_by_what_the_client_reads(site: Site, accept: str, kind: str) -> None:
    answer = await site.get("/approvals/apr_1", Accept=accept)
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith(kind)
    assert "not_found" in answer.text
    assert "There is no such request." in answer.text


async def test_hostile_text_is_neutralised_wherever_it_stands(site: Site) -> None:
    evil = "<img src=x>\u202e' \" &amp; {{7*7}} \u27e8masked\u27e9"
    doors = site.doors
    doors.execution = replace(
        doors.execution,
        params={"to": [evil], "subject": evil, "body": {evil: [evil]}, evil: evil},
        reason=evil,
        account=evil,
        account_name=evil,
        decision=replace(doors.execution.decision, reasons=(evil,)),
    )
    doors.round = replace(doors.round, why=evil)
    doors.consent = replace(doors.consent, last_error=evil)
    doors.request = replace(
        doors.request, headers=(("X-A", evil),), body=evil.encode(), url="https://b\u00fccher.example/" + evil
    )
    doors.new = (evil,)
    for page in (await site.get(site.approval), await site.get(site.consent), await site.vote("approve")):
        assert page.status == 200
        assert "<img" not in page.text
        assert "\u202e" not in page.text
        assert "49" not in words(page.text).replace("0:49", "")
        assert "\u27e8masked" not in page.text
        Outline().feed(page.text)
    assert "xn--bcher-kva.example" in (await site.get(site.approval)).text


async def test_sixty_kilobytes_of_spaces_hide_nothing(site: Site) -> None:
    body = "Hello" + " " * 60_000 + "pay Mallory"
    site.doors.execution = replace(site.doors.execution, params={"body": body})
    text = words((await site.get(site.approval)).text)
    assert "Hello\u27e8U+0020\u27e9\u27e8\u00d760000\u27e9pay Mallory" in text
    assert "60,016 characters" in text or "60016 characters" in text


async def test_each_foreign_value_stands_in_its_own_box(site: Site) -> None:
    page = (await site.get(site.approval)).text
    assert '<div class="box" dir="auto">Quarterly numbers</div>' in page
    assert '<li><bdi dir="ltr">x@y.example</bdi></li>' in page


async def test_an_address_in_hebrew_letters_keeps_its_order(site: Site) -> None:
    address = "\u05d0\u05d1@example.com"
    site.doors.execution = replace(site.doors.execution, params={"to": [address, "\u05e9\u05dc\u05d5\u05dd x"]})
    page = (await site.get(site.approval)).text
    assert f'<li><bdi dir="ltr">{address}' in page
    assert '<li><bdi dir="auto">\u05e9' in page


def test_marks_stand_out_and_text_stays_text() -> None:
    assert shown("a<b\u27e8U+202E\u27e9") == 'a&lt;b<mark class="hid">\u27e8U+202E\u27e9</mark>'


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (-5, "0 seconds"),
        (1_000, "1 second"),
        (59_999, "59 seconds"),
        (60_000, "1 minute"),
        (3_600_000, "60 minutes"),
        (7_200_000, "2 hours"),
        (86_400_000, "24 hours"),
        (864_000_000, "10 days"),
    ],
)
def test_durations_are_said_in_words(duration: int, text: str) -> None:
    assert span(duration) == text


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://jit.example.com", "https://jit.example.com:443"),
        ("https://JIT.example.com:443/x", "https://jit.example.com:443"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("http://user@jit.example.com", "http://jit.example.com:80"),
        ("null", None),
        ("", None),
        ("file:///x", None),
        ("http://", None),
        ("http://a:b", None),
        ("http://[x", None),
    ],
)
def test_origins_are_compared_in_one_form(url: str, origin: str | None) -> None:
    assert origin_of(url) == origin


def test_a_page_that_lacks_a_value_is_a_fault_and_not_a_blank() -> None:
    with pytest.raises(UndefinedError):
        Pages("http://127.0.0.1:1", "dev").html("leaving.html", url="https://a.example/")


def test_the_environment_is_foreign_text_too() -> None:
    page = Pages("http://127.0.0.1:1", "<pr\u202eod>").html(
        "error.html", title="x", message="m", hint="", code="c", decided=(), stale=(), faults=()
    )
    assert page.text is not None
    assert "&lt;pr" in page.text
    assert "\u202e" not in page.text


async def test_a_decision_names_itself_in_the_second_answer(site: Site) -> None:
    await site.vote("approve")
    second = await site.form(site.approval, {"decision": "deny", "digest": DIGEST})
    assert "ana@example.com approved on 2025-11-25T10:00:00.000Z" in words(second.text)

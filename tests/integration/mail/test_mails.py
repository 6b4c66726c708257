"""What a mail holds as a mail program reads it: both parts, the link, the thread, and nothing foreign text put in."""

from __future__ import annotations

import email
import re
from email.policy import default
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec.structs import replace

from jit_auth.channels.card import Card, Change, Decided
from jit_auth.channels.cut import detailed
from jit_auth.channels.email.message import LONGEST_SUBJECT, as_bytes, message
from jit_auth.channels.email.render import Renderer
from jit_auth.channels.email.told import Step
from jit_auth.core.fields import Field
from jit_auth.core.text import Part, visible
from tests.fakes.smtp import Mail, mail_server
from tests.integration.mail.kit import ANA, CARD, GATHER, HOUR, NOW, PUBLIC, TO, URL, channel, settings

RENDERER = Renderer()
SENDER = "approvals@example.com"

END = replace(
    CARD,
    open=False,
    state="succeeded",
    outcome="Sent. MailHub answered 201.",
    decided=(Decided("bo", "approve", NOW, "Looks right."),),
)
CONSENT = replace(
    CARD,
    role="consent",
    fields=(),
    scopes=("Send e-mail as you (mail.send)",),
    consequence="Nothing happens before you have answered on the page.",
)
RESOLVE = replace(CARD, role="resolve", state="unknown", outcome="Sent, but the answer was lost.")
NOTICE = replace(CARD, role="notice", note="bo changed subject. It is asked again with the change.")
ALL: list[tuple[Card, Step]] = [
    (CARD, "ask"),
    (replace(CARD, reminded=2), "remind"),
    (replace(CARD, warned=True), "soon"),
    (END, "end"),
    (CONSENT, "ask"),
    (RESOLVE, "ask"),
    (NOTICE, "ask"),
    (GATHER, "ask"),
]


def mail(card: Card, step: Step = "ask", *, eightbit: bool = True) -> Mail:
    made = message(card, step, sender=SENDER, to=TO, public_url=PUBLIC, renderer=RENDERER, now=NOW)
    return Mail(SENDER, TO, as_bytes(made, eightbit=eightbit), False, None)


class _Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "background")]

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_an_approver_gets_one_mail_with_a_text_and_an_html_part() -> None:
    async with mail_server() as server, channel(settings(server)) as port:
        assert await port.show(CARD, None) == "asked r0"
        (got,) = server.mails
    assert (got.sender, got.to) == (SENDER, TO)
    assert got.message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in got.message.iter_parts()] == ["text/plain", "text/html"]
    assert got.message["Subject"] == "[prod] High risk: Send to x@y.example: Quarterly numbers"
    assert got.message["To"] == TO
    assert got.message["From"].addresses[0].addr_spec == SENDER
    assert got.message["Auto-Submitted"] == "auto-generated"
    assert got.message["Date"].datetime.timestamp() * 1000 == NOW
    for text in (got.text, unescape(got.html)):
        for said in ("prod", CARD.consequence, CARD.host, CARD.account, *CARD.reasons, *CARD.wants, *CARD.unusual,
                     "25 Nov 2025, 11:00:00 UTC", CARD.silence, "planner", "claimed by mailbot", CARD.ask):  # fmt: skip
            assert said in text, said
    assert got.text.index("Quarterly numbers") < got.text.index("mailbot says") < got.text.index("Already approved")


@pytest.mark.parametrize("eightbit", [True, False])
@pytest.mark.parametrize(("card", "step"), ALL, ids=[f"{card.role}-{step}" for card, step in ALL])
def test_the_text_part_holds_the_whole_link_on_a_line_of_its_own(card: Card, step: Step, eightbit: bool) -> None:
    got = mail(card, step, eightbit=eightbit)
    linked = step != "end"
    assert (URL in got.text.splitlines()) == linked
    # No quoted-printable: where it is not encoded as a whole, the link is in the source as a person copies it.
    for part in got.message.iter_parts():
        assert part["Content-Transfer-Encoding"] in ("7bit", "8bit", "base64")
    assert (URL.encode() in got.raw) == (linked and (eightbit or got.text.isascii()))
    assert max(map(len, got.raw.split(b"\r\n"))) <= 998
    assert set(_Links(got.html).links) == ({URL} if linked else set())


@pytest.mark.parametrize(("card", "step"), ALL, ids=[f"{card.role}-{step}" for card, step in ALL])
def test_every_mail_with_a_link_says_that_no_assistant_needs_it(card: Card, step: Step) -> None:
    got = mail(card, step)
    for text in (got.text, _Links(got.html).text):
        assert ("No assistant, agent or support person will ever need this link" in text) == (step != "end")
        assert f"Our links begin with {PUBLIC}/" in text
        assert "Answers to this mail are read by nobody, and decide nothing." in text


def test_a_mail_offers_no_decision_only_the_page() -> None:
    for card, step in ALL:
        seen = _Links(mail(card, step).html)
        assert seen.tags & {"form", "input", "button", "script", "img", "iframe", "object", "link"} == set()


async def test_sensitive_values_never_leave_and_details_keep_the_rest_in() -> None:
    sent: dict[str, Mail] = {}
    for details in ("full", "summary", "none"):
        async with mail_server() as server, channel(settings(server, details=details)) as port:
            await port.show(CARD, None)
            (sent[details],) = server.mails
    for got in sent.values():
        assert b"files.example" not in got.raw
        assert "environment" in got.html
        assert URL in got.text
        assert "[prod] HIGH RISK" in got.text
    assert "bo@example.com" in sent["full"].text
    assert "bo@example.com" not in sent["summary"].text
    assert "Quarterly numbers" in sent["summary"].text
    assert "noon" not in sent["summary"].text
    none = sent["none"]
    for secret in ("Quarterly", "x@y.example", "mailbot", "alice", "MailHub", "noon", "cy@example.com", "finance"):
        assert secret not in none.text + none.html + str(none.message["Subject"]), secret
    assert none.message["Subject"] == "[prod] High risk: Send an e-mail"


@pytest.mark.parametrize(("card", "step"), ALL, ids=[f"{card.role}-{step}" for card, step in ALL])
def test_where_nothing_may_leave_no_mail_of_any_kind_holds_content(card: Card, step: Step) -> None:
    got = mail(detailed(card, "none"), step)
    whole = f"{got.text}{got.html}{got.message['Subject']}"
    for secret in ("Quarterly", "y.example", "mailbot", "planner", "alice", "MailHub", "mailhub", "noon", "mail.send"):
        assert secret not in whole, secret


HOSTILE = st.text(st.characters(exclude_categories=("Cs",)), max_size=300)


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HOSTILE, HOSTILE, st.sampled_from([step for _, step in ALL]))
def test_no_text_makes_a_header_or_a_part(subject: str, value: str, step: Step) -> None:
    for text in (
        subject,
        visible(subject, one_line=True),
        f"a\r\nBcc: eve@evil.example\r\n\r\n{subject}",
        f"x\n\n{subject}",
    ):
        card = replace(
            CARD,
            summary=(Part("Send "), Part(text, True)),
            environment=text,
            title=text,
            agent=text,
            again=text,
            fields=(Field(text, value, 1, False, "text"),),
            says=value,
            reasons=(text,),
            outcome=text,
        )
        got = mail(card, step)
        head = got.raw.split(b"\r\n\r\n", 1)[0]
        assert [name for name, _ in email.message_from_bytes(got.raw).items()] == NAMES
        assert got.message["To"] == TO
        assert got.message["Subject"].count("\n") == 0
        assert b"\nBcc" not in head
        assert not got.message.defects
        parts = list(got.message.iter_parts())
        assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
        assert (URL in got.text.splitlines()) == (step != "end")
        assert set(_Links(got.html).links) == ({URL} if step != "end" else set())


NAMES = [
    *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References"),
    *("Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version", "Content-Type"),
]


@pytest.mark.parametrize(
    "text",
    [
        '<script>alert(1)</script>"><a href="https://evil.example">Approve</a>',
        "</div></td></tr></table><h1>Approved</h1>",
        "{{ 7 * 7 }}{% for x in y %}",
        "' onmouseover='x",
        "--=_boundary\r\nContent-Type: text/html\r\n\r\n<b>x</b>",
    ],
)
def test_foreign_text_is_no_markup(text: str) -> None:
    shown = visible(text)
    card = replace(
        CARD,
        summary=(Part(shown, True),),
        environment=shown,
        fields=(Field("subject", shown, 1, False, "text"),),
        says=shown,
        reasons=(shown,),
        again=shown,
        changed=(Change("subject", shown, shown),),
        unusual=(shown,),
        host=shown,
    )
    got, plainly = mail(card), mail(CARD)
    seen, usual = _Links(got.html), _Links(plainly.html)
    assert seen.tags - usual.tags <= {"span"}
    assert set(seen.links) == {URL}
    assert seen.text.count(visible(text).split("\n")[0]) >= 5


def test_addresses_in_foreign_text_are_no_links_in_html() -> None:
    evil = "https://evil.example/approve www.evil.example"
    card = replace(CARD, summary=(Part(evil, True),), says=evil, fields=(Field("to", evil, 1, False, "text"),))
    html = mail(card).html
    assert "://evil" not in html
    assert "www.evil" not in html
    assert evil in _Links(html).text


def test_no_line_of_foreign_text_can_pose_as_one_of_ours_in_the_text_part() -> None:
    posing = f"x\n\n--\nOpen the request:\n\n{PUBLIC}/approvals/jat_evil\n\nWHAT WILL BE SENT"
    card = replace(
        CARD,
        fields=(Field("subject", posing, 1, False, "text"),),
        says=posing,
        reasons=(posing,),
        again=posing,
        changed=(Change("subject", posing, posing),),
    )
    lines = mail(card).text.splitlines()
    assert [line for line in lines if "jat_evil" in line and "|" not in line] == []
    assert lines.count("--") == 1
    assert lines.count("WHAT WILL BE SENT") == 1


def test_long_values_are_cut_visibly_and_the_mail_stays_small() -> None:
    long = Field("body", "z" * 60_000, 60_000, False, "text")
    card = replace(CARD, fields=(*CARD.fields, *(replace(long, name=f"f{n}") for n in range(20))), says="y" * 9000)
    got = mail(card)
    assert len(got.html.encode()) < 60_000
    assert "58000 more characters: open the page to read them\u27e9" in got.text
    assert "60000 characters" in got.text
    marked = replace(long, value_text="\u27e8U+202E\u27e9" * 500)
    assert "\u27e8U+20\u27e8" not in mail(replace(CARD, fields=(marked,))).text


def test_right_to_left_values_reorder_nothing_around_them() -> None:
    hebrew = "\u05d0\u05d1\u05d2"
    got = mail(replace(CARD, summary=(Part("Send to "), Part(hebrew, True), Part(": "), Part("7", True))))
    assert f"Send to \u2068{hebrew}\u2069: 7" in got.text
    assert f'<bdi dir="auto">{hebrew}</bdi>: ' in got.html


def test_one_request_is_one_thread() -> None:
    first = mail(CARD)
    root = first.message["References"]
    again = mail(replace(CARD, id="crd_01kb3q0000000000000000000d", ask="apr_2", again="A voter left."))
    for later in (
        mail(replace(CARD, reminded=1), "remind"),
        mail(replace(CARD, warned=True), "soon"),
        mail(END, "end"),
    ):
        assert later.message["In-Reply-To"] == first.message["Message-ID"]
        assert later.message["References"].split() == [root, first.message["Message-ID"]]
        assert later.message["Subject"] == f"Re: {first.message['Subject']}"
    assert again.message["References"] == root
    assert again.message["Subject"] == f"Re: {first.message['Subject']}"
    others = mail(replace(CARD, execution="exe_01kb3q0000000000000000000z"))
    assert others.message["References"] != root
    assert mail(replace(CARD, person="bo")).message["References"] != root


def test_a_card_and_a_step_have_one_message_id() -> None:
    ids = {str(mail(card, step).message["Message-ID"]) for card, step in ALL for _ in range(2)}
    # The notice, the resolve and the consent card of this test share a row's id with the first.
    assert len(ids) == 5
    assert mail(CARD).raw == mail(CARD).raw
    first, second = replace(CARD, reminded=1), replace(CARD, reminded=2)
    assert mail(first, "remind").message["Message-ID"] != mail(second, "remind").message["Message-ID"]
    both = [mail(replace(END, id=name, ask=name), "end").message["Message-ID"] for name in ("crd_1", "crd_2")]
    assert both[0] == both[1]


def test_a_subject_is_short_and_on_one_line() -> None:
    got = mail(replace(CARD, summary=(Part("\u00fc" * 5000, True),)))
    subject = got.message["Subject"]
    assert len(subject) == LONGEST_SUBJECT
    assert subject.startswith("[prod] High risk: \u00fc")
    assert subject.endswith("\u2026")


def test_the_end_names_who_decided_and_what_became_of_it() -> None:
    got = mail(END, "end")
    for text in (got.text, got.html):
        assert "Sent. MailHub answered 201." in text
        assert "bo approved on 25 Nov 2025, 10:00:00 UTC: Looks right." in text
    assert "jat_" not in got.raw.decode()


def test_a_consent_names_the_scopes_and_a_lost_outcome_what_to_do() -> None:
    consent = mail(CONSENT)
    assert consent.message["Subject"] == "[prod] Access to MailHub: Send to x@y.example: Quarterly numbers"
    assert "Send e-mail as you (mail.send)" in consent.text
    assert "Review and connect" in consent.html
    assert "planner asks for access to MailHub" in consent.text
    resolve = mail(RESOLVE)
    assert "Please find out whether it happened" in resolve.text
    assert "WHAT WAS SENT" in resolve.text
    notice = mail(NOTICE)
    assert "bo changed subject." in notice.text
    assert "answers in that name" not in notice.text


def test_many_requests_are_one_mail_with_one_link() -> None:
    got = mail(GATHER)
    assert got.message["Subject"] == "[prod] 3 requests wait for you"
    for waiting in GATHER.gathered:
        assert waiting.line in got.text
        assert waiting.url not in got.text
    many = replace(GATHER, gathered=GATHER.gathered * 100)
    assert "250 more, on the page" in mail(many).text


@pytest.mark.parametrize(("person", "to"), [(ANA, TO), ("bo", "bo@b.example"), ("cy@example.com", "cy@example.com")])
async def test_each_person_has_an_address_of_their_own(person: str, to: str) -> None:
    async with mail_server() as server, channel(settings(server)) as port:
        await port.show(replace(CARD, person=person), None)
        assert [mail.to for mail in server.mails] == [to]
        assert server.mails[0].message["To"] == to


def test_a_message_reads_the_same_with_the_strictest_policy() -> None:
    for card, step in ALL:
        raw = mail(card, step).raw
        parsed = email.message_from_bytes(raw, policy=default.clone(raise_on_defect=True))
        assert re.fullmatch(r"<[a-z0-9_.]+@example\.com>", parsed["Message-ID"])
        assert b"\r\n" in raw
        assert b"\n" not in raw.replace(b"\r\n", b"")


async def test_what_is_gathered_later_is_one_more_mail() -> None:
    more = replace(GATHER, gathered=(*GATHER.gathered, replace(GATHER.gathered[0], ask="apr_4")))
    async with mail_server() as server, channel(settings(server)) as port:
        first = await port.show(GATHER, None)
        assert await port.show(GATHER, first) == first
        assert await port.show(replace(GATHER, gathered=GATHER.gathered[:1]), first) == first
        second = await port.show(more, first)
        assert await port.show(more, second) == second
        assert len(server.inbox(TO)) == len(server.mails) == 2
        assert len({mail.message["References"] for mail in server.mails}) == 1


def test_a_gathered_mail_says_when_the_first_runs_out() -> None:
    assert "The first of them runs out on 25 Nov 2025, 11:00:00 UTC" in mail(GATHER).text
    assert GATHER.expires == NOW + HOUR

"""A message made of readable parameters reads back as exactly these, in bytes that never vary."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.core.request import Build, prepare
from jit_auth.errors import Unprocessable
from jit_auth.model import Action, Connector, Param, Provider

ID = "exe_01m3250v00xfpwb29eqsbp6a3f"
MAILBOX = {"type": "string", "format": "email"}
MAILBOXES = {"type": "array", "items": MAILBOX}
TEXT = {"type": "string"}
SCHEMAS: dict[str, dict[str, Any]] = {
    "to": MAILBOXES,
    "cc": MAILBOXES,
    "bcc": MAILBOXES,
    "from": MAILBOX,
    "reply_to": MAILBOX,
    "subject": TEXT,
    "in_reply_to": TEXT,
    "references": {"type": "array", "items": TEXT},
    "text": TEXT,
    "threadId": TEXT,
}
NAMES = {"from": "From", "to": "To", "cc": "Cc", "bcc": "Bcc", "reply_to": "Reply-To", "subject": "Subject",
         "in_reply_to": "In-Reply-To", "references": "References"}  # fmt: skip
FIXED = [("MIME-Version", "1.0"), ("Content-Type", 'text/plain; charset="utf-8"'),
         ("Content-Transfer-Encoding", "base64")]  # fmt: skip


def build(*, method: str = "POST", integers: tuple[str, ...] = (), **schemas: dict[str, Any]) -> Build:
    """The build of an action whose body is a message."""
    provider = Provider(id="x", hosts=("api.x.example",))
    action = Action(
        name="x.send",
        connector="x",
        provider="x",
        title="t",
        summary="t",
        show=(),
        method=method,
        path="/send",
        risk="high",
        effect="create",
        retry="never",
        body="rfc822-base64url",
        params=tuple(
            Param(name=name, schema=schema, where="body", integer=name in integers) for name, schema in schemas.items()
        ),
    )
    connector = Connector(id="x", name="X", provider=provider, actions=(action,), base_url="https://api.x.example")
    return prepare(connector, action)


SEND = build(**SCHEMAS)


def body(params: dict[str, Any], made: Build = SEND) -> dict[str, Any]:
    """What leaves, as JSON."""
    found: dict[str, Any] = json.loads(made(params, {}, ID, 0).body)
    return found


def sent(params: dict[str, Any]) -> bytes:
    """The message that leaves."""
    return urlsafe_b64decode(body(params)["raw"])


def read(message: bytes) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(message)  # type: ignore[return-value]  # by its policy


def addresses(message: EmailMessage, name: str) -> list[str] | None:
    found = message[name]
    return None if found is None else [address.addr_spec for address in found.addresses]


def test_a_message_leaves_as_raw_and_its_other_parameters_beside_it() -> None:
    params = {"to": ["a@x.example", "b@x.example"], "subject": "Hi", "text": "One\nTwo", "threadId": "18c"}
    request = SEND(params, {}, ID, 0)
    assert ("Content-Type", "application/json") in request.headers
    assert not SEND.whole
    found = json.loads(request.body)
    assert found.keys() == {"raw", "threadId"}
    assert found["threadId"] == "18c"
    assert urlsafe_b64decode(found["raw"]) == (
        b"To: a@x.example,\r\n b@x.example\r\n"
        b"Subject: Hi\r\n"
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b"\r\n"
        b"T25lDQpUd28=\r\n"
    )


def test_a_64_bit_integer_stands_beside_the_message() -> None:
    made = build(to=MAILBOX, text=TEXT, n=TEXT, integers=("n",))
    request = made({"to": "a@x.example", "text": "", "n": "9223372036854775807"}, {}, ID, 0)
    assert request.body.startswith(b'{"n":9223372036854775807,"raw":"')


def test_a_message_is_all_there_is_where_nothing_else_is_declared() -> None:
    made = build(to=MAILBOX, text=TEXT)
    found = body({"to": "a@x.example", "text": "t"}, made)
    assert found.keys() == {"raw"}
    assert addresses(read(urlsafe_b64decode(found["raw"])), "To") == ["a@x.example"]


def test_the_bytes_of_a_message_never_change() -> None:
    """A change here makes paused executions stale: their digest covers these bytes."""
    params = {
        "from": "f@x.example", "to": [f"a{n}@x.example" for n in range(50)], "cc": ["c@x.example"], "bcc": [],
        "reply_to": "r@x.example", "subject": "Grüße, =?utf-8?q?x?= " + "wort " * 40, "in_reply_to": "<1@x.example>",
        "references": ["<0@x.example>", "<1@x.example>"], "text": "Ünd\r\nso\rweiter\n" * 30,
    }  # fmt: skip
    assert hashlib.sha256(sent(params)).hexdigest() == (
        "02bf567c8745a3aa5ba9a0e861734ee81059ad1ce9d69eca14caab9c0a55516e"
    )


ATEXT = "abcXYZ019!#$%&'*+/=?^_`{|}~-"
ATOMS = st.lists(st.text(ATEXT, min_size=1, max_size=12), min_size=1, max_size=3).map(".".join)
LABELS = st.lists(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,10}[A-Za-z0-9])?", fullmatch=True), min_size=2, max_size=3)
ADDRESS = st.builds(lambda local, labels: f"{local}@{'.'.join(labels)}", ATOMS, LABELS).filter(lambda a: "=?" not in a)
ANY = st.text(st.characters(exclude_categories=("Cs",)), max_size=200)
TRICKY = st.text("=?utf-8bqQB_ \t\"',;<>@()[]\\é😀\u0301\u202e\ufeff", max_size=120)
LINE = (ANY | TRICKY).map(lambda text: re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text)) | st.text(
    st.characters(min_codepoint=32, max_codepoint=126), max_size=1200
)
MESSAGE_ID = st.from_regex(r"<[A-Za-z0-9.+_-]{1,300}@[A-Za-z0-9.-]{1,30}>", fullmatch=True)
PARAMS = st.fixed_dictionaries(
    {"to": st.lists(ADDRESS, min_size=1, max_size=8), "text": ANY | TRICKY | st.text("a\r\n.F", max_size=50)},
    optional={"cc": st.lists(ADDRESS, max_size=3), "bcc": st.lists(ADDRESS, max_size=3), "from": ADDRESS,
              "reply_to": ADDRESS, "subject": LINE, "in_reply_to": MESSAGE_ID,
              "references": st.lists(MESSAGE_ID, max_size=4)},
)  # fmt: skip


@given(PARAMS)
def test_a_message_reads_back_as_its_parameters(params: dict[str, Any]) -> None:
    message = sent(params)
    assert sent(params) == message
    assert build(**SCHEMAS)(params, {}, "exe_other", 99).body == SEND(params, {}, ID, 0).body
    assert message.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", message)
    assert all(len(line) <= 998 for line in message.split(b"\r\n"))
    found = read(message)
    assert found.defects == []
    expected = [header for name, header in NAMES.items() if name in params and params[name] != []]
    assert found.keys() == expected + [name for name, _ in FIXED]
    assert [(name, found[name]) for name, _ in FIXED] == FIXED
    for name in ("to", "cc", "bcc"):
        assert (addresses(found, name) or []) == params.get(name, [])
        assert name not in found or all(not address.display_name for address in found[name].addresses)
    for name in ("from", "reply_to"):
        assert addresses(found, NAMES[name]) == ([params[name]] if name in params else None)
    assert found["subject"] == params.get("subject")
    assert found["in-reply-to"] == params.get("in_reply_to")
    assert (found["references"] or "").split() == params.get("references", [])
    assert found.get_content() == re.sub(r"\r\n?|\n", "\r\n", params["text"])


@given(st.dictionaries(st.sampled_from([*NAMES, "text"]), ANY | TRICKY | st.lists(ANY | ADDRESS, max_size=3)))
def test_no_value_adds_a_header_whatever_let_it_through(params: dict[str, Any]) -> None:
    try:
        message = sent(params)
    except Unprocessable:
        return
    assert set(read(message).keys()) <= {*NAMES.values(), *(name for name, _ in FIXED)}


def refusal(params: dict[str, Any]) -> list[dict[str, str]]:
    with pytest.raises(Unprocessable) as refused:
        sent({"to": ["a@x.example"], "text": "t"} | params)
    assert refused.value.code == "invalid_params"
    found: list[dict[str, str]] = refused.value.members["faults"]
    return found


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\r\n\r\n", "\0", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\t"])
def test_a_subject_is_one_line(end: str) -> None:
    for subject in (f"Hi{end}Bcc: eve@evil.example", f"Hi{end}", f"{end}Hi", f"é{end} x"):
        (fault,) = refusal({"subject": subject})
        assert fault["pointer"] == "/params/subject"


@pytest.mark.parametrize(
    "address",
    [
        "a@x.example\r\nBcc: eve@evil.example", "a@x.example\n", "a@x.example, eve@evil.example", "Ana <a@x.example>",
        "a@x.example (x)", '"a b"@x.example', "a@[127.0.0.1]", "ä@x.example", "a@ü.example", "", "a", "a@b@c.example",
        " a@x.example", "a@x.example;", "a" * 250 + "@x.example", "group:a@x.example;", None, 1,
    ],
)  # fmt: skip
def test_what_is_no_plain_address_is_in_no_message(address: Any) -> None:
    for name in ("to", "cc", "bcc"):
        (fault,) = refusal({name: ["b@x.example", address]})
        assert fault["pointer"] == f"/params/{name}"
    assert address is None or refusal({"reply_to": address})


def test_an_address_that_parsers_decode_into_another_is_refused() -> None:
    address = "=?utf-8?q?eve=40evil.example=2C?=@good.example"
    assert addresses(read(f"To: {address}\r\n\r\n".encode()), "To") != [address]
    assert refusal({"to": [address]})


@pytest.mark.parametrize(
    "given_id",
    ["1@x.example", "<1>", "<1@x.example> <2@x.example>", "<1@x.example>\r\nBcc: <eve@evil.example>", "<1@x.example>\n",
     "<1 2@x.example>", "<é@x.example>", "<" + "1" * 900 + "@x.example>", "<=?utf-8?q?=0a?=@x.example>", "", "<@>"],
)  # fmt: skip
def test_what_is_no_message_id_is_in_no_message(given_id: str) -> None:
    assert refusal({"in_reply_to": given_id})
    assert refusal({"references": ["<0@x.example>", given_id]})


def test_a_thousand_recipients_stay_who_they_are() -> None:
    many = [f"{n:0>60}@{'x' * 60}.{'y' * 60}.{'z' * 60}.example" for n in range(1000)]
    message = sent({"to": many, "text": "t"})
    assert max(map(len, message.split(b"\r\n"))) < 300
    assert addresses(read(message), "To") == many


@pytest.mark.parametrize(
    "subject",
    ["=?utf-8?q?hi?=", "  two  blanks ", "", " ", "é" * 500, "x" * 998, "a, b <c@d.example>", "=?", "😀" * 100,
     "To: eve@evil.example", "e\u0301" * 60, "\ufeffx"],
)  # fmt: skip
def test_a_subject_reads_back_as_it_was_shown(subject: str) -> None:
    message = sent({"to": ["a@x.example"], "subject": subject, "text": "t"})
    assert read(message)["subject"] == subject
    assert all(len(line) <= 78 for line in message.split(b"\r\n"))


@pytest.mark.parametrize(
    "declared",
    [
        {"to": MAILBOX},
        {"text": TEXT},
        {"to": TEXT, "text": TEXT},
        {"to": MAILBOX, "text": MAILBOXES},
        {"to": MAILBOX, "text": TEXT, "raw": TEXT},
        {"to": MAILBOX, "text": TEXT, "from": MAILBOXES},
        {"to": {"type": "array", "items": TEXT}, "text": TEXT},
        {"to": {"type": "array", "items": MAILBOX, "prefixItems": [TEXT]}, "text": TEXT},
    ],
)
def test_an_action_that_cannot_be_a_message_has_no_build(declared: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=r"^x\.send: "):
        build(**declared)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_message_has_a_method_with_a_body(method: str) -> None:
    with pytest.raises(ValueError, match="sends no message"):
        build(method=method, **SCHEMAS)

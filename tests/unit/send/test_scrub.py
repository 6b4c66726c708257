"""No credential survives in what an agent gets, in any form in which APIs echo them."""

from __future__ import annotations

import base64
import html
import json
import quopri
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jit_auth.send.scrub import Scrub
from jit_auth.send.unescape import Plain

SECRET = "s3cr3t-T0ken_value/with+odd=chars~&more.0123456789"
VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)


def percent_lower(text: str) -> str:
    return "".join(char if char.isalnum() else f"%{ord(char):02x}" for char in text)


def json_unicode(text: str) -> str:
    return "".join(char if char.isalnum() else f"\\u{ord(char):04X}" for char in text)


ESCAPES: dict[str, Callable[[str], str]] = {
    "raw": lambda text: text,
    "url": lambda text: quote(text, safe=""),
    "url, slashes kept": quote,
    "url, lower hex": percent_lower,
    "url twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": lambda text: json.dumps(text)[1:-1],
    "json, slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json, \\u": json_unicode,
    "json in json": lambda text: json.dumps(json.dumps(text).replace("/", "\\/"))[1:-1],
    "html": lambda text: html.escape(text).replace("=", "&#61;").replace("/", "&#x2F;"),
    "quoted-printable": lambda text: quopri.encodestring(text.encode(), quotetabs=True).decode(),
    "over lines": lambda text: "\r\n ".join(text[at : at + 10] for at in range(0, len(text), 10)),
    "over lines, escaped": lambda text: "\\n".join(text[at : at + 10] for at in range(0, len(text), 10)),
}


def prefixed(encode: Callable[[bytes], bytes], before: int, data: bytes) -> str:
    return encode(b"x" * before + data).decode()


CODES: dict[str, Callable[[bytes], str]] = {
    "plain": lambda data: data.decode(),
    "hex": lambda data: data.hex(),
    "HEX": lambda data: data.hex().upper(),
    **{
        f"{name}, {before} before": partial(prefixed, encode, before)
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode))
        for before in range(4)
    },
    "basic": lambda data: "Basic " + base64.b64encode(b"client:" + data).decode(),
    "base64, more behind": lambda data: base64.b64encode(b"y" + data + b" and a tail").decode(),
}


def leftovers(secret: str, text: str) -> list[str]:
    """Pieces of 8 characters of the secret, or of its base64 forms, that can still be read."""
    forms = [secret, secret.encode().hex(), secret.encode().hex().upper()]
    for before in range(3):
        form = base64.b64encode(b"\0" * before + secret.encode()).decode().rstrip("=")[4 if before else 0 : -1]
        forms += [form, form.replace("+", "-").replace("/", "_")]
    return [form[at : at + 8] for form in forms for at in range(len(form) - 7) if form[at : at + 8] in text]


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("code", CODES)
def test_every_form_of_a_credential_goes(code: str, escape: str) -> None:
    echoed = f"you sent «{ESCAPES[escape](CODES[code](SECRET.encode()))}», thanks"
    scrub = Scrub((SECRET.encode(),))
    for shown in (scrub.text(echoed), scrub.data(echoed.encode()).decode(), json.dumps(scrub.value([{"a": echoed}]))):
        assert "[removed]" in shown
        assert leftovers(SECRET, shown) == []
        assert leftovers(SECRET, Plain(shown, mail=True).text) == []
    assert scrub.text(echoed).startswith("you sent «")
    assert scrub.text(echoed).endswith("», thanks")


@settings(deadline=None)  # machines are busy
@given(
    st.text(VISIBLE, min_size=12, max_size=80), st.sampled_from(sorted(CODES)), st.sampled_from(sorted(ESCAPES)),
    st.text(max_size=20), st.text(max_size=20),
)  # fmt: skip
def test_any_credential_goes_and_leaves_no_trace(secret: str, code: str, escape: str, left: str, right: str) -> None:
    if escape.startswith("over lines") and "\\" in secret:
        return  # a backslash before an escaped line break reads in two ways
    echoed = f"{left} {ESCAPES[escape](CODES[code](secret.encode()))} {right}"
    shown = Scrub((secret.encode(),)).text(echoed)
    assert "[removed]" in shown
    assert secret not in shown


@settings(deadline=None)  # machines are busy
@given(st.text(), st.binary())
def test_what_holds_no_credential_stays_as_it_is(text: str, data: bytes) -> None:
    scrub = Scrub((SECRET.encode(),))
    assert scrub.text(text) == text
    assert scrub.data(data) == data
    assert scrub.value({"a": [text, 1, 2.5, True, None]}) == {"a": [text, 1, 2.5, True, None]}


def test_keys_numbers_and_depth() -> None:
    scrub = Scrub((b"123456789", SECRET.encode()))
    value = {SECRET: [{"n": 123456789, "f": 1234567890.5, "ok": 12345, "b": True}], "x": {"y": [[SECRET]]}}
    assert scrub.value(value) == {
        "[removed]": [{"n": "[removed]", "f": "[removed]", "ok": 12345, "b": True}],
        "x": {"y": [["[removed]"]]},
    }


def test_bytes_around_stay() -> None:
    scrub = Scrub((SECRET.encode(),))
    data = b"\x89PNG\xff\x00" + SECRET.encode() + b"\xfe\xff"
    assert scrub.data(data) == b"\x89PNG\xff\x00[removed]\xfe\xff"


def test_nothing_and_next_to_nothing_are_no_credentials() -> None:
    scrub = Scrub((b"", b"ab", b"   "))
    assert scrub.text("ab   cd") == "ab   cd"


def test_a_credential_that_begins_another_hides_nothing() -> None:
    scrub = Scrub((b"tok_abcdef", b"tok_abcdef_and_more"))
    assert scrub.text("tok_abcdef_and_more tok_abcdef") == "[removed] [removed]"


def test_a_scrub_shows_nothing_of_itself() -> None:
    assert SECRET not in repr(Scrub((SECRET.encode(),)))


SHAPES = [
    "ghp_" + "a1B2" * 9, "gho_" + "a1B2" * 9, "ghu_" + "a1B2" * 9, "ghs_" + "a1B2" * 9, "ghr_" + "a1B2" * 9,
    "github_pat_" + "A1_b" * 20, "glpat-" + "x" * 20, "xoxb-123456789012-abcdefGHIJKL",
    "xoxe.xoxp-1-abcdefghijklmnopqrst",
    "xapp-1-A0123-4567-abcdef", "ya29.a0AfH6SMBabcdefghijkl_mno-p",
    "1//0gabcdefghijklmnopqrstuvwxyz-123456", "AIza" + "b" * 35,
    "GOCSPX-" + "c" * 28, "AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "sk_live_" + "d" * 24, "rk_test_" + "d" * 24,
    "sk-" + "e" * 48, "sk-ant-api03-" + "f" * 60, "sk-proj-" + "g" * 60, "npm_" + "h" * 36, "pypi-" + "i" * 60,
    "hf_" + "j" * 34, "SG." + "k" * 22 + "." + "l" * 43, "whsec_" + "m" * 32, "jat_agt_" + "n" * 43, "jat_" + "o" * 60,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "eyJhbGciOiJSU0EtT0FFUCJ9.key_.iv-.cipher.tag",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIB\nAAAA\n-----END RSA PRIVATE KEY-----",
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_well_known_shapes_of_credentials_go_whosever_they_are(shape: str) -> None:
    scrub = Scrub(())
    assert scrub.suspect(f'{{"token":"{shape}"}}')
    assert scrub.value({"made": f"key {shape} kept"}) == {"made": "key [removed] kept"}
    assert scrub.data(shape.encode()) == b"[removed]"


def test_a_key_that_is_cut_off_goes_to_the_end() -> None:
    assert Scrub(()).text("-----BEGIN PRIVATE KEY-----\nMIIB\nAA") == "[removed]"


def test_words_that_only_look_alike_stay() -> None:
    text = (
        "task-force risk-averse-and-otherwise-long-words desk_live xoxo SG.1 eyJ npm_config AKIA eyJabc.def.ghi ghp_x"
    )
    assert Scrub(()).text(text) == text


ODD = "abc% \\ sk-123 " + "%41 \\u0042 =41 &amp; \\ \n" * 40_000
HOSTILE = [
    ODD, "\\" * 10**6, "=" * 10**6, "\n" * 10**6, "eyJ" * 300_000, "eyJAAAAAAAAAAAAAAAA." * 50_000, "jat_" * 200_000,
    "-----BEGIN PRIVATE KEY-----" * 40_000, "SG." * 300_000, "xoxb-" * 200_000, "\\u" * 500_000, "%25" * 300_000,
    "&#0" * 300_000, "-----BEGIN " + "A" * 10**6, "sk-" * 300_000, "%" * 10**6, "=\r" * 500_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_megabyte_takes_no_long_time(text: str) -> None:
    begun = time.process_time()
    assert "[removed]" in Scrub((SECRET.encode(),)).text(text + " " + SECRET)
    assert time.process_time() - begun < 4

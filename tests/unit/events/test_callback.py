"""Where an agent may be called back: prefix games, dot segments and userinfo lead nowhere else (THREAT_MODEL 30)."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from jit_auth.core.callback import LONGEST, callback

PREFIXES = ("http://127.0.0.1:9000/hooks/", "https://good.example/", "https://[2001:db8::1]:8443/in/")


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://127.0.0.1:9000/hooks/", None),
        ("http://127.0.0.1:9000/hooks/a/b", None),
        ("http://127.0.0.1:9000/hooks/a?x=1&y=%2e%2e%2f", None),
        ("HTTP://127.0.0.1:9000/hooks/A", "http://127.0.0.1:9000/hooks/A"),
        ("https://GOOD.Example:443/x", "https://good.example/x"),
        ("https://good.example:/x", "https://good.example/x"),
        ("https://good.example", "https://good.example/"),
        ("https://good.example?x=1", "https://good.example/?x=1"),
        ("https://good.example/a%20b/%7e", None),
        ("https://[2001:DB8::1]:8443/in/x", "https://[2001:db8::1]:8443/in/x"),
    ],
)
def test_what_lies_under_a_prefix_is_stored_plain(url: str, plain: str | None) -> None:
    found = callback(url, PREFIXES)
    assert found == (plain or url)
    assert callback(found, PREFIXES) == found


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/hooks/x",
        "//good.example/x",
        "https:good.example/x",
        "https:///good.example/x",
        "https://good.example.evil.test/",
        "https://good.example@evil.test/",
        "https://evil.test@good.example/",
        "https://user:pw@good.example/",
        "https://good.example:443@evil.test/",
        "https://good.example\\@evil.test/",
        "https://good.example%2eevil.test/",
        "https://good.example./",
        "https://xgood.example/",
        "https://gооd.example/",
        "https://good.example:8443/",
        "https://good.example:0/",
        "https://good.example:99999/",
        "https://good.example:x/",
        "http://good.example/",
        "ftp://good.example/",
        "javascript://good.example/%0aalert(1)",
        "https://good.example/x#y",
        "https://good.example/x y",
        "https://good.example/\tx",
        "https://good.example/\r\nx",
        "https://good.ex\nample/x",
        "https://good.example/\\x",
        "https://good.example/\u202ex",
        "http://127.0.0.1:9000/",
        "http://127.0.0.1:9000/hooks",
        "http://127.0.0.1:9000/hooksx/",
        "http://127.0.0.1:9000/Hooks/x",
        "http://127.0.0.1:9000/hooks/../admin",
        "http://127.0.0.1:9000/hooks/./x",
        "http://127.0.0.1:9000/hooks/..",
        "http://127.0.0.1:9000/hooks/%2e%2e/admin",
        "http://127.0.0.1:9000/hooks/.%2E/admin",
        "http://127.0.0.1:9000/hooks/%252e%252e/admin",
        "http://127.0.0.1:9000/hooks/%25252e%25252e/admin",
        "http://127.0.0.1:9000/hooks/..%2fadmin",
        "http://127.0.0.1:9000/hooks/x%2fy",
        "http://127.0.0.1:9000/hooks/x%5c..%5cadmin",
        "http://127.0.0.1:9000/hooks/x%255c..%255cadmin",
        "http://127.0.0.1:9000/x/../hooks/y",
        "http://127.1:9000/hooks/x",
        "http://2130706433:9000/hooks/x",
        "http://[::ffff:127.0.0.1]:9000/hooks/x",
        "http://localhost:9000/hooks/x",
        "https://[2001:db8::1%25eth0]:8443/in/x",
        "https://[2001:db8::1]/in/x",
        "https://good.example/" + "x" * LONGEST,
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    assert callback(url, PREFIXES) is None


def test_an_agent_without_prefixes_has_no_callbacks() -> None:
    assert callback("https://good.example/", ()) is None


def test_a_prefix_that_does_not_end_in_a_slash_covers_nothing() -> None:
    assert callback("https://good.example/hooks/x", ("https://good.example/hooks",)) is None


_PIECES = st.sampled_from(
    ["..", ".", "/", "\\", "%2e", "%2E", "%252e", "%2f", "%5c", "%255c", "@", ":", "?", "#", "a", "hooks", "evil.test",
     "%", "%00", ";", "//", "\t", " ", "é", "[", "]", "443"]
)  # fmt: skip


@given(st.sampled_from(PREFIXES), st.lists(_PIECES, max_size=12).map("".join))
def test_what_is_accepted_stays_for_every_reader(prefix: str, rest: str) -> None:
    """However often it is decoded, and after yarl has normalised it, it is at the prefix's place."""
    found = callback(prefix + rest, [prefix])
    if found is None:
        return
    parts, base = urlsplit(found), urlsplit(prefix)
    assert (parts.scheme, parts.netloc) == (base.scheme, base.netloc)
    seen = URL(found)
    assert seen.raw_path.startswith(base.path)
    decoded = URL(f"{base.scheme}://{base.netloc}{quote(seen.path)}")
    assert decoded.path.startswith(base.path)

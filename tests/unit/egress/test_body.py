"""Bodies are counted after decompression; what cannot be decoded is never handed on."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jit_auth.egress.body import Unreadable, body_for

LIMIT = 10_000


def raw_deflate(data: bytes) -> bytes:
    maker = zlib.compressobj(wbits=-15)
    return maker.compress(data) + maker.flush()


CODED: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "identity": lambda data: data,
    "gzip": lambda data: gzip.compress(data),
    "X-GZIP": lambda data: gzip.compress(data),
    "deflate": lambda data: zlib.compress(data),
    " Deflate ": raw_deflate,
}


def collected(coding: str, data: bytes, cut: int, limit: int = LIMIT) -> bytes | None:
    """The body fed in pieces of `cut` bytes; None where it is over."""
    body = body_for(coding, limit)
    for at in range(0, len(data), cut):
        body.feed(data[at : at + cut])
        if body.over:
            return None
    return body.whole()


@settings(deadline=None)  # machines are busy
@given(st.binary(max_size=3000), st.sampled_from(sorted(CODED)), st.integers(1, 4000))
def test_a_body_comes_back_whole_however_it_is_cut(data: bytes, coding: str, cut: int) -> None:
    assert collected(coding, CODED[coding](data), cut) == data


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("cut", [1, 7, 100_000])
def test_the_limit_is_of_what_comes_out(coding: str, cut: int) -> None:
    assert collected(coding, CODED[coding](b"x" * LIMIT), cut) == b"x" * LIMIT
    assert collected(coding, CODED[coding](b"x" * (LIMIT + 1)), cut) is None


def test_a_bomb_costs_neither_memory_nor_time() -> None:
    maker = zlib.compressobj(9, wbits=31)
    bomb = b"".join(maker.compress(b"\0" * 1_000_000) for _ in range(50)) + maker.flush()
    begun = time.process_time()
    assert collected("gzip", bomb, 65_536, 1 << 20) is None
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_body_that_ends_too_early_is_unreadable(coding: str) -> None:
    with pytest.raises(Unreadable):
        collected(coding, CODED[coding](b"hello" * 100)[:-3], 5)


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", b"plain text"),
        ("deflate", b"\x78\x9cnot deflate"),
        ("deflate", b"\x01"),
        ("gzip", gzip.compress(b"a", mtime=0) + b"garbage"),
        ("deflate", zlib.compress(b"a") + zlib.compress(b"b")),
        ("br", b"\x8b\x02\x80hello\x03"),
        ("zstd", b"x"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"a", mtime=0), mtime=0)),
        ("gzip,identity", gzip.compress(b"a", mtime=0)),
    ],
)
def test_what_is_not_as_its_header_says_or_was_not_offered_is_unreadable(coding: str, data: bytes) -> None:
    with pytest.raises(Unreadable):
        collected(coding, data, 4)


def test_members_and_padding_of_gzip() -> None:
    assert collected("gzip", gzip.compress(b"ab") + gzip.compress(b"cd") + b"\0" * 30, 9) == b"abcd"


def test_thousands_of_empty_members_are_not_gone_through() -> None:
    begun = time.process_time()
    with pytest.raises(Unreadable):
        collected("gzip", gzip.compress(b"") * 12_000, 262_144, 1 << 20)
    assert time.process_time() - begun < 0.5


def test_megabytes_that_hold_nothing_are_over() -> None:
    empty_block = b"\x00\x00\x00\xff\xff"  # stored, no content
    assert collected("deflate", b"\x78\x9c" + empty_block * 30_000, 4096, 1000) is None


def test_an_empty_body_is_empty_in_every_offered_coding() -> None:
    for coding in CODED:
        assert body_for(coding, LIMIT).whole() == b""

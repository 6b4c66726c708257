"""How large a page is: small for what people usually get, bounded for the largest call that is admitted."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from msgspec.structs import replace

from tests.integration.pages.conftest import Site, serving
from tests.integration.pages.standin import Standin
from tests.integration.pages.states import edited, usual

USUAL = 60_000
"""Bytes of HTML: what a page stays under where a call has up to 12 KiB of plain text."""
LARGEST = 1_000_000
"""Bytes of HTML for the largest call (64 KiB) of the worst text there is: nothing is cut on the page."""


def holding(params: dict[str, Any], *, editable: tuple[str, ...] = ()) -> Standin:
    """A request with everything a page can hold, these parameters, and a body to match."""
    doors = usual()
    decision = replace(doors.execution.decision, editable=editable)
    doors.execution = replace(doors.execution, params=params, decision=decision)
    body = json.dumps(params, separators=(",", ":"), ensure_ascii=False).encode()
    doors.request = replace(doors.request, body=body)
    return doors


async def size(doors: Standin, path: str) -> int:
    async with serving(doors) as site:
        answer = await site.get(getattr(site, path))
        assert answer.status == 200
        return len(answer.text.encode())


@pytest.mark.parametrize("path", ["approval", "all", "unknown", "consent"])
async def test_a_usual_page_is_small(path: str) -> None:
    assert await size(usual(), path) < USUAL / 2
    assert await size(edited(), path) < USUAL / 2


async def test_twelve_kibibytes_of_text_fit_the_usual_size() -> None:
    text = "Dear all, the numbers are attached. " * 341
    assert len(text) > 12_000
    params = {"to": ["x@y.example"] * 20, "subject": "Numbers", "body": text}
    assert await size(holding(params, editable=("subject",)), "approval") < USUAL


async def test_a_full_list_fits_the_usual_size() -> None:
    doors = usual()
    doors.others = tuple(doors.another(number) for number in range(1, 60))
    assert await size(doors, "all") < USUAL
    # Items that just fit, and that just do not: what is left out is not paid for.
    for length in (300, 800, 1200, 3000):
        for text in ("a" * length, "<" * length, "\u200b\u202e" * (length // 20)):
            others = [doors.another(number) for number in range(1, 60)]
            doors.others = tuple(
                replace(page, execution=replace(page.execution, params={"subject": "x", "to": [], "body": text}))
                for page in others
            )
            assert await size(doors, "all") < USUAL, (length, text[:2])


@pytest.mark.parametrize(
    "params",
    [
        {"body": "x y " * 16_000},
        {"body": '"<&>' * 12_000},
        {"body": "<b>" * 21_000},
        {"body": "\u200b\u202e" * 10_900},
        {"to": ["a"] * 16_000},
    ],
)
async def test_the_largest_call_is_shown_whole(params: dict[str, Any]) -> None:
    doors = holding(params, editable=tuple(params))
    async with serving(doors) as site:
        began = time.perf_counter()
        answer = await site.get(site.approval)
        assert answer.status == 200
        assert len(answer.text.encode()) < LARGEST
        assert time.perf_counter() - began < 5
        assert answer.text.rstrip().endswith("</html>")


async def test_the_stylesheet_is_the_larger_part_of_a_small_page(site: Site) -> None:
    page = (await site.get("/approvals/apr_1")).text
    style = page.split("<style>")[1].split("</style>")[0]
    assert len(style) < 12_000
    assert len(page) - len(style) < 2_000

"""The register of attacks: what THREAT_MODEL.md and docs/security.md say holds each one, read from their tables.

`python -m tests.attack.register` prints it by number.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_TEST = re.compile(r"`(test_\w+)`")


class Line(NamedTuple):
    """One line of a table: `number` (or the item's section), the attack, the tests that hold it, what is open."""

    number: str
    attack: str
    tests: tuple[str, ...]
    open: str


def threats() -> list[Line]:
    """THREAT_MODEL.md: number, attack, what stops it, tests, state."""
    return [
        Line(number, attack, tuple(_TEST.findall(tests)), state.partition("open")[2].lstrip(": "))
        for number, attack, _, tests, state in _rows("THREAT_MODEL.md", r"\d+")
    ]


def oauth() -> list[Line]:
    """docs/security.md, RFC 9700: section, what it asks, what we do, tests or why none."""
    return [
        Line(section, item, tuple(_TEST.findall(tests)), "" if _TEST.search(tests) else tests)
        for section, item, _, tests in _rows("docs/security.md", r"[24]\.[\d.]+")
    ]


@cache
def named() -> frozenset[str]:
    """Every test that a line of either table names."""
    return frozenset(name for line in (*threats(), *oauth()) for name in line.tests)


def _rows(page: str, first: str) -> list[list[str]]:
    rows = []
    for line in (ROOT / page).read_text().splitlines():
        if re.match(rf"\| {first} \|", line):
            cells = line.replace("\\|", "\0").strip().strip("|").split("|")
            rows.append([cell.strip().replace("\0", "|") for cell in cells])
    return rows


if __name__ == "__main__":
    for each in (*threats(), *oauth()):
        print(f"{each.number:>6}  {each.attack}")
        for name in each.tests:
            print(f"        {name}")
        if each.open:
            print(f"        open: {each.open}")

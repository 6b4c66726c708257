"""Where a reader of all events stands: how far it has come with each writer of the record. Pure.

Writers commit on their own, so that no one number orders what they write: a row may be committed after others of a
later time. But each writer's rows become visible in the order of their numbers. A position therefore holds the last
number of each writer that wrote lately, and for all others a time: what they write from now on is not older than that.
What it says of a writer is exact; of one that it does not name, rows may come twice, and none is left out.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice

from jit_auth.errors import BadRequest
from jit_auth.model import Millis

MOST = 16
"""Writers that a position names: those that wrote last."""
OVERLAP: Millis = 3_600_000
"""How far a row's time may lie before its commit, of a writer that is not named: it is written within seconds."""
PATTERN = rf"[0-9]{{1,15}}(\.[0-7][0-9a-hjkmnp-tv-z]{{25}}-[0-9]{{1,15}}){{0,{MOST}}}"
"""Every position has this form, and whatever has it is one."""
_FORM = re.compile(PATTERN)
_PREFIX = "prc_"


class Position:
    """How far a reader has come. `floor`: no row of a writer that is not in `seqs` is passed from that time on."""

    __slots__ = ("_recent", "floor", "newest", "seqs")

    def __init__(self, floor: Millis = 0, seqs: Mapping[str, int] | None = None) -> None:
        self.floor = floor
        self.newest = floor + OVERLAP
        self.seqs = dict(seqs or {})
        self._recent: OrderedDict[str, None] = OrderedDict.fromkeys(reversed(self.seqs))

    @classmethod
    def at_heads(cls, heads: Mapping[str, tuple[int, Millis]]) -> Position:
        """Everything is passed that these last rows of all writers end."""
        made = cls()
        for writer, (seq, at) in sorted(heads.items(), key=lambda head: head[1][1]):
            made.passed(writer, seq, at)
        return made

    def copy(self) -> Position:
        """One that goes its own way."""
        made = Position(self.floor, self.seqs)
        made.newest, made._recent = self.newest, self._recent.copy()
        return made

    def passed(self, writer: str, seq: int, at: Millis) -> None:
        """All rows of the writer up to this one are passed (below 0: none). `at`: the row's time."""
        self.seqs[writer] = seq
        if seq >= 0:
            self._recent[writer] = None
            self._recent.move_to_end(writer)
        self.newest = max(self.newest, at)

    def text(self) -> str:
        """The position as an opaque id."""
        named = islice(reversed(self._recent), MOST)
        marks = (f".{writer.removeprefix(_PREFIX)}-{self.seqs[writer]}" for writer in named)
        return f"{max(0, self.newest - OVERLAP)}{''.join(marks)}"


def read_position(text: str) -> Position:
    """The position of an id that was given back. Raises BadRequest (`bad_query`)."""
    if _FORM.fullmatch(text) is None:
        raise BadRequest(
            "`Last-Event-ID` is none of ours.", code="bad_query", hint="Give an event's id as it came, or leave it out."
        )
    floor, *marks = text.split(".")
    pairs = (mark.rpartition("-") for mark in marks)
    return Position(int(floor), {_PREFIX + writer: int(seq) for writer, _, seq in pairs})

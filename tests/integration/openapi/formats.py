"""Values for the formats that /openapi.json names and nobody else knows; schemathesis loads this as its hooks."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import schemathesis
from hypothesis import strategies as st

KNOWN = json.loads(os.environ["FUZZ_KNOWN"])
"""What the service that is tried has: by format."""


def register() -> None:
    """Each format: what exists, and what does not."""
    ids = st.from_regex(r"exe_[0-7][0-9a-hjkmnp-tv-z]{25}", fullmatch=True)
    names = st.from_regex(r"[a-z][a-z0-9_.-]{0,30}", fullmatch=True)
    people = st.from_regex(r"[a-z][a-z0-9.+_-]{0,20}[a-z0-9]@[a-z][a-z0-9]{0,10}\.example", fullmatch=True)
    plain = people.filter(lambda person: ".." not in person and ".@" not in person)
    unknown = {
        "person": plain | names.filter(lambda name: name not in ("requester", "delegated")),
        "execution": ids,
        "visible": st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255),
        "task": st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128),
        "ticket": st.from_regex(r"jat_[A-Za-z0-9_-]{46,152}", fullmatch=True),
    }
    for name, known in KNOWN.items():
        schemathesis.openapi.format(f"jit-auth-{name}", st.sampled_from(known) | unknown.pop(name, names))
    for name, strategy in unknown.items():
        schemathesis.openapi.format(f"jit-auth-{name}", strategy)


register()

_ENDS = "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(17))
_NO_I_JSON = re.compile(rf"\\u0000|[\ud800-\udfff\ufdd0-\ufdef{_ENDS}]")
"""In JSON that escapes control characters alone."""


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """A schema cannot say that bodies are I-JSON (RFC 7493): what breaks that alone is no valid body."""
    return not case.meta.generation.mode.is_positive or not _NO_I_JSON.search(
        json.dumps(case.body, ensure_ascii=False, default=str)
    )


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Nobody waits for long here."""
    wait = (case.query or {}).get("wait")
    if isinstance(wait, int) and wait > 0:
        case.query["wait"] = 1

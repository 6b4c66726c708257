"""Takes credentials out of whatever an API answered, in the forms in which they are echoed.

THREAT_MODEL 36. A credential is looked for raw, in hex, in base64 (both alphabets, at every alignment, so also inside a
Basic header), each of these also percent-encoded (upper and lower hex, also twice), JSON-escaped, as HTML entities, in
quoted-printable, in a mixture of them, and broken over lines.

Two steps. The first is cheap: encoders leave letters and digits alone, so the longest run of them in each form stands
in the text as it is, whatever was done to the rest. Only a text that holds such a run is unescaped and searched.
Nothing made of a credential outlives this object: no pattern is compiled from one (`re` would keep it).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any

from jit_auth.send import shapes
from jit_auth.send.shapes import REMOVED
from jit_auth.send.unescape import Plain, joined

_SHORTEST = 4
"""Bytes. What is shorter is no secret, and taking it out would only destroy results."""
_SHORTEST_CODED = 6
"""The same for base64 and hex: short ones turn up by chance."""
_LONG = 16
"""Of so many bytes or more every coded form has at least 20 characters (see `shapes.runs`)."""
_RUN = re.compile(rb"[A-Za-z0-9]+")
_LONG_RUN = re.compile(rb"[A-Za-z0-9]{12,}")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Scrub:
    """Removes a set of credentials. `traces` are their bytes, as a kind's `traces` gives them."""

    __slots__ = ("_coded", "_plain", "_short", "_traces")

    def __init__(self, traces: Iterable[bytes]) -> None:
        self._traces = [trace for trace in traces if len(trace) >= _SHORTEST]
        self._plain = [_anchor(trace) for trace in self._traces]
        self._short = min(map(len, self._traces), default=_LONG) < _LONG
        self._coded: list[str] | None = None

    def __repr__(self) -> str:
        return "Scrub(...)"

    def suspect(self, text: str) -> bool:
        """Whether anything may have to be removed. May say yes for nothing; says no only where there is nothing."""
        long = shapes.runs(text)
        return self._near(text, long) or shapes.suspect(text, long)

    def text(self, text: str) -> str:
        """The text with `[removed]` in place of every form of every credential, and of well-known token shapes."""
        if self._near(text, shapes.runs(text)):
            forms = (form.decode(coding, "replace") for form in self._forms() for coding in ("utf-8", "latin-1"))
            text = _removed(text, tuple(dict.fromkeys(forms)))
        return shapes.remove(text)

    def data(self, data: bytes) -> bytes:
        """The same for bytes of any kind; what is no part of a credential stays as it is."""
        text = data.decode("latin-1")
        if self._near(text, shapes.runs(text)):
            text = _removed(text, tuple(form.decode("latin-1") for form in self._forms()))
        return shapes.remove(text).encode("latin-1")

    def value(self, value: Any) -> Any:
        """The same for a JSON value: strings, keys and numbers, at any depth. The value given is not altered."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = str(value)
            return value if self.text(text) == text else REMOVED
        return value

    def _near(self, text: str, long: bool) -> bool:
        if not self._traces:
            return False
        if _held(self._plain, text):
            return True
        broken = "\n" in text or "\\n" in text
        if not (long or broken or self._short):
            return False  # no coded form of a long credential is that short
        if self._coded is None:
            self._coded = []
            for trace in self._traces:
                if len(trace) >= _SHORTEST_CODED:
                    self._coded += (trace.hex(), trace.hex().upper(), *map(_anchor, _base64(trace)))
        if _held(self._coded, text):
            return True
        if not broken:
            return False
        text = joined(text)
        return _held(self._plain, text) or _held(self._coded, text)

    def _forms(self) -> Iterator[bytes]:
        for trace in self._traces:
            yield trace
            if len(trace) >= _SHORTEST_CODED:
                coded = trace.hex().encode()
                yield from (coded, coded.upper())
                for form in _base64(trace):
                    yield from (form, form.translate(_URL_SAFE))


def _held(anchors: list[str], text: str) -> bool:
    for anchor in anchors:  # noqa: SIM110  (any() with a generator costs twice as much, on every answer)
        if anchor in text:
            return True
    return False


def _base64(trace: bytes) -> Iterator[bytes]:
    """The part that is the same wherever a credential stands in what is encoded, for each of the three alignments."""
    for before in range(3):
        # With `before` other bytes in front, the first characters and the last one mix with their neighbours'.
        whole = b64encode(bytes(before) + trace)
        yield whole[(8 * before + 5) // 6 : 8 * (before + len(trace)) // 6]


def _anchor(form: bytes) -> str:
    """A run of letters and digits that is long enough to be told apart, else the longest one."""
    fit = _LONG_RUN.search(form)
    return (fit[0] if fit is not None else max(_RUN.findall(form), key=len, default=b"")).decode("ascii")


def _removed(text: str, forms: tuple[str, ...]) -> str:
    """Three readings, since one and the same text may be raw in one and escaped in another."""
    text = _cut(text, [(at, at + len(form)) for form in forms for at in _places(text, form)])
    for mail in (False, True):
        plain = Plain(text, mail=mail)
        text = _cut(text, [plain.span(at, at + len(form)) for form in forms for at in _places(plain.text, form)])
    return text


def _places(text: str, form: str) -> Iterator[int]:
    at = text.find(form)
    while at >= 0:
        yield at
        at = text.find(form, at + len(form))


def _cut(text: str, spans: list[tuple[int, int]]) -> str:
    if not spans:
        return text
    parts: list[str] = []
    at = 0
    for begin, end in sorted(spans):
        if begin >= at:
            parts += (text[at:begin], REMOVED)
        at = max(at, end)
    return "".join((*parts, text[at:]))

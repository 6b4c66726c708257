"""The one way in which text that is not ours is shown to people: page, card, terminal.

Whatever a reader could not see, or could take for something else, becomes a mark in the brackets U+27E8 and U+27E9
(`U+202E` between them): a bracket of that kind in foreign text is itself marked, so that every mark is ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from itertools import groupby
from typing import Any

import rfc8785
from msgspec import Struct

from jit_auth.core import glyphs
from jit_auth.model import Action, Execution

_PLAIN = re.compile(r"[\n\x20-\x7e]*")
_LONG_RUN = re.compile(r" {4}|\n(?: {0,3}\n){3}")
# Over the letters of glyphs.kind: hidden ones; runs of spaces, of blank lines, of marks; marks without a letter.
_MARKED = re.compile(r"h+|s{4,}|n(?:s{0,3}n){3,}|m{3,}|(?<![om])m{1,2}")
_WORD = re.compile(r"[^ \n]+")
# Over the letters of glyphs.in_name: an address, a host, or a plain word.
_NAME = re.compile(r"(?:l[ld]*@)?l+(?:dl+)*")
_TLD = re.compile(r"[A-Za-z]{2,}|xn--.+", re.ASCII | re.IGNORECASE)
_HOLE = re.compile(r"\{([^{}]+)\}")

NONE = "\u27e8none\u27e9"
MASKED = "\u27e8masked\u27e9"
LONGEST = 200
"""Characters of one value, and (a tenth of it) items of one list, that a summary holds before it says how many more."""


def visible(text: str, *, one_line: bool = False) -> str:
    """Foreign text as people see it; the same text where there is nothing to hide behind.

    Marked by code point are: characters of Cc (but line feed), Cf, Co, Cs, Cn, Zl, Zp, default-ignorable and blank
    ones, spaces other than U+0020, runs of more than 3 spaces, of more than 3 blank lines or of more than 2 combining
    marks, marks without a letter, and our own bracket; four and more of a kind as one mark with their number. Hosts
    and addresses that are not ASCII are shown as A-labels (beside the words where they may be a file's name), words of
    mixed scripts are flagged. `one_line`: line feeds are marked too. Apply it once: its own marks would be marked.
    """
    if text.isascii() and text.isprintable() and "    " not in text:
        return text  # most are; what follows says the same of it, three times as slowly
    if _PLAIN.fullmatch(text) and not _LONG_RUN.search(text):
        return text.replace("\n", _mark("\n")) if one_line and "\n" in text else text
    kinds = "".join(map(glyphs.kind, text))
    if one_line:
        kinds = kinds.replace("n", "h")
    out: list[str] = []
    done = 0
    for run in _MARKED.finditer(kinds):
        out.append(_words(text[done : run.start()], text))
        out.append(_mark(text[run.start() : run.end()]))
        if kinds[run.start()] == "n":
            out.append("\n")
        done = run.end()
    out.append(_words(text[done:], text))
    return "".join(out)


def host_shown(host: str) -> str:
    """A host as people see it: A-labels, mixed scripts flagged, hidden characters marked."""
    if host.isascii() or any(glyphs.kind(char) != "o" for char in host):
        return visible(host, one_line=True)
    return _a_labels(host) + _flag(host)


def _mark(run: str) -> str:
    """Each character by its code point; four and more of a kind once, with their number."""
    out = []
    for char, group in groupby(run):
        count = len(list(group))
        mark = f"\u27e8U+{ord(char):04X}\u27e9"
        out.append(mark * count if count < 4 else f"{mark}\u27e8\u00d7{count}\u27e9")
    return "".join(out)


def _words(piece: str, whole: str) -> str:
    return piece if piece.isascii() else _WORD.sub(lambda word: _word(word[0], whole), piece)


def _word(word: str, whole: str) -> str:
    """One word without spaces: its hosts and addresses as A-labels, its mixed scripts flagged."""
    if word.isascii():
        return word
    out: list[str] = []
    done = 0
    for match in _NAME.finditer("".join(map(glyphs.in_name, word))):
        out.append(word[done : match.start()])
        out.append(_name(word[match.start() : match.end()], word[: match.start()], whole))
        done = match.end()
    out.append(word[done:])
    return "".join(out)


def _name(name: str, before: str, whole: str) -> str:
    if name.isascii():
        return name
    local, at, host = name.rpartition("@")
    labels = _labels(host)
    flag = _flag(name)
    if at or before.endswith("//"):
        return local + at + _a_labels(host) + flag
    ends = _TLD.fullmatch(labels[-1]) or (name == whole and labels[-1].isalpha())
    if len(labels) < 2 or host.isascii() or not ends:
        return name + flag
    if any(map(glyphs.mixed, labels)):
        return _a_labels(host) + flag
    # A host, a file's name or the end of a sentence: the words stay, the host they could name stands beside them.
    return f"{name}\u27e8{_a_labels(host)}\u27e9{flag}"


def _labels(host: str) -> list[str]:
    return re.split(f"[{glyphs.DOTS}]", host)


def _a_labels(host: str) -> str:
    return ".".join(map(glyphs.a_label, _labels(host)))


def _flag(name: str) -> str:
    scripts = glyphs.mixed(name)
    return f"\u27e8mixed scripts: {', '.join(scripts)}\u27e9" if scripts else ""


class Part(Struct, frozen=True):
    """A piece of a summary: our words, or (`foreign`) a value, which HTML isolates in a box of its own."""

    text: str
    foreign: bool = False


def summary(template: str, params: Mapping[str, Any], *, sensitive: Collection[str]) -> str:
    """One line for people: `{name}` replaced by values made visible, `sensitive` ones masked. Values are not templates.

    Long values and lists say how many more there are; `core/fields` shows all.
    """
    return "".join([part.text for part in summary_parts(template, params, sensitive=sensitive)])


def summary_of(action: Action, params: Mapping[str, Any]) -> str:
    """The summary of one call of an action, its sensitive parameters masked."""
    return summary(action.summary, params, sensitive=hidden(action))


def agent_says(execution: Execution) -> str:
    """What an agent says of a call, as people see it: its reason, and the task that it is part of. Nobody has checked
    a word of it."""
    said = visible(execution.reason) if execution.reason else ""
    if execution.task is None:
        return said
    task = f"Part of the task: {visible(execution.task.title or execution.task.id, one_line=True)}"
    return f"{said}\n\n{task}" if said else task


def hidden(action: Action) -> frozenset[str]:
    """Names of the parameters that only the approval page shows."""
    return frozenset([param.name for param in action.params if param.sensitive])


def summary_parts(template: str, params: Mapping[str, Any], *, sensitive: Collection[str]) -> tuple[Part, ...]:
    """`summary` in its pieces, for channels that can isolate a value's direction (bidi)."""
    parts: list[Part] = []
    for piece in _pieces(template):
        if isinstance(piece, Part):
            parts.append(piece)
        elif piece in sensitive:
            parts.append(Part(MASKED))
        else:
            parts += _told(params.get(piece))
    return tuple(parts)


@lru_cache(1024)
def _pieces(template: str) -> tuple[Part | str, ...]:
    """A template taken apart: our words, and the names of the parameters between them."""
    words = enumerate(_HOLE.split(template))
    found = [piece if at % 2 else Part(visible(piece, one_line=True)) for at, piece in words]
    return tuple(piece for piece in found if isinstance(piece, str) or piece.text)


def _told(value: Any) -> list[Part]:
    """A value as one part, a list as a part per item: items of two directions must not change places."""
    if not isinstance(value, list):
        return [Part(_brief(value), foreign=True)]
    shown = [_brief(item) for item in value[: LONGEST // 10]] or [NONE]
    if len(value) > len(shown):
        shown.append(f"\u27e8{len(value) - len(shown)} more\u27e9")
    parts: list[Part] = []
    for number, item in enumerate(shown, 1):
        if number > 1:
            parts.append(Part(" and " if number == len(shown) else ", "))
        parts.append(Part(item, foreign=True))
    return parts


def _brief(value: Any) -> str:
    if isinstance(value, str):
        more = len(value) - LONGEST
        return visible(value[:LONGEST], one_line=True) + (f"\u27e8{more} more characters\u27e9" if more > 0 else "")
    if isinstance(value, dict | list):
        return f"\u27e8{len(value)} values\u27e9"
    return NONE if value is None else scalar(value)


def scalar(value: Any) -> str:
    """A number, boolean or null exactly as it is sent (RFC 8785)."""
    if type(value) is int:
        return str(value)
    return rfc8785.dumps(value).decode("ascii")

"""A letter as plain text and as HTML. In both every foreign value stands apart: it cannot pose as a line of ours."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from jit_auth.channels.email.letter import Group, Letter

_RIGHT_TO_LEFT = frozenset(("R", "AL", "AN"))
_LINKED = re.compile(r"://|\bwww\.", re.IGNORECASE)


class Renderer:
    """Compiles the template once, when the channel is opened."""

    def __init__(self) -> None:
        jinja = Environment(
            loader=PackageLoader("jit_auth.channels.email"),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        jinja.filters["inert"] = inert
        self._mail = jinja.get_template("mail.html")

    def html(self, letter: Letter, preview: str) -> str:
        """The HTML part. `preview` is what lists of mails show beside the subject."""
        return self._mail.render(mail=letter, preview=preview)


def inert(text: str) -> Markup:
    """Foreign text, escaped; addresses in it are split by markup, so that no mail program makes a link of them."""
    return Markup(_LINKED.sub(lambda found: f"<span>{found[0][:-1]}</span>{found[0][-1]}", str(escape(text))))  # noqa: S704 - escaped


def plain(letter: Letter) -> str:
    """The text part. The link stands alone on its line, whole; foreign text of many lines has a bar before each."""
    risk = f" {letter.risk.upper()} RISK." if letter.risk else ""
    lines = [f"[{letter.environment}]{risk} {sentence(letter.headline)}", ""]
    lines += ["".join(_isolated(part.text) if part.foreign else part.text for part in letter.summary), ""]
    for words in letter.lead:
        lines += [_isolated(_one(words)), ""]
    if letter.url:
        lines += [f"{letter.button}:", "", letter.url, ""]
    for group in letter.groups:
        lines += [*_group(group), ""]
    if letter.says:
        lines += [f"{letter.agent} says (the agent's own words; nobody has checked them):", *_barred(letter.says), ""]
    lines.append("--")
    lines += letter.foot
    return "\n".join(lines) + "\n"


def sentence(words: str) -> str:
    """A headline as a sentence."""
    return words if words.endswith("?") else f"{words}."


def _group(group: Group) -> Iterable[str]:
    yield group.title.upper()
    for row in group.rows:
        note = f" ({row.note})" if row.note else ""
        if row.boxed:
            yield f"  {row.label}{note}"
            for value in row.values:
                yield from _barred(value)
        elif len(row.values) == 1 and row.label:
            yield f"  {row.label}: {_isolated(_one(row.values[0]))}"
        else:
            if row.label:
                yield f"  {row.label}:"
            for value in row.values:
                yield f"  - {_isolated(_one(value))}"


def _one(value: str) -> str:
    """On one line: what follows a line feed is set in, so that it is no line of ours."""
    return value.replace("\n", "\n      | ")


def _barred(text: str) -> Iterable[str]:
    for line in text.split("\n"):
        yield f"    | {_isolated(line)}"


def _isolated(text: str) -> str:
    """Text with right-to-left letters between isolates (UAX 9), so that it reorders nothing around it."""
    if text.isascii() or not any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in text):
        return text
    return "\n".join(f"\u2068{line}\u2069" if line else line for line in text.split("\n"))

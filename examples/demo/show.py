"""How the demo looks on a terminal: numbered steps, a label column, links on lines of their own."""

from __future__ import annotations

import os
import sys
import textwrap

WIDTH = 110
LABEL = 12


class Show:
    """Prints; with colour on a terminal that has not asked for none (NO_COLOR)."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._step = 0

    def title(self, text: str, *sentences: str) -> None:
        print(f"\n{self._paint(text, '1')}")
        for sentence in sentences:
            print(textwrap.fill(sentence, WIDTH))
        print()

    def step(self, text: str) -> None:
        self._step += 1
        print(f"\n{self._paint(f'{self._step}. {text}', '1')}", flush=True)

    def line(self, label: str, text: str = "", *, indent: int = 0) -> None:
        width = WIDTH - LABEL - 3
        parts = textwrap.wrap(text, width, break_long_words=False, subsequent_indent=" " * indent)
        for number, part in enumerate(parts or [""]):
            shown = f"{label if not number else '':<{LABEL}}"
            print(f"   {self._paint(shown, '2')}{part}", flush=True)

    def link(self, text: str, url: str) -> None:
        self.line("open", text)
        print(f"   {'':<{LABEL}}{self._paint(url, '4')}", flush=True)

    def good(self, label: str, text: str) -> None:
        self.line(label, self._paint(text, "32"))

    def bad(self, text: str) -> None:
        print(self._paint(text, "31"), file=sys.stderr, flush=True)

    def _paint(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text

"""Search over actions, for `GET /actions?q=`: by the words of names, titles, summaries, descriptions and scopes.

Plain and the same each time: no index that learns, no language. A word counts whole, by its beginning (two letters at
least), or with one letter wrong (four at least) where nothing else has it. Only what the asker may use is looked at, so
that neither the order nor a near word tells of anything else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from jit_auth.catalog import schema as schemas
from jit_auth.catalog.load import Catalog, Operation
from jit_auth.catalog.tools import tool_name

LONGEST = 200
"""Characters of a question."""
MOST_WORDS = 12
"""Words of a question that count."""
_WORD = re.compile(r"[^\W_]+(?:[-'\u2019][^\W_]+)*")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PARTS = re.compile(r"[-'\u2019]")
_NAME, _TITLE, _ABOUT = 6, 4, 2
_SHORTEST_START, _SHORTEST_NEAR = 2, 4

Weights = Mapping[str, int]


def words(text: str) -> Iterator[str]:
    """The words of a text: `send_message` and `sendMessage` are two, `e-mail` is also `email`, and e, and mail."""
    for word in _WORD.findall(_HUMP.sub(" ", unicodedata.normalize("NFKC", text))):
        parts = _PARTS.split(word.casefold())
        yield "".join(parts)
        if len(parts) > 1:
            yield from parts


def asked(question: str) -> tuple[str, ...]:
    """The words of a question, each once."""
    found = (_PARTS.sub("", word.casefold()) for word in _WORD.findall(_HUMP.sub(" ", question)))
    return tuple(dict.fromkeys(found))[:MOST_WORDS]


class Index:
    """The words of one catalog's actions, each read when it is first looked at."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._known: dict[str, Weights] = {}

    def search(self, question: str, names: Iterable[str]) -> list[str]:
        """Those of these actions that have some of the question's words, best first: by how many of them, then by where
        they stand, then by name. One that is asked for by its whole name comes first."""
        plain = unicodedata.normalize("NFKC", question)
        wanted, itself = asked(plain), plain.strip().casefold()
        known = {name: self._weights(name) for name in names}
        vocabulary = {word for weights in known.values() for word in weights}
        near = {word: _near(word, vocabulary) for word in wanted}
        ranked: list[tuple[bool, int, int, str]] = []
        for name, weights in known.items():
            scores = [score for word in wanted if (score := _score(word, weights, near[word]))]
            whole = itself in (name.casefold(), tool_name(name).casefold())
            if scores or whole:
                ranked.append((not whole, -len(scores), -sum(scores), name))
        return [name for *_, name in sorted(ranked)]

    def _weights(self, name: str) -> Weights:
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = _weights(self.catalog.actions[name])
        return found


def _score(word: str, weights: Weights, near: frozenset[str]) -> int:
    """What a word of the question is worth for an action: twice its place whole, once its place by its beginning."""
    best = 2 * weights.get(word, 0)
    if len(word) >= _SHORTEST_START:
        best = max([best, *(weight for other, weight in weights.items() if other.startswith(word))])
    return best or (1 if any(other in weights for other in near) else 0)


def _near(word: str, vocabulary: set[str]) -> frozenset[str]:
    """The words with one letter wrong, missing, added or swapped; none where the word is known, or begins one."""
    if len(word) < _SHORTEST_NEAR or any(other.startswith(word) for other in vocabulary):
        return frozenset()
    return frozenset(other for other in vocabulary if len(other) >= _SHORTEST_NEAR and _one_off(word, other))


def _one_off(one: str, other: str) -> bool:
    if abs(len(one) - len(other)) > 1:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    rest, of = one[start:], other[start:]
    return rest[1:] == of[1:] or rest[1:] == of or rest == of[1:] or (rest[:2] == of[:2][::-1] and rest[2:] == of[2:])


def _weights(operation: Operation) -> Weights:
    """The words of an action, each with the best place it stands in."""
    action = operation.action
    described = [param.name for param in action.params]
    for param in action.params:
        inner = [each for _, each in schemas.walk(param.schema)]
        texts = [each.get(key) for each in inner for key in ("title", "description")]
        described += [text for text in texts if isinstance(text, str)]
    places = (
        (_NAME, [action.name.partition(".")[2]]),
        (_TITLE, [action.title, operation.connector.name, action.connector]),
        (_ABOUT, [action.summary, action.effect, *action.scopes, *action.any_scopes, *described]),
    )
    found: dict[str, int] = {}
    for weight, several in places:
        for text in several:
            for word in words(text):
                found.setdefault(word, weight)
    return found

"""TOML with positions: read a file, know each key's line, turn it into a Struct and name every fault at once.

No TOML library keeps positions. The text is therefore read twice: once as a whole (tomllib decides whether it is
TOML at all), then statement by statement, a statement being the fewest lines that parse.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo

from jit_auth.errors import Fault, Faults

Path = tuple[str | int, ...]
T = TypeVar("T", bound=Struct)

_AT = re.compile(r" \(at line (\d+), column (\d+)\)$| \(at end of document\)$")
_WHERE = re.compile(r"(?s)^(.*?)(?: - at `(?:key in )?\$(.*)`)?$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*')
_TYPE = re.compile("`([a-z |]+)`")
_WORDS = {
    "str": "a string", "int": "an integer", "float": "a number", "bool": "true or false",
    "array": "an array", "object": "a table", "null": "nothing",
}  # fmt: skip


LARGEST = 2 << 20
"""Characters of one file."""
DEEPEST = 32
"""Tables and lists inside one another. Beyond it what reads a file later would take long, or too much of the stack."""
# tomllib takes quadratic time for keys of many parts, so that they are refused before it sees them.
_LONG_KEY = re.compile(
    r"""(?:^|[\[{,])[ \t]*+(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""",
    re.ASCII | re.MULTILINE,
)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that `name` was most likely meant to be, or None."""
    found = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"`, or "" where nothing is near: to put behind "unknown key 'y'"."""
    found = nearest(name, names)
    return f" (did you mean {found!r}?)" if found else ""


@dataclass(frozen=True)
class Document:
    """A TOML file that parsed. `file` is its path as shown to people, `data` what tomllib read."""

    file: str
    data: dict[str, Any]
    text: str = field(default="", repr=False)

    @cached_property
    def places(self) -> Mapping[Path, tuple[int, str]]:
        """For each key, table and array element: the line of its statement and the statement's text. Found when asked
        for: that takes as long as reading the file, and most files have no fault."""
        return _places(self.text)

    def source(self, *path: str | int) -> tuple[int, str]:
        """Line and raw text of the statement that wrote `path`, or its nearest known parent; (1, "") if none."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return 1, ""

    def line(self, *path: str | int) -> int:
        """The best known line of `path`, from 1."""
        return self.source(*path)[0]

    def fault(self, path: Iterable[str | int], message: str) -> Fault:
        """What is wrong at `path`, as `file:line: message`."""
        return Fault(self.file, self.line(*path), message)


def read(file: str, text: str) -> Document:
    """Parse `text`; `file` is the name shown in faults.

    Raises Faults (one) with the line where it is no TOML, or where it is too large or too deep (THREAT_MODEL 59).
    """
    text = text.replace("\r\n", "\n")
    if len(text) > LARGEST:
        raise Faults([Fault(file, 0, f"is larger than {LARGEST} characters")])
    if (long := _LONG_KEY.search(text)) is not None:
        raise Faults([Fault(file, text.count("\n", 0, long.start()) + 1, "a key of too many parts")])
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = _AT.search(message)
        line, where = (int(at[1]), f" (column {at[2]})") if at and at[1] else (text.count("\n") + 1, "")
        raise Faults([Fault(file, line, _AT.sub("", message) + where)]) from None
    except RecursionError:
        raise Faults([Fault(file, 0, "nested too deeply")]) from None
    except ValueError:  # the one that is no TOMLDecodeError: int() of thousands of digits
        raise Faults([Fault(file, 0, "holds a number of too many digits")]) from None
    if _deeper(data, DEEPEST):
        raise Faults([Fault(file, 0, "nested too deeply")])
    return Document(file, data, text)


def _deeper(data: Any, most: int) -> bool:
    """Whether something in it is nested deeper than `most`; looked at level by level, without recursion."""
    level = [data]
    for _ in range(most):
        level = [
            item
            for each in level
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


@lru_cache(256)
def _keys(kind: type[Struct]) -> Mapping[str, FieldInfo]:
    """A table's keys; looking a Struct's annotations up takes a millisecond."""
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


@lru_cache(64)  # whoever loads the connectors again reads the same files
def _places(text: str) -> dict[Path, tuple[int, str]]:
    places: dict[Path, tuple[int, str]] = {}
    counts: dict[Path, int] = {}  # arrays of tables: elements so far
    table: Path = ()
    for line, raw, read_as in _statements(text):
        here = (line, raw)
        if raw.lstrip().startswith("["):
            table = _open_table(read_as, raw.lstrip().startswith("[["), counts, places, here)
        else:
            _mark(table, read_as, places, here)
    return places


def _statements(text: str) -> Iterable[tuple[int, str, dict[str, Any]]]:
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        if not lines[at].strip() or lines[at].lstrip().startswith("#"):
            at += 1
            continue
        end = _end(lines, at)
        raw = "\n".join(lines[at:end])
        yield at + 1, raw, tomllib.loads(raw)
        at = end


def _end(lines: list[str], at: int) -> int:
    """The line after the statement that begins at `at`: the fewest lines that parse."""
    depth, long = 0, False
    for end in range(at + 1, len(lines) + 1):
        last = lines[end - 1]
        long = long or '"""' in last or "'''" in last
        bare = _QUOTED.sub("", last)
        depth += bare.count("[") + bare.count("{") - bare.count("]") - bare.count("}")
        # It can only end where its brackets are closed; where a long string is open, brackets count for nothing.
        if depth > 0 and not long:
            continue
        if end > at + 1 and long and not any(mark in last for mark in ("]", "}", '"""', "'''")):
            continue
        try:
            tomllib.loads("\n".join(lines[at:end]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    return len(lines)  # cannot be: the whole has parsed


def _open_table(
    read_as: dict[str, Any],
    array: bool,
    counts: dict[Path, int],
    places: dict[Path, tuple[int, str]],
    here: tuple[int, str],
) -> Path:
    """The absolute path that a `[header]` or `[[header]]` opens; marks it."""
    names: list[str] = []
    inner: Any = read_as
    while isinstance(inner, dict) and inner:
        (name,) = inner
        names.append(name)
        inner = inner[name]
    path: Path = ()
    for name in names[:-1]:
        path = (*path, name)
        places.setdefault(path, here)
        if path in counts:
            path = (*path, counts[path] - 1)
    path = (*path, names[-1])
    if array:
        places.setdefault(path, here)
        counts[path] = counts.get(path, 0) + 1
        path = (*path, counts[path] - 1)
    places[path] = here
    return path


def _mark(path: Path, value: Any, places: dict[Path, tuple[int, str]], here: tuple[int, str]) -> None:
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        places.setdefault((*path, key), here)
        _mark((*path, key), inner, places, here)


def convert(doc: Document, kind: type[T], *, at: Path = (), value: Any = None) -> T:
    """The file (or the `value` found at path `at`) as a Struct: strict, unknown keys refused.

    Raises Faults with everything that is wrong: unknown keys (with the nearest valid name), wrong types, missing ones.
    """
    walker = _Walker(doc)
    built = walker.struct(kind, doc.data if value is None else value, at)
    if walker.faults:
        raise Faults(sorted(walker.faults, key=lambda fault: fault.line))
    return cast(T, built)


_WRONG = object()


class _Walker:
    """Converts field by field, so that one fault does not hide the next."""

    def __init__(self, doc: Document) -> None:
        self.doc = doc
        self.faults: list[Fault] = []

    def fault(self, path: Path, message: str) -> Any:
        self.faults.append(self.doc.fault(path, message))
        return _WRONG

    def struct(self, kind: type[Struct], value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            return self.fault(path, f"{shown(path)}: expected a table")
        known = _keys(kind)
        wrong = False
        for key in value:
            if key not in known:
                where = f" in [{shown(path)}]" if path else ""
                self.fault((*path, key), f"unknown key {key!r}{where}{did_you_mean(key, known)}")
                wrong = True
        values: dict[str, Any] = {}
        for name, info in known.items():
            if name in value:
                made = self.any(info.type, value[name], (*path, name))
                wrong = wrong or made is _WRONG
                values[info.name] = made
            elif _required(info):
                where = f" in [{shown(path)}]" if path else ""
                self.fault(path, f"missing key {name!r}{where}")
                wrong = True
        if wrong:
            return _WRONG
        try:
            return kind(**values)
        except (ValueError, TypeError) as error:  # a Struct may judge itself in __post_init__
            return self.fault(path, f"{shown(path)}: {error}" if path else str(error))

    def any(self, kind: Any, value: Any, path: Path) -> Any:
        origin, args = get_origin(kind), get_args(kind)
        if isinstance(kind, type) and issubclass(kind, Struct):
            return self.struct(kind, value, path)
        structs = [a for a in args if isinstance(a, type) and issubclass(a, Struct)]
        if len(structs) == 1 and origin not in (dict, list, tuple) and isinstance(value, dict):
            return self.struct(structs[0], value, path)
        if origin is dict and isinstance(value, dict):
            made = {key: self.any(args[1], inner, (*path, key)) for key, inner in value.items()}
            return _WRONG if any(v is _WRONG for v in made.values()) else made
        if (origin is list or (origin is tuple and args[-1:] == (...,))) and isinstance(value, list):
            items = [self.any(args[0], inner, (*path, n)) for n, inner in enumerate(value)]
            return _WRONG if any(v is _WRONG for v in items) else origin(items)
        try:
            return msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError as error:
            message, inner_path = _explained(error)
            words = [word for word in args if isinstance(word, str)] if origin is Literal else []
            hint = did_you_mean(str(value), words) or f" (there are: {', '.join(words)})" if words else ""
            return self.fault((*path, *inner_path), f"{shown((*path, *inner_path))}: {message}{hint}")


def _required(info: FieldInfo) -> bool:
    return info.default is msgspec.NODEFAULT and info.default_factory is msgspec.NODEFAULT


def shown(path: Iterable[str | int]) -> str:
    """A path as people write it: `rule[2].approval.from`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else ("." if text else "") + step
    return text


def _explained(error: msgspec.ValidationError) -> tuple[str, Path]:
    """msgspec's message in TOML's words, and the path it names."""
    found = _WHERE.match(str(error))
    message, where = (found[1], found[2] or "") if found else (str(error), "")
    path = tuple(int(m[2]) if m[2] else m[1] for m in _STEP.finditer(where) if m[1] or m[2])
    message = _TYPE.sub(lambda kinds: " or ".join(_WORDS.get(k, k) for k in kinds[1].split(" | ")), message)
    return message[:1].lower() + message[1:], path

"""Names as model APIs take them: of an action (`tool_name`), and of parameters whose own names they refuse.

A tool's name has `[A-Za-z0-9_-]{1,64}` (OpenAI, Anthropic), a key of its parameters `[A-Za-z0-9_.-]{1,64}` (Anthropic,
which refuses a whole request for one other key). Both are functions of the name alone (of a parameter: of its action):
what else is loaded changes none of them, so that a conversation that was begun before a reload goes on after it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

LONGEST = 64
"""Characters of a tool's name, and of a parameter's."""
_BETWEEN = "__"
_HASHED = 16
_PART = 21
_RUN = re.compile(r"_{2,}")
_REFUSED = re.compile(r"[^A-Za-z0-9_.-]")


def tool_name(action: str) -> str:
    """The name of an action (`connector.action`) as a tool: `connector__action`.

    A name that would be too long, or could be taken apart in two ways, is cut and ends in 64 bits of its SHA-256: those
    hold `__` twice, and the others once, so that the one kind is never taken for the other.
    """
    connector, _, name = action.partition(".")
    plain = f"{connector}{_BETWEEN}{name}"
    if len(plain) <= LONGEST and plain.count(_BETWEEN) == 1 and "___" not in plain:
        return plain
    mark = hashlib.sha256(action.encode()).hexdigest()[:_HASHED]
    return _BETWEEN.join((_short(connector), _short(name), mark))


def tool_names(actions: Iterable[str]) -> dict[str, str]:
    """Tool name to full name. Raises ValueError where two actions have one name: 64 bits would have to be equal."""
    found: dict[str, str] = {}
    for action in actions:
        name = tool_name(action)
        if (other := found.setdefault(name, action)) != action:
            raise ValueError(f"{action} and {other} have one tool_name, {name}")
    return found


def full_name(name: str, tools: Mapping[str, str], allowed: Collection[str]) -> str:
    """The action that a tool's name stands for, or `name` itself.

    It tells nobody what exists: a plain name is taken apart whether or not there is such an action, and one that
    was cut is known only to whoever may use it.
    """
    if "." in name:
        return name
    known = tools.get(name)
    if known is not None and known in allowed:
        return known
    connector, between, action = name.partition(_BETWEEN)
    plain = f"{connector}.{action}"
    return plain if between and tool_name(plain) == name else name


def tool_params(names: Iterable[str]) -> dict[str, str]:
    """The names of an action's parameters that a model API refuses: what it is given instead, to the parameter's own.

    Empty for most actions. The others get `_` for each character that is refused, and a hash where that is taken.
    """
    own = list(names)
    found: dict[str, str] = {}
    for name in own:
        if not _REFUSED.search(name):
            continue
        plain = _REFUSED.sub("_", name)
        if plain in own or plain in found:
            plain = f"{plain[: LONGEST - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        found[plain] = name
    return found


def own_params(params: dict[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """A tool's arguments as the action's parameters. One that is given under both names stays as it came: no parameter
    has that name, and so it is refused."""
    if not any(name in renamed for name in params):
        return params
    made: dict[str, Any] = {}
    for name, value in params.items():
        own = renamed.get(name, name)
        made[name if own in params else own] = value
    return made


def _short(part: str) -> str:
    return _RUN.sub("_", part)[:_PART].strip("_")

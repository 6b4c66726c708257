"""Calls (and connections) that are about to wait for people and stand in no table yet: they count within
`open_per_agent` too.

Race: calls that come together are judged before any of them is written, and none has read the others. So each takes a
place here before it is written; what was read before a place was given back has not seen that call either. Another
process's are not seen: with replicas the limit can be passed by what comes to the others at the same moment.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Coming:
    """Those of one process. Used in its loop."""

    def __init__(self) -> None:
        self._here: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """By agent, by what makes two equal: equal ones become one."""
        self._gone: Counter[str] = Counter()
        """How many places each agent's calls have given back."""

    def mark(self, agent: str) -> int:
        """Take it before the agent's waiting calls are counted; for `unseen`."""
        return self._gone[agent]

    def unseen(self, agent: str, mark: int) -> int:
        """How many more there are than a count that began at `mark` can have seen; at most, since it may have seen some
        of them."""
        return len(self._here[agent]) + self._gone[agent] - mark

    def equal(self, agent: str, key: str) -> bool:
        """Whether an equal call is being written."""
        return key in self._here[agent]

    @contextmanager
    def place(self, agent: str, key: str) -> Iterator[None]:
        """The place of one call, until it is written or refused."""
        here = self._here[agent]
        here[key] += 1
        try:
            yield
        finally:
            self._gone[agent] += 1
            here[key] -= 1
            if not here[key]:
                del here[key]

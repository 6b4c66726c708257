"""Lists for agents: newest first, with opaque cursors, counting nothing."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, or_, select

from jit_auth.core.cursor import cursor_of, read_cursor
from jit_auth.core.ids import is_id
from jit_auth.errors import BadRequest
from jit_auth.model import Execution, Millis, Page
from jit_auth.storage import tables
from jit_auth.storage.codec import Codec
from jit_auth.storage.compiled import Compiler, Text
from jit_auth.storage.people import People
from jit_auth.storage.reader import Reader

LONGEST = 200
"""Items on one page, at most."""

_Form = tuple[int, bool, bool, bool, bool]


class Lists:
    """The lists of one store."""

    def __init__(self, compiler: Compiler, codec: Codec, people: People, reader: Reader) -> None:
        self._compiler = compiler
        self._codec = codec
        self._people = people
        self._reader = reader
        self._texts: dict[_Form, Text] = {}

    async def executions(
        self, agent: str, *, states: Sequence[str] = (), user: str | None = None, task: str | None = None,
        updated_since: Millis | None = None, limit: int = 50, cursor: str | None = None,
    ) -> Page:  # fmt: skip
        """One page, newest first. `updated_since` is included. Raises BadRequest (`bad_query`)."""
        wanted = sorted(set(states))
        of = ("executions", agent, wanted, user, task, updated_since)
        before = None if cursor is None else place(read_cursor(cursor, *of))
        person = None
        if user is not None:
            person = await self._people.find(user)
            if person is None:
                return Page(())
        limit = max(1, min(limit, LONGEST))
        text = self._text(
            (len(wanted), person is not None, task is not None, updated_since is not None, before is not None)
        )
        values = {f"state{index}": state for index, state in enumerate(wanted)}
        mac = None if task is None else self._codec.task(task)
        args = text.args(
            agent=agent,
            person=person and person.pid,
            task=mac,
            since=updated_since,
            before=before,
            most=limit + 1,
            **values,
        )
        (rows,) = await self._reader.fetch((text, args))
        items = await self._codec.records(Execution, rows[:limit])
        return Page(items, cursor_of(items[-1].id, *of) if len(rows) > limit else None)

    def _text(self, form: _Form) -> Text:
        text = self._texts.get(form)
        if text is None:
            states, user, task, since, before = form
            execution, codec = tables.execution, self._codec.of(Execution)
            where = [execution.c.agent == bindparam("agent")]
            if states:
                where.append(or_(*(execution.c.state == bindparam(f"state{index}") for index in range(states))))
            if user:
                where.append(execution.c.person == bindparam("person"))
            if task:
                where.append(execution.c.task == bindparam("task"))
            if since:
                where.append(execution.c.updated >= bindparam("since"))
            if before:
                where.append(execution.c.id < bindparam("before"))
            columns = (execution.c[name] for name in codec.columns)
            statement = select(*columns).where(*where).order_by(execution.c.id.desc()).limit(bindparam("most"))
            text = self._texts[form] = self._compiler.text(statement)
        return text


def place(position: str) -> str:
    """The id after which a page begins."""
    if not is_id(position, "exe"):
        raise BadRequest("This is no cursor of a list.", code="bad_query", hint="Take `next` of the page before.")
    return position

"""Statements, compiled once, when they are first needed, to the driver's text. Core writes them; nothing here executes
them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    ClauseElement,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy import Text as Words
from sqlalchemy.engine import Dialect

T = TypeVar("T")
_Params = Sequence[tuple[str, str]]
"""Names of parameters with the columns they are for."""


class Text:
    """One statement: `sql` for the driver, and the names of its parameters in their order.

    Compiled when one of them is first read: a process uses few of the hundreds there are.
    """

    __slots__ = ("_compile", "_constants", "names", "sql", "table")

    sql: str
    names: tuple[str, ...]
    _constants: dict[str, Any]

    def __init__(self, compile: Callable[[], Any], table: str = "") -> None:
        self._compile = compile
        self.table = table

    def __getattr__(self, name: str) -> Any:
        """What is not there yet: a slot that is filled is read without this."""
        if name not in ("sql", "names", "_constants"):
            raise AttributeError(name)
        compiled = self._compile()
        self.sql = str(compiled)
        self.names = tuple(compiled.positiontup or ())
        self._constants = {each: compiled.params[each] for each in self.names if compiled.params.get(each) is not None}
        return getattr(self, name)

    def args(self, **values: Any) -> tuple[Any, ...]:
        """The parameters in the driver's order. KeyError where one is missing."""
        constants = self._constants
        return tuple(values[name] if name in values else constants[name] for name in self.names)


class Write:
    """A statement that writes whole rows of values: one at a time (`one`), and on PostgreSQL many at once (`many`).

    The parameters of `one` and the columns of `many` have the same order, which is `order`.
    """

    __slots__ = ("build", "key_at", "many", "one", "order", "table")

    def __init__(self, table: str, one: Text, many: Text | None, build: Callable[[str], Any]) -> None:
        self.table = table
        self.one = one.sql
        self.order = one.names
        self.many = many.sql if many is not None else ""
        self.build = build
        """The set-based statement, its parameters (arrays) named `PREFIXname`; gives back the first key of each row."""
        self.key_at = next((at for at, name in enumerate(one.names) if name.startswith("w_")), 0)
        """Where in the parameters the first column of the key stands (updates, deletes)."""

    def __repr__(self) -> str:
        return f"Write({self.one!r})"


@cache
def compiler_for(name: str) -> Compiler:
    """The compiler of a dialect (`sqlite` or `postgresql`). It keeps texts alone, which are the same for all stores."""
    return Compiler(name)


class Compiler:
    """Compiles for one dialect, once per statement."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dialect = {"postgresql": _postgresql, "sqlite": _sqlite}[name]()
        self._writes: dict[tuple[Any, ...], Write] = {}
        self._shared: dict[Callable[[Compiler], Any], Any] = {}

    def shared(self, make: Callable[[Compiler], T]) -> T:
        """The statements that `make` writes: once a process, however many stores it opens."""
        if make not in self._shared:
            self._shared[make] = make(self)
        found: T = self._shared[make]
        return found

    def text(self, statement: ClauseElement, table: str = "") -> Text:
        """The text of any statement whose values are `bindparam`s (or constants)."""
        return Text(lambda: statement.compile(dialect=self.dialect, compile_kwargs={"render_postcompile": True}), table)

    def insert(self, table: Table, columns: Sequence[str]) -> Write:
        """INSERT of one row of `columns`."""
        params = [("v_" + name, name) for name in columns]

        def one() -> Any:
            return insert(table).values({name: bindparam("v_" + name) for name in columns})

        def build(prefix: str) -> Any:
            rows = _rows(table, params, prefix)
            return insert(table).from_select(list(columns), select(*rows.c)).returning(table.c[columns[0]])

        return self._write(("insert", table.name, *columns), table, one, build, params)

    def change(self, table: Table, keys: Sequence[str], versioned: str | None, columns: Sequence[str]) -> Write:
        """UPDATE of `columns` where the keys, and the old value of column `versioned`, are as given.

        Parameters: the columns in the table's order, then the keys, then the old value. `version` is raised by one.
        """
        columns = [column.name for column in table.c if column.name in columns]
        where = [*keys, versioned] if versioned else [*keys]
        params = [("v_" + name, name) for name in columns] + [("w_" + name, name) for name in where]

        def made(values: Mapping[str, Any]) -> Any:
            new: dict[str, Any] = {name: values["v_" + name] for name in columns}
            if "version" in table.c:
                new["version"] = table.c.version + literal_column("1")
            return update(table).where(_same(table, where, values)).values(new)

        slot = ("change", table.name, *where, "", *columns)
        return self._write(
            slot, table, lambda: made(_bound(params)), lambda prefix: _set(made, table, keys, params, prefix), params
        )

    def delete(self, table: Table, keys: Sequence[str], versioned: str | None) -> Write:
        """DELETE of the row with the given keys and version."""
        where = [*keys, versioned] if versioned else [*keys]
        params = [("w_" + name, name) for name in where]

        def made(values: Mapping[str, Any]) -> Any:
            return delete(table).where(_same(table, where, values))

        slot = ("delete", table.name, *where)
        return self._write(
            slot, table, lambda: made(_bound(params)), lambda prefix: _set(made, table, keys, params, prefix), params
        )

    def upsert(self, table: Table, keys: Sequence[str], update: Sequence[str]) -> Text:
        """INSERT of all columns; where the keys exist, only `update` is written (nothing: the old row stays)."""

        def made() -> Any:
            statement = self._inserting()(table).values({column.name: bindparam(column.name) for column in table.c})
            if not update:
                return statement.on_conflict_do_nothing(index_elements=list(keys))
            new = {name: statement.excluded[name] for name in update}
            return statement.on_conflict_do_update(index_elements=list(keys), set_=new)

        return Text(lambda: made().compile(dialect=self.dialect, compile_kwargs={"render_postcompile": True}))

    def _inserting(self) -> Any:
        """The dialect's own INSERT, which knows ON CONFLICT."""
        if self.name == "postgresql":
            from sqlalchemy.dialects import postgresql

            return postgresql.insert
        from sqlalchemy.dialects import sqlite

        return sqlite.insert

    def _write(
        self, slot: tuple[Any, ...], table: Table, one: Callable[[], Any], build: Callable[[str], Any], params: _Params
    ) -> Write:
        known = self._writes.get(slot)
        if known is None:
            text = self.text(one())
            many = self.text(build("")) if self.name == "postgresql" else None
            names = tuple(name for name, _ in params)
            if text.names != names or (many is not None and many.names != names):
                raise AssertionError(f"{text.sql}: parameters out of order")  # a fault of this module alone
            known = self._writes[slot] = Write(table.name, text, many, build)
        return known


# A dialect is imported where it is spoken: the other one is a twentieth of a command's start.


def _postgresql() -> Dialect:
    from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

    made: Dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it out
    return made


def _sqlite() -> Dialect:
    from sqlalchemy.dialects.sqlite import pysqlite

    made: Dialect = pysqlite.dialect(paramstyle="qmark")
    return made


def _bound(params: _Params) -> dict[str, Any]:
    return {name: bindparam(name) for name, _ in params}


def _same(table: Table, where: Sequence[str], values: Mapping[str, Any]) -> Any:
    return and_(*(table.c[name] == values["w_" + name] for name in where))


def _set(
    made: Callable[[Mapping[str, Any]], Any], table: Table, keys: Sequence[str], params: _Params, prefix: str
) -> Any:
    rows = _rows(table, params, prefix)
    return made(dict(rows.c.items())).returning(table.c[keys[0]])


def _rows(table: Table, params: _Params, prefix: str) -> Any:
    """One array per column, as rows: `unnest($1::text[], $2::bytea[], ...)`."""
    from sqlalchemy.dialects.postgresql import ARRAY

    types = ((name, table.c[column].type) for name, column in params)
    # An array of texts has no collation of its own; the column's counts where they are compared.
    plain = ((name, Words() if isinstance(kind, Words) else kind) for name, kind in types)
    arrays = [bindparam(prefix + name, type_=ARRAY(kind)) for name, kind in plain]
    return func.unnest(*arrays).table_valued(*(name for name, _ in params), name=prefix + "rows").render_derived()

"""Statements, compiled once to the driver's text. Core writes them; nothing here executes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ClauseElement,
    Insert,
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
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import asyncpg as postgres_dialect
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.dialects.sqlite import pysqlite as sqlite_dialect
from sqlalchemy.engine import Dialect


class Text:
    """One statement: `sql` for the driver, and the names of its parameters in their order."""

    __slots__ = ("_constants", "names", "sql", "table")

    def __init__(self, sql: str, names: tuple[str, ...], constants: Mapping[str, Any], table: str = "") -> None:
        self.sql = sql
        self.names = names
        self.table = table
        self._constants = dict(constants)

    def args(self, **values: Any) -> tuple[Any, ...]:
        """The parameters in the driver's order. KeyError where one is missing."""
        constants = self._constants
        return tuple(values[name] if name in values else constants[name] for name in self.names)


class Write:
    """A statement that writes whole rows of values: one at a time (`one`), and on PostgreSQL many at once (`many`).

    The parameters of `one` and the columns of `many` have the same order.
    """

    __slots__ = ("key_at", "many", "one", "order", "table")

    def __init__(self, table: str, one: Text, many: Text | None) -> None:
        self.table = table
        self.one = one.sql
        self.order = one.names
        self.many = many.sql if many is not None else ""
        self.key_at = next((at for at, name in enumerate(one.names) if name.startswith("w_")), 0)
        """Where in the parameters the first column of the key stands (updates, deletes)."""

    def __repr__(self) -> str:
        return f"Write({self.one!r})"


class Compiler:
    """Compiles for one dialect (`sqlite` or `postgresql`), once per statement."""

    def __init__(self, name: str) -> None:
        self.name = name
        known: dict[str, Callable[[], Dialect]] = {
            "postgresql": postgres_dialect.dialect,
            "sqlite": lambda: sqlite_dialect.dialect(paramstyle="qmark"),
        }
        self.dialect = known[name]()
        self._writes: dict[tuple[Any, ...], Write] = {}

    def text(self, statement: ClauseElement, table: str = "") -> Text:
        """The text of any statement whose values are `bindparam`s (or constants)."""
        compiled: Any = statement.compile(dialect=self.dialect, compile_kwargs={"render_postcompile": True})
        names = tuple(compiled.positiontup or ())
        constants = {name: compiled.params[name] for name in names if compiled.params.get(name) is not None}
        return Text(str(compiled), names, constants, table)

    def insert(self, table: Table, columns: Sequence[str]) -> Write:
        """INSERT of one row of `columns`."""
        known = self._writes.get(("insert", table.name, *columns))
        if known is None:
            one: Insert = insert(table).values({name: bindparam("v_" + name) for name in columns})
            many = None
            if self.name == "postgresql":
                rows = self._rows([("v_" + name, table.c[name]) for name in columns])
                many = self.text(insert(table).from_select(list(columns), select(*rows.c)))
            known = self._keep(("insert", table.name, *columns), table, one, many, ["v_" + name for name in columns])
        return known

    def change(self, table: Table, keys: Sequence[str], versioned: str | None, columns: Sequence[str]) -> Write:
        """UPDATE of `columns` where the keys, and the old value of column `versioned`, are as given.

        Parameters: the columns in the table's order, then the keys, then the old value. `version` is raised by one.
        """
        columns = [column.name for column in table.c if column.name in columns]
        slot = ("change", table.name, tuple(keys), versioned, *columns)
        known = self._writes.get(slot)
        if known is None:
            where = [*keys, versioned] if versioned else [*keys]
            params = [("v_" + name, name) for name in columns] + [("w_" + name, name) for name in where]
            one = self._update(table, columns, where, {name: bindparam(name) for name, _ in params})
            many = None
            if self.name == "postgresql":
                rows = self._rows([(name, table.c[column]) for name, column in params])
                many = self.text(self._update(table, columns, where, dict(rows.c.items())).returning(table.c[keys[0]]))
            known = self._keep(slot, table, one, many, [name for name, _ in params])
        return known

    def delete(self, table: Table, keys: Sequence[str], versioned: str | None) -> Write:
        """DELETE of the row with the given keys and version."""
        where = [*keys, versioned] if versioned else [*keys]
        one = delete(table).where(and_(*(table.c[name] == bindparam("w_" + name) for name in where)))
        many = None
        if self.name == "postgresql":
            rows = self._rows([("w_" + name, table.c[name]) for name in where])
            same = and_(*(table.c[name] == rows.c["w_" + name] for name in where))
            many = self.text(delete(table).where(same).returning(table.c[keys[0]]))
        return self._keep(("delete", table.name), table, one, many, ["w_" + name for name in where])

    def upsert(self, table: Table, keys: Sequence[str], update: Sequence[str]) -> Text:
        """INSERT of all columns; where the keys exist, only `update` is written (nothing: the old row stays)."""
        make: Any = postgres_insert if self.name == "postgresql" else sqlite_insert
        statement = make(table).values({column.name: bindparam(column.name) for column in table.c})
        if not update:
            return self.text(statement.on_conflict_do_nothing(index_elements=list(keys)))
        new = {name: statement.excluded[name] for name in update}
        return self.text(statement.on_conflict_do_update(index_elements=list(keys), set_=new))

    def _update(self, table: Table, columns: Sequence[str], where: Sequence[str], values: Mapping[str, Any]) -> Any:
        new: dict[str, Any] = {name: values["v_" + name] for name in columns}
        if "version" in table.c:
            new["version"] = table.c.version + literal_column("1")
        return update(table).where(and_(*(table.c[name] == values["w_" + name] for name in where))).values(new)

    def _rows(self, params: Sequence[tuple[str, Any]]) -> Any:
        """One array per column, as rows: `unnest($1::text[], $2::bytea[], ...)`."""
        types = ((name, Words() if isinstance(column.type, Words) else column.type) for name, column in params)
        arrays = [bindparam("a_" + name, type_=ARRAY(kind)) for name, kind in types]
        return func.unnest(*arrays).table_valued(*(name for name, _ in params), name="u").render_derived()

    def _keep(self, slot: tuple[Any, ...], table: Table, one: Any, many: Text | None, names: Sequence[str]) -> Write:
        text = self.text(one)
        if text.names != tuple(names) or (many is not None and many.names != tuple("a_" + name for name in names)):
            raise AssertionError(f"{text.sql}: parameters out of order")  # a fault of this module, never of a caller
        write = self._writes[slot] = Write(table.name, text, many)
        return write

"""What this process's role of the database may do: whether a service that was taken over could alter the record.

Attack: whoever has the service has its connection (THREAT_MODEL 40). Where the tables belong to another role, which
migrates and shortens, what was put on record stays: the service's own may read it and add to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from jit_auth.storage import tables
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.reader import Reader

ALTERS = ("UPDATE", "DELETE", "TRUNCATE", "TRIGGER")
"""Privileges on the record that a service does without."""
_READS, _ADDS, _ALL = ("SELECT",), ("SELECT", "INSERT"), ("SELECT", "INSERT", "UPDATE", "DELETE")
_NEEDS = {
    table.name: _READS if table is tables.stamp else _ADDS if table is tables.audit else _ALL
    for table in tables.metadata.sorted_tables
}
_ASKED = ("SELECT", "INSERT", *ALTERS)
_OWNERS = ("c.relowner", "n.nspowner", "d.datdba")
"""Whoever has the schema or the database can drop a table of somebody else's in it."""

_SQL = f"""
SELECT asked.name, {" OR ".join(f"pg_has_role({owner}, 'MEMBER')" for owner in _OWNERS)}, current_user::text,
  {", ".join(f"has_{'any_column' if name == 'UPDATE' else 'table'}_privilege(c.oid, '{name}')" for name in _ASKED)}
FROM unnest(CAST(:tables AS text[])) AS asked(name) JOIN pg_class c ON c.oid = to_regclass(quote_ident(asked.name))
JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_database d ON d.datname = current_database()
"""  # noqa: S608 - words of this module


@dataclass(frozen=True)
class Rights:
    """What a role of PostgreSQL may do with our tables."""

    role: str
    owns: bool
    """It is the owner of some of them, of their schema or of the database, or may become it: it may remove them."""
    alters: tuple[str, ...]
    """What of `ALTERS` it may do with the record."""
    lacks: tuple[str, ...]
    """What a service needs and it may not, as `SELECT on grant`."""

    @property
    def adds_only(self) -> bool:
        """Whether the record is safe from this role."""
        return not self.owns and not self.alters


class Roles:
    """Asks PostgreSQL. A file has no roles."""

    def __init__(self, compiler: Compiler, reader: Reader) -> None:
        self._reader = reader
        self._text = compiler.text(text(_SQL)) if compiler.name == "postgresql" else None

    async def rights(self) -> Rights | None:
        """What this process's role may do at this moment; None for a file. Raises StorageError."""
        if self._text is None:
            return None
        (rows,) = await self._reader.fetch((self._text, self._text.args(tables=list(_NEEDS))))
        may = {row[0]: {name for name, held in zip(_ASKED, row[3:], strict=True) if held} for row in rows}
        lacks = (
            f"{name} on {table}" for table, needs in _NEEDS.items() for name in needs if name not in may.get(table, ())
        )
        return Rights(
            role=str(rows[0][2]) if rows else "",
            owns=any(row[1] for row in rows),
            alters=tuple(name for name in ALTERS if name in may.get(tables.audit.name, ())),
            lacks=tuple(lacks),
        )

    async def may_cut(self) -> bool:
        """Whether this process's role may remove rows of the record. Raises StorageError."""
        rights = await self.rights()
        return rights is None or "DELETE" in rights.alters

"""The tables (SQLAlchemy Core). No other module names a column type; sealed columns are LargeBinary and say so.

Persons stand in every table as `person`, the pseudonym of the row's key holder: the only place of an id is `person`.
Ids sort by time, so that primary keys append. There are no foreign keys: nothing is deleted that another row needs,
and each check would cost the hot path. Columns stand in the order in which the codec binds them (see `rows.Shape`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    event,
    literal_column,
    or_,
)

metadata = MetaData()

OPEN: tuple[ColumnElement[str], ...] = tuple(
    [literal_column(f"'{_state}'") for _state in ("paused", "released", "executing")]
)
"""The states that are not over, as an index's condition and its queries spell them alike."""

_SEALED = "sealed"
_WRAPPED = "wrapped"
# Byte order on PostgreSQL too: ids sort by time, and a locale's comparison would only be slower.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _text(name: str, *, key: bool = False, null: bool = False) -> Column[str]:
    return Column(name, _TEXT, primary_key=key, nullable=null)


def _int(name: str, *, key: bool = False, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=null, autoincrement=False)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _mac(name: str, *, key: bool = False, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, primary_key=key, nullable=null)


def _sealed(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null, info={_SEALED: True})


def _wrapped(name: str, *, null: bool = False) -> Column[bytes]:
    """Sealed under a vault key, not under a person's: what a rotation seals anew."""
    return Column(name, LargeBinary, nullable=null, info={_SEALED: True, _WRAPPED: True})


_conditions: list[tuple[Index, ColumnElement[bool]]] = []


def _partial(name: str, *columns: Column[Any], where: ColumnElement[bool], unique: bool = False) -> None:
    """An index over the rows where `where` holds."""
    _conditions.append((Index(name, *columns, unique=unique), where))


def _conditioned(target: MetaData, connection: Connection, **_: Any) -> None:
    # Named in each Index (`postgresql_where=`), a condition loads its dialect: both, in every process that starts.
    for index, where in _conditions:
        index.dialect_options[connection.dialect.name]["where"] = where


event.listen(metadata, "before_create", _conditioned)


def wrapped() -> list[tuple[Table, Column[bytes]]]:
    """All columns whose values are sealed under a vault key."""
    return [(table, column) for table in metadata.sorted_tables for column in table.c if column.info.get(_WRAPPED)]


execution = Table(
    "execution", metadata,
    _text("id", key=True), _int("version"), _text("state"), _text("agent"), _flag("verified"), _text("action"),
    _text("grant", null=True), _text("digest"), _flag("intent"), _int("attempt"), _text("process", null=True),
    _int("deadline", null=True), _int("due", null=True), _int("not_after", null=True), _int("met", null=True),
    _int("trouble_since", null=True), _int("tries"), _int("created"), _int("updated"), _int("expires"),
    _text("chain"), _text("person"), _text("origin"), _mac("open_key", null=True), _mac("task", null=True),
    _sealed("asked"), _sealed("told", null=True),
)  # fmt: skip
# The worker's index: finished executions leave it, and it alone answers which rows a dead process left behind.
_partial(
    "execution_due", execution.c.due, execution.c.state, execution.c.process,
    where=execution.c.due.is_not(None),
)  # fmt: skip
# What retention finds: the time of the last change, which is the end.
_over = execution.c.state.not_in(OPEN)
_partial("execution_over", execution.c.updated, execution.c.id, where=_over)
Index("execution_agent", execution.c.agent, execution.c.id)
# What agents did in a person's name, and by which agent and action: answered without reading a row.
Index(
    "execution_person", execution.c.person, execution.c.id, execution.c.agent, execution.c.action, execution.c.attempt
)
# What an agent has used: one step per action, however many calls there were.
_sent = execution.c.attempt > literal_column("0")
_partial(
    "execution_used", execution.c.agent, execution.c.action, execution.c.id,
    where=_sent,
)  # fmt: skip
# What was attempted before, by the chain's first agent (`origin`): of one user, and of all (see `storage.history`).
Index("execution_same", execution.c.person, execution.c.action, execution.c.origin, execution.c.id)
Index("execution_origin", execution.c.origin, execution.c.action, execution.c.id)
for _state in ("denied", "succeeded"):
    _ended = execution.c.state == literal_column(f"'{_state}'")
    _partial(
        f"execution_{_state}", execution.c.person, execution.c.action, execution.c.origin, execution.c.updated,
        where=_ended,
    )  # fmt: skip
# What earlier executions of a task touched, from one action to the next: those that ran, or still may; and its list.
_may_run = execution.c.state.in_([literal_column(f"'{_state}'") for _state in ("paused", "executing", "released")])
in_task = and_(execution.c.task.is_not(None), or_(_sent, _may_run))
_partial(
    "execution_task", execution.c.origin, execution.c.task, execution.c.action, execution.c.attempt,
    execution.c.state, execution.c.id,
    where=in_task,
)  # fmt: skip
_partial(
    "execution_of_task", execution.c.agent, execution.c.task, execution.c.id,
    where=execution.c.task.is_not(None),
)  # fmt: skip
# How many of an agent's wait for people, and which are its own turn.
for _state in ("paused", "released"):
    _waits = execution.c.state == literal_column(f"'{_state}'")
    _partial(f"execution_{_state}", execution.c.agent, where=_waits)
_partial(
    "execution_open", execution.c.open_key, unique=True,
    where=execution.c.open_key.is_not(None),
)  # fmt: skip

idem = Table("idem", metadata, _text("execution"), _int("until"), _mac("scope", key=True), _mac("body"))
Index("idem_until", idem.c.until)

ask = Table(
    "ask", metadata,
    _text("id", key=True), _int("version"), _text("execution"), _text("kind"), _text("state"), _text("agent"),
    _text("provider", null=True), _text("digest"), _flag("new_agent"), _int("created"), _int("expires"),
    _text("scopes"), _text("person"), _sealed("asked"),
)  # fmt: skip
Index("ask_execution", ask.c.execution)
# Whom a consent unblocks, and what waits in a person's name.
_open = ask.c.state == literal_column("'open'")
_partial("ask_open", ask.c.person, ask.c.agent, ask.c.provider, where=_open)

vote = Table(
    "vote", metadata,
    _text("ask", key=True), _text("verdict"), _text("digest"), _text("seen"), _text("how"), _int("at"),
    _text("person", key=True), _sealed("asked"),
)  # fmt: skip

card = Table(
    "card", metadata,
    _text("id", key=True), _int("version"), _text("ask"), _text("execution"), _text("via"), _text("ref", null=True),
    _int("shown"), _int("due", null=True), _int("tries"), _int("expires"), _text("process", null=True),
    _text("role"), _text("person"),
)  # fmt: skip
Index("card_ask", card.c.ask)
Index("card_person", card.c.person, card.c.expires)
_partial("card_due", card.c.due, where=card.c.due.is_not(None))

flow = Table(
    "flow", metadata,
    _text("id", key=True), _int("version"), _text("ask"), _text("provider"), _text("cookie"), _int("epoch"),
    _flag("done"), _int("until"), _text("scopes"), _text("person"), _sealed("asked"),
)  # fmt: skip
Index("flow_until", flow.c.until)

grant = Table(
    "grant", metadata,
    _text("id", key=True), _int("version"), _text("provider"), _text("state"), _int("expires", null=True),
    _int("lifetime", null=True), _flag("refreshable"), _text("refresher", null=True),
    _int("refresher_until", null=True), _int("created"), _int("updated"), _text("scopes"), _text("person"),
    _mac("live_key", null=True), _sealed("asked"), _sealed("token", null=True),
)  # fmt: skip
Index("grant_person", grant.c.person, grant.c.provider)
_partial(
    "grant_live", grant.c.live_key, unique=True,
    where=grant.c.live_key.is_not(None),
)  # fmt: skip

consent = Table(
    "consent", metadata,
    _text("grant", key=True), _text("agent", key=True), _int("version"), _int("at"), _text("scopes"),
)  # fmt: skip

outbox = Table(
    "outbox", metadata,
    _text("id", key=True), _int("version"), _text("kind"), _text("provider"), _int("due"), _int("tries"),
    _int("until"), _text("agent"), _text("endpoint"), _text("person"), _sealed("told", null=True),
    _sealed("token", null=True),
)  # fmt: skip
Index("outbox_due", outbox.c.due)

standing = Table(
    "pass", metadata,
    _text("id", key=True), _int("version"), _text("digest"), _text("agent"), _text("action"), _int("uses"),
    _int("until"), _text("ended", null=True), _int("created"), _text("chain"), _text("person"), _sealed("asked"),
)  # fmt: skip
Index("pass_digest", standing.c.digest)
Index("pass_until", standing.c.until)

tally = Table(
    "tally", metadata,
    _int("version"), _int("times"), _int("denied"), _int("denied_at", null=True), _int("until"),
    _mac("key", key=True),
)  # fmt: skip
Index("tally_until", tally.c.until)

session = Table(
    "session", metadata,
    _text("id", key=True), _int("version"), _text("how"), _text("issuer"), _int("at"), _int("used"), _int("until"),
    _text("person"),
)  # fmt: skip
Index("session_person", session.c.person)
Index("session_until", session.c.until)

identity = Table(
    "identity", metadata,
    _text("id", key=True), _int("version"), _text("issuer"), _int("at"), _text("person"),
)  # fmt: skip
# Of one issuer a person has one account: another subject with the same name is somebody else.
Index("identity_person", identity.c.issuer, identity.c.person, unique=True)

code = Table(
    "code", metadata,
    _text("id", key=True), _int("version"), _text("ask"), _int("mail"), _text("mac"), _int("tries"), _int("sent"),
    _int("until"), _text("person"),
)  # fmt: skip
# Two browsers that ask at once do not get one mail more than there may be.
Index("code_mail", code.c.ask, code.c.mail, unique=True)
Index("code_person", code.c.person)
Index("code_until", code.c.until)

passkey = Table(
    "passkey", metadata,
    _text("id", key=True), _int("version"), _int("counter"), _int("created"), _int("used", null=True),
    _text("person"), _sealed("asked"),
)  # fmt: skip
Index("passkey_person", passkey.c.person)

challenge = Table(
    "challenge", metadata,
    _text("id", key=True), _int("version"), _int("until"), _text("person"), _sealed("asked"),
)  # fmt: skip
Index("challenge_until", challenge.c.until)

stop = Table(
    "stop", metadata,
    _text("kind", key=True), _text("id", key=True), _int("epoch"), _flag("active"), _text("who"), _sealed("why"),
)  # fmt: skip

epoch = Table("epoch", metadata, _int("id", key=True), _int("n"), _text("bundle"))

process = Table("process", metadata, _text("id", key=True), _int("lease_until"), _text("keys"))

person = Table(
    "person", metadata,
    # look, key and id are null once the person was erased; what they sealed is gone with the key.
    _text("pid", key=True), _mac("look", null=True), _wrapped("key", null=True), _sealed("id", null=True),
)  # fmt: skip
Index("person_look", person.c.look, unique=True)

swept = Table("swept", metadata, _text("name", key=True), _int("version"), _int("until"))

secret = Table("secret", metadata, _text("name", key=True), _wrapped("value"))

audit = Table(
    "audit", metadata,
    _text("writer", key=True), _int("seq", key=True), _int("at"), _text("actor"), _text("person", null=True),
    _text("agent", null=True), _text("execution", null=True), _text("what"), _text("key"), _mac("mac"),
    _flag("told"),
)  # fmt: skip
# What streams of an execution tell. Most calls need nobody, and their rows would only make this long.
_told = audit.c.told.is_(literal_column("true"))
_partial("audit_told", audit.c.execution, where=_told)

# The record read by time, newest first.
Index("audit_at", audit.c.at)

stamp = Table("alembic_version", metadata, Column("version_num", Text, primary_key=True))
